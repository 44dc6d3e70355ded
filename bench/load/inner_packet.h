// The packets inside the tunnels: IP and UDP, and in the payload what tells a packet from every
// other one, so that each that comes back is held against what was sent.
//
//   | IP | UDP | CheckHeader | bytes of a fixed pattern, from a place that depends on the packet |
#pragma once

#include <cstdint>
#include <vector>

#include "bench/load/latency.h"
#include "bench/load/plan.h"
#include "bench/load/profile.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "dataplane/wire/udp.h"
#include "gateway/base/bytes.h"

namespace penstock::load {

struct CheckHeader {
  Be32 magic;
  Be32 trial;
  Be32 tunnel;
  Be32 flow;  // the highest bit: down
  Be64 sequence;
  Le64 sent_at;  // time stamp counter
};
static_assert(sizeof(CheckHeader) == 32 && alignof(CheckHeader) == 1);

// The smallest inner packet that has room for its CheckHeader, by the inner family.
constexpr uint16_t smallest_inner_bytes(bool inner_v6) {
  return static_cast<uint16_t>((inner_v6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header)) +
                               sizeof(UdpHeader) + sizeof(CheckHeader));
}

struct PacketTag {
  uint32_t tunnel = 0;
  uint32_t flow = 0;
  bool down = false;
  uint32_t trial = 0;
  uint64_t sequence = 0;
  uint64_t sent_at = 0;
  uint16_t bytes = 0;  // of the packet, as its IP header says
};

class InnerPackets {
 public:
  // The plan outlives it.
  explicit InnerPackets(const Plan& plan);

  // Writes a whole packet of `bytes` (at least smallest_inner_bytes()) at `to`.
  void write(uint8_t* to, uint16_t bytes, const PacketTag& tag) const;

  // What is wrong with a packet that came back, if anything.
  enum class Verdict : uint8_t {
    kGood,
    kForeign,      // not of ours at all
    kWrongTunnel,  // ours, but not of this tunnel, flow or direction
    kFragment,     // the first piece of one: the gateway has a smaller MTU somewhere
    kCorrupt,      // length, header or pattern differ from what was sent
  };
  // `tunnel`: where it came from, as the SA (of a clear packet: its client address) says. Fills in
  // `tag` if good.
  Verdict check(Bytes packet, uint32_t tunnel, bool down, PacketTag& tag) const;
  // The tunnel that a clear packet's client address (up: its source) belongs to; UINT32_MAX: none.
  [[nodiscard]] uint32_t tunnel_of_client(Bytes packet, bool down) const;

 private:
  struct Header {  // of the inner family, everything but what differs from packet to packet
    uint8_t bytes[48] = {};
  };
  [[nodiscard]] const uint8_t* pattern_of(const PacketTag& tag) const {
    // One of 64 places: packets that are near to each other have different ones.
    const uint64_t mixed =
        (tag.sequence + (uint64_t{tag.tunnel} << 24) + (uint64_t{tag.flow} << 48)) *
        0x9e3779b97f4a7c15ULL;
    return pattern_.data() + (mixed >> 58) * 64;
  }

  const Plan& plan_;
  const bool v6_;
  const size_t ip_bytes_;
  Header header_;
  std::vector<uint8_t> pattern_;
};

// Which sequence numbers of a flow have come, as far as the last 64.
class FlowWindow {
 public:
  enum class Arrival : uint8_t { kInOrder, kAfterGap, kReordered, kDuplicate, kTooLate };
  Arrival note(uint64_t sequence) {
    if (sequence >= next_) {
      const uint64_t ahead = sequence - next_;
      seen_ = ahead + 1 >= 64 ? 1 : seen_ << (ahead + 1) | 1;
      next_ = sequence + 1;
      return ahead == 0 ? Arrival::kInOrder : Arrival::kAfterGap;
    }
    const uint64_t behind = next_ - 1 - sequence;
    if (behind >= 64) return Arrival::kTooLate;
    if ((seen_ >> behind & 1) != 0) return Arrival::kDuplicate;
    seen_ |= uint64_t{1} << behind;
    return Arrival::kReordered;
  }

 private:
  uint64_t next_ = 0;  // highest that has come, and one
  uint64_t seen_ = 0;  // bit n: next_ - 1 - n has come
};

// What one direction of a trial came to. Lost is what was sent less what came back good.
struct Counts {
  uint64_t sent = 0;     // taken by the port
  uint64_t refused = 0;  // not taken: the gateway does not empty the ring; counts as sent and lost
  uint64_t good = 0, good_bytes = 0, sent_bytes = 0;  // of inner packets
  uint64_t reordered = 0, duplicate = 0, too_late = 0;
  uint64_t corrupt = 0, wrong_tunnel = 0, not_opened = 0;
  uint64_t fragmented = 0;  // came in pieces, which are not put together: lost
  [[nodiscard]] uint64_t offered() const { return sent + refused; }
  [[nodiscard]] uint64_t lost() const { return offered() > good ? offered() - good : 0; }
  Counts& operator+=(const Counts& other);
};

// Holds every packet against what was sent, for one trial at a time.
class Verifier {
 public:
  explicit Verifier(const Plan& plan);

  // Everything anew; packets of earlier trials are ignored from here on.
  void begin(uint32_t trial);
  // A packet as it came out of `tunnel`, at `now` of the time stamp counter.
  void take(Bytes packet, uint32_t tunnel, bool down, uint64_t now);
  // The same for a clear packet, whose addresses name the tunnel.
  void take_clear(Bytes packet, bool down, uint64_t now);
  // The next sequence number of a flow.
  uint64_t next_sequence(uint32_t tunnel, uint32_t flow, bool down) {
    return sent_[place(tunnel, flow, down)]++;
  }

  [[nodiscard]] const InnerPackets& packets() const { return packets_; }
  [[nodiscard]] Counts& counts(bool down) { return counts_[down ? 1 : 0]; }
  [[nodiscard]] const LatencyHistogram& latency(bool down) const { return latency_[down ? 1 : 0]; }
  [[nodiscard]] uint64_t foreign() const { return foreign_; }
  [[nodiscard]] uint32_t trial() const { return trial_; }

 private:
  [[nodiscard]] size_t place(uint32_t tunnel, uint32_t flow, bool down) const {
    return (size_t{tunnel} * flows_ + flow) * 2 + (down ? 1 : 0);
  }

  InnerPackets packets_;
  uint32_t flows_;
  uint32_t trial_ = 0;
  std::vector<FlowWindow> windows_;
  std::vector<uint64_t> sent_;
  Counts counts_[2];
  LatencyHistogram latency_[2];
  uint64_t foreign_ = 0;
};

}  // namespace penstock::load
