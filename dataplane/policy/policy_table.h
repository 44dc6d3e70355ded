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

  // Of a family, by the bytes of its addresses, 4 or 16; addresses in network order. `sender` says
  // which side the packet comes from: kLocal on its way out, kRemote for the inbound check of clear
  // packets. `flow_of` returns the packet's Flow; it is called where a policy has a protocol or
  // ports.
  template <size_t kBytes, class FlowOf>
  [[nodiscard]] PolicyMatch find(const uint8_t* local, const uint8_t* remote, const FlowOf& flow_of,
                                 PolicySender sender) const {
    return find<kBytes>(start<kBytes>(local, remote), local, remote, flow_of, sender);
  }

  // In steps, for a vector of packets: start() walks the tries and fetches what prefetch() reads,
  // that fetches what find() reads. Where start() finds neither(), nothing matches. Each side's
  // part is that of its address alone.
  template <size_t kBytes>
  [[nodiscard]] PolicyStart start(const uint8_t* local, const uint8_t* remote) const {
    return {start_by_remote<kBytes>(remote), start_by_local<kBytes>(local)};
  }
  template <size_t kBytes>
  [[nodiscard]] uint32_t start_by_remote(const uint8_t* remote) const {
    const auto* index = sides<kBytes>().by_remote.load(std::memory_order_acquire);
    return index != nullptr ? index->start_and_prefetch(remote) : 0;
  }
  template <size_t kBytes>
  [[nodiscard]] uint32_t start_by_local(const uint8_t* local) const {
    const auto* index = sides<kBytes>().by_local.load(std::memory_order_acquire);
    return index != nullptr ? walk_local(*index, local) : 0;
  }
  // start() of up to 64 packets, whose memory accesses overlap.
  template <size_t kBytes>
  void start_many(const uint8_t* const* local, const uint8_t* const* remote, size_t count,
                  PolicyStart* found) const;
  template <size_t kBytes>
  void prefetch(const PolicyStart& begin) const;
  template <size_t kBytes, class FlowOf>
  [[nodiscard]] PolicyMatch find(const PolicyStart& begin, const uint8_t* local,
                                 const uint8_t* remote, const FlowOf& flow_of,
                                 PolicySender sender) const;

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
  [[nodiscard]] const Sides<kBytes>& sides() const {
    if constexpr (kBytes == 4) {
      return v4_;
    } else {
      return v6_;
    }
  }
  // Most tables have nothing under local prefixes: apart from what finds that out.
  template <size_t kBytes>
  [[gnu::noinline]] static uint32_t walk_local(const PolicyIndex<kBytes>& index,
                                               const uint8_t* local) {
    return index.start_and_prefetch(local);
  }
  // find() at its full length; apart, to keep it out of the registers of what calls find().
  template <size_t kBytes, class FlowOf>
  [[gnu::noinline]] PolicyMatch search(const PolicyStart& begin, const uint8_t* local,
                                       const uint8_t* remote, const FlowOf& flow_of,
                                       PolicySender sender) const;
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
inline void PolicyTable::start_many(const uint8_t* const* local, const uint8_t* const* remote,
                                    size_t count, PolicyStart* found) const {
  uint32_t nodes[TrieReader<kBytes>::kMaxBatch];
  for (size_t i = 0; i < count; ++i) found[i] = {0, 0};
  const Sides<kBytes>& of_family = sides<kBytes>();
  if (const auto* index = of_family.by_remote.load(std::memory_order_acquire); index != nullptr) {
    index->start_many(remote, count, nodes);
    for (size_t i = 0; i < count; ++i) found[i].by_remote = nodes[i];
  }
  if (const auto* index = of_family.by_local.load(std::memory_order_acquire); index != nullptr) {
    index->start_many(local, count, nodes);
    for (size_t i = 0; i < count; ++i) found[i].by_local = nodes[i];
  }
}

template <size_t kBytes>
inline void PolicyTable::prefetch(const PolicyStart& begin) const {
  if (begin.by_remote != 0) {
    sides<kBytes>().by_remote.load(std::memory_order_acquire)->prefetch_entry(begin.by_remote);
  }
  if (begin.by_local != 0) {
    sides<kBytes>().by_local.load(std::memory_order_acquire)->prefetch_entry(begin.by_local);
  }
}

template <size_t kBytes, class FlowOf>
inline PolicyMatch PolicyTable::find(const PolicyStart& begin, const uint8_t* local,
                                     const uint8_t* remote, const FlowOf& flow_of,
                                     PolicySender sender) const {
  if (begin.by_remote != 0 && begin.by_local == 0) [[likely]] {
    const auto* index = sides<kBytes>().by_remote.load(std::memory_order_acquire);
    const auto* only = index->only_match(begin.by_remote, policy_detail::value_of<kBytes>(local));
    if (only != nullptr) [[likely]]
      return {only->id, only->tunnel, only->decision};
  }
  return search<kBytes>(begin, local, remote, flow_of, sender);
}

template <size_t kBytes, class FlowOf>
PolicyMatch PolicyTable::search(const PolicyStart& begin, const uint8_t* local,
                                const uint8_t* remote, const FlowOf& flow_of,
                                PolicySender sender) const {
  using policy_detail::value_of;
  uint32_t by_flow = 0;
  const auto watched_flow_of = [&] {
    by_flow = 1;
    return flow_of();
  };
  policy_detail::Best<kBytes> best;
  if (begin.by_remote != 0) {
    const auto* index = sides<kBytes>().by_remote.load(std::memory_order_acquire);
    index->search(begin.by_remote, value_of<kBytes>(local), watched_flow_of, sender, best);
  }
  if (begin.by_local != 0) {
    const auto* index = sides<kBytes>().by_local.load(std::memory_order_acquire);
    index->search(begin.by_local, value_of<kBytes>(remote), watched_flow_of, sender, best);
  }
  PolicyMatch match = best.result();
  match.by_flow = by_flow;
  return match;
}

}  // namespace penstock
