// Two or more WireGuard machines in one process over a network that loses, repeats and reorders,
// with a clock that jumps from event to event. Each node has a small dataplane of its own: it
// "encrypts" by carrying the key beside the packet, and raises the events that the real one raises.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "controlplane/wireguard/device.h"
#include "dataplane/api/tunnel.h"

namespace penstock::wireguard::simulation {

inline Endpoint endpoint_of(const char* text) { return *Endpoint::parse(text); }
inline IpPrefix prefix_of(const char* text) { return *IpPrefix::parse(text); }

// SplitMix64: the same seed gives the same bytes.
class SeededRandom final : public RandomSource {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  void fill(MutableBytes out) override {
    for (uint8_t& byte : out) {
      state_ += 0x9e3779b97f4a7c15ULL;
      uint64_t z = state_;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      byte = static_cast<uint8_t>(z ^ (z >> 31));
    }
  }

 private:
  uint64_t state_;
};

class CountingIndices final : public IndexSource {
 public:
  Result<uint32_t> reserve() override {
    if (exhausted) return errorf("no index");
    reserved.insert(next_);
    return next_++;
  }
  void release(uint32_t index) override { released_unknown += reserved.erase(index) == 0; }
  std::set<uint32_t> reserved;  // not yet released or removed
  size_t released_unknown = 0;
  bool exhausted = false;

 private:
  uint32_t next_ = 0x1000;
};

inline Secret<32> private_key_of(uint8_t number) {
  Secret<32> key;
  key.data()[0] = 0x40;
  key.data()[5] = number;
  key.data()[31] = 0x40;
  return key;
}
PublicKey public_key_of(const Secret<32>& private_key);

struct Packet {
  Endpoint source;
  Endpoint destination;
  ByteVector handshake;  // a handshake message, or empty:
  uint32_t index = 0;    // a data packet under `key`
  Secret<32> key;
  ByteVector inner;  // empty: a keepalive
};

class World;

class Node {
 public:
  Node(World& world, std::string name, uint64_t seed, Endpoint address,
       const Device::Options& options);

  // The traffic of the node's applications: into the tunnel of `peer`.
  void send_data(PeerId peer, ByteVector inner);
  void receive(const Packet& packet);
  void drain();  // carries out effects
  void timeout();
  void collect(bool activity);
  void finish_held_jobs();
  void restart(const Device::Options& options);  // a new machine, without any memory
  [[nodiscard]] Now now() const;
  [[nodiscard]] PeerId peer(const PublicKey& key) const { return *device->find_peer(key); }
  [[nodiscard]] PeerStatus status(size_t peer = 0) const;
  [[nodiscard]] size_t notified(Notify::Kind kind) const;
  [[nodiscard]] uint64_t drops(DropReason reason) const;
  [[nodiscard]] size_t inbound_sas() const { return inbound_.size(); }

  World& world;
  std::string name;
  SeededRandom random;
  CountingIndices indices;
  Endpoint address;
  Nanoseconds wall_offset_ns = 1'700'000'000 * kSecond;
  std::unique_ptr<Device> device;

  bool hold_jobs = false;
  std::vector<Compute> held;
  std::vector<ByteVector> received;  // inner packets
  uint64_t keepalives_received = 0;
  uint64_t keepalives_sent = 0;
  uint64_t initiations_sent = 0;
  uint64_t data_lost_no_key = 0;  // arrived under an index or key that is not known here
  uint64_t timeouts = 0;
  uint64_t persisted_ns = 0;
  std::vector<Notify> notices;
  std::map<DropReason, uint64_t> dropped;
  std::vector<ByteVector> sent;                                 // handshake messages, in order
  std::map<std::pair<uint32_t, uint32_t>, Endpoint> endpoints;  // by peer
  std::vector<Effect> effects;  // of kinds that are not carried out here

 private:
  struct Inbound {
    PeerId peer;
    Secret<32> key;
    Nanoseconds expires_ns;
    bool promotes;
    uint32_t remote_index;
    Secret<32> send_key;
  };
  struct Tunnel {
    PeerId id;
    uint32_t current = 0;  // local index
    uint32_t flags = 0;
    uint32_t inbound_index = 0;
    Endpoint roamed;
  };
  void carry_out(Effect effect);
  void transmit(Tunnel& tunnel, ByteVector inner);

  std::map<uint32_t, Inbound> inbound_;
  std::map<uint32_t, Tunnel> tunnels_;  // by slot
};

class World {
 public:
  explicit World(uint64_t seed = 1) : dice(seed), seed_(seed) {}
  Node& add(const std::string& name, const char* address, const Device::Options& options = {});
  // Configures two nodes as each other's peer; `b_knows_a`: b has a's endpoint too.
  void connect(Node& a, Node& b, bool b_knows_a = true, const Secret<32>& psk = {});
  void send(Packet packet);
  void run_for(Nanoseconds duration_ns);

  Nanoseconds boot_ns = 1000 * kSecond;
  Nanoseconds latency_ns = 5 * kMillisecond;
  unsigned loss_percent = 0;
  unsigned repeat_percent = 0;
  Nanoseconds reorder_ns = 0;                 // extra delay, random up to this
  std::function<bool(const Packet&)> filter;  // false: lost
  // Rewrites addresses on the way, as a NAT does.
  std::function<void(Packet&)> rewrite;
  SeededRandom dice;
  std::vector<std::unique_ptr<Node>> nodes;
  uint64_t trace = 0xcbf29ce484222325ULL;  // FNV-1a over every handshake message and its time

 private:
  struct InFlight {
    Nanoseconds at_ns;
    uint64_t order;
    Packet packet;
    bool operator<(const InFlight& other) const {
      return std::pair(at_ns, order) > std::pair(other.at_ns, other.order);
    }
  };
  std::priority_queue<InFlight> in_flight_;
  uint64_t order_ = 0;
  uint64_t seed_;
};

}  // namespace penstock::wireguard::simulation
