#include "dataplane/route/trie_writer.h"

#include <algorithm>
#include <new>
#include <utility>

namespace penstock::trie {
namespace {

// How many of the first `limit` bytes agree.
uint32_t common_bytes(const uint8_t* a, const uint8_t* b, uint32_t limit) {
  uint32_t i = 0;
  while (i < limit && a[i] == b[i]) ++i;
  return i;
}

}  // namespace

template <size_t kBytes>
Key<kBytes> Key<kBytes>::make(const uint8_t* address, unsigned length) {
  Key key;
  std::memcpy(key.address.data(), address, (length + 7) / 8);
  if (length % 8 != 0) {
    uint8_t& last = key.address[length / 8];
    last = static_cast<uint8_t>(last & 0xff00U >> length % 8);
  }
  key.length = static_cast<uint8_t>(length);
  return key;
}

template <size_t kBytes>
TrieWriter<kBytes>::TrieWriter(std::shared_ptr<Arena> arena, Defer defer)
    : arena_(std::move(arena)), defer_(std::move(defer)) {
  // The root: the first block of an arena that holds at least one node.
  Reference unit = 0;
  const uint8_t no_path[kBytes] = {};
  (void)new_node(no_path, 0, unit);
  attempt_.clear();
}

// --- blocks
// ---------------------------------------------------------------------------------------

template <size_t kBytes>
Node* TrieWriter<kBytes>::node_at(Reference reference) const {
  return const_cast<Node*>(at<Node>(arena_->base(), reference));
}

template <size_t kBytes>
Bucket<kBytes>* TrieWriter<kBytes>::bucket_at(Reference reference) const {
  return const_cast<BucketOf*>(at<BucketOf>(arena_->base(), reference));
}

template <size_t kBytes>
Node* TrieWriter<kBytes>::new_node(const uint8_t* path, uint32_t depth, Reference& unit) {
  const uint32_t block = arena_->allocate(kNodeUnits);
  if (block == Arena::kNoUnit) return nullptr;
  attempt_.push_back({block, kNodeUnits});
  unit = block << 2;
  Node* node = new (arena_->base() + size_t{block} * kUnitBytes) Node;
  std::memcpy(node->path, path, depth);
  node->depth = depth;
  return node;
}

template <size_t kBytes>
Reference TrieWriter<kBytes>::node_reference(Reference unit, const Node& node,
                                             uint32_t parent_depth) {
  return (unit & ~Reference{3}) | (node.depth == parent_depth + 1 ? kNext : kSkipped);
}

template <size_t kBytes>
void TrieWriter<kBytes>::abandon() {
  for (const Block& block : attempt_) arena_->release(block.unit, block.units);
  attempt_.clear();
}

template <size_t kBytes>
void TrieWriter<kBytes>::retire(std::vector<Block> blocks) {
  defer_([arena = arena_, blocks = std::move(blocks)] {
    for (const Block& block : blocks) arena->release(block.unit, block.units);
  });
}

template <size_t kBytes>
void TrieWriter<kBytes>::collect(Reference reference, std::vector<Block>& blocks) const {
  if (reference == 0) return;
  if (kind_of(reference) == kBucket) {
    blocks.push_back({reference >> 2, kBucketUnits});
    return;
  }
  for (const auto& entry : node_at(reference)->entries) {
    collect(reference_of(entry.load(std::memory_order_relaxed)), blocks);
  }
  blocks.push_back({reference >> 2, kNodeUnits});
}

// --- entries of a node
// ----------------------------------------------------------------------------

// The release orders what the entry leads to before the entry.
template <size_t kBytes>
void TrieWriter<kBytes>::put_entry(Node& node, uint32_t index, uint64_t entry) {
  const uint64_t before = node.entries[index].load(std::memory_order_relaxed);
  node.used += (entry != 0 ? 1U : 0U) - (before != 0 ? 1U : 0U);
  node.entries[index].store(entry, std::memory_order_release);
}

template <size_t kBytes>
void TrieWriter<kBytes>::lead_to(Node& node, uint32_t index, Reference reference) {
  const uint64_t before = node.entries[index].load(std::memory_order_relaxed);
  put_entry(node, index, make_entry(value_of(before), reference));
}

// The entries that a prefix of the node covers: 256 for the shortest, one for the longest.
template <size_t kBytes>
static std::pair<uint32_t, uint32_t> covered(const Node& node, const Key<kBytes>& key) {
  const uint32_t first = key.address[node.depth];
  return {first, first + (1U << (8 * node.depth + 8 - key.length))};
}

template <size_t kBytes>
void TrieWriter<kBytes>::cover(Node& node, const Key<kBytes>& key, uint32_t value) {
  const auto [first, end] = covered(node, key);
  const auto mark = static_cast<uint8_t>(key.length + 1);
  for (uint32_t i = first; i < end; ++i) {
    if (node.owner[i] > mark) continue;  // a longer prefix has it
    node.owner[i] = mark;
    const uint64_t before = node.entries[i].load(std::memory_order_relaxed);
    put_entry(node, i, make_entry(value, reference_of(before)));
  }
}

// Gives the entries of a removed prefix to the next shorter one of the same node.
template <size_t kBytes>
void TrieWriter<kBytes>::uncover(Node& node, const Key<kBytes>& key) {
  uint32_t value = 0;
  uint8_t heir = 0;
  const uint32_t shortest = node.depth == 0 ? 0 : 8 * node.depth + 1;
  for (uint32_t length = key.length; length-- > shortest;) {
    const auto shorter = prefixes_.find(Key<kBytes>::make(key.address.data(), length));
    if (shorter == prefixes_.end()) continue;
    value = shorter->second;
    heir = static_cast<uint8_t>(length + 1);
    break;
  }
  const auto [first, end] = covered(node, key);
  for (uint32_t i = first; i < end; ++i) {
    if (node.owner[i] != key.length + 1) continue;
    node.owner[i] = heir;
    const uint64_t before = node.entries[i].load(std::memory_order_relaxed);
    put_entry(node, i, make_entry(value, reference_of(before)));
  }
}

// --- building, out of the readers' sight
// ----------------------------------------------------------

// Requires 1 to kMaxItems items. 0: no room.
template <size_t kBytes>
Reference TrieWriter<kBytes>::build_bucket(const Items& items) {
  const uint32_t block = arena_->allocate(kBucketUnits);
  if (block == Arena::kNoUnit) return 0;
  attempt_.push_back({block, kBucketUnits});
  auto* bucket = new (arena_->base() + size_t{block} * kUnitBytes) BucketOf;
  Items longest_first = items;
  std::stable_sort(longest_first.begin(), longest_first.end(),
                   [](const auto& a, const auto& b) { return a.first.length > b.first.length; });
  for (const auto& [key, value] : longest_first) {
    const uint8_t i = bucket->count++;
    std::memcpy(bucket->addresses[i], key.address.data(), kBytes);
    bucket->lengths[i] = key.length;
    bucket->values[i].store(value, std::memory_order_relaxed);
  }
  return block << 2 | kBucket;
}

// A bucket, or a node with what belongs below it. Requires sorted items that share their first
// parent_depth + 1 bytes and are longer than those. 0: no room.
template <size_t kBytes>
Reference TrieWriter<kBytes>::build(const Items& items, uint32_t parent_depth) {
  if (items.size() <= BucketOf::kMaxItems) return build_bucket(items);
  const uint8_t* first = items.front().first.address.data();
  uint32_t depth = common_bytes(first, items.back().first.address.data(), kBytes - 1);
  for (const auto& [key, value] : items) depth = std::min(depth, key.last_byte());

  Reference unit = 0;
  Node* node = new_node(first, depth, unit);
  if (node == nullptr) return 0;
  node->prefixes = static_cast<uint32_t>(items.size());
  for (auto item = items.begin(); item != items.end();) {
    const uint8_t byte = item->first.address[depth];
    Items below;
    for (; item != items.end() && item->first.address[depth] == byte; ++item) {
      if (item->first.last_byte() == depth) {
        cover(*node, item->first, item->second);
      } else {
        below.push_back(*item);
      }
    }
    if (below.empty()) continue;
    const Reference reference = build(below, depth);
    if (reference == 0) return 0;
    lead_to(*node, byte, reference);
  }
  return node_reference(unit, *node, parent_depth);
}

// A node at `depth`, in the middle of the bytes that `below` skips: the prefix leaves them there.
template <size_t kBytes>
Reference TrieWriter<kBytes>::split_path(Node& below, Reference reference, const Key<kBytes>& key,
                                         uint32_t value, uint32_t depth, uint32_t parent_depth) {
  Reference unit = 0;
  Node* node = new_node(below.path, depth, unit);
  if (node == nullptr) return 0;
  node->prefixes = below.prefixes + 1;
  lead_to(*node, below.path[depth], node_reference(reference, below, depth));
  if (key.last_byte() == depth) {
    cover(*node, key, value);
  } else {
    const Reference bucket = build_bucket({{key, value}});
    if (bucket == 0) return 0;
    lead_to(*node, key.address[depth], bucket);
  }
  return node_reference(unit, *node, parent_depth);
}

// --- setting
// --------------------------------------------------------------------------------------

// Inserts at this node, or names the node to go on with in `next`. False: no room.
template <size_t kBytes>
bool TrieWriter<kBytes>::insert_at(Node& node, const Key<kBytes>& key, uint32_t value,
                                   Reference& next) {
  next = 0;
  if (key.last_byte() == node.depth) {
    cover(node, key, value);
    return true;
  }
  const uint32_t index = key.address[node.depth];
  const Reference old = reference_of(node.entries[index].load(std::memory_order_relaxed));
  Reference fresh = 0;
  if (old == 0) {
    fresh = build_bucket({{key, value}});
  } else if (kind_of(old) == kBucket) {
    Items items = live_items(*bucket_at(old));
    items.emplace_back(key, value);
    std::sort(items.begin(), items.end());
    fresh = build(items, node.depth);
  } else {
    Node& below = *node_at(old);
    const uint32_t agreed =
        std::min(common_bytes(below.path, key.address.data(), below.depth), key.last_byte());
    if (agreed == below.depth) {
      next = old;
      return true;
    }
    fresh = split_path(below, old, key, value, agreed, node.depth);
  }
  if (fresh == 0) {
    abandon();
    return false;
  }
  lead_to(node, index, fresh);
  attempt_.clear();
  if (kind_of(old) == kBucket) retire({{old >> 2, kBucketUnits}});
  return true;
}

template <size_t kBytes>
bool TrieWriter<kBytes>::set(const Key<kBytes>& key, uint32_t value) {
  const auto known = prefixes_.find(key);
  if (known != prefixes_.end()) {
    replace(key, value);
    known->second = value;
    return true;
  }
  std::vector<Node*> way;
  Reference next = 0;  // the root
  do {
    way.push_back(node_at(next));
    if (!insert_at(*way.back(), key, value, next)) return false;
  } while (next != 0);
  for (Node* node : way) ++node->prefixes;
  prefixes_.emplace(key, value);
  return true;
}

template <size_t kBytes>
void TrieWriter<kBytes>::replace(const Key<kBytes>& key, uint32_t value) {
  Node& node = *nodes_on_the_way(key).back().node;
  if (key.last_byte() == node.depth) {
    cover(node, key, value);
    return;
  }
  const uint64_t entry = node.entries[key.address[node.depth]].load(std::memory_order_relaxed);
  BucketOf& bucket = *bucket_at(reference_of(entry));
  for (uint32_t i = 0; i < bucket.count; ++i) {
    if (bucket.lengths[i] == key.length &&
        std::memcmp(bucket.addresses[i], key.address.data(), kBytes) == 0) {
      bucket.values[i].store(value, std::memory_order_release);
    }
  }
}

// --- removing
// -------------------------------------------------------------------------------------

// The nodes from the root to the one that holds a prefix of the trie, itself or in a bucket.
template <size_t kBytes>
auto TrieWriter<kBytes>::nodes_on_the_way(const Key<kBytes>& key) const -> std::vector<Visit> {
  std::vector<Visit> way;
  Reference reference = 0;
  do {
    Node* node = node_at(reference);
    way.push_back({node, reference});
    if (key.last_byte() == node->depth) break;
    reference =
        reference_of(node->entries[key.address[node->depth]].load(std::memory_order_relaxed));
  } while (kind_of(reference) != kBucket);
  return way;
}

template <size_t kBytes>
auto TrieWriter<kBytes>::live_items(const BucketOf& bucket) const -> Items {
  Items items;
  for (uint32_t i = 0; i < bucket.count; ++i) {
    const uint32_t value = bucket.values[i].load(std::memory_order_relaxed);
    if (value == 0) continue;
    items.emplace_back(Key<kBytes>::make(bucket.addresses[i], bucket.lengths[i]), value);
  }
  return items;
}

template <size_t kBytes>
void TrieWriter<kBytes>::empty_bucket_item(Node& node, const Key<kBytes>& key) {
  const uint32_t index = key.address[node.depth];
  const Reference reference = reference_of(node.entries[index].load(std::memory_order_relaxed));
  replace(key, 0);
  if (!live_items(*bucket_at(reference)).empty()) return;
  lead_to(node, index, 0);
  retire({{reference >> 2, kBucketUnits}});
}

template <size_t kBytes>
bool TrieWriter<kBytes>::remove(const Key<kBytes>& key) {
  if (prefixes_.erase(key) == 0) return false;
  const std::vector<Visit> way = nodes_on_the_way(key);
  for (const Visit& visit : way) --visit.node->prefixes;
  Node& node = *way.back().node;
  if (key.last_byte() == node.depth) {
    uncover(node, key);
  } else {
    empty_bucket_item(node, key);
  }
  tidy(way);
  return true;
}

// Turns the largest subtree that has become small into a bucket, or takes out a node that only
// leads on. The root stays.
template <size_t kBytes>
void TrieWriter<kBytes>::tidy(const std::vector<Visit>& way) {
  for (size_t i = 1; i < way.size(); ++i) {
    if (way[i].node->prefixes > kCollapseAt) continue;
    if (collapse(*way[i - 1].node, *way[i].node)) {
      std::vector<Block> blocks;
      collect(way[i].reference, blocks);
      retire(std::move(blocks));
      return;
    }
  }
  if (way.size() < 2 || way.back().node->used != 1) return;
  const Node& node = *way.back().node;
  for (const auto& entry : node.entries) {
    const uint64_t only = entry.load(std::memory_order_relaxed);
    if (only == 0) continue;
    const Reference reference = reference_of(only);
    if (value_of(only) != 0 || kind_of(reference) == kBucket) return;
    Node& parent = *way[way.size() - 2].node;
    lead_to(parent, node.path[parent.depth],
            node_reference(reference, *node_at(reference), parent.depth));
    retire({{way.back().reference >> 2, kNodeUnits}});
    return;
  }
}

// False: no room for the bucket, so that the subtree stays as it is.
template <size_t kBytes>
bool TrieWriter<kBytes>::collapse(Node& parent, const Node& node) {
  Items items;
  for (auto it = prefixes_.lower_bound(Key<kBytes>::make(node.path, 8 * node.depth));
       it != prefixes_.end() && std::memcmp(it->first.address.data(), node.path, node.depth) == 0;
       ++it) {
    if (it->first.last_byte() >= node.depth) items.emplace_back(*it);
  }
  Reference bucket = 0;
  if (!items.empty()) {
    bucket = build_bucket(items);
    if (bucket == 0) return false;
    attempt_.clear();
  }
  lead_to(parent, node.path[parent.depth], bucket);
  return true;
}

template struct Key<4>;
template struct Key<16>;
template class TrieWriter<4>;
template class TrieWriter<16>;

}  // namespace penstock::trie
