// The traffic selectors of a tunnel, which every decrypted packet must match (RFC 4301 5.2, step
// 3a). Immutable: a change publishes another list and frees the old one after a grace period.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "dataplane/api/policy.h"
#include "dataplane/policy/flow.h"
#include "dataplane/policy/policy_index.h"
#include "gateway/base/result.h"

namespace penstock {

// A pair of IPv4 prefixes with any protocol and port, which is what most tunnels have, as words of
// the packet's order.
struct PrefixPairV4 {
  uint32_t remote_network = 0, remote_mask = 0;
  uint32_t local_network = 0, local_mask = 0;
};

class SelectorList {
 public:
  // Refused: ranges of two families or upside down, more than kMaximumPairs.
  static Result<std::unique_ptr<SelectorList>> create(std::span<const SelectorPair> pairs);
  static constexpr size_t kMaximumPairs = 1024;

  // Is an inner packet from the remote side within a pair? Of a validated packet.
  [[nodiscard]] bool match_v4(const uint8_t* ip, size_t length) const {
    return match(v4_, ip + 12, ip + 16, read_flow_v4(ip, length));
  }
  [[nodiscard]] bool match_v6(const uint8_t* ip, size_t length) const {
    return match(v6_, ip + 8, ip + 24, read_flow_v6(ip, length));
  }
  // The first pair that can be told by its prefixes alone; nullptr: none.
  [[nodiscard]] const PrefixPairV4* prefix_pair() const { return has_pair_ ? &pair_ : nullptr; }

 private:
  template <size_t kBytes>
  struct Pair {
    policy_detail::Value<kBytes> local_first, local_last;
    policy_detail::Entry<kBytes> rest;  // the remote range, protocol and ports
  };

  template <size_t kBytes>
  static bool match(const std::vector<std::unique_ptr<Pair<kBytes>>>& pairs, const uint8_t* source,
                    const uint8_t* destination, const Flow& flow) {
    const auto local = policy_detail::value_of<kBytes>(destination);
    const auto remote = policy_detail::value_of<kBytes>(source);
    const auto flow_of = [&flow] { return flow; };
    for (const auto& pair : pairs) {
      if (local >= pair->local_first && local <= pair->local_last &&
          policy_detail::compare(pair->rest, remote, flow_of, PolicySender::kRemote) ==
              policy_detail::Verdict::kYes) {
        return true;
      }
    }
    return false;
  }
  template <size_t kBytes>
  static void add(std::vector<std::unique_ptr<Pair<kBytes>>>& pairs, const SelectorPair& pair);
  void find_prefix_pair(const SelectorPair& pair);

  std::vector<std::unique_ptr<Pair<4>>> v4_;
  std::vector<std::unique_ptr<Pair<16>>> v6_;
  PrefixPairV4 pair_;
  bool has_pair_ = false;
};

}  // namespace penstock
