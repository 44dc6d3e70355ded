// Policies by the prefixes of one of their address ranges: what PolicyTable is made of.
//
// A longest-prefix trie leads to a node for each prefix that a policy has. A node has the policies
// of its prefix as a list, best first, and names the node of the next shorter prefix around it,
// but for that of length 0.
//
// Readers follow list links and parents; what they point to is immutable but for these. An entry is
// completed and then published by the release store of the one link that leads to it; memory is
// reused after a grace period.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/api/policy.h"
#include "dataplane/policy/block_pool.h"
#include "dataplane/policy/flow.h"
#include "dataplane/route/prefix_trie.h"
#include "gateway/base/result.h"

namespace penstock {

// Runs a function once no reader can hold what it saw before this call, as TrieDefer.
using PolicyDefer = TrieDefer;

enum class PolicySender : uint8_t { kLocal, kRemote };

// What becomes of a packet.
enum class PolicyDecision : uint32_t {
  kNone,  // no policy matches
  kBypass,
  kProtect,
  kDiscard,
  // To be discarded: a fragment without ports that a policy with ports may be meant for.
  kHiddenPorts,
};

// In whole words, so that handing it on costs no store that a later load has to wait for.
struct PolicyMatch {
  PolicyId id;
  uint32_t tunnel = UINT32_MAX;  // with kProtect
  PolicyDecision decision = PolicyDecision::kNone;
  // Protocol or ports were looked at, of the policy that matches or of one before it: another
  // packet with these addresses may find another one.
  uint32_t by_flow = 0;
  [[nodiscard]] bool found() const { return decision != PolicyDecision::kNone; }
  friend bool operator==(const PolicyMatch& a, const PolicyMatch& b) {
    return a.id == b.id && a.tunnel == b.tunnel && a.decision == b.decision;
  }
};

constexpr PolicyDecision decision_of(PolicyAction action) {
  switch (action) {
    case PolicyAction::kProtect:
      return PolicyDecision::kProtect;
    case PolicyAction::kBypass:
      return PolicyDecision::kBypass;
    case PolicyAction::kDiscard:
      break;
  }
  return PolicyDecision::kDiscard;
}

// What a look-up begins with: the nodes of the longest prefixes, 0: none.
struct PolicyStart {  // not initialised by itself: vectors of these are filled in by start()
  uint32_t by_remote;
  uint32_t by_local;
  [[nodiscard]] bool neither() const { return (by_remote | by_local) == 0; }
};

namespace policy_detail {

template <size_t kBytes>
struct AddressValue;
template <>
struct AddressValue<4> {
  using Type = uint32_t;
};
template <>
struct AddressValue<16> {
  __extension__ using Type = unsigned __int128;
};
// Addresses as integers, so that ranges compare.
template <size_t kBytes>
using Value = typename AddressValue<kBytes>::Type;

template <size_t kBytes>
Value<kBytes> value_of(const uint8_t* address) {
  if constexpr (kBytes == 4) {
    return load_unaligned<Be32>(address).get();
  } else {
    return Value<16>{load_unaligned<Be64>(address).get()} << 64 |
           load_unaligned<Be64>(address + 8).get();
  }
}

enum Flags : uint8_t {
  kLocalAny = 1,
  kLocalOpaque = 2,
  kRemoteAny = 4,
  kRemoteOpaque = 8,
};

// One policy under one prefix.
template <size_t kBytes>
struct alignas(64) Entry {
  Value<kBytes> other_first, other_last;  // the range that is not indexed
  std::atomic<Entry*> next{nullptr};
  uint64_t order = 0;  // priority, then how unspecific: lower precedes
  uint64_t age = 0;    // of equal order the higher precedes
  PolicyId id;
  uint32_t tunnel = UINT32_MAX;
  PolicyDecision decision = PolicyDecision::kDiscard;
  uint16_t local_first_port = 0, local_last_port = 0;
  uint16_t remote_first_port = 0, remote_last_port = 0;
  uint8_t protocol = 0;
  uint8_t flags = 0;
  bool by_address_alone = false;  // any protocol, any ports

