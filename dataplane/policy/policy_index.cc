#include "dataplane/policy/policy_index.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace penstock {
namespace {

// Of the trie, for each prefix: a node of 2.4 KB may serve many, or in the worst case one.
constexpr size_t kTrieBytesPerPrefix = 1024;

}  // namespace

template <size_t kBytes>
Result<std::unique_ptr<PolicyIndex<kBytes>>> PolicyIndex<kBytes>::create(size_t max_prefixes,
                                                                         PolicyDefer defer) {
  auto index = std::unique_ptr<PolicyIndex>(new PolicyIndex());
  PENSTOCK_TRY(index->trie_,
               PrefixTrie<kBytes>::create((max_prefixes + 64) * kTrieBytesPerPrefix, defer));
  index->reader_ = index->trie_->reader();
  // Reserved, and taken from the system page by page.
  void* memory = mmap(nullptr, (max_prefixes + 1) * sizeof(Node), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return errorf("policies: cannot reserve room for %zu prefixes: %s", max_prefixes,
                  std::strerror(errno));
  }
  index->nodes_ = static_cast<Node*>(memory);
  index->max_nodes_ = max_prefixes;
  index->free_nodes_ = std::make_shared<std::vector<uint32_t>>();
  index->entries_ = std::make_shared<BlockPool<Entry>>();
  index->defer_ = std::move(defer);
  return index;
}

template <size_t kBytes>
PolicyIndex<kBytes>::~PolicyIndex() {
  if (nodes_ == nullptr) return;
  for (const auto& [prefix, node] : by_prefix_) free_entries(nodes_[node]);
  free_entries(nodes_[everything_.load(std::memory_order_relaxed)]);
  munmap(nodes_, (max_nodes_ + 1) * sizeof(Node));
}

template <size_t kBytes>
void PolicyIndex<kBytes>::free_entries(const Node& node) {
  for (Entry* entry = node.first.load(std::memory_order_relaxed); entry != nullptr;) {
    Entry* next = entry->next.load(std::memory_order_relaxed);
    entries_->destroy(entry);
    entry = next;
  }
}

template <size_t kBytes>
policy_detail::Value<kBytes> PolicyIndex<kBytes>::last_of(const Prefix& prefix) {
  using Value = policy_detail::Value<kBytes>;
  if (prefix.length == kBytes * 8) return prefix.first;
  return prefix.first | static_cast<Value>(~Value{0}) >> prefix.length;
}

template <size_t kBytes>
Result<uint32_t> PolicyIndex<kBytes>::take_node() {
  uint32_t node = 0;
  if (!free_nodes_->empty()) {
    node = free_nodes_->back();
    free_nodes_->pop_back();
  } else if (used_nodes_ <= max_nodes_) {
    node = used_nodes_++;
  } else {
    return errorf("policies: no room for more than %zu prefixes", max_nodes_);
  }
  new (&nodes_[node]) Node();
  return node;
}

template <size_t kBytes>
void PolicyIndex<kBytes>::release_node(uint32_t node) {
  defer_([free_nodes = free_nodes_, node] { free_nodes->push_back(node); });
}

// The node of the longest prefix around a new one. That prefix comes before it in order, and
// whatever is between the two lies inside it: so it is among what is around the one right before.
template <size_t kBytes>
uint32_t PolicyIndex<kBytes>::enclosing(const Prefix& prefix) const {
  const auto after = by_prefix_.lower_bound(prefix);
  if (after == by_prefix_.begin()) return 0;
  uint32_t node = std::prev(after)->second;
  while (node != 0 && last_of(prefixes_[node]) < prefix.first) {
    node = nodes_[node].parent.load(std::memory_order_relaxed);
  }
  return node;
}

