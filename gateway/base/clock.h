// Time as plain nanoseconds. Names carry the unit; which clock it is stands at each use.
#pragma once

#include <cstdint>
#include <ctime>

namespace penstock {

using Nanoseconds = int64_t;

inline constexpr Nanoseconds kMicrosecond = 1'000;
inline constexpr Nanoseconds kMillisecond = 1'000'000;
inline constexpr Nanoseconds kSecond = 1'000'000'000;
inline constexpr Nanoseconds kNever = INT64_MAX;

// CLOCK_BOOTTIME: goes on during suspend, so that sessions age while a machine sleeps.
inline Nanoseconds boot_time_ns() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

// CLOCK_REALTIME, nanoseconds since 1970-01-01 UTC. May step.
inline Nanoseconds wall_time_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

}  // namespace penstock
