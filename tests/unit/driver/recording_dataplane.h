// A Dataplane without packets, for tests of the control plane: keeps what it is told in maps, and
// fails the test where a call breaks the contract of dataplane/api/dataplane.h.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dataplane/api/dataplane.h"

namespace penstock {

class RecordingDataplane final : public Dataplane {
 public:
  struct Datagram {
    Endpoint local, remote;
    ByteVector payload;
    uint8_t dscp = 0;
  };
  struct Tunnel {
    TunnelSpec spec;
    Endpoint endpoint;
    IpAddress local;
    Encapsulation encapsulation = Encapsulation::kUdp;
    std::vector<SelectorPair> selectors;
    SaHandle current;
  };

  [[nodiscard]] std::vector<PortInfo> ports() const override { return port_infos; }

  Status set_route(const IpPrefix& prefix, const NextHop& next_hop) override {
    if (routes_by_prefix.size() >= route_limit) return errorf("the route table is full");
    routes_by_prefix[prefix] = next_hop;
    return {};
  }
  void remove_route(const IpPrefix& prefix) override {
    EXPECT_EQ(routes_by_prefix.erase(prefix), 1U) << prefix.to_string();
  }
  [[nodiscard]] std::vector<RouteInfo> routes() const override {
    std::vector<RouteInfo> all;
    for (const auto& [prefix, next_hop] : routes_by_prefix) all.push_back({prefix, next_hop});
    return all;
  }
  Status set_neighbour(PortId port, const IpAddress& address, const MacAddress& mac) override {
    neighbours[{port, address}] = mac;
    return {};
  }
  void remove_neighbour(PortId port, const IpAddress& address) override {
    neighbours.erase({port, address});
  }

  Result<InterfaceId> add_interface(const InterfaceSpec& spec) override {
    if (port_taken(spec.listen_port, InterfaceId{})) {
      return errorf("UDP port %u is in use", spec.listen_port);
    }
    const InterfaceId id{next_interface_++};
    interfaces[id] = spec;
    return id;
  }
  Status update_interface(InterfaceId interface, const InterfaceSpec& spec) override {
    EXPECT_TRUE(interfaces.contains(interface));
    if (port_taken(spec.listen_port, interface)) {
      return errorf("UDP port %u is in use", spec.listen_port);
    }
    interfaces[interface] = spec;
    return {};
  }
  void remove_interface(InterfaceId interface) override {
    EXPECT_EQ(interfaces.erase(interface), 1U);
  }
  Status set_allowed_ip(InterfaceId interface, const IpPrefix& prefix, TunnelId tunnel) override {
    EXPECT_TRUE(interfaces.contains(interface));
    EXPECT_TRUE(tunnels.contains(tunnel));
    if (fail_allowed_ip) return errorf("no room");
    allowed_ips[{interface, prefix}] = tunnel;
    return {};
  }
  void remove_allowed_ip(InterfaceId interface, const IpPrefix& prefix) override {
    const size_t removed = allowed_ips.erase({interface, prefix});
    EXPECT_TRUE(removed == 1 || fail_allowed_ip) << prefix.to_string();
  }

  [[nodiscard]] std::optional<IpAddress> source_address_for(
      const IpAddress& remote) const override {
    const auto found = source_addresses.find(remote.family());
    if (found == source_addresses.end()) return std::nullopt;
    return found->second;
  }
  Result<PolicyId> add_policy(const PolicySpec& spec) override {
    if (fail_policy) return errorf("no room");
    if (spec.action == PolicyAction::kProtect) {
      EXPECT_TRUE(tunnels.contains(spec.tunnel));
    }
    const PolicyId id{next_policy_++};
    policies[id] = spec;
    return id;
  }
  void remove_policy(PolicyId policy) override { EXPECT_EQ(policies.erase(policy), 1U); }
  void listen_ike(bool listen) override { ike_listening = listen; }