  [[nodiscard]] bool precedes(const Entry& other) const {
    return order != other.order ? order < other.order : age > other.age;
  }
};
static_assert(sizeof(Entry<4>) == 64 && sizeof(Entry<16>) == 128);

enum class Verdict : uint8_t { kNo, kYes, kMight };

inline bool port_within(uint16_t port, uint16_t first, uint16_t last) {
  return port >= first && port <= last;
}

template <size_t kBytes>
Verdict compare_ports(const Entry<kBytes>& entry, const Flow& flow, PolicySender sender) {
  const bool from_local = sender == PolicySender::kLocal;
  const uint16_t local_port = from_local ? flow.sender_port : flow.receiver_port;
  const uint16_t remote_port = from_local ? flow.receiver_port : flow.sender_port;
  const bool local_any = (entry.flags & kLocalAny) != 0;
  const bool remote_any = (entry.flags & kRemoteAny) != 0;
  const bool local_opaque = (entry.flags & kLocalOpaque) != 0;
  const bool remote_opaque = (entry.flags & kRemoteOpaque) != 0;
  const bool local_in =
      local_any ||
      (!local_opaque && port_within(local_port, entry.local_first_port, entry.local_last_port));
  const bool remote_in =
      remote_any ||
      (!remote_opaque && port_within(remote_port, entry.remote_first_port, entry.remote_last_port));
  switch (flow.ports) {
    case Flow::Ports::kBoth:
      return local_in && remote_in ? Verdict::kYes : Verdict::kNo;
    case Flow::Ports::kSender:
      return (from_local ? local_in : remote_in) ? Verdict::kYes : Verdict::kNo;
    default:
      break;
  }
  const bool without_ports = (local_any || local_opaque) && (remote_any || remote_opaque);
  if (without_ports) return Verdict::kYes;
  return flow.ports == Flow::Ports::kNone ? Verdict::kNo : Verdict::kMight;
}

// Of an entry with a protocol or ports; apart, to keep it out of the registers of the others.
template <size_t kBytes, class FlowOf>
[[gnu::noinline]] Verdict compare_flow(const Entry<kBytes>& entry, const FlowOf& flow_of,
                                       PolicySender sender) {
  const Flow flow = flow_of();
  if (entry.protocol != 0) {
    if (flow.ports == Flow::Ports::kUnreadable) return Verdict::kMight;
    if (entry.protocol != flow.protocol) return Verdict::kNo;
  }
  return compare_ports(entry, flow, sender);
}

// `flow_of` gives the Flow, which most policies do not ask for.
template <size_t kBytes, class FlowOf>
inline Verdict compare(const Entry<kBytes>& entry, Value<kBytes> other, const FlowOf& flow_of,
                       PolicySender sender) {
  if (other < entry.other_first || other > entry.other_last) return Verdict::kNo;
  if (entry.by_address_alone) [[likely]]
    return Verdict::kYes;
  return compare_flow(entry, flow_of, sender);
}

// The best so far, over the nodes and indexes that a look-up passes.
template <size_t kBytes>
struct Best {
  const Entry<kBytes>* match = nullptr;
  // The best that protects or discards and might match, were the ports known.
  const Entry<kBytes>* might = nullptr;

  [[nodiscard]] PolicyMatch result() const {
    if (might != nullptr && (match == nullptr || (match->decision == PolicyDecision::kBypass &&
                                                  might->precedes(*match)))) [[unlikely]] {
      return {might->id, UINT32_MAX, PolicyDecision::kHiddenPorts};
    }
    if (match == nullptr) return {};
    return {match->id, match->tunnel, match->decision};
  }
};

}  // namespace policy_detail

template <size_t kBytes>
class PolicyIndex {
 public:
  using Entry = policy_detail::Entry<kBytes>;
  using Best = policy_detail::Best<kBytes>;

  static Result<std::unique_ptr<PolicyIndex>> create(size_t max_prefixes, PolicyDefer defer);
  // Readers must be gone.
  ~PolicyIndex();
  PolicyIndex(const PolicyIndex&) = delete;
  PolicyIndex& operator=(const PolicyIndex&) = delete;

  // --- workers ----------------------------------------------------------------------------------
  // The node of the longest prefix around the address, 0: none.
  [[nodiscard]] uint32_t start(const uint8_t* address) const {
    const uint32_t node = reader_.lookup(address);
    return node != 0 ? node : everything_.load(std::memory_order_acquire);
  }
  // Inline by force: of a function that only fetches, gcc 12 finds that it has no effect.
  [[gnu::always_inline]] void prefetch(uint32_t node) const { __builtin_prefetch(&nodes_[node]); }
  [[gnu::always_inline]] uint32_t start_and_prefetch(const uint8_t* address) const {
    const uint32_t node = start(address);
    prefetch(node);
    return node;
  }
  // start() and prefetch() of many, whose memory accesses overlap. Requires count <= kMaxBatch of
  // the reader.
  void start_many(const uint8_t* const* addresses, size_t count, uint32_t* nodes) const {
    reader_.lookup_batch(addresses, count, nodes);
    const uint32_t everything = everything_.load(std::memory_order_acquire);
    for (size_t i = 0; i < count; ++i) {
      if (nodes[i] == 0) nodes[i] = everything;
      prefetch(nodes[i]);
    }
  }

