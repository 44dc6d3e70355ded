// The way of a packet through one worker. receive() lists the stages in order; each stage is one
// file, takes a vector of packets, and every packet leaves it by one named exit: into the next
// list, to a port, to the control plane, or as a drop with its reason.
//
//   outside → inside: classify → wireguard_inbound, esp_inbound → forward → transmit
//   inside → outside: classify → forward → wireguard_outbound, esp_outbound → transmit
//   handshakes, ARP and ND, what waits for a neighbour or a session: punt
//
// Threads: one pipeline per worker, used by that worker alone; counters may be read by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "dataplane/api/drop_reason.h"
#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/cbc_iv.h"
#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/tables.h"
#include "dataplane/wire/esp.h"
#include "dataplane/wire/icmp_build.h"
#include "dataplane/wire/rate_limit.h"
#include "dataplane/wire/reassembly.h"

// A step that every packet takes, and that one loop calls: part of that loop's code.
#define PENSTOCK_HOT [[gnu::always_inline]] inline

namespace penstock {

// Written by one worker, read by others.
class Counter {
 public:
  void add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct PipelineCounters {
  Counter rx_packets, tx_packets, punts, injects, hand_overs;
  Counter drops[kDropReasonCount];
  // Batches of this worker: ciphered by others; offered to them and taken back; for which one kept
  // this worker waiting too long. And batches of others that this one has ciphered.
  Counter lent_batches, taken_back_batches, late_batches, helped_batches;
};

// Where finished frames go: a port's transmit queue, or a benchmark's sink.
class Transmitter {
 public:
  virtual ~Transmitter() = default;
  // Takes ownership of the first n frames and returns n; the rest stays with the caller.
  virtual uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) = 0;
};

struct PipelineConfig {
  uint16_t worker = 0;
  rte_mempool* pool = nullptr;  // for packets that the gateway makes
  uint32_t icmp_errors_per_second = 200;
  uint64_t hash_seed = 0;          // random, of the reassembly table
  RandomSource* random = nullptr;  // seeds the IVs of CBC; used by the constructor alone
  ReassemblyLimits reassembly;
};

class Pipeline {
 public:
  Pipeline(const PipelineConfig& config, SharedTables& tables, const AeadEngines& engines,
           Transmitter& transmitter);
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  ~Pipeline();

  // Time of this turn, boot_time_ns().
  void set_time(int64_t now_ns) {
    now_ns_ = now_ns;
    now_s_ = static_cast<uint32_t>(now_ns / 1'000'000'000 + (now_ns < 1'000'000'000 ? 1 : 0));
  }

  // Takes a vector of frames received on a port; count <= kMaxVector.
  void receive(uint16_t port, rte_mbuf* const* frames, uint16_t count);
  // Tunnel packets that another worker received but this one owns, and packets for tunnels whose
  // sequence numbers this one gives.
  void receive_handed_over(rte_mbuf* const* frames, uint16_t count);
  // Packets from the control plane.
  void inject(rte_mbuf* const* buffers, uint16_t count);
  // Ends a turn: transmits and frees what is left. True while frames wait for a full port, or
  // packets for a cipher.
  bool finish_turn();

  // --- lending.cc: one tunnel on many cores. Only where the tables have a LendingBoard.
  // Whether packets are offered to other workers between their numbers and their completion.
  void lend(bool lends);
  // Whether this worker takes part in ciphering for others.
  void set_helper(bool helps);
  // How many others do so for this one.
  [[nodiscard]] size_t helpers() const;
  // Ciphers at most one batch of another worker. True while others lend.
  bool help();
  // TSC cycles that others have ciphered for this worker.
  [[nodiscard]] uint64_t helped_cycles() const;
  // A number that the caller gives the turns to come, never a smaller one; and that of the oldest
  // turn whose SAs and next hops are still in use. What was unpublished since must stay.
  void set_epoch(uint64_t epoch);
  [[nodiscard]] std::optional<uint64_t> oldest_epoch() const;
  // Completes all that is in flight, however long it takes.
  void finish_batches();

  [[nodiscard]] const PipelineCounters& counters() const { return counters_; }

