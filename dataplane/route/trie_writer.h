// How the control thread changes a PrefixTrie under its readers.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/route/trie_arena.h"
#include "dataplane/route/trie_node.h"

namespace penstock::trie {

// A prefix with its host bits cleared.
template <size_t kBytes>
struct Key {
  std::array<uint8_t, kBytes> address{};
  uint8_t length = 0;

  static Key make(const uint8_t* address, unsigned length);
  // The byte that the prefix ends in, and so the depth of the node that holds it.
  [[nodiscard]] uint32_t last_byte() const { return length == 0 ? 0 : (length - 1U) / 8; }
  friend auto operator<=>(const Key&, const Key&) = default;
};

// Beside the nodes there is an ordinary map of all prefixes: it answers what a removed prefix
// uncovers and what a subtree holds.
//
// Every change is published by one atomic store per address that it concerns: an entry that leads
// to a finished block, a value in an entry, a value in a bucket.
template <size_t kBytes>
class TrieWriter {
 public:
  using Defer = std::function<void(std::function<void()>)>;
  using Prefixes = std::map<Key<kBytes>, uint32_t>;

  TrieWriter(std::shared_ptr<Arena> arena, Defer defer);

  // False where the arena is full; nothing has changed then. Requires value != 0.
  [[nodiscard]] bool set(const Key<kBytes>& key, uint32_t value);
  bool remove(const Key<kBytes>& key);
  [[nodiscard]] const Prefixes& prefixes() const { return prefixes_; }
  [[nodiscard]] const Arena& arena() const { return *arena_; }

 private:
  using Items = std::vector<std::pair<Key<kBytes>, uint32_t>>;
  using BucketOf = Bucket<kBytes>;
  static constexpr uint32_t kNodeUnits = sizeof(Node) / kUnitBytes;
  static constexpr uint32_t kBucketUnits = sizeof(BucketOf) / kUnitBytes;
  // A subtree this small becomes a bucket again: well below the size at which a bucket becomes a
  // node, so that a prefix that comes and goes does not rebuild it each time.
  static constexpr uint32_t kCollapseAt = BucketOf::kMaxItems / 2;

  struct Block {
    uint32_t unit, units;
  };
  struct Visit {
    Node* node;
    Reference reference;
  };

  Node* node_at(Reference reference) const;
  BucketOf* bucket_at(Reference reference) const;
  Node* new_node(const uint8_t* path, uint32_t depth, Reference& unit);
  static Reference node_reference(Reference unit, const Node& node, uint32_t parent_depth);

  void put_entry(Node& node, uint32_t index, uint64_t entry);
  void lead_to(Node& node, uint32_t index, Reference reference);
  void cover(Node& node, const Key<kBytes>& key, uint32_t value);
  void uncover(Node& node, const Key<kBytes>& key);

  Reference build(const Items& items, uint32_t parent_depth);
  Reference build_bucket(const Items& items);
  Reference split_path(Node& below, Reference reference, const Key<kBytes>& key, uint32_t value,
                       uint32_t depth, uint32_t parent_depth);
  bool insert_at(Node& node, const Key<kBytes>& key, uint32_t value, Reference& next);
  void replace(const Key<kBytes>& key, uint32_t value);
  std::vector<Visit> nodes_on_the_way(const Key<kBytes>& key) const;
  Items live_items(const BucketOf& bucket) const;
  void empty_bucket_item(Node& node, const Key<kBytes>& key);
  void tidy(const std::vector<Visit>& way);
  bool collapse(Node& parent, const Node& node);

  void abandon();  // the blocks of an attempt that found no room
  void retire(std::vector<Block> blocks);
  void collect(Reference reference, std::vector<Block>& blocks) const;

  std::shared_ptr<Arena> arena_;
  Defer defer_;
  Prefixes prefixes_;
  std::vector<Block> attempt_;  // allocated by the change under way, not published yet
};

extern template class TrieWriter<4>;
extern template class TrieWriter<16>;
extern template struct Key<4>;
extern template struct Key<16>;

}  // namespace penstock::trie
