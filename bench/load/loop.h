// The packet loop: one CPU receives, verifies and sends, at a paced rate, and keeps the tunnels up.
// loop.cc: trials and receiving; loop_send.cc: sending; loop_tunnels.cc: handshakes.
//
// Everything runs on the loop's lcore. The main thread may read Progress.
#pragma once

#include <deque>
#include <vector>

#include "bench/load/inner_packet.h"
#include "bench/load/outer_frame.h"
#include "bench/load/peers.h"
#include "bench/load/ports.h"
#include "bench/load/sessions.h"
#include "bench/load/trial.h"
#include "bench/load/work_meter.h"
#include "dataplane/crypto/aead.h"

namespace penstock::load {

class PacketLoop {
 public:
  // All outlive it.
  PacketLoop(const Plan& plan, Ports& ports, Sessions& sessions, Peers& peers,
             const AeadEngines& engines, Progress& progress);

  // Waits for links and the gateway's MAC addresses; the sentence that says what is missing.
  Status meet_gateway(double within_s);
  // Brings tunnels up that are not: for traffic, or as the storm that is measured.
  StormResult connect(const StormSpec& spec);
  TrialResult run(const TrialSpec& spec);
  // Of the trial that runs, as many as Progress::samples says: for the main thread.
  [[nodiscard]] const std::vector<Sample>& samples() const { return samples_; }

 private:
  static constexpr uint16_t kReceiveBurst = 64, kSendBurst = 32;
  static_assert(kReceiveBurst <= kAeadMaxBurst);

  // --- loop.cc
  struct Way {  // one direction of a trial
    bool active = false;
    uint64_t attempted = 0;
    uint32_t cursor = 0;
    size_t size_at = 0;
  };
  void begin(const TrialSpec& spec);
  void turn();
  uint64_t end_turn();
  uint32_t receive(Side side);
  uint32_t receive_sealed();
  uint32_t receive_clear(Side side);
  void take_opened(std::span<AeadJob> jobs, uint64_t tsc);
  void on_control_frame(const OuterFrames::Arrival& arrival, Side side, Bytes frame);
  void drain(double seconds);
  void sample(double at_s);
  void show_progress();

  // --- loop_send.cc
  void send_due(uint64_t tsc);
  uint16_t due(const Way& way, uint64_t tsc) const;
  void send_sealed(Way& way, uint16_t count);
  void send_clear(Way& way, bool down, uint16_t count);
  void next_flow(Way& way, uint32_t& tunnel, uint32_t& flow);
  uint16_t next_size(Way& way);
  void count_sent(bool down, const uint16_t* sizes, uint16_t sent, uint16_t offered);

  // --- loop_tunnels.cc
  void keep_tunnels(Nanoseconds now_ns);
  void look_after(uint32_t tunnel, Nanoseconds now_ns);
  void start_handshake(uint32_t tunnel);
  void serve_peers();
  void send_datagram(const SendToGateway& datagram);
  void send_keepalive(uint32_t tunnel);
  void on_answer(uint32_t tunnel, Nanoseconds took_ns);
  void on_session(const SessionUp& session);
  [[nodiscard]] PeerNow now() const;
  [[nodiscard]] double seconds_since(uint64_t tsc) const;

  const Plan& plan_;
  Ports& ports_;
  Sessions& sessions_;
  Peers& peers_;
  const AeadEngines& engines_;
  Progress& progress_;
  OuterFrames outer_;
  Verifier verifier_;
  const Protocol protocol_;
  const double tsc_hz_;

  // Of one burst, sent or received.
  AeadJob jobs_[kAeadMaxBurst];
  uint8_t asides_[kAeadMaxBurst][16];
  OuterFrames::Arrival arrivals_[kReceiveBurst];

  // Of the trial that runs.
  TrialSpec spec_;
  uint32_t trial_ = 0;
  uint64_t began_tsc_ = 0;
  Way ways_[2];  // up, down
  uint64_t random_ = 0x2545f4914f6cdd1dULL;
  uint64_t not_opened_ = 0;
  WorkMeter meter_;
  std::vector<Sample> samples_;
  uint8_t clear_link_[2][14] = {};  // by side, the Ethernet header of packets in clear

  // Of the tunnels.
  uint32_t under_way_ = 0;       // handshakes without an answer yet
  uint64_t answered_ = 0;        // of tunnels that were not up
  std::vector<uint8_t> asked_;   // by tunnel: a handshake is under way
  std::deque<uint32_t> failed_;  // to be tried again by connect()
  uint32_t keeper_at_ = 0, rekey_at_ = 0;
  Nanoseconds keeper_ns_ = 0;
  double rekeys_owed_ = 0;
  uint64_t rekeys_ = 0, rekeys_failed_ = 0;
  LatencyHistogram handshakes_;  // nanoseconds
  uint64_t next_housekeeping_tsc_ = 0;
};

}  // namespace penstock::load
