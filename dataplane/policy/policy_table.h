// One list of policies (RFC 4301 4.4.1, the SPD) that workers ask about packets: that before the
// routes, or that of an ESP interface.
//
// Which policy decides: of those that match, the one with the lowest priority; of equals the more
// specific one (the sum of the common prefixes' lengths of both address ranges, then one with a
// protocol, then the narrower port ranges); of equals the one added last, so that a peer that comes
// back, or authenticates anew, is served by its new tunnel.
//
// Ports: ANY (0 to 65535) matches always; OPAQUE where the packet has no ports to look at; others
// where the packet's ports are known and in range. ICMP's type and code stand for the port of the
// side that sends the message, and the other side's ports are not looked at (RFC 4301 4.4.1.1), but
// OPAQUE on the sender's side refuses.
//
// Fragments but the first have no ports: only policies without ports (ANY, OPAQUE) match. Where a
// policy with ports that protects or discards precedes, and the rest decides for bypass or nothing,
// the fragment might leave in clear what belongs into a tunnel: kHiddenPorts (RFC 4301 7.4, first
// and third approach).
//
// Cost: each address range is cut into prefixes, which lie in a longest-prefix trie, each with its
// policies in order and the next shorter prefix that there is. Of local and remote the narrower
// range is indexed, so 100,000 policies with a host on either side are found in one step each. A
// look-up looks at every nested prefix of the two addresses, and in each at the policies up to the
// first match. A change costs that of the trie, and for a prefix that is new or gone the number of
// those inside it (some milliseconds for 60,000), but nothing for 0.0.0.0/0 and ::/0.
//
// Threads: empty() and find*() by any worker inside a read-side section; the rest is for the
// control thread. Each single change is seen by a packet entirely or not at all.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "dataplane/api/policy.h"
#include "dataplane/policy/flow.h"
#include "dataplane/policy/policy_index.h"
#include "gateway/base/result.h"

namespace penstock {

class PolicyTable {
 public:
  // `max_prefixes`: of all ranges, per family; memory is taken as they are made.
  explicit PolicyTable(PolicyDefer defer, size_t max_prefixes = size_t{1} << 20);
  PolicyTable(const PolicyTable&) = delete;
  PolicyTable& operator=(const PolicyTable&) = delete;
  // Readers must be gone.
  ~PolicyTable();

  // --- workers ----------------------------------------------------------------------------------
  [[nodiscard]] bool empty() const { return count_.load(std::memory_order_relaxed) == 0; }
  // Whether prefetch() is worth its while: the policies do not stay in the nearest cache.
  [[nodiscard]] bool is_large() const { return count_.load(std::memory_order_relaxed) > 128; }

  // Whether start_many() is: nor do they stay in the next one. Below it costs 5 to 10 cycles more.
  [[nodiscard]] bool is_huge() const { return count_.load(std::memory_order_relaxed) > 4096; }

  // Addresses in network order. `sender` says which side the packet comes from: kLocal on its way
  // out, kRemote for the inbound check of clear packets. `flow_of` returns the packet's Flow; it is
  // called where a policy has a protocol or ports.
  template <class FlowOf>
  [[nodiscard]] PolicyMatch find_v4(const uint8_t* local, const uint8_t* remote,
                                    const FlowOf& flow_of, PolicySender sender) const {
    return find(v4_, start(v4_, local, remote), local, remote, flow_of, sender);
  }
  template <class FlowOf>
  [[nodiscard]] PolicyMatch find_v6(const uint8_t* local, const uint8_t* remote,
                                    const FlowOf& flow_of, PolicySender sender) const {
    return find(v6_, start(v6_, local, remote), local, remote, flow_of, sender);
  }

  // In steps, for a vector of packets: start() walks the tries and fetches what prefetch() reads,
  // that fetches what find() reads. Where start() finds neither(), nothing matches.
  [[nodiscard]] PolicyStart start_v4(const uint8_t* local, const uint8_t* remote) const {
    return start(v4_, local, remote);
  }
  [[nodiscard]] PolicyStart start_v6(const uint8_t* local, const uint8_t* remote) const {
    return start(v6_, local, remote);
  }
  // start() of up to 64 packets, whose memory accesses overlap.
  void start_many_v4(const uint8_t* const* local, const uint8_t* const* remote, size_t count,
                     PolicyStart* found) const {
    start_many(v4_, local, remote, count, found);
  }
  void start_many_v6(const uint8_t* const* local, const uint8_t* const* remote, size_t count,
                     PolicyStart* found) const {
    start_many(v6_, local, remote, count, found);
  }
  void prefetch_v4(const PolicyStart& begin) const { prefetch(v4_, begin); }
  void prefetch_v6(const PolicyStart& begin) const { prefetch(v6_, begin); }
  template <class FlowOf>
  [[nodiscard]] PolicyMatch find_v4(const PolicyStart& begin, const uint8_t* local,
                                    const uint8_t* remote, const FlowOf& flow_of,
                                    PolicySender sender) const {
    return find(v4_, begin, local, remote, flow_of, sender);
  }
  template <class FlowOf>
  [[nodiscard]] PolicyMatch find_v6(const PolicyStart& begin, const uint8_t* local,
                                    const uint8_t* remote, const FlowOf& flow_of,
                                    PolicySender sender) const {
    return find(v6_, begin, local, remote, flow_of, sender);
  }

