#include "controlplane/wireguard/rate_limiter.h"

#include <algorithm>
#include <bit>

namespace penstock::wireguard {

RateLimiter::RateLimiter(const SeededHash& hash, const Limits& limits)
    : hash_(hash),
      cost_ns_(kSecond / std::max(1U, limits.source_rate_per_second)),
      full_ns_(cost_ns_ * limits.source_burst),
      buckets_(std::bit_ceil(std::max<size_t>(limits.sources, kWays))) {}

Nanoseconds RateLimiter::credit_at(const Bucket& bucket, Nanoseconds now_ns) const {
  if (!bucket.used) return full_ns_;
  const Nanoseconds elapsed_ns = std::max<Nanoseconds>(0, now_ns - bucket.seen_ns);
  return elapsed_ns >= full_ns_ ? full_ns_ : std::min(full_ns_, bucket.credit_ns + elapsed_ns);
}

bool RateLimiter::allow(Nanoseconds now_ns, const IpAddress& source) {
  const IpPrefix prefix = IpPrefix::make(source, source.is_v4() ? 32 : 64);
  const size_t set = (hash_(prefix) % (buckets_.size() / kWays)) * kWays;
  Bucket* chosen = &buckets_[set];
  for (size_t way = 0; way < kWays; ++way) {
    Bucket& bucket = buckets_[set + way];
    if (bucket.used && bucket.source == prefix) {
      chosen = &bucket;
      break;
    }
    if (credit_at(bucket, now_ns) > credit_at(*chosen, now_ns)) chosen = &bucket;
  }
  if (!chosen->used || chosen->source != prefix) {
    *chosen = Bucket{prefix, true, full_ns_, now_ns};
  }
  chosen->credit_ns = credit_at(*chosen, now_ns);
  chosen->seen_ns = now_ns;
  if (chosen->credit_ns < cost_ns_) return false;
  chosen->credit_ns -= cost_ns_;
  return true;
}

}  // namespace penstock::wireguard
