// Two or more IKEv2 engines in one process over a network that loses, repeats and reorders, with a
// clock that jumps from event to event. Each node has a small dataplane of its own: it "encrypts"
// by carrying the key beside the packet, and raises the events that the real one raises.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "controlplane/ike/engine.h"
#include "dataplane/api/tunnel.h"

namespace penstock::ike::simulation {

inline Endpoint endpoint_of(const std::string& text) { return *Endpoint::parse(text); }
inline IpAddress address_of(const std::string& text) { return *IpAddress::parse(text); }

// SplitMix64: the same seed gives the same bytes.
class Dice final : public RandomSource {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
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

struct Packet {
  Endpoint source, destination;
  ByteVector payload;  // of UDP; or ESP:
  uint32_t spi = 0;
  ByteVector key;
  ByteVector inner;
  [[nodiscard]] bool is_esp() const { return spi != 0; }
  [[nodiscard]] Bytes ike() const;  // without marker; empty: not IKE
};

class World;

class Node final : public Host {
 public:
  Node(World& world, std::string name, uint64_t seed, const std::string& address,
       const Options& options);

  // --- Host
  Result<uint32_t> reserve_spi() override;
  void release_spi(uint32_t spi) override;
  [[nodiscard]] std::optional<IpAddress> source_address_for(const IpAddress& remote) const override;
  [[nodiscard]] std::vector<IpAddress> local_addresses() const override { return addresses; }

  // --- what a test does
  [[nodiscard]] Now now() const;
  void load(std::shared_ptr<const ConnectionConfig> connection);
  void credentials_changed() { engine->set_credentials(store.snapshot()); }
  void add_psk(const std::string& secret, const std::vector<std::string>& owners = {});
  CommandId initiate(const std::string& connection, const std::string& child);
  CommandId terminate(const SaSelection& selection, bool force = false);
  void restart();  // a new engine without any memory; the dataplane is empty
  // An inner packet into the newest tunnel of this child. False: there is none.
  bool send_data(const std::string& child, uint8_t mark);
  void acquire(const std::string& child, Bytes packet);  // it meets the child's trap
  void raise(const std::string& child, uint32_t flags);
  void receive(const Packet& packet);
  void drain();

  // --- what a test asks
  [[nodiscard]] std::vector<IkeSaInfo> sas() const;
  [[nodiscard]] size_t established() const;
  [[nodiscard]] size_t children() const;  // installed ones
  [[nodiscard]] std::optional<IkeSaInfo> sa() const;
  [[nodiscard]] size_t notified(Notify::Kind kind) const;
  [[nodiscard]] bool said(Reason reason) const;
  [[nodiscard]] bool said(const std::string& part) const;
  [[nodiscard]] std::optional<Notify> end_of(CommandId command) const;
  [[nodiscard]] bool succeeded(CommandId command) const;
  [[nodiscard]] size_t received_from(const std::string& child) const;
  // What the two sides hold is what the engine says it is.
  void check_dataplane() const;
  [[nodiscard]] std::string log_text() const;

  struct Tunnel {
    std::string connection, child;
    uint32_t if_id = 0;
    Endpoint local, remote;
    bool encapsulated = false;
    uint32_t current = 0;  // inbound SPI of the pair that is sent under
    std::vector<SelectorPair> pairs;
    uint32_t flags = 0;
    uint32_t promoted = 0;
  };
  struct Sa {
    ChildTunnel tunnel = 0;
    uint32_t outbound_spi = 0;
    SaAlgorithm algorithm{};
    ByteVector inbound_key, outbound_key;
    bool promotes = false;
    Nanoseconds expires_at_ns = kNever;
    EspParameters parameters;
    WorkerId owner;
  };

  World& world;
  std::string name;
  Dice random;
  std::vector<IpAddress> addresses;
  Options options;
  CredentialStore store;
  std::unique_ptr<Engine> engine;
  CommandId next_command = 1;

  std::set<uint32_t> reserved;
  std::map<ChildTunnel, Tunnel> tunnels;
  std::map<uint32_t, Sa> sas_installed;  // by inbound SPI
  std::map<uint32_t, AddPolicy> policies;
  std::vector<Notify> notices;
  std::vector<StatusFetch> fetches;
  std::map<std::string, std::vector<IpAddress>> names;
  std::map<DropReason, uint64_t> dropped;
  std::vector<std::pair<std::string, uint8_t>> data;  // child, mark
  std::vector<Packet> sent;                           // IKE datagrams
  uint64_t keepalives_received = 0;
  uint64_t data_lost = 0;  // came under an SPI or key that is not here
  bool hold_jobs = false;
  std::vector<Compute> held;
  bool fail_installs = false;
  bool spis_exhausted = false;
  std::set<std::string> mistakes;  // of the engine towards its dataplane

  void finish_held_jobs();

 private:
  void carry_out(Effect effect);
  uint32_t next_spi_ = 0x1000;
};

class World {
 public:
  explicit World(uint64_t seed = 1) : dice(seed), seed_(seed) {}
  Node& add(const std::string& name, const std::string& address, const Options& options = {});
  void send(Packet packet);
  void run_for(Nanoseconds duration_ns);
  // Until nothing is on its way and nothing is due within a second; at most `limit_ns`.
  void settle(Nanoseconds limit_ns = 30 * kSecond);

  Nanoseconds boot_ns = 1000 * kSecond;
  Nanoseconds wall_offset_ns = 1'799'999'000 * kSecond;  // test_pki's clock
  Nanoseconds latency_ns = 5 * kMillisecond;
  Nanoseconds job_ns = 0;  // how long a job takes; 0: it is done at once
  unsigned loss_percent = 0;
  unsigned repeat_percent = 0;
  Nanoseconds reorder_ns = 0;                 // extra delay, random up to this
  std::function<bool(const Packet&)> filter;  // false: lost
  std::function<bool(Packet&)> rewrite;       // what a NAT does; false: lost
  Dice dice;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<std::string> arrows;         // "a>b IKE_SA_INIT 0", "b>a IKE_SA_INIT 0 R"
  uint64_t trace = 0xcbf29ce484222325ULL;  // FNV-1a over every IKE datagram and its time

  // Who is no engine: packets to these addresses go there.
  std::map<IpAddress, std::function<void(const Packet&)>> strangers;
  void finish_later(Node& node, Compute job);

 private:
  struct InFlight {
    Nanoseconds at_ns = 0;
    uint64_t order = 0;
    Packet packet;
    Node* node = nullptr;  // of a job that is done then
    std::shared_ptr<Compute> job;
    bool operator<(const InFlight& other) const {
      return std::pair(at_ns, order) > std::pair(other.at_ns, other.order);
    }
  };
  void note(const Packet& packet);
  Node* owner_of(const IpAddress& address) const;
  void step_to(Nanoseconds at_ns);
  [[nodiscard]] Nanoseconds next_event() const;
  std::priority_queue<InFlight> in_flight_;
  uint64_t order_ = 0;
  uint64_t seed_;
};

// A NAT in front of one node: its packets leave from `outside`, answers come back.
class Nat {
 public:
  Nat(World& world, const std::string& inside, const std::string& outside);
  uint16_t port_offset = 10'000;  // changes every mapping
  IpAddress inside, outside;

 private:
  bool rewrite(Packet& packet);
};

}  // namespace penstock::ike::simulation
