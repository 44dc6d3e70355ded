// Token buckets per source that proved its address with MAC2: IPv4 /32, IPv6 /64. The table has a
// fixed size; a new source takes the place of the fullest bucket of its set.
#pragma once

#include <vector>

#include "controlplane/wireguard/limits.h"
#include "controlplane/wireguard/seeded_hash.h"
#include "gateway/base/clock.h"
#include "gateway/base/net.h"

namespace penstock::wireguard {

class RateLimiter {
 public:
  RateLimiter(const SeededHash& hash, const Limits& limits);
  // Takes one token of the source's bucket; false: there is none.
  [[nodiscard]] bool allow(Nanoseconds now_ns, const IpAddress& source);

 private:
  static constexpr size_t kWays = 4;
  struct Bucket {
    IpPrefix source;
    bool used = false;
    Nanoseconds credit_ns = 0;  // each packet costs cost_ns_
    Nanoseconds seen_ns = 0;
  };
  [[nodiscard]] Nanoseconds credit_at(const Bucket& bucket, Nanoseconds now_ns) const;

  const SeededHash& hash_;
  Nanoseconds cost_ns_;
  Nanoseconds full_ns_;
  std::vector<Bucket> buckets_;  // sets of kWays, a power of two of them
};

}  // namespace penstock::wireguard
