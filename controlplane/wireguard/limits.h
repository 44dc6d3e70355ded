// Every constant of the WireGuard paper (section 6.1, table) and every bound of a device, in one
// place. Values are injected, so that tests and operators may shorten them.
#pragma once

#include <cstdint>

#include "gateway/base/clock.h"

namespace penstock::wireguard {

struct TimerConfig {
  Nanoseconds rekey_after_time_ns = 120 * kSecond;
  Nanoseconds reject_after_time_ns = 180 * kSecond;
  Nanoseconds rekey_attempt_time_ns = 90 * kSecond;
  Nanoseconds rekey_timeout_ns = 5 * kSecond;
  Nanoseconds rekey_timeout_jitter_ns = 333 * kMillisecond;  // 0 to this, beside each timeout
  Nanoseconds keepalive_timeout_ns = 10 * kSecond;
  Nanoseconds cookie_secret_lifetime_ns = 120 * kSecond;  // also how long a received one is used
  // Persistent keepalive counts in units of this.
  Nanoseconds persistent_keepalive_unit_ns = kSecond;
};

struct Limits {
  uint64_t rekey_after_messages = uint64_t{1} << 60;
  uint64_t reject_after_messages = UINT64_MAX - (uint64_t{1} << 13);  // 2^64 - 2^13 - 1

  uint32_t peers = 1U << 20;
  uint32_t staged_packets_per_peer = 128;
  uint32_t staged_packets = 8192;  // of the whole device; at the bound the oldest goes

  // Initiations of others in work. Beyond: refused, counted as kHandshakeQueueFull.
  uint32_t responder_handshakes = 4096;
  // Initiations of our own in computation at a time; further peers wait in line.
  uint32_t initiator_jobs = 256;
  uint32_t static_jobs = 64;  // static-static precomputations at a time

  // Under load (paper 5.3): so many initiations in work, or so many within a second; it stays for
  // `under_load_hold_ns` after the last moment of load.
  uint32_t under_load_handshakes = 512;
  uint32_t under_load_per_second = 4000;
  Nanoseconds under_load_hold_ns = kSecond;

  // Datagrams that have not been pulled; beyond, no cookie replies are made.
  uint32_t datagrams_waiting = 4096;

  // Token bucket per source that proved its address: IPv4 /32, IPv6 /64.
  uint32_t source_rate_per_second = 20;
  uint32_t source_burst = 5;
  uint32_t sources = 16384;

  // One peer's initiations are consumed at most this often.
  Nanoseconds initiation_interval_ns = 20 * kMillisecond;

  // How far ahead a PersistTimestamp effect reaches, so that a file is seldom written.
  Nanoseconds timestamp_lease_ns = 60 * kSecond;
};

}  // namespace penstock::wireguard
