// A packet between two stages, and what travels with a buffer between threads.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <cstring>

#include "dataplane/api/punt.h"
#include "gateway/base/net.h"

namespace penstock {

// A receive vector: at most this many packets pass the stages together.
inline constexpr size_t kMaxVector = 64;

// So many packets before its turn a packet's entries are fetched, again where a loop has done so
// for the whole vector: a core follows some two dozen misses at a time, and with tables that lie
// beyond its own caches not all that was asked for at once is there in the end.
inline constexpr size_t kFetchAhead = 8;

enum class Origin : uint8_t {
  kPort,    // received in clear on `port`
  kTunnel,  // came out of `tunnel` of `interface`
  kOwn,     // made by the gateway: no TTL decrement, no source check, no ICMP error about it
};

// One IP packet on its way. Lives on the worker's stack or in its lists, never beyond a turn.
struct Packet {
  rte_mbuf* mbuf = nullptr;
  uint8_t* ip = nullptr;  // the IP header; its bytes lie in one piece
  uint16_t length = 0;    // from the IP header on, as the header says
  uint8_t family = 0;     // 4 or 6; 0: a keepalive, which has no content
  Origin origin = Origin::kPort;
  uint16_t port = 0;             // where it was received (kPort, kTunnel)
  uint16_t interface = 0;        // kTunnel: where it came out; on the way into a tunnel: whose
  uint32_t tunnel = UINT32_MAX;  // kTunnel: out of which; on the way into a tunnel: into which
  // kOwn: goes into `tunnel` of ESP, whatever routes and policies say: an answer to a packet that
  // came out of it, or a piece of one that was to go into it.
  bool tunnel_chosen = false;
  bool past_policies = false;   // kOwn: the gateway's own protocols, which no policy is about
  bool never_in_clear = false;  // kOwn: quotes what came out of a tunnel
  bool rerouted = false;        // kTunnel: `interface` and `tunnel` say where it goes by now
};
static_assert(sizeof(Packet) == 32);

// Which addresses of two validated packets are the same, in a word.
class SameAddresses {
 public:
  SameAddresses() = default;  // none
  SameAddresses(const Packet& a, const Packet& b) {
    if (a.family != b.family) return;
    if (a.family == 4) {
      differ_ = load_unaligned<uint64_t>(a.ip + 12) ^ load_unaligned<uint64_t>(b.ip + 12);
    } else if (a.family == 6) {
      differ_ = uint64_t{std::memcmp(a.ip + 8, b.ip + 8, 16) != 0} |
                uint64_t{std::memcmp(a.ip + 24, b.ip + 24, 16) != 0} << 32;
    }
  }
  [[nodiscard]] bool source() const { return static_cast<uint32_t>(differ_) == 0; }
  [[nodiscard]] bool destination() const { return differ_ >> 32 == 0; }
  [[nodiscard]] bool both() const { return differ_ == 0; }

 private:
  uint64_t differ_ = UINT64_MAX;  // the source's half is low
};

template <class T>
class Vector {
 public:
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] bool full() const { return count_ == kMaxVector; }
  [[nodiscard]] size_t size() const { return count_; }
  void clear() { count_ = 0; }
  void push(const T& item) { items_[count_++] = item; }  // requires !full()
  T& next() { return items_[count_++]; }                 // requires !full()
  void truncate(size_t count) { count_ = count; }
  T& operator[](size_t i) { return items_[i]; }
  T* begin() { return items_; }
  T* end() { return items_ + count_; }

 private:
  T items_[kMaxVector];
  size_t count_ = 0;
};

// In the private area of a buffer while it is in a ring between threads.
struct RingMeta {
  enum class Inject : uint8_t { kIp, kDatagram, kFrame, kTunnelPacket, kKeepalive };
  // Between workers: a frame with a tunnel packet, or an inner packet for the owner of an SA.
  enum class HandOver : uint8_t { kFrame, kIntoTunnel };
  PuntKind punt = PuntKind::kArp;
  Inject inject = Inject::kIp;
  HandOver hand_over = HandOver::kFrame;
  Origin origin = Origin::kPort;  // of kIntoTunnel
  uint16_t worker = 0;
  uint16_t port = 0;
  uint16_t interface = 0;
  uint32_t tunnel = UINT32_MAX;
  uint32_t tunnel_generation = 0;  // the slot may have another tenant by now
  MacAddress source_mac;
  IpAddress next_hop;
};
static_assert(sizeof(RingMeta) <= 64);
inline constexpr uint16_t kMbufPrivateBytes = 64;

inline RingMeta& ring_meta(rte_mbuf* mbuf) {
  return *static_cast<RingMeta*>(rte_mbuf_to_priv(mbuf));
}

}  // namespace penstock