 private:
  // A WireGuard data message, or ESP packet, between its stages.
  struct Inbound {
    rte_mbuf* mbuf;
    uint8_t* message;  // the WireGuard or ESP header
    InboundSa* sa;
    uint64_t counter;  // or sequence number: with ESP the low half until the SA is known
    uint64_t source_tag;
    uint32_t message_bytes;  // header and tag included
    uint16_t port;
    uint16_t interface;  // WireGuard: whose port it came to
    uint8_t outer_family;
    uint8_t outer_traffic_class;
    uint16_t outer_bytes;   // of the IP and UDP headers in front of `message`
    SaAlgorithm algorithm;  // ESP
    bool in_udp;
  };
  // What is found by the addresses of a packet.
  struct Lookup {
    uint32_t there, back;  // next hops
    PolicyStart out, in;  // where there are policies: those on its way out, and if it came in clear
    bool same_source;     // as the packet before, from the same port
  };
  // What is known of packets in a row with the same addresses, from the same port.
  struct Train {
    bool source_valid = false;  // of packets in a row with the same source
    bool checked = false;  // the addresses, and the policies about clear packets: they may pass
    bool matched = false;  // the rest is what policies say about their way out
    PolicyDecision decision = PolicyDecision::kNone;
    uint32_t tunnel = UINT32_MAX;
  };
  struct TransmitQueue {
    static constexpr uint16_t kCapacity = 256;
    uint16_t count = 0;
    rte_mbuf* frames[kCapacity];
  };

  // --- stages: classify.cc
  void classify(uint16_t port, rte_mbuf* const* frames, uint16_t count);
  void classify_frame(uint16_t port, rte_mbuf* frame);
  void classify_ipv4(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint32_t available,
                     bool to_group);
  void classify_ipv6(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint32_t available,
                     bool to_group);
  void classify_odd_frame(uint16_t port, rte_mbuf* frame);
  template <uint8_t kFamily>
  bool classify_tunnel(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint32_t length);
  template <uint8_t kFamily>
  PENSTOCK_HOT bool classify_any_tunnel(uint16_t port, rte_mbuf* frame, uint8_t* ip,
                                        uint32_t length, uint8_t protocol);
  void punt_handshake(uint16_t port, rte_mbuf* frame, const uint8_t* ip, uint32_t length,
                      uint16_t interface, uint32_t type, uint32_t message_bytes);
  void push_clear(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint16_t length, uint8_t family);
  bool is_local_v4(const uint8_t* address);
  bool is_local_v6(const uint8_t* address);

  // --- classify_esp.cc
  template <uint8_t kFamily>
  PENSTOCK_HOT void classify_ike_port(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint32_t length,
                                      uint32_t udp_bytes, bool nat_traversal);
  template <uint8_t kFamily>
  bool classify_short_udp(rte_mbuf* frame, const uint8_t* ip, uint32_t length);
  template <uint8_t kFamily>
  PENSTOCK_HOT bool classify_native_esp(uint16_t port, rte_mbuf* frame, uint8_t* ip,
                                        uint32_t length);
  template <uint8_t kFamily>
  PENSTOCK_HOT void push_esp(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint8_t* message,
                             uint32_t message_bytes, uint16_t source_port_raw, bool in_udp);
  void punt_ike(uint16_t port, rte_mbuf* frame, const uint8_t* ip, uint32_t length,
                const uint8_t* message, uint32_t message_bytes);
  void punt_unknown_spi(const Inbound& in);
  template <uint8_t kFamily>
  bool punt_long_ike(uint16_t port, Bytes whole);
  rte_mbuf* make_chain(Bytes content);

  // --- wireguard_inbound.cc
  void wireguard_inbound();
  bool admit_inbound(Inbound& in);
  void accept_inbound(const Inbound& in);

  // --- tunnel_inbound.cc: of both protocols
  void hand_over_frame(const Inbound& in);
  void promote(InboundSa& sa, uint32_t promotes);
  void note_roaming(const Inbound& in);
  template <class Allowed>
  PENSTOCK_HOT bool check_inner(const Inbound& in, uint8_t* inner, uint32_t available, Packet& out,
                                DropReason refusal, const Allowed& allowed);

  // --- esp_inbound.cc
  void esp_inbound();
  bool admit_esp(Inbound& in);
  void fill_in_esp_job(const Inbound& in, AeadJob& job, uint8_t* aad);
  void accept_esp(const Inbound& in);
  bool selectors_match(const InboundSa& sa, const uint8_t* inner, const Packet& packet) const;
  void inbound_attention(InboundSa& sa);
  void clamp_to_path(const Packet& packet, uint32_t tunnel);

