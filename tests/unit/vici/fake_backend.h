// Stands for the engine in tests of the protocol alone: keeps what it is told, shows what it is
// given to show.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/vici/backend.h"

namespace penstock::vici {

class FakeBackend final : public Backend {
 public:
  [[nodiscard]] ike::Now now() const override { return {boot_ns, wall_ns}; }
  Status load_connection(std::shared_ptr<const ike::ConnectionConfig> connection) override {
    calls.push_back("load_connection " + connection->name);
    if (!refuse.empty()) return Error{refuse};
    loaded[connection->name] = connection;
    return {};
  }
  bool unload_connection(const std::string& name) override {
    calls.push_back("unload_connection " + name);
    return loaded.erase(name) > 0;
  }
  Status load_pool(const ike::PoolConfig& pool) override {
    calls.push_back("load_pool " + pool.name);
    ike::PoolInfo info;
    info.name = pool.name;
    info.first = pool.first;
    info.last = pool.last;
    info.size = 254;
    shown_pools[pool.name] = info;
    return {};
  }
  Status unload_pool(const std::string& name) override {
    calls.push_back("unload_pool " + name);
    if (shown_pools[name].online > 0) return errorf("pool %s has online leases", name.c_str());
    shown_pools.erase(name);
    return {};
  }
  void set_credentials(std::shared_ptr<const ike::CredentialSnapshot> set) override {
    calls.emplace_back("set_credentials");
    credentials = std::move(set);
  }
  void initiate(ike::CommandId command, const std::string& connection,
                const std::string& child) override {
    calls.push_back("initiate " + connection + " " + child);
    last_command = command;
    if (on_command) on_command(command);
  }
  size_t terminate(ike::CommandId command, const ike::SaSelection& selection, bool force,
                   Nanoseconds) override {
    calls.push_back("terminate " + selection.ike + " " + selection.child + " " +
                    std::to_string(selection.ike_id) + " " + std::to_string(selection.child_id) +
                    (force ? " force" : ""));
    last_command = command;
    if (on_command) on_command(command);
    return matches;
  }
  size_t rekey(const ike::SaSelection& selection, bool reauthenticate) override {
    calls.push_back("rekey " + selection.ike + " " + selection.child +
                    (reauthenticate ? " reauth" : ""));
    return matches;
  }
  Status install(const std::string& connection, const std::string& child) override {
    calls.push_back("install " + connection + " " + child);
    return {};
  }
  Status uninstall(const std::string& connection, const std::string& child) override {
    calls.push_back("uninstall " + connection + " " + child);
    return {};
  }
  void forget_command(ike::CommandId) override { calls.emplace_back("forget"); }
  void for_each_ike_sa(const std::string& connection, uint32_t ike_id,
                       const std::function<void(const ike::IkeSaInfo&)>& visit) const override {
    for (const auto& sa : sas) {
      if (!connection.empty() && sa.connection != connection) continue;
      if (ike_id != 0 && sa.unique_id != ike_id) continue;
      visit(sa);
    }
  }
  [[nodiscard]] std::vector<ike::PolicyInfo> policies() const override { return shown_policies; }
  [[nodiscard]] std::vector<ike::PoolInfo> pools() const override {
    std::vector<ike::PoolInfo> all;
    for (const auto& [name, pool] : shown_pools) all.push_back(pool);
    return all;
  }
  [[nodiscard]] std::vector<ike::LeaseInfo> leases(const std::string&) const override {
    return shown_leases;
  }
  [[nodiscard]] ike::Counters counters() const override { return global; }
  [[nodiscard]] std::optional<ike::Counters> counters(
      const std::string& connection) const override {
    if (!loaded.contains(connection)) return std::nullopt;
    return global;
  }
  void reset_counters(const std::string& connection) override {
    calls.push_back("reset_counters " + connection);
  }
  [[nodiscard]] std::vector<std::string> counted_connections() const override {
    std::vector<std::string> all;
    for (const auto& [name, config] : loaded) all.push_back(name);
    return all;
  }
  [[nodiscard]] ike::EngineTotals totals() const override {
    ike::EngineTotals totals;
    totals.ike_sas = sas.size();
    return totals;
  }
  [[nodiscard]] std::optional<ChildTraffic> child_traffic(ike::ChildTunnel,
                                                          uint32_t inbound_spi) const override {
    if (inbound_spi == 0) return std::nullopt;
    ChildTraffic traffic;
    traffic.inbound = {12, 3456, boot_ns - 2 * kSecond};
    traffic.outbound = {34, 56789, 0};
    return traffic;
  }
  [[nodiscard]] size_t count(const std::string& prefix) const {
    size_t found = 0;
    for (const auto& call : calls) found += call.starts_with(prefix) ? 1 : 0;
    return found;
  }