  Result<TunnelId> add_tunnel(const TunnelSpec& spec) override {
    if (tunnels.size() + tunnels_in_grace >= tunnel_limit)
      return errorf("the tunnel table is full");
    const TunnelId id{next_tunnel_++};
    tunnels[id].spec = spec;
    return id;
  }
  void remove_tunnel(TunnelId tunnel) override {
    for (const auto& [key, owner] : allowed_ips) EXPECT_NE(owner, tunnel);
    for (const auto& [id, policy] : policies) EXPECT_NE(policy.tunnel, tunnel);
    EXPECT_EQ(tunnels.erase(tunnel), 1U);
    ++tunnels_in_grace;
  }
  void set_tunnel_endpoint(TunnelId tunnel, const Endpoint& remote, const IpAddress& local,
                           Encapsulation encapsulation) override {
    ASSERT_TRUE(tunnels.contains(tunnel));
    tunnels[tunnel].endpoint = remote;
    tunnels[tunnel].local = local;
    tunnels[tunnel].encapsulation = encapsulation;
  }
  Status set_tunnel_selectors(TunnelId tunnel, std::span<const SelectorPair> selectors) override {
    EXPECT_TRUE(tunnels.contains(tunnel));
    if (fail_selectors) return errorf("no room");
    tunnels[tunnel].selectors.assign(selectors.begin(), selectors.end());
    return {};
  }

  Result<uint32_t> reserve_inbound_index() override {
    const uint32_t index = next_index_ += 0x1001;
    reserved.insert(index);
    return index;
  }
  void release_inbound_index(uint32_t index) override {
    EXPECT_EQ(reserved.erase(index), 1U) << index;
  }
  Status install_inbound_sa(const InboundSaSpec& spec) override {
    if (fail_inbound) return errorf("no room");
    EXPECT_TRUE(tunnels.contains(spec.tunnel));
    EXPECT_EQ(reserved.erase(spec.index), 1U) << "an index that was not reserved";
    if (spec.promotes.valid()) {
      EXPECT_TRUE(outbound.contains(spec.promotes.slot));
    }
    inbound.emplace(spec.index, spec);
    return {};
  }
  void remove_inbound_sa(uint32_t index) override { EXPECT_EQ(inbound.erase(index), 1U); }
  Result<SaHandle> install_outbound_sa(const OutboundSaSpec& spec) override {
    EXPECT_TRUE(tunnels.contains(spec.tunnel));
    const SaHandle handle{next_slot_++, 1};
    outbound.emplace(handle.slot, spec);
    return handle;
  }
  void set_current_outbound(TunnelId tunnel, SaHandle sa) override {
    if (sa.valid()) {
      EXPECT_TRUE(outbound.contains(sa.slot));
    }
    tunnels.at(tunnel).current = sa;
  }
  [[nodiscard]] SaHandle current_outbound(TunnelId tunnel) const override {
    return tunnels.at(tunnel).current;
  }
  void remove_outbound_sa(SaHandle sa) override { EXPECT_EQ(outbound.erase(sa.slot), 1U); }

  bool send_datagram(const Endpoint& local, const Endpoint& remote, Bytes payload,
                     uint8_t dscp) override {
    datagrams.push_back({local, remote, to_vector(payload), dscp});
    return true;
  }
  bool send_ip(Bytes packet) override {
    ip_packets.push_back(to_vector(packet));
    return true;
  }
  bool send_frame(PortId port, const MacAddress& destination, uint16_t ether_type,
                  Bytes payload) override {
    frames.push_back({port, destination, ether_type, to_vector(payload)});
    return true;
  }
  bool send_keepalive(TunnelId tunnel) override {
    EXPECT_TRUE(tunnels.contains(tunnel));
    keepalives.push_back(tunnel);
    return true;
  }
  bool send_into_tunnel(TunnelId tunnel, Bytes inner_packet) override {
    EXPECT_TRUE(current_outbound(tunnel).valid());
    inner_packets.emplace_back(tunnel, to_vector(inner_packet));
    return true;
  }

