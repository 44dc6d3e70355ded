#include "controlplane/driver/ike_installer.h"

#include <gtest/gtest.h>

#include "tests/unit/driver/recording_dataplane.h"

namespace penstock {
namespace {

struct Reports final : TunnelUser {
  void on_need_session(uint64_t place, Bytes) override { waiting.push_back(place); }
  void on_events(uint64_t place, const TunnelEvents&) override { events.push_back(place); }
  std::vector<uint64_t> waiting, events;
};

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

SelectorPair selectors() {
  SelectorPair pair;
  pair.local = {ip("10.1.0.0"), ip("10.1.255.255")};
  pair.remote = {ip("10.2.0.0"), ip("10.2.255.255")};
  return pair;
}

class IkeInstallerTest : public testing::Test {
 protected:
  static constexpr ike::ChildTunnel kChild = 7;

  void add_tunnel(uint32_t if_id = 0, DscpMode dscp = DscpMode::kZero) {
    ike::AddTunnel add;
    add.tunnel = kChild;
    add.if_id = if_id;
    add.dscp = dscp;
    add.connection = "site";
    add.child = "net";
    installer_.carry_out(add);
  }
  Status add_policy(uint32_t number, PolicyAction action = PolicyAction::kProtect,
                    uint32_t if_id = 0) {
    ike::AddPolicy add;
    add.policy = number;
    add.tunnel = kChild;
    add.if_id = if_id;
    add.selectors = selectors();
    add.action = action;
    add.priority = 1000;
    return installer_.carry_out(add);
  }
  ike::InstallChildSa sa(ike::SaRole role) {
    ike::InstallChildSa install;
    install.tunnel = kChild;
    install.role = role;
    install.inbound_spi = *dataplane_.reserve_inbound_index();
    install.outbound_spi = 0xc0000001;
    install.algorithm = SaAlgorithm::kAes256CbcSha256;
    install.inbound_keys.cipher_key.data()[0] = 1;
    install.outbound_keys.auth_key.data()[0] = 2;
    install.parameters.esn = true;
    install.parameters.hard_packets = 99;
    install.expires_at_ns = 123;
    install.owner = WorkerId{1};
    return install;
  }