  Nanoseconds boot_ns = 1'000'000 * kSecond, wall_ns = 1'800'000'000 * kSecond;
  std::vector<std::string> calls;
  std::string refuse;  // of load_connection
  std::map<std::string, std::shared_ptr<const ike::ConnectionConfig>> loaded;
  std::shared_ptr<const ike::CredentialSnapshot> credentials;
  std::map<std::string, ike::PoolInfo> shown_pools;
  std::vector<ike::LeaseInfo> shown_leases;
  std::vector<ike::PolicyInfo> shown_policies;
  std::vector<ike::IkeSaInfo> sas;
  ike::Counters global{};
  size_t matches = 0;
  ike::CommandId last_command = 0;
  std::function<void(ike::CommandId)> on_command;  // as the engine, which may answer at once
};

// An established IKE SA with one child, as an initiator behind a NAT sees it.
inline ike::IkeSaInfo established_sa(uint32_t id, const std::string& connection,
                                     Nanoseconds boot_ns) {
  ike::IkeSaInfo sa;
  sa.unique_id = id;
  sa.connection = connection;
  sa.state = ike::IkeState::kEstablished;
  sa.initiator = true;
  sa.initiator_spi = 0x0102030405060708;
  sa.responder_spi = 0x1112131415161718;
  sa.local = {*IpAddress::parse("192.0.2.1"), 4500};
  sa.remote = {*IpAddress::parse("198.51.100.7"), 4500};
  sa.local_id = ike::Identity::fqdn("gw.example");
  sa.remote_id = *ike::Identity::parse("C=CH, O=Example, CN=carol");
  sa.nat_local = sa.nat_any = true;
  sa.suite.encryption = ike::EncryptionId::kAesGcm16;
  sa.suite.key_bits = 256;
  sa.suite.prf = ike::PrfId::kHmacSha384;
  sa.suite.group = ike::DhGroup::kEcp384;
  sa.remote_vips = {*IpAddress::parse("10.3.0.1")};
  sa.established_ns = boot_ns - 100 * kSecond;
  sa.rekey_at_ns = boot_ns + 1000 * kSecond;
  ike::ChildSaInfo child;
  child.unique_id = id + 100;
  child.name = "net";
  child.state = ike::ChildState::kInstalled;
  child.reqid = 1;
  child.inbound_spi = 0xc0000001;
  child.outbound_spi = 0xc0000002;
  child.encapsulated = true;
  child.suite.protocol = ike::ProtocolId::kEsp;
  child.suite.encryption = ike::EncryptionId::kAesCbc;
  child.suite.key_bits = 128;
  child.suite.integrity = ike::IntegrityId::kHmacSha256_128;
  child.suite.esn = true;
  TrafficSelector selector;
  selector.first = *IpAddress::parse("10.1.0.0");
  selector.last = *IpAddress::parse("10.1.255.255");
  child.local_ts = {selector};
  selector.first = selector.last = *IpAddress::parse("10.3.0.1");
  child.remote_ts = {selector};
  child.installed_ns = boot_ns - 90 * kSecond;
  child.rekey_at_ns = boot_ns + 3000 * kSecond;
  child.life_at_ns = boot_ns + 3900 * kSecond;
  sa.children = {child};
  return sa;
}

}  // namespace penstock::vici
