// A gateway without ports or threads, for measuring the packet path: tables with N peers, one
// pipeline, buffers from a pool, and a sink where a port would be.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <memory>
#include <random>
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

class Sink final : public Transmitter {
 public:
  uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) override;
  uint64_t frames[kMaxPorts] = {};
};

struct WorldOptions {
  TunnelProtocol protocol = TunnelProtocol::kWireguard;
  uint32_t peers = 1;
  SaAlgorithm algorithm = SaAlgorithm::kChacha20Poly1305;  // of ESP
  // ESP: a policy before the routes for each peer, or one interface that a route leads into, with
  // the same policies.
  bool route_based = false;
  bool in_udp = false;  // ESP
  friend bool operator==(const WorldOptions&, const WorldOptions&) = default;
};

struct PeerKeys {
  uint32_t receiver_index = 0;  // ours: what packets to us carry
  uint32_t outbound_slot = 0;
  uint64_t next_counter = 0;  // of the peer's own packets
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();

  [[nodiscard]] const WorldOptions& options() const { return options_; }

  [[nodiscard]] SharedTables& tables() { return *tables_; }
  [[nodiscard]] Pipeline& pipeline() { return *pipeline_; }
  [[nodiscard]] Sink& sink() { return sink_; }
  [[nodiscard]] rte_mempool* pool() { return pool_; }
  [[nodiscard]] std::vector<PeerKeys>& peers() { return peers_; }
  [[nodiscard]] AeadEngine& peer_engine() { return peer_engines_->of(options_.algorithm); }
  // ESP: the key that all peers seal packets to us with. Each SA has its own copy of it, so that
  // sealing leaves those out of cache, and takes no cache from them.
  [[nodiscard]] const void* peer_key() const { return peer_key_.bytes; }
  // Of the packets that were dropped, with the first reason; 0 is what a benchmark wants.
  [[nodiscard]] uint64_t drops() const;
  void explain_drops() const;

 private:
  void set_ports();
  void set_routes();
  void add_wireguard_peer(uint32_t number);
  void add_esp_peer(uint32_t number);

  WorldOptions options_;
  SystemRandom random_;
  std::unique_ptr<SharedTables> tables_;
  std::unique_ptr<IpPrefixTrie> allowed_;
  std::unique_ptr<PolicyTable> policies_;
  SaKeys peer_keys_;
  ExpandedKey peer_key_;
  std::unique_ptr<AeadEngines> engines_, peer_engines_;
  std::unique_ptr<Pipeline> pipeline_;
  Sink sink_;
  rte_mempool* pool_ = nullptr;
  rte_ring* ring_ = nullptr;
  std::vector<PeerKeys> peers_;
};

// A buffer with its packet, and the peer that it belongs to.
struct Item {
  rte_mbuf* mbuf = nullptr;
  uint32_t peer = 0;
  uint16_t inner_bytes = 0;
};

// Puts a clear frame for the peer into the buffer, as the inside port would deliver it.
void write_clear_frame(World& world, Item& item);
// Puts a tunnel packet of the peer, with its next number, as the outside port would deliver it. The
// payload is in place and sealed by seal_frames().
void write_tunnel_frame(World& world, Item& item);
void seal_frames(World& world, std::vector<Item>& items);

// Where the payload of a packet lies, clear or ciphered, from the begin of the frame.
[[nodiscard]] size_t payload_offset(const WorldOptions& options, bool inbound);
// How much the cipher sees of it.
[[nodiscard]] uint32_t payload_bytes(const WorldOptions& options, const Item& item);
[[nodiscard]] uint32_t iv_bytes(const WorldOptions& options);

}  // namespace penstock::bench
