// A gateway without ports or threads, for measuring the packet path: tables with N peers, one
// pipeline, buffers from a pool, and a sink where a port would be.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/crypto/aead.h"
#include "dataplane/pipeline/pipeline.h"
#include "dataplane/policy/policy_table.h"
#include "gateway/base/random.h"

namespace penstock::bench {

inline constexpr uint16_t kOutsidePort = 0;
inline constexpr uint16_t kInsidePort = 1;
inline constexpr uint16_t kBurst = 32;
inline constexpr uint16_t kListenPort = 51820;

// Starts EAL once, without devices. Exits with a sentence where it cannot.
void start_environment();

// Takes what it is given, of a port that is not `full`; into a ring, where there is one.
class Sink final : public Transmitter {
 public:
  uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) override;
  uint64_t frames[kMaxPorts] = {};
  bool full[kMaxPorts] = {};
  rte_ring* into = nullptr;
};

struct WorldOptions {
  TunnelProtocol protocol = TunnelProtocol::kWireguard;
  uint32_t peers = 1;
  SaAlgorithm algorithm = SaAlgorithm::kChacha20Poly1305;  // of ESP
  // ESP: a policy before the routes for each peer, or one interface that a route leads into, with
  // the same policies.
  bool route_based = false;
  bool in_udp = false;  // ESP
  // Each with a pipeline of its own; the tunnels belong to them in turn.
  uint16_t workers = 1;
  // Peers that add_peer() has room for beyond `peers`.
  uint32_t spare_peers = 0;
  friend bool operator==(const WorldOptions&, const WorldOptions&) = default;
};

struct PeerKeys {
  TunnelId tunnel;
  uint32_t receiver_index = 0;  // ours: what packets to us carry
  SaHandle outbound;
  uint64_t next_counter = 0;  // of the peer's own packets
};

class World {
 public:
  // `defer`: what the tables do after a grace period; at once, where nobody reads meanwhile.
  explicit World(const WorldOptions& options, Defer defer = run_at_once);
  ~World();
  static void run_at_once(const std::function<void()>& fn) { fn(); }

  [[nodiscard]] const WorldOptions& options() const { return options_; }

  [[nodiscard]] SharedTables& tables() { return *tables_; }
  [[nodiscard]] Pipeline& pipeline(uint16_t worker = 0) { return *workers_[worker]->pipeline; }
  [[nodiscard]] Sink& sink(uint16_t worker = 0) { return workers_[worker]->sink; }
  [[nodiscard]] WorkerRings& rings(uint16_t worker = 0) { return tables_->rings[worker]; }
  [[nodiscard]] rte_mempool* pool() { return pool_; }
  [[nodiscard]] std::vector<PeerKeys>& peers() { return peers_; }
  // For the peers of a worker: each may be used by another thread.
  [[nodiscard]] AeadEngine& peer_engine(uint16_t worker) {
    return workers_[worker]->peer_engines->of(options_.algorithm);
  }
  // The key that all peers seal packets to us with. Each SA has its own copy of it, so that sealing
  // leaves those out of cache, and takes no cache from them.
  [[nodiscard]] const void* peer_key() const { return peer_key_.bytes; }

  // As the control plane does it, while the pipelines run; `number` below peers + spare_peers. A
  // peer that is added has a tunnel and an SA each way; rekeying replaces both SAs.
  void add_peer(uint32_t number);
  void rekey_peer(uint32_t number);
  void remove_peer(uint32_t number);

  // What adding `peers` took: microseconds each, and bytes of resident memory each.
  [[nodiscard]] double microseconds_per_peer() const { return microseconds_per_peer_; }
  [[nodiscard]] double resident_bytes_per_peer() const { return resident_bytes_per_peer_; }
  // Of the packets that were dropped, with the first reason; 0 is what a benchmark wants.
  [[nodiscard]] uint64_t drops() const;
  void explain_drops() const;

 private:
  struct Worker {
    std::unique_ptr<AeadEngines> engines, peer_engines;
    std::unique_ptr<Pipeline> pipeline;
    Sink sink;
    std::vector<rte_ring*> rings;
  };

  void set_ports();
  void set_routes();
  void add_worker(uint16_t number);
  void add_peers();
  void install_sas(uint32_t number);
  [[nodiscard]] WorkerId owner_of(uint32_t number) const {
    return WorkerId{number % options_.workers};
  }
  [[nodiscard]] bool is_esp() const { return options_.protocol == TunnelProtocol::kEsp; }

  const WorldOptions options_;
  const Defer defer_;
  SystemRandom random_;
  std::unique_ptr<SharedTables> tables_;
  std::unique_ptr<IpPrefixTrie> allowed_;
  std::unique_ptr<PolicyTable> policies_;
  SaKeys peer_keys_;
  ExpandedKey peer_key_;
  std::vector<std::unique_ptr<Worker>> workers_;
  rte_mempool* pool_ = nullptr;
  std::vector<PeerKeys> peers_;
  double microseconds_per_peer_ = 0, resident_bytes_per_peer_ = 0;
};

// A buffer with its packet, and the peer that it belongs to.
struct Item {
  rte_mbuf* mbuf = nullptr;
  uint32_t peer = 0;
  uint16_t inner_bytes = 0;
  uint16_t host = 0;  // inside, below kHosts
};

// Puts a clear frame for the peer into the buffer, as the inside port would deliver it.
void write_clear_frame(World& world, Item& item);
// Puts a tunnel packet of the peer, with its next number, as the outside port would deliver it. The
// payload is in place and sealed by seal_frames().
void write_tunnel_frame(World& world, Item& item);
void seal_frames(World& world, std::span<Item> items, uint16_t worker = 0);
// Puts a handshake initiation of the peer that nobody has authenticated yet.
void write_handshake_frame(World& world, Item& item);

// Where the payload of a packet lies, clear or ciphered, from the begin of the frame.
[[nodiscard]] size_t payload_offset(const WorldOptions& options, bool inbound);
// How much the cipher sees of it.
[[nodiscard]] uint32_t payload_bytes(const WorldOptions& options, const Item& item);
[[nodiscard]] uint32_t iv_bytes(const WorldOptions& options);

}  // namespace penstock::bench