  size_t poll_punts(size_t budget,
                    const std::function<void(const PuntedPacket&)>& deliver) override {
    size_t count = 0;
    for (; count < budget && !punts.empty(); ++count) {
      auto [packet, bytes] = std::move(punts.front());
      punts.pop_front();
      packet.bytes = bytes;
      deliver(packet);
    }
    return count;
  }
  size_t poll_events(bool, const std::function<void(const TunnelEvents&)>& deliver) override {
    std::vector<TunnelEvents> taken;
    taken.swap(events);
    for (const TunnelEvents& one : taken) deliver(one);
    return taken.size();
  }
  void poll_reclaim() override {
    ++reclaims;
    tunnels_in_grace = 0;
  }

  [[nodiscard]] std::vector<WorkerCounters> worker_counters() const override { return {worker}; }
  [[nodiscard]] TunnelCounters tunnel_counters(TunnelId tunnel) const override {
    const auto found = counters.find(tunnel);
    return found == counters.end() ? TunnelCounters{} : found->second;
  }
  [[nodiscard]] SaCounters inbound_sa_counters(uint32_t index) const override {
    const auto found = inbound_counters.find(index);
    return found == inbound_counters.end() ? SaCounters{} : found->second;
  }
  [[nodiscard]] SaCounters outbound_sa_counters(SaHandle sa) const override {
    const auto found = outbound_counters.find(sa.slot);
    return found == outbound_counters.end() ? SaCounters{} : found->second;
  }
  [[nodiscard]] DropCounters control_drops() const override { return drops; }
  void count_drop(DropReason reason, uint64_t packets) override {
    drops[static_cast<size_t>(reason)] += packets;
  }

  struct Frame {
    PortId port;
    MacAddress destination;
    uint16_t ether_type = 0;
    ByteVector payload;
  };
  std::vector<PortInfo> port_infos;
  std::map<IpPrefix, NextHop> routes_by_prefix;
  std::map<std::pair<PortId, IpAddress>, MacAddress> neighbours;
  std::map<InterfaceId, InterfaceSpec> interfaces;
  std::map<std::pair<InterfaceId, IpPrefix>, TunnelId> allowed_ips;
  std::map<TunnelId, Tunnel> tunnels;
  std::map<PolicyId, PolicySpec> policies;
  std::map<Family, IpAddress> source_addresses;  // that source_address_for() answers
  bool ike_listening = false;
  std::set<uint32_t> reserved;
  std::map<uint32_t, InboundSaSpec> inbound;    // by index
  std::map<uint32_t, OutboundSaSpec> outbound;  // by slot
  std::deque<Datagram> datagrams;
  std::vector<ByteVector> ip_packets;
  std::vector<Frame> frames;
  std::vector<TunnelId> keepalives;
  std::vector<std::pair<TunnelId, ByteVector>> inner_packets;
  std::deque<std::pair<PuntedPacket, ByteVector>> punts;
  std::vector<TunnelEvents> events;
  std::map<TunnelId, TunnelCounters> counters;
  std::map<uint32_t, SaCounters> inbound_counters;   // by index
  std::map<uint32_t, SaCounters> outbound_counters;  // by slot
  WorkerCounters worker{WorkerId{0}};
  DropCounters drops{};  // of the control plane
  size_t route_limit = SIZE_MAX, tunnel_limit = SIZE_MAX;
  size_t tunnels_in_grace = 0;  // removed, but their slots are not free yet
  bool fail_inbound = false, fail_allowed_ip = false, fail_selectors = false, fail_policy = false;
  int reclaims = 0;

 private:
  [[nodiscard]] bool port_taken(uint16_t port, InterfaceId except) const {
    for (const auto& [id, spec] : interfaces) {
      if (id != except && spec.listen_port == port) return true;
    }
    return false;
  }
  uint32_t next_interface_ = 0, next_tunnel_ = 0, next_slot_ = 0;
  uint32_t next_index_ = 0x10000, next_policy_ = 0;
};

}  // namespace penstock
