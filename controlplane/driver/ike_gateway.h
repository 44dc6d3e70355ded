// IKEv2 between its protocol machine and the world: carries out the engine's effects, hands it what
// the workers report, and asks the host's network what it wants to know.
//
// Control thread only.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/driver/compute_pool.h"
#include "controlplane/driver/host_helper.h"
#include "controlplane/driver/ike_installer.h"
#include "controlplane/driver/ike_log.h"
#include "controlplane/driver/route_book.h"
#include "controlplane/driver/tunnel_registry.h"
#include "controlplane/driver/url_fetch.h"
#include "controlplane/ike/engine.h"
#include "controlplane/vici/backend.h"
#include "dataplane/api/dataplane.h"

namespace penstock {

// A route-based interface: [ipsec.NAME].
struct IkeInterfaceOptions {
  InterfaceSpec spec;  // protocol kEsp
  uint32_t if_id = 0;
  std::optional<DscpMode> dscp;  // absent: as each child says
  std::vector<InterfaceAddress> addresses;
};

struct IkeGatewayOptions {
  ike::Options engine;
  FetchLimits fetch;
  std::vector<IpAddress> local_addresses;  // of the ports on the outside
  std::vector<IkeInterfaceOptions> interfaces;
};

// What it works with; outlives it.
struct IkeContext {
  Dataplane& dataplane;
  ComputePool& pool;
  HostHelper& helper;
  RouteBook& routes;
  RandomSource& random;
  TunnelRegistry& tunnels;
};

class IkeGateway final : public PolledService,
                         public TunnelUser,
                         public ike::Host,
                         public vici::GatewayHooks {
 public:
  // The cryptography has proved itself, the interfaces with their addresses and routes are there,
  // and IKE's ports are listened to.
  static Result<std::unique_ptr<IkeGateway>> create(const IkeContext& context,
                                                    const IkeGatewayOptions& options);
  ~IkeGateway() override;
  IkeGateway(const IkeGateway&) = delete;
  IkeGateway& operator=(const IkeGateway&) = delete;

  // A route-based interface.
  struct Interface {
    IkeInterfaceOptions options;
    InterfaceId id;
  };
  [[nodiscard]] const std::vector<Interface>& interfaces() const { return interfaces_; }
  [[nodiscard]] const Interface* find(std::string_view name) const;

  // For the VICI server and the listings; whoever changes the engine calls engine_changed().
  [[nodiscard]] ike::Engine& engine() { return engine_; }
  [[nodiscard]] const ike::Engine& engine() const { return engine_; }
  [[nodiscard]] ike::CredentialStore& credentials() { return credentials_; }

  // Told of every Notify, after it has been logged.
  void set_listener(std::function<void(const ike::Notify&)> listener) {
    listener_ = std::move(listener);
  }
  // Told which virtual addresses are in use: whoever answers for them inside.
  void set_lease_listener(std::function<void(const IpAddress&, bool leased)> listener) {
    lease_listener_ = std::move(listener);
  }

  // Ends all IKE SAs, telling the peers; those that do not answer within `limit_ns` without their
  // word. False: there are none.
  bool say_goodbye(Nanoseconds limit_ns);

  // Punts of kind kIke and kUnknownSpi.
  void on_punt(const PuntedPacket& packet);

  // TunnelUser: the place is a ChildTunnel.
  void on_need_session(uint64_t place, Bytes inner_packet) override;
  void on_events(uint64_t place, const TunnelEvents& events) override;

  // PolledService
  bool turn(Nanoseconds boot_ns) override;
  [[nodiscard]] Nanoseconds next_deadline_ns() const override;

  // ike::Host
  Result<uint32_t> reserve_spi() override;
  void release_spi(uint32_t spi) override;
  [[nodiscard]] std::optional<IpAddress> source_address_for(const IpAddress& remote) const override;
  [[nodiscard]] std::vector<IpAddress> local_addresses() const override;

  // vici::GatewayHooks
  [[nodiscard]] ike::Now now() const override;
  void engine_changed() override { changed_ = true; }
  [[nodiscard]] std::optional<vici::ChildTraffic> child_traffic(
      ike::ChildTunnel tunnel, uint32_t inbound_spi) const override;

 private:
  IkeGateway(const IkeContext& context, const IkeGatewayOptions& options);
  Status open();
  // The effects, one function each.
  void carry_out(ike::SendDatagram& effect);
  void carry_out(ike::AddPolicy& effect);
  void carry_out(ike::InstallChildSa& effect);
  // The rest of what is installed.
  template <class Effect>
  void carry_out(Effect& effect) {
    installer_.carry_out(effect);
  }
  void carry_out(ike::Compute& effect);
  void carry_out(ike::ResolveName& effect);
  void carry_out(ike::FetchUrl& effect);
  void carry_out(ike::CountDrop& effect);
  void carry_out(ike::Notify& effect);

  void submit_waiting();
  void resolved(const std::string& name, const Result<std::vector<IpAddress>>& addresses);
  void fetched(uint64_t id, const ike::StatusFetch& what, const Result<ByteVector>& document);

  IkeContext context_;
  IkeGatewayOptions options_;
  ike::CredentialStore credentials_;
  ike::Engine engine_;
  IkeInstaller installer_;
  std::vector<Interface> interfaces_;
  std::deque<ike::Compute> waiting_;  // for room in the compute pool
  std::function<void(const ike::Notify&)> listener_;
  std::function<void(const IpAddress&, bool)> lease_listener_;
  IkeLog log_;
  bool changed_ = false;  // by a command, since the last turn
  // Results of jobs that outlive this object find it expired.
  std::shared_ptr<IkeGateway*> self_;
};

}  // namespace penstock
