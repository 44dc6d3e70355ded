// What the inbound sides of both tunnel protocols share, inline in each.
#pragma once

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/validate.h"
#include "dataplane/wire/ecn.h"

namespace penstock {

inline void add_relaxed(std::atomic<uint64_t>& counter, uint64_t n) {  // of one writer
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// The decrypted packet: well-formed, and one that `allowed`, which sees family and length, lets
// pass; `refusal` is for what it does not. False: it was dropped.
template <class Allowed>
PENSTOCK_HOT bool Pipeline::check_inner(const Inbound& in, uint8_t* inner, uint32_t available,
                                        Packet& out, DropReason refusal, const Allowed& allowed) {
  bool ecn_ok = true;
  bool is_allowed = false;
  const uint8_t version = inner[0] >> 4;
  if (version == 4 && validate_ipv4(inner, available) == kValid) {
    auto& header = *reinterpret_cast<Ipv4Header*>(inner);
    out.family = 4;
    out.length = header.total_length.get();
    is_allowed = allowed(out);
    ecn_ok = apply_outer_ecn(header, in.outer_traffic_class);
  } else if (version == 6 && validate_ipv6(inner, available) == kValid) {
    auto& header = *reinterpret_cast<Ipv6Header*>(inner);
    out.family = 6;
    out.length = static_cast<uint16_t>(sizeof(Ipv6Header) + header.payload_length.get());
    is_allowed = allowed(out);
    ecn_ok = apply_outer_ecn(header, in.outer_traffic_class);
  } else {
    drop(in.mbuf, DropReason::kTunnelInnerMalformed);
    return false;
  }
  if (!is_allowed) [[unlikely]] {
    drop(in.mbuf, refusal);
    return false;
  }
  if (!ecn_ok) [[unlikely]] {
    drop(in.mbuf, DropReason::kTunnelEcnInvalid);
    return false;
  }
  out.mbuf = in.mbuf;
  out.ip = inner;
  out.origin = Origin::kTunnel;
  out.port = in.port;
  out.interface = in.sa->interface;
  out.tunnel = in.sa->tunnel;
  out.rerouted = false;
  return true;
}

}  // namespace penstock