  // --- forward.cc
  void forward(Vector<Packet>& packets);
  template <uint8_t kFamily>
  PENSTOCK_HOT void look_up(const Packet& packet, SameAddresses same, const Lookup& before,
                            Lookup& found) const;
  template <bool kPolicies>
  void forward_all(Vector<Packet>& packets, const PolicyTable* policies);
  template <uint8_t kFamily>
  PENSTOCK_HOT void look_up_policies(const PolicyTable& policies, const Packet& packet,
                                     SameAddresses same, const Lookup& before, Lookup& found) const;
  template <uint8_t kFamily>
  PENSTOCK_HOT static PolicyMatch find_policy(const PolicyTable& policies, const PolicyStart& start,
                                              const Packet& packet, PolicySender sender);
  template <uint8_t kFamily>
  void look_up_many_policies(const PolicyTable& policies, Vector<Packet>& packets,
                             const bool* is_head, Lookup* lookups) const;
  template <uint8_t kFamily, bool kPolicies>
  PENSTOCK_HOT void forward_one(Packet& packet, const Lookup& found, const PolicyTable* policies,
                                Train& train);
  template <uint8_t kFamily>
  PENSTOCK_HOT bool inbound_policy_allows(const PolicyTable& policies, const PolicyStart& start,
                                          const Packet& packet, bool& by_flow);
  template <uint8_t kFamily>
  PENSTOCK_HOT bool take_policy(const PolicyTable& policies, const PolicyStart& start,
                                Packet& packet, const NextHopEntry& next_hop, Train& train);
  template <uint8_t kFamily>
  PENSTOCK_HOT bool source_is_valid(const Packet& packet, uint32_t back_index);
  template <uint8_t kFamily>
  PENSTOCK_HOT bool forwarding_allowed(const Packet& packet, const NextHopEntry& next_hop);
  void end_here(Packet& packet, NextHopEntry::Kind kind);

  // --- too_big.cc
  void too_big(const Packet& packet, uint16_t mtu, bool count_hop, bool tunnel_chosen = false);
  void split(const Packet& packet, uint16_t mtu, bool count_hop, bool tunnel_chosen);

  // --- tunnel_outbound.cc: of both protocols
  void into_tunnel(Packet& packet);
  void into_esp_tunnel(Packet& packet);
  template <TunnelProtocol kProtocol>
  PENSTOCK_HOT OuterPath outer_path(TunnelHot& hot);
  template <TunnelProtocol kProtocol>
  OuterPath find_outer_path(TunnelHot& hot, uint32_t version);
  void leave_before_outer(const Packet& packet, const OuterPath& path, uint16_t inner_mtu);
  template <TunnelProtocol kProtocol>
  PENSTOCK_HOT bool write_outer(Packet& packet, const TunnelHot& hot, uint16_t message_bytes,
                                uint8_t traffic_class, uint8_t* message, bool dont_fragment);
  static bool write_outer_ipv6(Packet& packet, const TunnelHot& hot, uint16_t message_bytes,
                               uint8_t traffic_class, uint8_t* message);
  void finish_outbound(const Packet& packet, const NextHopEntry& next_hop);
  void wait_for_session(const Packet& packet);

  // --- wireguard_outbound.cc
  void wireguard_outbound();
  bool choose_tunnel(Packet& packet);
  bool take_sequence(OutboundSa& sa, size_t at, uint64_t& sequence);
  bool prepare_outbound(size_t at, AeadJob& job);
  void count_outbound(OutboundSa& sa, uint32_t message_bytes, bool content);

  // --- esp_outbound.cc
  void esp_outbound();
  bool choose_esp_tunnel(Packet& packet);
  bool choose_esp_sa(Packet& packet, OutboundSa*& sa);
  void hand_over_packet(const Packet& packet, uint8_t owner);
  void receive_into_tunnel(Packet& packet);
  template <bool kCbc>
  PENSTOCK_HOT bool prepare_esp(size_t at, AeadJob& job, uint8_t* aad);
  [[nodiscard]] uint32_t content_with_padding(const Packet& packet, const OutboundSa& sa,
                                              uint32_t inner_mtu) const;
  bool outbound_attention(OutboundSa& sa, uint64_t sequence);

