// The inside of Device. Split by concern: device.cc (inputs, outputs, status), configure.cc
// (apply), datagram.cc (what a message must show first), initiator.cc, responder.cc, session.cc
// (keypairs, staged packets), liveness.cc (events and timers).
#pragma once

#include <deque>
#include <functional>
#include <string_view>
#include <unordered_map>

#include "controlplane/sansio/deadline_heap.h"
#include "controlplane/wireguard/device.h"
#include "controlplane/wireguard/peer.h"
#include "controlplane/wireguard/rate_limiter.h"
#include "controlplane/wireguard/seeded_hash.h"
#include "controlplane/wireguard/strangers.h"

namespace penstock::wireguard {

class Device::Core {
 public:
  Core(RandomSource& random, IndexSource& indices, const Options& options);
  ~Core();

  // --- configure.cc
  Status apply(const Now& now, const DeviceChange& change);

  // --- datagram.cc
  void on_datagram(const Now& now, const Endpoint& source, const Endpoint& destination,
                   WorkerId worker, Bytes payload);

  // --- liveness.cc
  void on_events(const Now& now, Peer& peer, uint32_t flags, uint32_t inbound_index,
                 const Endpoint& source, const IpAddress& destination);
  void on_timeout(const Now& now);
  [[nodiscard]] Nanoseconds next_timeout() const;

  // --- session.cc
  void on_need_session(const Now& now, Peer& peer, Bytes inner_packet);
  void on_install_failed(const Now& now, Peer& peer, uint32_t local_index);

  // --- device.cc
  void on_compute(const Now& now, ComputeId id, ComputeResult result);
  [[nodiscard]] std::optional<Effect> poll();
  [[nodiscard]] DeviceStatus status(const Now& now) const;
  [[nodiscard]] Peer* find(PeerId id);
  [[nodiscard]] Peer* find(const PublicKey& key);

  std::vector<std::unique_ptr<Peer>> peers;  // by slot; empty where free
  size_t peer_count = 0;
  uint16_t listen_port = 0;

 private:
  // Where a handshake message came from.
  struct Arrival {
    Endpoint source;
    Endpoint destination;
    WorkerId worker;
  };
  // What a job that is under way was for. `epoch`: of the private key.
  struct StaticContext {
    PeerId peer;
    uint64_t epoch;
  };
  struct InitiateContext {
    PeerId peer;
    uint64_t epoch;
    uint64_t serial;
    Secret<32> ephemeral_private;
  };
  struct OpenContext {
    uint64_t epoch;
    Arrival arrival;
    InitiationMessage message;
  };
  // An initiation whose sender is known and whose static-static secret is being computed.
  struct OpenedContext {
    PeerId peer;
    uint64_t epoch;
    Arrival arrival;
    InitiationMessage message;
    NoiseState noise;
  };
  struct RespondContext {
    PeerId peer;
    uint64_t epoch;
    uint64_t consumed_count;
    Arrival arrival;
    uint32_t remote_index;
  };
  struct ConsumeContext {
    PeerId peer;
    uint64_t epoch;
    uint32_t local_index;
    uint32_t remote_index;
    Arrival arrival;
  };
  using Context = std::variant<StaticContext, InitiateContext, OpenContext, OpenedContext,
                               RespondContext, ConsumeContext>;
  using Hash = std::reference_wrapper<const SeededHash>;
  struct PrefixOwner {
    uint32_t slot;
    size_t position;  // in the owner's allowed_ips
  };

  // configure.cc
  void set_private_key(const Secret<32>& given);
  void apply_peer(const Now& now, const PeerChange& change);
  Peer& add_peer(const PublicKey& key);
  void remove_peer(Peer& peer);
  void apply_allowed_ips(Peer& peer, const PeerChange& change);
  void set_allowed_ip(Peer& peer, const IpPrefix& prefix);
  void forget_allowed_ip(Peer& owner, const IpPrefix& prefix);
  void set_persistent_keepalive(const Now& now, Peer& peer, uint16_t seconds);

  // datagram.cc
  [[nodiscard]] bool admit(const Now& now, const Arrival& arrival, uint32_t sender_index,
                           Bytes message);
  void note_arrival(Nanoseconds now_ns);
  [[nodiscard]] bool under_load(Nanoseconds now_ns);
  void on_cookie_reply(const Now& now, const CookieReplyMessage& reply);

