// Every constant of time and every bound of the engine, in one place. Values are injected, so that
// tests and operators may change them. Defaults are charon's where charon has one.
#pragma once

#include <cstdint>

#include "gateway/base/clock.h"

namespace penstock::ike {

struct Options {
  // Retransmission (RFC 7296 2.1): the n-th repeat is due timeout * base^n after the one before;
  // after `retransmit_tries` repeats the exchange has failed.
  Nanoseconds retransmit_timeout_ns = 4 * kSecond;
  double retransmit_base = 1.8;
  uint32_t retransmit_tries = 5;

  // An IKE SA that has not authenticated by then is dropped.
  Nanoseconds half_open_timeout_ns = 30 * kSecond;
  // Half-open IKE SAs (as responder) from which on a cookie is asked for (RFC 7296 2.6).
  uint32_t cookie_threshold = 30;
  Nanoseconds cookie_secret_lifetime_ns = 10 * kSecond;
  // Half-open IKE SAs of one address (IPv6: /64), and of all: further ones are dropped.
  uint32_t half_open_per_source = 32;
  uint32_t half_open = 20'000;
  // IKE_AUTH messages of one half-open IKE SA that may fail to decrypt before it is dropped.
  uint32_t half_open_bad_messages = 16;

  Nanoseconds nat_keepalive_ns = 20 * kSecond;
  // DPD of a connection whose peers hold leases but that has no dpd_delay (0: none).
  Nanoseconds pool_dpd_delay_ns = 300 * kSecond;
  // The old inbound SA of a rekeyed child takes packets on the way for so long.
  Nanoseconds child_linger_ns = 5 * kSecond;
  // A rekeyed or redundant IKE SA that its peer never deletes goes by then. Longer than an exchange
  // with all its repeats: the answer to the rekeying may still be asked for.
  Nanoseconds delete_wait_ns = 200 * kSecond;
  // A TEMPORARY_FAILURE (2.25) is tried again after this, plus a random part of it.
  Nanoseconds retry_ns = 10 * kSecond;
  // Initiation of a connection with start_action that failed altogether.
  Nanoseconds restart_ns = 30 * kSecond;
  // Uniqueness replace: the old IKE SA is deleted after this, as its reauthentication may be the
  // reason (charon waits 10 s too).
  Nanoseconds replace_delay_ns = 10 * kSecond;

  uint16_t fragment_size = 1280;  // of the IP packet (RFC 7383)
  // INVALID_IKE_SPI and INVALID_SPI hints a second (RFC 7296 2.21.4).
  uint32_t hints_per_second = 10;

  uint32_t ike_sas = 1U << 20;
  uint32_t children_per_ike_sa = 256;
  uint32_t datagrams_waiting = 8192;  // not yet polled: beyond, no hints and no cookies are made
  uint32_t compute_jobs = 4096;       // under way: beyond, new IKE_SA_INITs are dropped
};

}  // namespace penstock::ike
