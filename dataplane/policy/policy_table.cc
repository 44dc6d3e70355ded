#include "dataplane/policy/policy_table.h"

#include <algorithm>
#include <bit>

namespace penstock {
namespace {

using policy_detail::Value;

template <size_t kBytes>
constexpr unsigned kBits = kBytes * 8;

template <size_t kBytes>
unsigned leading_zeros(Value<kBytes> value) {
  if constexpr (kBytes == 4) {
    return static_cast<unsigned>(std::countl_zero(value));
  } else {
    const auto high = static_cast<uint64_t>(value >> 64);
    const auto low = static_cast<uint64_t>(value);
    return static_cast<unsigned>(high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(low));
  }
}

template <size_t kBytes>
struct Range {
  Value<kBytes> first, last;
  explicit Range(const TrafficSelector& selector)
      : first(policy_detail::value_of<kBytes>(selector.first.bytes().data())),
        last(policy_detail::value_of<kBytes>(selector.last.bytes().data())) {}
  [[nodiscard]] unsigned common_prefix() const { return leading_zeros<kBytes>(first ^ last); }
};

// Calls visit(address, length) for the fewest prefixes that make up the range, until it says false.
template <size_t kBytes, class Visit>
void for_each_prefix(const Range<kBytes>& range, const Visit& visit) {
  using V = Value<kBytes>;
  V first = range.first;
  while (true) {
    // The largest block that begins here and ends within the range.
    unsigned host_bits = 0;
    while (host_bits < kBits<kBytes>) {
      const V host_mask =
          host_bits + 1 == kBits<kBytes> ? static_cast<V>(~V{0}) : (V{1} << (host_bits + 1)) - 1;
      if ((first & host_mask) != 0 || (first | host_mask) > range.last) break;
      ++host_bits;
    }
    uint8_t address[kBytes];
    V rest = first;
    for (size_t i = kBytes; i-- > 0; rest >>= 8) address[i] = static_cast<uint8_t>(rest);
    if (!visit(address, kBits<kBytes> - host_bits)) return;
    if (host_bits == kBits<kBytes>) return;
    const V last = first + ((V{1} << host_bits) - 1);
    if (last >= range.last) return;
    first = last + 1;
  }
}

bool all_ports(const TrafficSelector& selector) {
  return !selector.opaque_ports && selector.first_port == 0 && selector.last_port == UINT16_MAX;
}

bool some_ports(const TrafficSelector& selector) {
  return !selector.opaque_ports && !all_ports(selector);
}

unsigned port_narrowness(const TrafficSelector& selector) {
  if (selector.opaque_ports) return 1;
  const auto ports = static_cast<unsigned>(selector.last_port - selector.first_port) + 1;
  return 17 - static_cast<unsigned>(std::bit_width(ports));  // 0 to 16
}

uint8_t protocol_of(const SelectorPair& pair) {
  return std::max(pair.local.protocol, pair.remote.protocol);
}

template <size_t kBytes>
uint64_t order_of(const PolicySpec& spec) {
  const SelectorPair& pair = spec.selectors;
  const unsigned addresses =
      Range<kBytes>(pair.local).common_prefix() + Range<kBytes>(pair.remote).common_prefix();
  const unsigned specific = addresses << 8 | (protocol_of(pair) != 0 ? 1U << 7 : 0U) |
                            (port_narrowness(pair.local) + port_narrowness(pair.remote));
  return uint64_t{spec.priority} << 32 | (UINT32_MAX - specific);
}

template <size_t kBytes>
bool indexed_by_remote(const SelectorPair& pair) {
  return Range<kBytes>(pair.remote).common_prefix() >= Range<kBytes>(pair.local).common_prefix();
}

template <size_t kBytes>
void fill_in(policy_detail::Entry<kBytes>& entry, PolicyId id, const PolicySpec& spec,
             uint64_t age) {
  const SelectorPair& pair = spec.selectors;
  const Range<kBytes> other(indexed_by_remote<kBytes>(pair) ? pair.local : pair.remote);
  entry.other_first = other.first;
  entry.other_last = other.last;
  entry.order = order_of<kBytes>(spec);
  entry.age = age;
  entry.id = id;
  entry.decision = decision_of(spec.action);
  if (spec.action == PolicyAction::kProtect) entry.tunnel = spec.tunnel.value;
  entry.local_first_port = pair.local.first_port;
  entry.local_last_port = pair.local.last_port;
  entry.remote_first_port = pair.remote.first_port;
  entry.remote_last_port = pair.remote.last_port;
  entry.protocol = protocol_of(pair);
  entry.flags = static_cast<uint8_t>((all_ports(pair.local) ? policy_detail::kLocalAny : 0) |
                                     (pair.local.opaque_ports ? policy_detail::kLocalOpaque : 0) |
                                     (all_ports(pair.remote) ? policy_detail::kRemoteAny : 0) |
                                     (pair.remote.opaque_ports ? policy_detail::kRemoteOpaque : 0));
  constexpr uint8_t kAllPorts = policy_detail::kLocalAny | policy_detail::kRemoteAny;
  entry.by_address_alone = entry.protocol == 0 && entry.flags == kAllPorts;
}

Status check(const PolicySpec& spec) {
  const TrafficSelector& local = spec.selectors.local;
  const TrafficSelector& remote = spec.selectors.remote;
  const Family family = local.first.family();
  for (const TrafficSelector* side : {&local, &remote}) {
    if (side->first.family() != family || side->last.family() != family) {
      return errorf("policy: the addresses are not of one family");
    }
    if (side->last < side->first) return errorf("policy: an address range ends before it begins");
    if (!side->opaque_ports && side->last_port < side->first_port) {
      return errorf("policy: a port range ends before it begins");
    }
  }
  if (local.protocol != remote.protocol && local.protocol != 0 && remote.protocol != 0) {
    return errorf("policy: two protocols, %u and %u", local.protocol, remote.protocol);
  }
  if (protocol_of(spec.selectors) == 0 && (some_ports(local) || some_ports(remote))) {
    return errorf("policy: ports without a protocol");
  }
  if (spec.action == PolicyAction::kProtect && !spec.tunnel.valid()) {
    return errorf("policy: protects without a tunnel");
  }
  return {};
}

}  // namespace

PolicyTable::PolicyTable(PolicyDefer defer, size_t max_prefixes)
    : defer_(std::move(defer)), max_prefixes_(max_prefixes) {}

PolicyTable::~PolicyTable() {
  delete v4_.by_remote.load(std::memory_order_relaxed);
  delete v4_.by_local.load(std::memory_order_relaxed);
  delete v6_.by_remote.load(std::memory_order_relaxed);
  delete v6_.by_local.load(std::memory_order_relaxed);
}

Status PolicyTable::add(PolicyId id, const PolicySpec& spec) {
  PENSTOCK_CHECK(check(spec));
  if (policies_.contains(id)) return errorf("policy: number %u is taken", id.value);
  const Policy policy{spec, next_age_++};
  PENSTOCK_CHECK(spec.selectors.local.first.is_v4() ? add_to(v4_, id, policy)
                                                    : add_to(v6_, id, policy));
  policies_.emplace(id, policy);
  count_.store(policies_.size(), std::memory_order_release);
  return {};
}

bool PolicyTable::remove(PolicyId id) {
  const auto at = policies_.find(id);
  if (at == policies_.end()) return false;
  if (at->second.spec.selectors.local.first.is_v4()) {
    remove_from(v4_, id, at->second);
  } else {
    remove_from(v6_, id, at->second);
  }
  policies_.erase(at);
  count_.store(policies_.size(), std::memory_order_release);
  return true;
}

template <size_t kBytes>
Status PolicyTable::add_to(Sides<kBytes>& sides, PolicyId id, const Policy& policy) {
  const SelectorPair& pair = policy.spec.selectors;
  const bool by_remote = indexed_by_remote<kBytes>(pair);
  std::atomic<PolicyIndex<kBytes>*>& place = by_remote ? sides.by_remote : sides.by_local;
  PolicyIndex<kBytes>* index = place.load(std::memory_order_relaxed);
  if (index == nullptr) {
    PENSTOCK_TRY(auto created, PolicyIndex<kBytes>::create(max_prefixes_, defer_));
    index = created.release();
    place.store(index, std::memory_order_release);
  }
  Status status;
  for_each_prefix<kBytes>(Range<kBytes>(by_remote ? pair.remote : pair.local),
                          [&](const uint8_t* address, unsigned length) {
                            status = index->insert(address, length, [&](auto& entry) {
                              fill_in<kBytes>(entry, id, policy.spec, policy.age);
                            });
                            return status.ok();
                          });
  if (!status.ok()) remove_from(sides, id, policy);
  return status;
}

template <size_t kBytes>
void PolicyTable::remove_from(Sides<kBytes>& sides, PolicyId id, const Policy& policy) {
  const SelectorPair& pair = policy.spec.selectors;
  const bool by_remote = indexed_by_remote<kBytes>(pair);
  PolicyIndex<kBytes>* index = (by_remote ? sides.by_remote : sides.by_local).load();
  for_each_prefix<kBytes>(Range<kBytes>(by_remote ? pair.remote : pair.local),
                          [&](const uint8_t* address, unsigned length) {
                            index->erase(address, length, id);
                            return true;
                          });
}

}  // namespace penstock