  RecordingDataplane dataplane_;
  TunnelRegistry registry_;
  Reports reports_;
  IkeInstaller installer_{dataplane_, registry_, reports_};
};

TEST_F(IkeInstallerTest, child_is_installed_whole_and_removed_whole) {
  add_tunnel();
  const TunnelId tunnel{0};
  ASSERT_TRUE(dataplane_.tunnels.contains(tunnel));
  EXPECT_EQ(dataplane_.tunnels[tunnel].spec.protocol, TunnelProtocol::kEsp);
  EXPECT_FALSE(dataplane_.tunnels[tunnel].spec.interface.valid()) << "policy-based";
  ike::SetTunnelEndpoint endpoint{
      kChild, {ip("192.0.2.1"), 4500}, {ip("198.51.100.7"), 1024}, true};
  installer_.carry_out(endpoint);
  EXPECT_EQ(dataplane_.tunnels[tunnel].endpoint, (Endpoint{ip("198.51.100.7"), 1024}));
  EXPECT_EQ(dataplane_.tunnels[tunnel].local, ip("192.0.2.1"));
  EXPECT_EQ(dataplane_.tunnels[tunnel].encapsulation, Encapsulation::kUdp);
  endpoint.encapsulated = false;
  installer_.carry_out(endpoint);
  EXPECT_EQ(dataplane_.tunnels[tunnel].encapsulation, Encapsulation::kNone);
  installer_.carry_out(ike::SetSelectors{kChild, {selectors()}});
  EXPECT_EQ(dataplane_.tunnels[tunnel].selectors, std::vector<SelectorPair>{selectors()});

  const ike::InstallChildSa first = sa(ike::SaRole::kFirst);
  ASSERT_TRUE(installer_.carry_out(first).ok());
  ASSERT_TRUE(add_policy(3).ok());
  const InboundSaSpec& inbound = dataplane_.inbound.at(first.inbound_spi);
  EXPECT_EQ(inbound.algorithm, SaAlgorithm::kAes256CbcSha256);
  EXPECT_EQ(inbound.keys.cipher_key.data()[0], 1);
  EXPECT_EQ(inbound.expires_at_ns, 123);
  EXPECT_EQ(inbound.owner, WorkerId{1});
  EXPECT_TRUE(inbound.esp.esn);
  EXPECT_FALSE(inbound.promotes.valid());
  const OutboundSaSpec& outbound = dataplane_.outbound.begin()->second;
  EXPECT_EQ(outbound.peer_index, 0xc0000001U);
  EXPECT_EQ(outbound.keys.auth_key.data()[0], 2);
  EXPECT_EQ(outbound.esp.hard_packets, 99U);
  EXPECT_EQ(dataplane_.current_outbound(tunnel), *installer_.outbound_of(first.inbound_spi));
  EXPECT_EQ(dataplane_.policies.at(PolicyId{0}).tunnel, tunnel);
  EXPECT_EQ(dataplane_.policies.at(PolicyId{0}).priority, 1000U);

  installer_.carry_out(ike::RemovePolicy{3});
  installer_.carry_out(ike::RemoveChildSa{kChild, first.inbound_spi});
  EXPECT_FALSE(dataplane_.current_outbound(tunnel).valid());
  installer_.carry_out(ike::RemoveTunnel{kChild});
  EXPECT_TRUE(dataplane_.tunnels.empty() && dataplane_.policies.empty() &&
              dataplane_.inbound.empty() && dataplane_.outbound.empty());
}

TEST_F(IkeInstallerTest, responder_of_a_rekey_sends_under_the_old_sa_until_the_new_one_is_used) {
  add_tunnel();
  const ike::InstallChildSa old_sa = sa(ike::SaRole::kFirst);
  const ike::InstallChildSa new_sa = sa(ike::SaRole::kResponder);
  ASSERT_TRUE(installer_.carry_out(old_sa).ok());
  ASSERT_TRUE(installer_.carry_out(new_sa).ok());
  EXPECT_EQ(dataplane_.current_outbound(TunnelId{0}), *installer_.outbound_of(old_sa.inbound_spi));
  EXPECT_EQ(dataplane_.inbound.at(new_sa.inbound_spi).promotes,
            *installer_.outbound_of(new_sa.inbound_spi));
  EXPECT_EQ(installer_.inbound_spi_of(*installer_.outbound_of(new_sa.inbound_spi)),
            new_sa.inbound_spi);

  installer_.carry_out(ike::MakeCurrent{kChild, new_sa.inbound_spi});
  installer_.carry_out(ike::RemoveChildSa{kChild, old_sa.inbound_spi});
  EXPECT_EQ(dataplane_.current_outbound(TunnelId{0}), *installer_.outbound_of(new_sa.inbound_spi))
      << "removing the old one leaves the new one current";
  EXPECT_EQ(installer_.inbound_spis_of(kChild), std::vector<uint32_t>{new_sa.inbound_spi});
}

TEST_F(IkeInstallerTest, full_tunnel_table_discards_what_was_to_be_protected) {
  dataplane_.tunnel_limit = 0;
  add_tunnel();
  const ike::InstallChildSa first = sa(ike::SaRole::kInitiator);
  const Status installed = installer_.carry_out(first);
  ASSERT_FALSE(installed.ok());
  EXPECT_EQ(installed.error().text, "the tunnel table is full");
  ASSERT_TRUE(add_policy(1).ok());
  EXPECT_EQ(dataplane_.policies.at(PolicyId{0}).action, PolicyAction::kDiscard) << "not in clear";
  installer_.carry_out(ike::RemoveChildSa{kChild, first.inbound_spi});
  EXPECT_TRUE(dataplane_.reserved.empty()) << "the SPI is free again";
  installer_.carry_out(ike::RemovePolicy{1});
  installer_.carry_out(ike::RemoveTunnel{kChild});
}

TEST_F(IkeInstallerTest, failed_inbound_sa_leaves_nothing_behind) {
  add_tunnel();
  dataplane_.fail_inbound = true;
  const ike::InstallChildSa first = sa(ike::SaRole::kInitiator);
  EXPECT_FALSE(installer_.carry_out(first).ok());
  EXPECT_TRUE(dataplane_.outbound.empty());
  EXPECT_FALSE(dataplane_.current_outbound(TunnelId{0}).valid());
  installer_.carry_out(ike::RemoveChildSa{kChild, first.inbound_spi});
  EXPECT_TRUE(dataplane_.reserved.empty());
}

TEST_F(IkeInstallerTest, selectors_without_room_let_nothing_out_of_the_tunnel) {
  add_tunnel();
  installer_.carry_out(ike::SetSelectors{kChild, {selectors()}});
  dataplane_.fail_selectors = true;
  installer_.carry_out(ike::SetSelectors{kChild, {selectors(), selectors()}});
  EXPECT_LE(dataplane_.tunnels[TunnelId{0}].selectors.size(), 1U);
}

TEST_F(IkeInstallerTest, policy_without_room_is_reported) {
  add_tunnel();
  dataplane_.fail_policy = true;
  EXPECT_FALSE(add_policy(1).ok());
  installer_.carry_out(ike::RemovePolicy{1});  // must not touch the dataplane
}

TEST_F(IkeInstallerTest, route_based_child_attaches_to_the_interface_with_its_if_id) {
  const InterfaceId interface = *dataplane_.add_interface({"sites", TunnelProtocol::kEsp});
  installer_.add_interface(42, interface, DscpMode::kCopy);
  add_tunnel(42);
  ASSERT_TRUE(add_policy(1, PolicyAction::kProtect, 42).ok());
  EXPECT_EQ(dataplane_.tunnels[TunnelId{0}].spec.interface, interface);
  EXPECT_EQ(dataplane_.tunnels[TunnelId{0}].spec.dscp, DscpMode::kCopy) << "of the interface";
  EXPECT_EQ(dataplane_.policies.at(PolicyId{0}).interface, interface);
}

TEST_F(IkeInstallerTest, child_with_an_if_id_that_no_interface_has_is_refused) {
  add_tunnel(43);
  EXPECT_TRUE(dataplane_.tunnels.empty());
  EXPECT_TRUE(add_policy(1, PolicyAction::kProtect, 43).ok());
  EXPECT_TRUE(dataplane_.policies.empty()) << "no policy before the routes";
  const ike::InstallChildSa first = sa(ike::SaRole::kFirst);
  const Status installed = installer_.carry_out(first);
  ASSERT_FALSE(installed.ok());
  EXPECT_EQ(installed.error().text, "no section [ipsec.NAME] has if_id = 43");
}

TEST_F(IkeInstallerTest, reports_of_a_tunnel_come_until_it_is_removed) {
  add_tunnel();
  PuntedPacket packet;
  packet.kind = PuntKind::kNeedSession;
  packet.tunnel = TunnelId{0};
  EXPECT_TRUE(registry_.need_session(packet));
  TunnelEvents events;
  events.tunnel = TunnelId{0};
  registry_.events(events);
  EXPECT_EQ(reports_.waiting, std::vector<uint64_t>{kChild});
  EXPECT_EQ(reports_.events, std::vector<uint64_t>{kChild});
  installer_.carry_out(ike::RemoveTunnel{kChild});
  EXPECT_FALSE(registry_.need_session(packet));
}

TEST_F(IkeInstallerTest, packet_that_waited_goes_into_the_tunnel_only_under_an_sa) {
  add_tunnel();
  installer_.carry_out(ike::SendIntoTunnel{kChild, {1}});
  EXPECT_TRUE(dataplane_.inner_packets.empty());
  EXPECT_EQ(dataplane_.drops[static_cast<size_t>(DropReason::kTunnelNoSession)], 1U);
  ASSERT_TRUE(installer_.carry_out(sa(ike::SaRole::kInitiator)).ok());
  installer_.carry_out(ike::SendIntoTunnel{kChild, {1}});
  EXPECT_EQ(dataplane_.inner_packets.size(), 1U);
}

}  // namespace
}  // namespace penstock