  // What search() would find, where that is plain at once: no prefix lies around this one, and its
  // first policy matches by addresses alone. Else null. `other` is the packet's address that is not
  // indexed here.
  [[nodiscard]] const Entry* only_match(uint32_t node, policy_detail::Value<kBytes> other) const {
    const Entry* first = nodes_[node].first.load(std::memory_order_acquire);
    const uint32_t around = nodes_[node].parent.load(std::memory_order_acquire) |
                            everything_.load(std::memory_order_acquire);
    if (first == nullptr || around != 0 || !first->by_address_alone || other < first->other_first ||
        other > first->other_last) {
      return nullptr;
    }
    return first;
  }
  template <class FlowOf>
  void search(uint32_t node, policy_detail::Value<kBytes> other, const FlowOf& flow_of,
              PolicySender sender, Best& best) const {
    const uint32_t everything = everything_.load(std::memory_order_acquire);
    while (node != 0) {
      search_node(nodes_[node], other, flow_of, sender, best);
      if (node == everything) return;
      node = nodes_[node].parent.load(std::memory_order_acquire);
      if (node == 0) node = everything;
    }
  }
  // Fetches the first policy that search() will look at.
  [[gnu::always_inline]] void prefetch_entry(uint32_t node) const {
    __builtin_prefetch(nodes_[node].first.load(std::memory_order_relaxed));
  }

  // --- control thread ---------------------------------------------------------------------------
  // Under a prefix without host bits, an entry that `fill_in` completes but for its link. On error
  // (no room) the index is as before.
  Status insert(const uint8_t* address, unsigned length,
                const std::function<void(Entry&)>& fill_in);
  // The entry of a policy that insert() took under that prefix.
  void erase(const uint8_t* address, unsigned length, PolicyId id);

 private:
  struct Node {
    std::atomic<Entry*> first{nullptr};
    std::atomic<uint32_t> parent{0};
  };
  struct Prefix {
    policy_detail::Value<kBytes> first = 0;
    unsigned length = 0;
    // Shorter prefixes before those inside them.
    auto operator<=>(const Prefix&) const = default;
  };
  using NodeMap = std::map<Prefix, uint32_t>;

  PolicyIndex() = default;

  template <class FlowOf>
  static void search_node(const Node& node, policy_detail::Value<kBytes> other,
                          const FlowOf& flow_of, PolicySender sender, Best& best) {
    for (const Entry* entry = node.first.load(std::memory_order_acquire); entry != nullptr;
         entry = entry->next.load(std::memory_order_acquire)) {
      if (best.match != nullptr && best.match->precedes(*entry)) return;
      const policy_detail::Verdict verdict = policy_detail::compare(*entry, other, flow_of, sender);
      if (verdict == policy_detail::Verdict::kYes) {
        best.match = entry;
        return;
      }
      if (verdict == policy_detail::Verdict::kMight && entry->decision != PolicyDecision::kBypass &&
          (best.might == nullptr || entry->precedes(*best.might))) [[unlikely]] {
        best.might = entry;
      }
    }
  }

  static policy_detail::Value<kBytes> last_of(const Prefix& prefix);
  Result<uint32_t> take_node();
  void release_node(uint32_t node);
  [[nodiscard]] uint32_t enclosing(const Prefix& prefix) const;
  void adopt(typename NodeMap::iterator parent, uint32_t from, uint32_t to);
  [[nodiscard]] uint32_t node_at(const Prefix& prefix) const;
  static void insert_into(Node& node, Entry* entry);
  void free_entries(const Node& node);

  TrieReader<kBytes> reader_;  // of trie_
  std::unique_ptr<PrefixTrie<kBytes>> trie_;
  // The node of the prefix of length 0, around all others. Not in the trie and nobody's parent, so
  // that a trap for everything comes and goes at once, however many hosts there are.
  std::atomic<uint32_t> everything_{0};
  Node* nodes_ = nullptr;  // number 0 is none

  PolicyDefer defer_;
  size_t max_nodes_ = 0;
  uint32_t used_nodes_ = 1;
  // Shared with what is still to be run after a grace period.
  std::shared_ptr<std::vector<uint32_t>> free_nodes_;
  std::shared_ptr<BlockPool<Entry>> entries_;
  NodeMap by_prefix_;
  std::vector<Prefix> prefixes_;  // by node
};

extern template class PolicyIndex<4>;
extern template class PolicyIndex<16>;

}  // namespace penstock