  // --- control thread ---------------------------------------------------------------------------
  // `id` names it for remove() and in matches; must be new. `spec.interface` is not looked at.
  // Refused: ranges of two families or upside down, different protocols of the two sides (unless
  // one is 0), ports where there is no protocol; no room. Then nothing has changed.
  Status add(PolicyId id, const PolicySpec& spec);
  // False: there is none.
  bool remove(PolicyId id);
  [[nodiscard]] size_t size() const { return policies_.size(); }

 private:
  template <size_t kBytes>
  struct Sides {
    std::atomic<PolicyIndex<kBytes>*> by_remote{nullptr}, by_local{nullptr};
  };
  struct Policy {
    PolicySpec spec;
    uint64_t age = 0;
  };

  template <size_t kBytes>
  static PolicyStart start(const Sides<kBytes>& sides, const uint8_t* local, const uint8_t* remote);
  template <size_t kBytes>
  static void start_many(const Sides<kBytes>& sides, const uint8_t* const* local,
                         const uint8_t* const* remote, size_t count, PolicyStart* found);
  template <size_t kBytes>
  static void prefetch(const Sides<kBytes>& sides, const PolicyStart& start);
  template <size_t kBytes, class FlowOf>
  static PolicyMatch find(const Sides<kBytes>& sides, const PolicyStart& start,
                          const uint8_t* local, const uint8_t* remote, const FlowOf& flow_of,
                          PolicySender sender);
  template <size_t kBytes>
  Status add_to(Sides<kBytes>& sides, PolicyId id, const Policy& policy);
  template <size_t kBytes>
  void remove_from(Sides<kBytes>& sides, PolicyId id, const Policy& policy);

  std::atomic<size_t> count_{0};
  Sides<4> v4_;
  Sides<16> v6_;

  PolicyDefer defer_;
  size_t max_prefixes_;
  uint64_t next_age_ = 1;
  std::unordered_map<PolicyId, Policy> policies_;
};

template <size_t kBytes>
inline PolicyStart PolicyTable::start(const Sides<kBytes>& sides, const uint8_t* local,
                                      const uint8_t* remote) {
  PolicyStart found{0, 0};
  if (const auto* index = sides.by_remote.load(std::memory_order_acquire); index != nullptr) {
    found.by_remote = index->start(remote);
    index->prefetch(found.by_remote);
  }
  if (const auto* index = sides.by_local.load(std::memory_order_acquire); index != nullptr) {
    found.by_local = index->start(local);
    index->prefetch(found.by_local);
  }
  return found;
}

template <size_t kBytes>
inline void PolicyTable::start_many(const Sides<kBytes>& sides, const uint8_t* const* local,
                                    const uint8_t* const* remote, size_t count,
                                    PolicyStart* found) {
  uint32_t nodes[PrefixTrie<kBytes>::kMaxBatch];
  for (size_t i = 0; i < count; ++i) found[i] = {0, 0};
  if (const auto* index = sides.by_remote.load(std::memory_order_acquire); index != nullptr) {
    index->start_many(remote, count, nodes);
    for (size_t i = 0; i < count; ++i) found[i].by_remote = nodes[i];
  }
  if (const auto* index = sides.by_local.load(std::memory_order_acquire); index != nullptr) {
    index->start_many(local, count, nodes);
    for (size_t i = 0; i < count; ++i) found[i].by_local = nodes[i];
  }
}

template <size_t kBytes>
inline void PolicyTable::prefetch(const Sides<kBytes>& sides, const PolicyStart& start) {
  if (start.by_remote != 0) {
    sides.by_remote.load(std::memory_order_acquire)->prefetch_entry(start.by_remote);
  }
  if (start.by_local != 0) {
    sides.by_local.load(std::memory_order_acquire)->prefetch_entry(start.by_local);
  }
}

template <size_t kBytes, class FlowOf>
inline PolicyMatch PolicyTable::find(const Sides<kBytes>& sides, const PolicyStart& start,
                                     const uint8_t* local, const uint8_t* remote,
                                     const FlowOf& flow_of, PolicySender sender) {
  using policy_detail::value_of;
  policy_detail::Best<kBytes> best;
  if (start.by_remote != 0) {
    const auto* index = sides.by_remote.load(std::memory_order_acquire);
    index->search(start.by_remote, value_of<kBytes>(local), flow_of, sender, best);
  }
  if (start.by_local != 0) [[unlikely]] {
    const auto* index = sides.by_local.load(std::memory_order_acquire);
    index->search(start.by_local, value_of<kBytes>(remote), flow_of, sender, best);
  }
  return best.result();
}

}  // namespace penstock