  // --- lending.cc
  struct Batch;
  class Lender;
  void queue_wireguard_outbound(size_t count);
  void queue_esp_outbound(size_t count);
  void queue_wireguard_inbound();
  void queue_esp_inbound();
  template <class AlgorithmOf>
  Batch* start_batch(TunnelProtocol protocol, bool seal, const AeadJob* jobs, size_t count,
                     const AlgorithmOf& algorithm_of);
  template <class AlgorithmOf>
  void queue_outbound(TunnelProtocol protocol, Vector<Packet*>& packets, size_t count,
                      const AeadJob* jobs, const NextHopEntry* const* hops,
                      const AlgorithmOf& algorithm_of);
  template <class AlgorithmOf>
  void queue_inbound(TunnelProtocol protocol, Vector<Inbound>& packets, const AeadJob* jobs,
                     const AlgorithmOf& algorithm_of);
  void submit(Batch& batch);
  void make_room();
  bool cipher_oldest();
  bool advance_batches();
  void complete_batches();
  void complete_outbound(const Batch& batch);
  void complete_inbound(const Batch& batch);
  void watch_head();
  void discard_batches();

  // --- deliver.cc: packets to the gateway itself
  void deliver(Packet& packet);
  void reassemble(const Packet& packet);
  void originate(const Packet& packet);
  void run_originated();
  void icmp_error(const Packet& packet, IcmpError error, uint16_t mtu = 0);
  void set_answer_path(const Packet& packet, Packet& answer) const;
  rte_mbuf* make_buffer(Bytes content);

  // --- transmit.cc
  void output(const Packet& packet, const NextHopEntry& next_hop);
  void wait_for_neighbour(const Packet& packet, const NextHopEntry& next_hop);
  void enqueue(uint16_t port, rte_mbuf* frame);
  void enqueue_full(uint16_t port, rte_mbuf* frame);
  void flush(uint16_t port);
  void punt(rte_mbuf* buffer, const uint8_t* from, uint32_t bytes, PuntKind kind, PuntClass to,
            DropReason when_full);
  void drop(rte_mbuf* buffer, DropReason reason);
  void free_later(rte_mbuf* buffer);
  void free_now();

  SharedTables& tables_;
  TunnelTables& tunnels_;
  Fib& fib_;
  const AeadEngines& engines_;
  AeadEngine& engine_;  // of WireGuard
  Transmitter& transmitter_;
  const PipelineConfig config_;
  const bool only_worker_;  // nobody else sends under the SAs: their counters need no atomics
  int64_t now_ns_ = 0;
  uint32_t now_s_ = 1;  // in seconds, at least 1
  uint16_t next_identification_;

  // The local address that tunnel packets last came to, checked against the table's version.
  uint32_t local_version_ = 0;
  uint32_t local_v4_ = 0;
  uint64_t local_v6_[2] = {};
  uint32_t local_v6_version_ = 0;

  Vector<Inbound> inbound_;
  Vector<Inbound> esp_inbound_;
  Vector<Packet> clear_;
  Vector<Packet*> outbound_;  // into clear_, or wherever the caller keeps its packets
  Vector<Packet*> esp_outbound_;
  Vector<Packet> originated_;
  Vector<Packet> chosen_;     // of originated_: those with tunnel_chosen
  AeadJob jobs_[kMaxVector];  // without AAD; the first 32 bits of the nonces stay zero
  OutboundSa* outbound_sas_[kMaxVector];
  const NextHopEntry* outbound_hops_[kMaxVector];
  uint64_t run_next_ = 0;  // sequence numbers taken for a run of packets under one SA
  uint32_t run_left_ = 0;
  AeadJob esp_jobs_[kMaxVector];
  uint8_t esp_aads_[kMaxVector][16];  // 12 bytes with extended sequence numbers
  OutboundSa* esp_sas_[kMaxVector];
  const NextHopEntry* esp_hops_[kMaxVector];
  CbcIvSource cbc_ivs_;
  TokenBucket unknown_spi_bucket_;

  TransmitQueue transmit_queues_[kMaxPorts];
  rte_mbuf* to_free_[kMaxVector * 2];
  uint16_t to_free_count_ = 0;

  TokenBucket icmp_bucket_;
  Reassembler reassembler_;
  PipelineCounters counters_;

  // Packets go through the queue of batches: this worker lends, or something is in that queue.
  bool queues_batches_ = false;
  std::unique_ptr<Lender> lender_;  // nullptr: each worker ciphers its own
};

}  // namespace penstock
