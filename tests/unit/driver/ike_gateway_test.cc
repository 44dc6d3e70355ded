#include "controlplane/driver/ike_gateway.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controlplane/driver/control_json.h"
#include "gateway/cli/render.h"
#include "tests/unit/driver/two_ike_gateways.h"

namespace penstock {
namespace {

class IkeGatewayTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
    left_ = std::make_unique<IkeSide>(*loop_, "192.0.2.1");
    right_ = std::make_unique<IkeSide>(*loop_, "192.0.2.2");
    wire_ = std::make_unique<IkeWire>(*loop_, *left_, *right_);
  }
  void load(const std::string& left_secret = "secret", const std::string& right_secret = "secret") {
    left_->load(*right_, "10.1.0.0/16", "10.2.0.0/16", left_secret);
    right_->load(*left_, "10.2.0.0/16", "10.1.0.0/16", right_secret);
  }
  bool both_up() {
    return run_until(*loop_, [&] { return left_->up() && right_->up(); });
  }
  // `penstock tunnels`, of its IPsec part.
  static ControlJson listing(const IkeSide& side) {
    const ControlList list = list_ipsec_tunnels(*side.gateway);
    ControlJson all = ControlJson::array();
    for (size_t i = 0; i < list.count; ++i) all.push_back(list.describe(i));
    return all;
  }
  static std::string table(const IkeSide& side) {
    const auto text = cli::render("tunnels", ControlJson{{"ipsec", listing(side)}}.dump());
    EXPECT_TRUE(text.ok());
    return text.ok() ? *text : "";
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<IkeSide> left_, right_;
  std::unique_ptr<IkeWire> wire_;
};

TEST_F(IkeGatewayTest, ike_ports_are_listened_to_while_it_lives) {
  EXPECT_TRUE(left_->dataplane.ike_listening);
}

TEST_F(IkeGatewayTest, child_comes_up_with_matching_sas_on_both_sides) {
  load();
  left_->initiate();
  ASSERT_TRUE(both_up());
  const auto& left = left_->dataplane;
  const auto& right = right_->dataplane;
  ASSERT_EQ(left.inbound.size(), 1U);
  ASSERT_EQ(right.inbound.size(), 1U);
  const auto& left_in = left.inbound.begin()->second;
  const auto& right_in = right.inbound.begin()->second;
  const auto& left_out = left.outbound.begin()->second;
  const auto& right_out = right.outbound.begin()->second;
  EXPECT_EQ(left_out.peer_index, right_in.index);
  EXPECT_EQ(right_out.peer_index, left_in.index);
  EXPECT_EQ(left_out.algorithm, right_in.algorithm);
  EXPECT_EQ(left_out.keys.cipher_key, right_in.keys.cipher_key);
  EXPECT_EQ(right_out.keys.cipher_key, left_in.keys.cipher_key);
  EXPECT_NE(left_out.keys.cipher_key, right_out.keys.cipher_key);
  EXPECT_EQ(left.tunnels.begin()->second.endpoint.address, right_->address);
  EXPECT_EQ(right.tunnels.begin()->second.endpoint.address, left_->address);
  ASSERT_EQ(left.policies.size(), 1U);
  const PolicySpec& policy = left.policies.begin()->second;
  EXPECT_EQ(policy.action, PolicyAction::kProtect);
  EXPECT_EQ(policy.selectors.remote.first.to_string(), "10.2.0.0");
  EXPECT_EQ(policy.selectors.remote.last.to_string(), "10.2.255.255");
  EXPECT_EQ(left_->told(ike::Notify::Kind::kChildUp), 1U);
  EXPECT_EQ(left_->told(ike::Notify::Kind::kCommandDone), 1U);

  left_->dataplane.inbound_counters[left_in.index] = {3, 300, 0, 0, 0, 0};
  const ControlJson sas = listing(*left_);
  ASSERT_EQ(sas.size(), 1U);
  EXPECT_EQ(sas[0]["connection"], "home");
  EXPECT_EQ(sas[0]["state"], "up");
  EXPECT_EQ(sas[0]["remote"], "192.0.2.2:" + std::to_string(sas[0]["initiator"] ? 4500 : 500))
      << sas.dump();
  ASSERT_EQ(sas[0]["children"].size(), 1U);
  EXPECT_EQ(sas[0]["children"][0]["state"], "up");
  EXPECT_EQ(sas[0]["children"][0]["rx_bytes"], 300);
  EXPECT_EQ(sas[0]["children"][0]["remote_ts"], ControlJson({"10.2.0.0/16"}));
  EXPECT_NE(table(*left_).find("home        net    up"), std::string::npos) << table(*left_);
}

TEST_F(IkeGatewayTest, terminated_child_leaves_nothing_in_the_dataplane) {
  load();
  left_->initiate();
  ASSERT_TRUE(both_up());
  ike::SaSelection all;
  all.ike = "home";
  EXPECT_EQ(left_->gateway->engine().terminate(left_->gateway->now(), 2, all, false), 1U);
  left_->gateway->engine_changed();
  ASSERT_TRUE(run_until(*loop_, [&] {
    return left_->dataplane.tunnels.empty() && right_->dataplane.tunnels.empty();
  }));
  for (const auto* side : {left_.get(), right_.get()}) {
    EXPECT_TRUE(side->dataplane.inbound.empty());
    EXPECT_TRUE(side->dataplane.outbound.empty());
    EXPECT_TRUE(side->dataplane.policies.empty());
    EXPECT_TRUE(side->dataplane.reserved.empty());
  }
}

TEST_F(IkeGatewayTest, peers_are_told_goodbye) {
  EXPECT_FALSE(left_->gateway->say_goodbye(kSecond)) << "to nobody";
  load();
  left_->initiate();
  ASSERT_TRUE(both_up());
  EXPECT_TRUE(left_->gateway->say_goodbye(kSecond));
  ASSERT_TRUE(run_until(*loop_, [&] {
    return left_->gateway->engine().totals().ike_sas == 0 && right_->dataplane.tunnels.empty();
  }));
}

TEST_F(IkeGatewayTest, peer_that_does_not_answer_a_goodbye_is_not_waited_for) {
  load();
  left_->initiate();
  ASSERT_TRUE(both_up());
  wire_.reset();
  EXPECT_TRUE(left_->gateway->say_goodbye(50 * kMillisecond));
  EXPECT_TRUE(run_until(
      *loop_, [&] { return left_->gateway->engine().totals().ike_sas == 0; }, kSecond));
}

TEST_F(IkeGatewayTest, wrong_secret_is_told_in_words_and_listed_as_down) {
  load("secret", "another");
  left_->initiate();
  ASSERT_TRUE(
      run_until(*loop_, [&] { return left_->told(ike::Notify::Kind::kCommandFailed) == 1; }));
  EXPECT_TRUE(left_->dataplane.tunnels.empty());
  EXPECT_TRUE(right_->dataplane.tunnels.empty());
  EXPECT_TRUE(left_->dataplane.reserved.empty()) << "its SPI is free again";
  const ControlJson down = listing(*right_);
  ASSERT_EQ(down.size(), 1U) << down.dump();
  EXPECT_EQ(down[0]["connection"], "home");
  EXPECT_EQ(down[0]["state"], "down");
  EXPECT_NE(down[0]["last_error"].get<std::string>().find("pre-shared key"), std::string::npos)
      << down.dump();
  EXPECT_NE(table(*right_).find("pre-shared key"), std::string::npos);
}

TEST_F(IkeGatewayTest, child_that_the_dataplane_has_no_room_for_is_not_up) {
  load();
  right_->dataplane.fail_inbound = true;
  left_->initiate();
  using Kind = ike::Notify::Kind;
  ASSERT_TRUE(run_until(
      *loop_, [&] { return left_->told(Kind::kCommandDone) + left_->told(Kind::kCommandFailed); }));
  // The initiator may have been told yes before the dataplane said no: then a DELETE follows.
  EXPECT_TRUE(run_until(*loop_, [&] {
    return left_->dataplane.inbound.empty() && right_->dataplane.outbound.empty() &&
           right_->dataplane.policies.empty() && right_->dataplane.reserved.empty();
  }));
  EXPECT_FALSE(right_->up());
}

TEST_F(IkeGatewayTest, packet_of_a_trap_brings_the_child_up) {
  left_->trap = true;
  load();
  ASSERT_TRUE(run_until(*loop_, [&] { return left_->dataplane.policies.size() == 1; }));
  const PolicySpec trap = left_->dataplane.policies.begin()->second;
  EXPECT_EQ(trap.action, PolicyAction::kProtect) << "never in clear";
  // An IPv4 packet from 10.1.0.1 to 10.2.0.1, protocol 59 (no next header).
  ByteVector packet{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1};
  PuntedPacket punt;
  punt.kind = PuntKind::kNeedSession;
  punt.tunnel = trap.tunnel;
  left_->dataplane.punts.emplace_back(punt, packet);
  ASSERT_TRUE(run_until(*loop_, [&] { return !left_->dataplane.inner_packets.empty(); }));
  EXPECT_EQ(left_->dataplane.inner_packets[0].second, packet);
  EXPECT_TRUE(right_->up());
}

TEST_F(IkeGatewayTest, unknown_spi_is_answered_with_a_hint_at_most) {
  PuntedPacket punt;
  punt.kind = PuntKind::kUnknownSpi;
  punt.source = {right_->address, 4500};
  punt.destination = {left_->address, 4500};
  left_->dataplane.punts.emplace_back(punt, ByteVector{1, 2});  // shorter than an SPI
  left_->dataplane.punts.emplace_back(punt, ByteVector{1, 2, 3, 4, 0, 0, 0, 1});
  // The hint, and at most one that says that its IKE SA is not known either: no loop of hints.
  EXPECT_FALSE(run_until(
      *loop_, [&] { return wire_->carried > 2; }, 50 * kMillisecond));
  EXPECT_GE(wire_->carried, 1U);
}

}  // namespace
}  // namespace penstock
