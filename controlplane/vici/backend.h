// What the VICI server needs of the gateway: the IKE engine's configuration, commands and listings,
// and the few things that only its driver knows (the clock, live counters of the dataplane).
//
// The driver implements GatewayHooks and hands an EngineBackend to the server; every ike::Notify
// effect goes to Server::on_notify(). Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/ike/engine.h"
#include "gateway/base/result.h"

namespace penstock::vici {

// Of one direction of a CHILD_SA, since it was installed.
struct SaTraffic {
  uint64_t packets = 0, bytes = 0;
  Nanoseconds last_used_boot_ns = 0;  // 0: never
};
struct ChildTraffic {
  SaTraffic inbound, outbound;
};

// What the driver of the engine gives (penstock's IkeGateway).
class GatewayHooks {
 public:
  virtual ~GatewayHooks() = default;
  [[nodiscard]] virtual ike::Now now() const = 0;
  // The engine may have effects to carry out and a new next_timeout(). Called after every call that
  // changes the engine; may carry them out at once or in the loop's next turn. What it tells the
  // server with on_notify() may arrive before this returns.
  virtual void engine_changed() = 0;
  // Live counters of the pair of SAs with this inbound SPI; empty: not (or no longer) installed.
  [[nodiscard]] virtual std::optional<ChildTraffic> child_traffic(ike::ChildTunnel tunnel,
                                                                  uint32_t inbound_spi) const = 0;
};

// The engine as the server sees it. Each function is that of ike::Engine with the same name.
class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual ike::Now now() const = 0;

  virtual Status load_connection(std::shared_ptr<const ike::ConnectionConfig> connection) = 0;
  virtual bool unload_connection(const std::string& name) = 0;
  virtual Status load_pool(const ike::PoolConfig& pool) = 0;
  virtual Status unload_pool(const std::string& name) = 0;
  virtual void set_credentials(std::shared_ptr<const ike::CredentialSnapshot> credentials) = 0;

  virtual void initiate(ike::CommandId command, const std::string& connection,
                        const std::string& child) = 0;
  virtual size_t terminate(ike::CommandId command, const ike::SaSelection& selection, bool force,
                           Nanoseconds timeout_ns) = 0;
  virtual size_t rekey(const ike::SaSelection& selection, bool reauthenticate) = 0;
  virtual Status install(const std::string& connection, const std::string& child) = 0;
  virtual Status uninstall(const std::string& connection, const std::string& child) = 0;
  virtual void forget_command(ike::CommandId command) = 0;

  virtual void for_each_ike_sa(const std::string& connection, uint32_t ike_id,
                               const std::function<void(const ike::IkeSaInfo&)>& visit) const = 0;
  [[nodiscard]] virtual std::vector<ike::PolicyInfo> policies() const = 0;
  [[nodiscard]] virtual std::vector<ike::PoolInfo> pools() const = 0;
  [[nodiscard]] virtual std::vector<ike::LeaseInfo> leases(const std::string& pool) const = 0;
  [[nodiscard]] virtual ike::Counters counters() const = 0;
  [[nodiscard]] virtual std::optional<ike::Counters> counters(
      const std::string& connection) const = 0;
  virtual void reset_counters(const std::string& connection) = 0;
  [[nodiscard]] virtual std::vector<std::string> counted_connections() const = 0;
  [[nodiscard]] virtual ike::EngineTotals totals() const = 0;

  [[nodiscard]] virtual std::optional<ChildTraffic> child_traffic(ike::ChildTunnel tunnel,
                                                                  uint32_t inbound_spi) const = 0;
};

// Both must outlive it.
class EngineBackend final : public Backend {
 public:
  EngineBackend(ike::Engine& engine, GatewayHooks& hooks) : engine_(engine), hooks_(hooks) {}

  [[nodiscard]] ike::Now now() const override { return hooks_.now(); }
  Status load_connection(std::shared_ptr<const ike::ConnectionConfig> connection) override {
    return changed(engine_.load_connection(now(), std::move(connection)));
  }
  bool unload_connection(const std::string& name) override {
    return changed(engine_.unload_connection(now(), name));
  }
  Status load_pool(const ike::PoolConfig& pool) override {
    return changed(engine_.load_pool(pool));
  }
  Status unload_pool(const std::string& name) override {
    return changed(engine_.unload_pool(name));
  }
  void set_credentials(std::shared_ptr<const ike::CredentialSnapshot> credentials) override {
    engine_.set_credentials(std::move(credentials));
    hooks_.engine_changed();
  }
  void initiate(ike::CommandId command, const std::string& connection,
                const std::string& child) override {
    engine_.initiate(now(), command, connection, child);
    hooks_.engine_changed();
  }
  size_t terminate(ike::CommandId command, const ike::SaSelection& selection, bool force,
                   Nanoseconds timeout_ns) override {
    return changed(engine_.terminate(now(), command, selection, force, timeout_ns));
  }
  size_t rekey(const ike::SaSelection& selection, bool reauthenticate) override {
    return changed(engine_.rekey(now(), selection, reauthenticate));
  }
  Status install(const std::string& connection, const std::string& child) override {
    return changed(engine_.install(now(), connection, child));
  }
  Status uninstall(const std::string& connection, const std::string& child) override {
    return changed(engine_.uninstall(now(), connection, child));
  }
  void forget_command(ike::CommandId command) override { engine_.forget_command(command); }

  void for_each_ike_sa(const std::string& connection, uint32_t ike_id,
                       const std::function<void(const ike::IkeSaInfo&)>& visit) const override {
    engine_.for_each_ike_sa(connection, ike_id, visit);
  }
  [[nodiscard]] std::vector<ike::PolicyInfo> policies() const override {
    return engine_.policies();
  }
  [[nodiscard]] std::vector<ike::PoolInfo> pools() const override { return engine_.pools(); }
  [[nodiscard]] std::vector<ike::LeaseInfo> leases(const std::string& pool) const override {
    return engine_.leases(pool);
  }
  [[nodiscard]] ike::Counters counters() const override { return engine_.counters(); }
  [[nodiscard]] std::optional<ike::Counters> counters(
      const std::string& connection) const override {
    return engine_.counters(connection);
  }
  void reset_counters(const std::string& connection) override {
    engine_.reset_counters(connection);
  }
  [[nodiscard]] std::vector<std::string> counted_connections() const override {
    return engine_.counted_connections();
  }
  [[nodiscard]] ike::EngineTotals totals() const override { return engine_.totals(); }
  [[nodiscard]] std::optional<ChildTraffic> child_traffic(ike::ChildTunnel tunnel,
                                                          uint32_t inbound_spi) const override {
    return hooks_.child_traffic(tunnel, inbound_spi);
  }

 private:
  template <class T>
  T changed(T result) {
    hooks_.engine_changed();
    return result;
  }
  ike::Engine& engine_;
  GatewayHooks& hooks_;
};

}  // namespace penstock::vici
