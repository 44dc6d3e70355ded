// TAI64N time stamps (paper section 5.4.2): 12 bytes that compare as they lie.
#pragma once

#include <array>
#include <cstdint>

#include "gateway/base/byte_order.h"
#include "gateway/base/clock.h"

namespace penstock::wireguard {

using Tai64n = std::array<uint8_t, 12>;

// Cleared low bits of a time stamp, about 16 ms: enough order for initiations, and less to tell
// about our clock.
inline constexpr uint64_t kTimestampGrainNs = uint64_t{1} << 24;

inline Tai64n tai64n_of(uint64_t since_1970_ns) {
  constexpr uint64_t kTai64Label = 0x400000000000000aULL;  // 2^62 and the 10 s of 1970
  constexpr uint64_t kSecondNs = 1'000'000'000;
  Tai64n out{};
  store_unaligned(out.data(), Be64(kTai64Label + since_1970_ns / kSecondNs));
  store_unaligned(out.data() + 8, Be32(static_cast<uint32_t>(since_1970_ns % kSecondNs)));
  return out;
}

// The next time stamp for a peer: the wall clock, coarse, but always after `last_ns`.
inline uint64_t next_timestamp_ns(Nanoseconds wall_ns, uint64_t last_ns) {
  const uint64_t wall = wall_ns < 0 ? 0 : static_cast<uint64_t>(wall_ns);
  const uint64_t coarse = wall & ~(kTimestampGrainNs - 1);
  return coarse > last_ns ? coarse : last_ns + 1;
}

}  // namespace penstock::wireguard