// Gives the nodes right below the one of `parent` another parent: those inside its prefix that had
// `from`.
template <size_t kBytes>
void PolicyIndex<kBytes>::adopt(typename NodeMap::iterator parent, uint32_t from, uint32_t to) {
  const policy_detail::Value<kBytes> last = last_of(parent->first);
  for (auto at = std::next(parent); at != by_prefix_.end() && at->first.first <= last; ++at) {
    std::atomic<uint32_t>& its_parent = nodes_[at->second].parent;
    if (its_parent.load(std::memory_order_relaxed) == from) {
      its_parent.store(to, std::memory_order_release);
    }
  }
}

template <size_t kBytes>
uint32_t PolicyIndex<kBytes>::node_at(const Prefix& prefix) const {
  if (prefix.length == 0) return everything_.load(std::memory_order_relaxed);
  const auto at = by_prefix_.find(prefix);
  return at != by_prefix_.end() ? at->second : 0;
}

template <size_t kBytes>
void PolicyIndex<kBytes>::insert_into(Node& node, Entry* entry) {
  std::atomic<Entry*>* link = &node.first;
  Entry* next = link->load(std::memory_order_relaxed);
  while (next != nullptr && next->precedes(*entry)) {
    link = &next->next;
    next = link->load(std::memory_order_relaxed);
  }
  entry->next.store(next, std::memory_order_relaxed);
  link->store(entry, std::memory_order_release);
}

template <size_t kBytes>
Status PolicyIndex<kBytes>::insert(const uint8_t* address, unsigned length,
                                   const std::function<void(Entry&)>& fill_in) {
  const Prefix prefix{policy_detail::value_of<kBytes>(address), length};
  const auto new_entry = [&] {
    Entry* entry = entries_->make();
    fill_in(*entry);
    return entry;
  };
  if (const uint32_t there = node_at(prefix); there != 0) {
    insert_into(nodes_[there], new_entry());
    return {};
  }
  PENSTOCK_TRY(const uint32_t node, take_node());
  if (length == 0) {
    insert_into(nodes_[node], new_entry());
    everything_.store(node, std::memory_order_release);
    return {};
  }
  nodes_[node].parent.store(enclosing(prefix), std::memory_order_relaxed);
  Entry* entry = new_entry();
  nodes_[node].first.store(entry, std::memory_order_relaxed);
  if (Status set = trie_->set(address, length, node); !set.ok()) {
    entries_->destroy(entry);
    free_nodes_->push_back(node);
    return set;
  }
  const auto at = by_prefix_.emplace(prefix, node).first;
  if (prefixes_.size() <= node) prefixes_.resize(node + 1);
  prefixes_[node] = prefix;
  adopt(at, nodes_[node].parent.load(std::memory_order_relaxed), node);
  return {};
}

template <size_t kBytes>
void PolicyIndex<kBytes>::erase(const uint8_t* address, unsigned length, PolicyId id) {
  const Prefix prefix{policy_detail::value_of<kBytes>(address), length};
  const uint32_t number = node_at(prefix);
  if (number == 0) return;
  Node& node = nodes_[number];
  std::atomic<Entry*>* link = &node.first;
  Entry* entry = link->load(std::memory_order_relaxed);
  while (entry != nullptr && entry->id != id) {
    link = &entry->next;
    entry = link->load(std::memory_order_relaxed);
  }
  if (entry == nullptr) return;
  // A reader at the entry itself goes on by its link, which stays.
  link->store(entry->next.load(std::memory_order_relaxed), std::memory_order_release);
  defer_([entries = entries_, entry] { entries->destroy(entry); });
  if (node.first.load(std::memory_order_relaxed) != nullptr) return;
  if (length == 0) {
    everything_.store(0, std::memory_order_release);
  } else {
    const auto at = by_prefix_.find(prefix);
    adopt(at, number, node.parent.load(std::memory_order_relaxed));
    (void)trie_->remove(address, length);
    by_prefix_.erase(at);
  }
  release_node(number);
}

template class PolicyIndex<4>;
template class PolicyIndex<16>;

}  // namespace penstock
