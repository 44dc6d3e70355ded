#include "dataplane/wire/fragment.h"

#include <algorithm>

#include "dataplane/wire/checksum.h"

namespace penstock {

std::optional<Ipv4Fragmenter> Ipv4Fragmenter::make(Bytes packet, uint16_t mtu) {
  const auto* ip = header_at<Ipv4Header>(packet);
  if (ip == nullptr || ip->version_length != kIpv4PlainVersionLength ||
      ip->total_length.get() != packet.size()) {
    return std::nullopt;
  }
  const Bytes payload = packet.subspan(sizeof *ip);
  if (sizeof *ip + ip->offset_bytes() + payload.size() > 65535) return std::nullopt;
  // Only the last fragment of a datagram may hold what is no multiple of 8.
  if (ip->more_fragments() && payload.size() % 8 != 0) return std::nullopt;
  if (packet.size() <= mtu)
    return Ipv4Fragmenter(*ip, payload, std::max<size_t>(payload.size(), 8));
  if (mtu < sizeof *ip + 8) return std::nullopt;
  return Ipv4Fragmenter(*ip, payload, (mtu - sizeof *ip) / 8 * 8);
}

std::optional<Ipv4Fragment> Ipv4Fragmenter::next() {
  if (done_) return std::nullopt;
  const size_t length = std::min(step_, payload_.size() - at_);
  Ipv4Fragment fragment{header_, payload_.subspan(at_, length)};
  done_ = at_ + length == payload_.size();
  // A piece of a fragment counts from where the fragment began; MF stays set on the last piece of
  // one that was not the last.
  uint16_t bits = header_.fragment.get();
  bits = static_cast<uint16_t>(bits + at_ / 8);
  if (!done_) bits |= kIpv4MoreFragments;
  fragment.header.fragment.set(bits);
  fragment.header.total_length.set(static_cast<uint16_t>(sizeof(Ipv4Header) + length));
  set_plain_header_checksum(fragment.header);
  at_ += length;
  return fragment;
}

}  // namespace penstock
