// Splitting an IPv4 packet into fragments (RFC 791 3.2, RFC 1812 5.2.6).
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/ipv4.h"
#include "gateway/base/bytes.h"

namespace penstock {

struct Ipv4Fragment {
  Ipv4Header header;  // complete, checksum included
  Bytes payload;      // of the original packet
};

// Yields the fragments of a packet in order. The packet outlives it.
class Ipv4Fragmenter {
 public:
  // Nothing where the packet cannot be split: it is no valid IPv4 packet of exactly its total
  // length, has options (which the gateway does not forward), is a fragment that would end past
  // 65535, or `mtu` leaves no room for 8 bytes. DF is the caller's to respect. A packet that fits
  // yields itself.
  static std::optional<Ipv4Fragmenter> make(Bytes packet, uint16_t mtu);

  // The next fragment, or nothing after the last.
  std::optional<Ipv4Fragment> next();
  [[nodiscard]] size_t fragment_count() const {
    return (payload_.size() + step_ - 1) / step_ + (payload_.empty() ? 1 : 0);
  }

 private:
  Ipv4Fragmenter(const Ipv4Header& header, Bytes payload, size_t step)
      : header_(header), payload_(payload), step_(step) {}

  Ipv4Header header_;
  Bytes payload_;
  size_t step_;  // payload of every fragment but the last, a multiple of 8
  size_t at_ = 0;
  bool done_ = false;
};

}  // namespace penstock