  // initiator.cc
  void want_session(const Now& now, Peer& peer);
  void enqueue_initiation(Peer& peer);
  void fail(Peer& peer, const char* why, Notify::Kind kind);
  void pump(const Now& now);
  void start_static(Peer& peer);
  void start_initiation(const Now& now, Peer& peer);
  void finish(const StaticContext& context, const StaticResult& result);
  void set_static(Peer& peer, const StaticResult& result);
  void finish(const Now& now, const InitiateContext& context, const InitiateResult& result);
  void on_response(const Arrival& arrival, const ResponseMessage& message);
  void finish(const Now& now, const ConsumeContext& context, const ConsumeResponseResult& result);
  void retry_or_give_up(const Now& now, Peer& peer);
  void drop_handshake(Peer& peer);
  // A received cookie is used a little shorter than its maker's secret lives (as Linux does).
  [[nodiscard]] Nanoseconds cookie_use_ns() const {
    return config_.cookie_secret_lifetime_ns - config_.rekey_timeout_ns;
  }
  [[nodiscard]] uint64_t draw_timestamp(const Now& now, Peer& peer);

  // responder.cc
  void on_initiation(const Arrival& arrival, const InitiationMessage& message);
  void finish(const Now& now, const OpenContext& context, const OpenInitiationResult& result);
  void finish(const Now& now, const OpenedContext& context, const StaticResult& result);
  void consume_initiation(const Now& now, Peer& peer, const OpenedContext& context);
  void finish(const Now& now, const RespondContext& context, const RespondResult& result);
  void refuse_initiation(DropReason reason);
  void note_response(Peer& peer);

  // session.cc
  void install(const Now& now, Peer& peer, KeypairRole role, uint32_t local_index,
               uint32_t remote_index, const TransportKeys& keys, const Arrival& arrival);
  void promote(const Now& now, Peer& peer, uint32_t inbound_index);
  void remove_keypair(Peer& peer, Keypair& keypair);
  void remove_all_keypairs(Peer& peer);
  [[nodiscard]] bool usable(const Peer& peer, Nanoseconds now_ns) const;
  void release_staged(Peer& peer);
  void drop_staged(Peer& peer);
  void complete_handshake(const Now& now, Peer& peer);
  void set_endpoint(Peer& peer, const Endpoint& remote, const IpAddress& local, bool notify);

  // liveness.cc
  void passed_authenticated(Nanoseconds now_ns, Peer& peer);
  void sent_authenticated(Nanoseconds now_ns, Peer& peer);
  void received_authenticated(Nanoseconds now_ns, Peer& peer);
  void sent_data(Nanoseconds now_ns, Peer& peer);
  void received_data(Nanoseconds now_ns, Peer& peer);
  void keep_fresh_on_send(const Now& now, Peer& peer);
  void keep_fresh_on_receive(const Now& now, Peer& peer);
  void send_keepalive(const Now& now, Peer& peer, bool start_session);
  void expire(const Now& now, Peer& peer);
  void arm(Peer& peer, Timer timer, Nanoseconds at_ns);
  [[nodiscard]] Nanoseconds jitter_ns();

  // device.cc
  void emit(Effect effect);
  void drop(DropReason reason, uint64_t packets = 1);
  void notify(Notify::Kind kind, const Peer& peer);
  ComputeId start(ComputeJob job, Context context);
  void dispatch(const Now& now, Context& context, ComputeResult& result);
  [[nodiscard]] std::string_view state_of(const Peer& peer, Nanoseconds now_ns) const;
  [[nodiscard]] PeerStatus status_of(const Peer& peer, const Now& now) const;
  [[nodiscard]] Peer* find_index(uint32_t index);

  RandomSource& random_;
  IndexSource& indices_;
  const Limits limits_;
  const TimerConfig config_;
  const SeededHash hash_;

  std::optional<Secret<32>> private_key_;
  PublicKey public_key_{};
  uint64_t epoch_ = 0;  // of the private key: results of older jobs are stale
  uint32_t fwmark_ = 0;

  std::vector<uint32_t> free_slots_;
  std::vector<uint32_t> generations_;  // by slot
  std::unordered_map<PublicKey, uint32_t, Hash> by_key_;
  std::unordered_map<IpPrefix, PrefixOwner, Hash> allowed_ips_;
  // Receiver indices of handshakes and keypairs; random already.
  std::unordered_map<uint32_t, uint32_t> by_index_;

  uint64_t timestamp_floor_ns_;   // every new time stamp is after this
  uint64_t timestamp_leased_ns_;  // persisted: no time stamp is after this

  CookieChecker checker_;
  RateLimiter rate_limiter_;
  Strangers strangers_;
  Nanoseconds load_until_ns_ = -1;  // -1: not under load
  Nanoseconds window_began_ns_ = 0;
  uint32_t arrivals_in_window_ = 0;

  Staging staging_;
  DeadlineHeap deadlines_;
  ComputeId next_compute_ = 1;
  std::unordered_map<ComputeId, Context> jobs_;
  uint32_t responding_ = 0;  // initiations of others in work
  uint32_t initiating_ = 0;  // InitiateJobs under way
  uint32_t static_jobs_ = 0;
  std::deque<PeerId> initiation_queue_;
  std::deque<PeerId> static_queue_;
  std::deque<Effect> effects_;
  uint32_t datagrams_waiting_ = 0;  // SendDatagram effects that have not been pulled
};

}  // namespace penstock::wireguard
