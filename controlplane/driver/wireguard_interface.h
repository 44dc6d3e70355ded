// One WireGuard interface between its protocol machine and the dataplane: carries out the machine's
// effects (the installer) and hands it what the workers report.
//
// Control thread only.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/driver/compute_pool.h"
#include "controlplane/driver/log_limit.h"
#include "controlplane/driver/route_book.h"
#include "controlplane/driver/timestamp_store.h"
#include "controlplane/driver/tunnel_registry.h"
#include "controlplane/wireguard/device.h"
#include "dataplane/api/dataplane.h"

namespace penstock {

// What all interfaces share; outlives them.
struct WireguardContext {
  Dataplane& dataplane;
  ComputePool& pool;
  RouteBook& routes;
  TimestampStore& timestamps;
  RandomSource& random;
  TunnelRegistry& tunnels;
  uint32_t max_tunnels = 0;                       // of all interfaces
  size_t tunnel_count = 0;                        // of the peers that have been accepted
  Nanoseconds tunnel_removed_ns = -60 * kSecond;  // boot time of the last one
  LogLimit log_limit{};
};

struct WireguardOptions {
  InterfaceSpec spec;  // listen_port 0: choose one
  std::vector<InterfaceAddress> addresses;
  bool routes = true;  // for allowed IPs
  wireguard::Limits limits;
  wireguard::TimerConfig timers;
};

// Why a change was refused: nothing of it is applied.
struct ChangeError {
  int error = 0;  // errno, for the API's answer
  std::string text;
};

class WireguardInterface final : public wireguard::IndexSource, public TunnelUser {
 public:
  // With its addresses, their routes and its first configuration; the effects are carried out
  // before it returns, so that nothing has a clear way to a peer's addresses afterwards.
  static Result<std::unique_ptr<WireguardInterface>> create(
      WireguardContext& context, const WireguardOptions& options,
      const wireguard::DeviceChange& configuration);
  ~WireguardInterface() override;
  WireguardInterface(const WireguardInterface&) = delete;
  WireguardInterface& operator=(const WireguardInterface&) = delete;

  [[nodiscard]] const std::string& name() const { return options_.spec.name; }
  [[nodiscard]] InterfaceId id() const { return id_; }
  [[nodiscard]] const std::vector<InterfaceAddress>& addresses() const {
    return options_.addresses;
  }
  [[nodiscard]] uint16_t mtu() const { return options_.spec.mtu; }

  Result<void, ChangeError> apply(const wireguard::DeviceChange& change);
  // With byte counters.
  [[nodiscard]] wireguard::DeviceStatus status() const;
  [[nodiscard]] size_t peer_count() const { return device_.peer_count(); }
  [[nodiscard]] uint16_t listen_port() const { return device_.listen_port(); }

  // What the workers report.
  void on_handshake(const PuntedPacket& packet);
  // TunnelUser: the place is a peer.
  void on_need_session(uint64_t place, Bytes inner_packet) override;
  void on_events(uint64_t place, const TunnelEvents& events) override;

  // Timers that are due, and up to `budget` effects. True: more effects wait.
  bool turn(const wireguard::Now& now, size_t budget);
  [[nodiscard]] Nanoseconds next_timeout() const;

  // IndexSource
  Result<uint32_t> reserve() override;
  void release(uint32_t index) override;

 private:
  struct Peer {
    uint32_t generation = UINT32_MAX;
    TunnelId tunnel;  // invalid: the dataplane had no room for it
    wireguard::PublicKey public_key{};
    bool announced = false;  // its first session has been logged
  };
  struct Keypair {
    TunnelId tunnel;
    SaHandle outbound;
  };

  WireguardInterface(WireguardContext& context, const WireguardOptions& options);
  Status open(const wireguard::DeviceChange& configuration);
  Result<uint16_t> claim_port(uint16_t port);
  // Whether the peers after the change have tunnels.
  [[nodiscard]] bool fits(const wireguard::DeviceChange& change) const;
  Status commit(const wireguard::DeviceChange& change);
  // Of the effect that is next; false: not now, the tunnels that have been removed are still in
  // their grace periods.
  bool make_tunnel(const wireguard::PeerAdded& effect);

  [[nodiscard]] Peer* find(wireguard::PeerId peer);
  [[nodiscard]] TunnelId tunnel_of(wireguard::PeerId peer);
  [[nodiscard]] std::string text_of_peer(wireguard::PeerId peer);

  // The effects, one function each.
  void carry_out(wireguard::SendDatagram& effect);
  void carry_out(wireguard::PeerAdded&) {}  // make_tunnel() has
  void carry_out(wireguard::PeerRemoved& effect);
  void carry_out(wireguard::AllowedIpSet& effect);
  void carry_out(wireguard::AllowedIpRemoved& effect);
  void carry_out(wireguard::SetEndpoint& effect);
  void carry_out(wireguard::InstallKeypair& effect);
  void carry_out(wireguard::RemoveKeypair& effect);
  void carry_out(wireguard::MakeCurrent& effect);
  void carry_out(wireguard::SendKeepalive& effect);
  void carry_out(wireguard::SendIntoTunnel& effect);
  void carry_out(wireguard::Compute& effect);
  void carry_out(wireguard::CountDrop& effect);
  void carry_out(wireguard::PersistTimestamp& effect);
  void carry_out(wireguard::Notify& effect);

  Status install(const wireguard::InstallKeypair& keypair, TunnelId tunnel);
  void submit_waiting();
  void log_strangers(const wireguard::Notify& effect);

  WireguardContext& context_;
  WireguardOptions options_;
  wireguard::Device device_;
  InterfaceId id_;
  std::vector<Peer> peers_;                         // by PeerId::slot
  std::unordered_map<uint32_t, Keypair> keypairs_;  // by local index
  std::optional<wireguard::Effect> held_;           // the next one, which had to wait
  std::deque<wireguard::Compute> waiting_;          // for room in the compute pool
  // Results of jobs that outlive this object find it expired.
  std::shared_ptr<WireguardInterface*> self_;
};

}  // namespace penstock
