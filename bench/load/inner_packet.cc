#include "bench/load/inner_packet.h"

#include <algorithm>
#include <cstring>

#include "dataplane/wire/checksum.h"

namespace penstock::load {
namespace {

constexpr uint32_t kMagic = 0x70656e73;  // "pens"
constexpr uint32_t kDownBit = 1U << 31;
constexpr size_t kPatternBytes = 9000 + 64 * 64;
constexpr uint8_t kHopLimit = 64;

// Any bytes that do not repeat soon (xorshift).
std::vector<uint8_t> make_pattern() {
  std::vector<uint8_t> pattern(kPatternBytes);
  uint64_t state = 0x9e3779b97f4a7c15ULL;
  for (uint8_t& byte : pattern) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<uint8_t>(state >> 32);
  }
  return pattern;
}

}  // namespace

InnerPackets::InnerPackets(const Plan& plan)
    : plan_(plan),
      v6_(plan.inner_v6()),
      ip_bytes_(v6_ ? sizeof(Ipv6Header) : sizeof(Ipv4Header)),
      pattern_(make_pattern()) {
  if (v6_) {
    Ipv6Header ip{};
    ip.version_class_flow = ipv6_version_class_flow(0, 0);
    ip.next_header = kProtocolUdp;
    ip.hop_limit = kHopLimit;
    std::memcpy(header_.bytes, &ip, sizeof ip);
  } else {
    Ipv4Header ip{};
    ip.version_length = kIpv4PlainVersionLength;
    ip.ttl = kHopLimit;
    ip.protocol = kProtocolUdp;
    std::memcpy(header_.bytes, &ip, sizeof ip);
  }
}

void InnerPackets::write(uint8_t* to, uint16_t bytes, const PacketTag& tag) const {
  std::memcpy(to, header_.bytes, ip_bytes_);
  const auto datagram_bytes = static_cast<uint16_t>(bytes - ip_bytes_);
  uint8_t* const udp_at = to + ip_bytes_;
  UdpHeader udp{};
  const InnerPorts ports = plan_.inner_ports(tag.flow, tag.down);
  udp.source_port = Be16(ports.source);
  udp.destination_port = Be16(ports.destination);
  udp.length = Be16(datagram_bytes);
  std::memcpy(udp_at, &udp, sizeof udp);
  CheckHeader check;
  check.magic = Be32(kMagic);
  check.trial = Be32(tag.trial);
  check.tunnel = Be32(tag.tunnel);
  check.flow = Be32(tag.flow | (tag.down ? kDownBit : 0));
  check.sequence = Be64(tag.sequence);
  check.sent_at = Le64(tag.sent_at);
  std::memcpy(udp_at + sizeof udp, &check, sizeof check);
  const size_t front = ip_bytes_ + sizeof udp + sizeof check;
  std::memcpy(to + front, pattern_of(tag), bytes - front);
  if (v6_) {
    auto* ip = reinterpret_cast<Ipv6Header*>(to);
    ip->payload_length = Be16(datagram_bytes);
    plan_.write_inner_addresses(tag.tunnel, tag.flow, tag.down, to + 8);
    const uint64_t pseudo =
        pseudo_header_sum(ip->source, ip->destination, kProtocolUdp, datagram_bytes);
    store_unaligned(udp_at + 6, udp_checksum(pseudo, {udp_at, datagram_bytes}));
  } else {
    auto* ip = reinterpret_cast<Ipv4Header*>(to);
    ip->total_length = Be16(bytes);
    plan_.write_inner_addresses(tag.tunnel, tag.flow, tag.down, to + 12);
    set_plain_header_checksum(*ip);
  }
}

