#include "dataplane/route/prefix_trie.h"

#include <utility>

#include "dataplane/route/trie_writer.h"

namespace penstock {

template <size_t kBytes>
struct PrefixTrie<kBytes>::Control {
  trie::TrieWriter<kBytes> writer;
};

template <size_t kBytes>
auto PrefixTrie<kBytes>::create(size_t capacity_bytes, TrieDefer defer)
    -> Result<std::unique_ptr<PrefixTrie>> {
  PENSTOCK_TRY(auto arena, trie::Arena::create(capacity_bytes));
  const uint8_t* base = arena->base();
  std::unique_ptr<Control> control(
      new Control{trie::TrieWriter<kBytes>(std::move(arena), std::move(defer))});
  return std::unique_ptr<PrefixTrie>(new PrefixTrie(std::move(control), base));
}

template <size_t kBytes>
PrefixTrie<kBytes>::PrefixTrie(std::unique_ptr<Control> control, const uint8_t* base)
    : reader_(base), control_(std::move(control)) {}

template <size_t kBytes>
PrefixTrie<kBytes>::~PrefixTrie() = default;

template <size_t kBytes>
Status PrefixTrie<kBytes>::set(const uint8_t* address, unsigned length, uint32_t value) {
  if (length > kBits) return errorf("prefix length %u is over %u", length, kBits);
  if (value == 0) return errorf("the value of a prefix must not be 0");
  if (!control_->writer.set(trie::Key<kBytes>::make(address, length), value)) {
    return errorf("prefix table is full: %zu prefixes in %zu bytes", size(), memory_bytes());
  }
  return {};
}

template <size_t kBytes>
bool PrefixTrie<kBytes>::remove(const uint8_t* address, unsigned length) {
  return length <= kBits && control_->writer.remove(trie::Key<kBytes>::make(address, length));
}

template <size_t kBytes>
std::optional<uint32_t> PrefixTrie<kBytes>::exact(const uint8_t* address, unsigned length) const {
  if (length > kBits) return std::nullopt;
  const auto& prefixes = control_->writer.prefixes();
  const auto found = prefixes.find(trie::Key<kBytes>::make(address, length));
  if (found == prefixes.end()) return std::nullopt;
  return found->second;
}

template <size_t kBytes>
void PrefixTrie<kBytes>::for_each(
    const std::function<void(const uint8_t*, unsigned, uint32_t)>& visit) const {
  for (const auto& [key, value] : control_->writer.prefixes()) {
    visit(key.address.data(), key.length, value);
  }
}

template <size_t kBytes>
size_t PrefixTrie<kBytes>::size() const {
  return control_->writer.prefixes().size();
}

template <size_t kBytes>
size_t PrefixTrie<kBytes>::memory_bytes() const {
  return control_->writer.arena().used_bytes();
}

template class PrefixTrie<4>;
template class PrefixTrie<16>;

// --- both families
// --------------------------------------------------------------------------------

Result<std::unique_ptr<IpPrefixTrie>> IpPrefixTrie::create(size_t capacity_bytes_per_family,
                                                           const TrieDefer& defer) {
  PENSTOCK_TRY(auto v4, PrefixTrie<4>::create(capacity_bytes_per_family, defer));
  PENSTOCK_TRY(auto v6, PrefixTrie<16>::create(capacity_bytes_per_family, defer));
  return std::unique_ptr<IpPrefixTrie>(new IpPrefixTrie(std::move(v4), std::move(v6)));
}

Status IpPrefixTrie::set(const IpPrefix& prefix, uint32_t value) {
  const uint8_t* address = prefix.address.bytes().data();
  return prefix.address.is_v4() ? v4_->set(address, prefix.length, value)
                                : v6_->set(address, prefix.length, value);
}

bool IpPrefixTrie::remove(const IpPrefix& prefix) {
  const uint8_t* address = prefix.address.bytes().data();
  return prefix.address.is_v4() ? v4_->remove(address, prefix.length)
                                : v6_->remove(address, prefix.length);
}

std::optional<uint32_t> IpPrefixTrie::exact(const IpPrefix& prefix) const {
  const uint8_t* address = prefix.address.bytes().data();
  return prefix.address.is_v4() ? v4_->exact(address, prefix.length)
                                : v6_->exact(address, prefix.length);
}

void IpPrefixTrie::for_each(const std::function<void(const IpPrefix&, uint32_t)>& visit) const {
  v4_->for_each([&](const uint8_t* address, unsigned length, uint32_t value) {
    Ipv4Address v4;
    std::memcpy(v4.bytes.data(), address, v4.bytes.size());
    visit({v4, static_cast<uint8_t>(length)}, value);
  });
  v6_->for_each([&](const uint8_t* address, unsigned length, uint32_t value) {
    Ipv6Address v6;
    std::memcpy(v6.bytes.data(), address, v6.bytes.size());
    visit({v6, static_cast<uint8_t>(length)}, value);
  });
}

}  // namespace penstock
