// Frames between peers and gateway: WireGuard's data messages (paper 5.4.6) and ESP (RFC 4303), in
// UDP (RFC 3948) or as protocol 50, made and read in place. No packet buffers here: plain memory.
//
// One thread.
#pragma once

#include <cstdint>

#include "bench/load/plan.h"
#include "bench/load/sessions.h"
#include "dataplane/crypto/aead.h"
#include "gateway/base/bytes.h"
#include "gateway/base/net.h"

namespace penstock::load {

class OuterFrames {
 public:
  // What a frame that came on the outside port is.
  enum class Kind : uint8_t {
    kData,          // `job` is filled in: open it, then content_of()
    kHandshake,     // `payload` of a UDP datagram to `tunnel`
    kNeighbour,     // ARP or neighbour discovery
    kUnknownIndex,  // data, of a session that we do not have
    kOther,
  };
  struct Arrival {
    Kind kind = Kind::kOther;
    uint32_t tunnel = 0;
    uint16_t local_port = 0, remote_port = 0;
    Bytes payload;
    Sessions::Inbound* session = nullptr;
    uint64_t sequence = 0;
  };

  // All outlive it.
  OuterFrames(const Plan& plan, Sessions& sessions);
  void set_macs(const MacAddress& ours, const MacAddress& gateway);

  // Where the inner packet begins in a frame, for all sessions of the plan.
  [[nodiscard]] size_t inner_offset(const Sessions::Outbound& session) const {
    return sizeof_link_ip_ + (session.in_udp ? 8U : 0U) + 16U;
  }
  // The most that a frame has beyond its inner packet.
  static constexpr size_t kMostOverheadBytes = 14 + 40 + 8 + 16 + 16 + 16;

  // Everything around the inner packet of `bytes` (0: a keepalive) that lies in place, and the job
  // that seals it; `aside`: 16 bytes that stay until then. Returns the length of the frame; 0: the
  // session has used up its sequence numbers.
  uint16_t prepare(uint8_t* frame, uint32_t tunnel, uint16_t bytes, AeadJob& job, uint8_t* aside);
  // After sealing: what covers the ciphertext.
  void finish(uint8_t* frame, uint16_t frame_bytes) const;
  // A datagram of a handshake as a frame at `frame`, which has room. Returns its length.
  uint16_t write_datagram(uint8_t* frame, const SendToGateway& datagram) const;

  Arrival read(MutableBytes frame, AeadJob& job, uint8_t* aside) const;
  // The inner packet of an opened data message, padding behind it included; empty: a keepalive, or
  // nothing that may be inside.
  static Bytes content_of(const Arrival& arrival, const AeadJob& job, bool esp);

 private:
  struct Datagram {
    uint32_t tunnel = 0;
    uint8_t protocol = 0;
    uint16_t source_port = 0, destination_port = 0;
    MutableBytes payload;
  };
  // Ethernet, IP and, with `udp`, UDP of a peer's packet with `payload_bytes` behind them. Returns
  // their length.
  size_t write_headers(uint8_t* frame, uint32_t tunnel, bool udp, uint16_t source_port,
                       uint16_t destination_port, size_t payload_bytes) const;
  [[nodiscard]] bool read_headers(MutableBytes frame, Datagram& out) const;
  [[nodiscard]] bool find_session(uint32_t index, Arrival& arrival) const;
  void read_wireguard(const Datagram& datagram, Arrival& arrival, AeadJob& job) const;
  void read_esp(MutableBytes message, Arrival& arrival, AeadJob& job, uint8_t* aside) const;

  const Plan& plan_;
  Sessions& sessions_;
  const bool v6_, esp_;
  const size_t sizeof_link_ip_;
  uint8_t link_ip_[14 + 40] = {};  // what is the same in every frame
};

}  // namespace penstock::load