InnerPackets::Verdict InnerPackets::check(Bytes packet, uint32_t tunnel, bool down,
                                          PacketTag& tag) const {
  const size_t front = ip_bytes_ + sizeof(UdpHeader) + sizeof(CheckHeader);
  if (packet.size() < front) return Verdict::kForeign;
  const uint8_t version = packet[0] >> 4;
  if (version != (v6_ ? 6 : 4) || packet[v6_ ? 6 : 9] != kProtocolUdp) return Verdict::kForeign;
  const auto* check = header_at<CheckHeader>(packet, ip_bytes_ + sizeof(UdpHeader));
  if (check->magic != Be32(kMagic)) return Verdict::kForeign;
  tag.trial = check->trial.get();
  tag.tunnel = check->tunnel.get();
  tag.flow = check->flow.get() & ~kDownBit;
  tag.down = (check->flow.get() & kDownBit) != 0;
  tag.sequence = check->sequence.get();
  tag.sent_at = check->sent_at.get();

  // The outer layers may have padded it: the IP header says where it ends.
  const size_t length =
      v6_ ? sizeof(Ipv6Header) +
                reinterpret_cast<const Ipv6Header*>(packet.data())->payload_length.get()
          : reinterpret_cast<const Ipv4Header*>(packet.data())->total_length.get();
  if (tag.tunnel != tunnel || tag.down != down || tag.flow >= plan_.flows()) {
    return Verdict::kWrongTunnel;
  }
  uint8_t addresses[32];
  plan_.write_inner_addresses(tag.tunnel, tag.flow, down, addresses);
  const size_t address_bytes = v6_ ? 32 : 8;
  if (std::memcmp(packet.data() + (v6_ ? 8 : 12), addresses, address_bytes) != 0) {
    return Verdict::kWrongTunnel;
  }
  if (!v6_ && reinterpret_cast<const Ipv4Header*>(packet.data())->is_fragment()) {
    return Verdict::kFragment;
  }
  if (length < front || length > packet.size()) return Verdict::kCorrupt;
  tag.bytes = static_cast<uint16_t>(length);
  const auto* udp = header_at<UdpHeader>(packet, ip_bytes_);
  const InnerPorts ports = plan_.inner_ports(tag.flow, down);
  if (udp->source_port != Be16(ports.source) || udp->destination_port != Be16(ports.destination) ||
      udp->length.get() != length - ip_bytes_) {
    return Verdict::kCorrupt;
  }
  const bool same = std::memcmp(packet.data() + front, pattern_of(tag), length - front) == 0;
  return same ? Verdict::kGood : Verdict::kCorrupt;
}

uint32_t InnerPackets::tunnel_of_client(Bytes packet, bool down) const {
  const size_t bytes = v6_ ? 16 : 4;
  const size_t at = (v6_ ? 8 : 12) + (down ? bytes : 0);
  if (packet.size() < at + bytes) return UINT32_MAX;
  return plan_.tunnel_of_client(packet.data() + at);
}

Counts& Counts::operator+=(const Counts& other) {
  sent += other.sent;
  refused += other.refused;
  good += other.good;
  good_bytes += other.good_bytes;
  sent_bytes += other.sent_bytes;
  reordered += other.reordered;
  duplicate += other.duplicate;
  too_late += other.too_late;
  corrupt += other.corrupt;
  wrong_tunnel += other.wrong_tunnel;
  not_opened += other.not_opened;
  fragmented += other.fragmented;
  return *this;
}

Verifier::Verifier(const Plan& plan) : packets_(plan), flows_(plan.flows()) {
  windows_.resize(size_t{plan.tunnels()} * flows_ * 2);
  sent_.resize(windows_.size());
}

void Verifier::begin(uint32_t trial) {
  trial_ = trial;
  std::fill(windows_.begin(), windows_.end(), FlowWindow());
  std::fill(sent_.begin(), sent_.end(), 0);
  for (int way = 0; way < 2; ++way) {
    counts_[way] = {};
    latency_[way].clear();
  }
  foreign_ = 0;
}

void Verifier::take_clear(Bytes packet, bool down, uint64_t now) {
  take(packet, packets_.tunnel_of_client(packet, down), down, now);
}

void Verifier::take(Bytes packet, uint32_t tunnel, bool down, uint64_t now) {
  using Verdict = InnerPackets::Verdict;
  PacketTag tag;
  const Verdict verdict = packets_.check(packet, tunnel, down, tag);
  if (verdict == Verdict::kForeign) {
    ++foreign_;
    return;
  }
  if (tag.trial != trial_) return;  // what an earlier trial left in the queues
  Counts& counts = counts_[down ? 1 : 0];
  if (verdict != Verdict::kGood) {
    ++(verdict == Verdict::kCorrupt    ? counts.corrupt
       : verdict == Verdict::kFragment ? counts.fragmented
                                       : counts.wrong_tunnel);
    return;
  }
  switch (windows_[place(tag.tunnel, tag.flow, down)].note(tag.sequence)) {
    case FlowWindow::Arrival::kDuplicate:
      ++counts.duplicate;
      return;
    case FlowWindow::Arrival::kTooLate:
      ++counts.too_late;
      return;
    case FlowWindow::Arrival::kReordered:
      ++counts.reordered;
      break;
    case FlowWindow::Arrival::kInOrder:
    case FlowWindow::Arrival::kAfterGap:
      break;
  }
  ++counts.good;
  counts.good_bytes += tag.bytes;
  latency_[down ? 1 : 0].add(now > tag.sent_at ? now - tag.sent_at : 0);
}

}  // namespace penstock::load
