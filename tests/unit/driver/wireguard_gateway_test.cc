#include "controlplane/driver/wireguard_gateway.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/driver/two_gateways.h"

namespace penstock {
namespace {

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }

class WireguardGatewayTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
    left_ = std::make_unique<Side>(*loop_, "192.0.2.1");
    right_ = std::make_unique<Side>(*loop_, "192.0.2.2");
    wire_ = std::make_unique<Wire>(*loop_, *left_, *right_);
  }
  static wireguard::PeerChange peer(const KeyPair& keys, std::initializer_list<const char*> ips) {
    wireguard::PeerChange change;
    change.public_key = keys.public_key;
    for (const char* const text : ips) change.allowed_ips.push_back({prefix(text), false});
    return change;
  }
  // left initiates: it knows right's endpoint.
  void connect() {
    auto to_right = peer(right_keys_, {"10.9.0.0/24"});
    to_right.endpoint = Endpoint{right_->address, 51822};
    wireguard::DeviceChange left, right;
    left.peers.push_back(to_right);
    right.peers.push_back(peer(left_keys_, {"10.8.0.7/32"}));
    left_wg_ = left_->add("wg0", 51821, left_keys_, left);
    right_wg_ = right_->add("wg0", 51822, right_keys_, right);
    ASSERT_NE(left_wg_, nullptr);
    ASSERT_NE(right_wg_, nullptr);
    PuntedPacket punt;
    punt.kind = PuntKind::kNeedSession;
    punt.tunnel = TunnelId{0};
    left_->dataplane.punts.emplace_back(punt, inner_);
    ASSERT_TRUE(run_until(*loop_, [&] { return !left_->dataplane.inner_packets.empty(); }));
  }

  const KeyPair left_keys_ = KeyPair::make(1), right_keys_ = KeyPair::make(101);
  const ByteVector inner_ = ByteVector(60, 0x45);
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Side> left_, right_;
  std::unique_ptr<Wire> wire_;
  WireguardInterface* left_wg_ = nullptr;
  WireguardInterface* right_wg_ = nullptr;
};

TEST_F(WireguardGatewayTest, packet_without_session_makes_handshake_and_follows_it) {
  connect();
  auto& left = left_->dataplane;
  auto& right = right_->dataplane;
  ASSERT_EQ(left.inner_packets.size(), 1U);
  EXPECT_EQ(left.inner_packets[0].second, inner_);
  ASSERT_EQ(left.inbound.size(), 1U);
  ASSERT_EQ(right.inbound.size(), 1U);
  // Both ends have the same keys, crossed, and name the same indices.
  const InboundSaSpec& left_in = left.inbound.begin()->second;
  const InboundSaSpec& right_in = right.inbound.begin()->second;
  const OutboundSaSpec& left_out = left.outbound.begin()->second;
  const OutboundSaSpec& right_out = right.outbound.begin()->second;
  EXPECT_TRUE(left_out.keys.cipher_key == right_in.keys.cipher_key);
  EXPECT_TRUE(right_out.keys.cipher_key == left_in.keys.cipher_key);
  EXPECT_EQ(left_out.peer_index, right_in.index);
  EXPECT_EQ(right_out.peer_index, left_in.index);
  EXPECT_GT(left_out.sequence_limit, left_out.rekey_sequence);
  // Paper 6.3: the initiator sends at once, the responder when the first packet is authentic.
  EXPECT_FALSE(left_in.promotes.valid());
  EXPECT_TRUE(right_in.promotes.valid());
  EXPECT_TRUE(left.tunnels.at(TunnelId{0}).current.valid());
  EXPECT_FALSE(right.tunnels.at(TunnelId{0}).current.valid());
  EXPECT_EQ(right.tunnels.at(TunnelId{0}).endpoint.address, left_->address);
  EXPECT_EQ(right_in.owner, WorkerId{0});
  // A time stamp floor was stored before the initiation left.
  EXPECT_GE(left_->timestamps.floor_ns(), static_cast<uint64_t>(wall_time_ns() - 10 * kSecond));
  EXPECT_EQ(right_->timestamps.floor_ns(), 0U);
}

TEST_F(WireguardGatewayTest, peer_removed_takes_sessions_allowed_ips_and_routes_along) {
  connect();
  wireguard::DeviceChange change;
  change.peers.push_back(peer(right_keys_, {}));
  change.peers[0].remove = true;
  EXPECT_TRUE(left_->dataplane.routes_by_prefix.contains(prefix("10.9.0.0/24")));
  ASSERT_TRUE(left_wg_->apply(change).ok());
  ASSERT_TRUE(run_until(*loop_, [&] { return left_->dataplane.tunnels.empty(); }));
  EXPECT_TRUE(left_->dataplane.inbound.empty());
  EXPECT_TRUE(left_->dataplane.outbound.empty());
  EXPECT_TRUE(left_->dataplane.allowed_ips.empty());
  EXPECT_TRUE(left_->dataplane.reserved.empty());
  EXPECT_FALSE(left_->dataplane.routes_by_prefix.contains(prefix("10.9.0.0/24")));
  // A punt of the tunnel that was already on its way is counted, not followed.
  PuntedPacket punt;
  punt.kind = PuntKind::kNeedSession;
  punt.tunnel = TunnelId{0};
  left_->dataplane.punts.emplace_back(punt, inner_);
  const auto dropped = static_cast<size_t>(DropReason::kHostDropped);
  EXPECT_TRUE(run_until(*loop_, [&] { return left_->dataplane.drops[dropped] == 1; }));
}

TEST_F(WireguardGatewayTest, session_that_cannot_be_installed_leaves_nothing) {
  left_->dataplane.fail_inbound = true;
  auto to_right = peer(right_keys_, {"10.9.0.0/24"});
  to_right.endpoint = Endpoint{right_->address, 51822};
  to_right.persistent_keepalive_s = 25;  // speaks first
  wireguard::DeviceChange left, right;
  left.peers.push_back(to_right);
  right.peers.push_back(peer(left_keys_, {"10.8.0.7/32"}));
  right_wg_ = right_->add("wg0", 51822, right_keys_, right);
  left_wg_ = left_->add("wg0", 51821, left_keys_, left);
  EXPECT_TRUE(run_until(*loop_, [&] { return wire_->carried >= 2; }));
  EXPECT_TRUE(run_until(*loop_, [&] {
    return left_->dataplane.outbound.empty() && left_->dataplane.reserved.empty();
  }));
  EXPECT_TRUE(left_->dataplane.inbound.empty());
  EXPECT_FALSE(left_->dataplane.tunnels.at(TunnelId{0}).current.valid());
}

TEST_F(WireguardGatewayTest, promotion_event_completes_handshake_of_responder) {
  connect();
  EXPECT_EQ(right_wg_->status().peers[0].last_handshake_wall_ns, 0);
  auto& right = right_->dataplane;
  TunnelEvents events;
  events.tunnel = TunnelId{0};
  events.flags = kEventPromoted | kEventReceivedData;
  events.inbound_index = right.inbound.begin()->first;
  right.tunnels.at(TunnelId{0}).current = right.inbound.begin()->second.promotes;
  right.events.push_back(events);
  right.counters[TunnelId{0}] = {3, 300, 2, 200};
  EXPECT_TRUE(
      run_until(*loop_, [&] { return right_wg_->status().peers[0].last_handshake_wall_ns != 0; }));
  EXPECT_EQ(right_wg_->status().peers[0].rx_bytes, 300U);
  EXPECT_EQ(right_wg_->status().peers[0].tx_bytes, 200U);
}

TEST_F(WireguardGatewayTest, listen_port_taken_or_free_or_chosen) {
  left_wg_ = left_->add("wg0", 51821, left_keys_);
  WireguardOptions options;
  options.spec.name = "wg1";
  wireguard::DeviceChange change;
  change.listen_port = 51821;
  EXPECT_FALSE(left_->gateway.add(options, change).ok());
  change.listen_port = 0;
  auto second = left_->gateway.add(options, change);
  ASSERT_TRUE(second.ok());
  EXPECT_GE((*second)->listen_port(), 49152);

  change.listen_port = 51821;
  const auto refused = (*second)->apply(change);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().error, EADDRINUSE);
  change.listen_port = 51900;
  ASSERT_TRUE((*second)->apply(change).ok());
  EXPECT_EQ((*second)->status().listen_port, 51900);
  EXPECT_EQ(left_->dataplane.interfaces.at((*second)->id()).listen_port, 51900);
}

TEST_F(WireguardGatewayTest, more_peers_than_tunnels_is_refused_as_a_whole) {
  left_wg_ = left_->add("wg0", 51821, left_keys_);
  wireguard::DeviceChange change;
  for (int i = 0; i < 1001; ++i) {
    KeyPair keys = KeyPair::make(static_cast<uint8_t>(i));
    keys.public_key[1] = static_cast<uint8_t>(i >> 8);
    change.peers.push_back(peer(keys, {}));
  }
  const auto refused = left_wg_->apply(change);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().error, ENOSPC);
  EXPECT_EQ(left_wg_->peer_count(), 0U);
}

// As `wg setconf` does: the new peers come while the slots of the old ones are still in use.
TEST_F(WireguardGatewayTest, peers_replaced_in_a_full_table_all_have_tunnels) {
  left_->dataplane.tunnel_limit = 3;
  wireguard::DeviceChange change;
  change.replace_peers = true;
  const char* const networks[] = {"10.9.1.0/24", "10.9.2.0/24", "10.9.3.0/24"};
  for (uint8_t i = 0; i < 3; ++i)
    change.peers.push_back(peer(KeyPair::make(10 + i), {networks[i]}));
  left_wg_ = left_->add("wg0", 51821, left_keys_, change);
  ASSERT_EQ(left_->dataplane.tunnels.size(), 3U);
  for (uint8_t i = 0; i < 3; ++i) change.peers[i].public_key = KeyPair::make(20 + i).public_key;
  ASSERT_TRUE(left_wg_->apply(change).ok());
  EXPECT_TRUE(run_until(*loop_, [&] { return left_->dataplane.tunnels.contains(TunnelId{5}); }));
  EXPECT_EQ(left_->dataplane.tunnels.size(), 3U);
  EXPECT_EQ(left_->dataplane.allowed_ips.size(), 3U);
}

// Neither in clear nor to the peer that had it before.
TEST_F(WireguardGatewayTest, allowed_ip_that_cannot_be_set_leads_nowhere) {
  wireguard::DeviceChange change;
  change.peers.push_back(peer(KeyPair::make(10), {"10.9.1.0/24"}));
  change.peers.push_back(peer(KeyPair::make(20), {}));
  left_wg_ = left_->add("wg0", 51821, left_keys_, change);
  ASSERT_EQ(left_->dataplane.allowed_ips.size(), 1U);
  left_->dataplane.fail_allowed_ip = true;
  change.peers.erase(change.peers.begin());
  change.peers[0] = peer(KeyPair::make(20), {"10.9.1.0/24", "10.9.2.0/24"});
  ASSERT_TRUE(left_wg_->apply(change).ok());
  EXPECT_TRUE(run_until(
      *loop_, [&] { return left_->dataplane.routes_by_prefix.contains(prefix("10.9.2.0/24")); }));
  EXPECT_TRUE(left_->dataplane.routes_by_prefix.contains(prefix("10.9.1.0/24")));
  EXPECT_TRUE(left_->dataplane.allowed_ips.empty());
}

TEST_F(WireguardGatewayTest, two_sets_in_a_row_share_the_tunnels) {
  left_wg_ = left_->add("wg0", 51821, left_keys_);
  wireguard::DeviceChange first, second;
  for (int i = 0; i < 600; ++i) {
    KeyPair keys = KeyPair::make(static_cast<uint8_t>(i));
    keys.public_key[1] = static_cast<uint8_t>(i >> 8);
    first.peers.push_back(peer(keys, {}));
    keys.public_key[2] ^= 1;
    second.peers.push_back(peer(keys, {}));
  }
  ASSERT_TRUE(left_wg_->apply(first).ok());
  // Nothing of the first one has reached the dataplane yet.
  const auto refused = left_wg_->apply(second);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().error, ENOSPC);
  EXPECT_EQ(left_wg_->peer_count(), 600U);
  second.replace_peers = true;
  EXPECT_TRUE(left_wg_->apply(second).ok());
  EXPECT_TRUE(run_until(*loop_, [&] { return left_->dataplane.tunnels.size() == 600; }));
}

TEST(ReloadChange, file_without_a_peer_removes_it_and_leaves_the_same_alone) {
  const KeyPair a = KeyPair::make(1), b = KeyPair::make(2), c = KeyPair::make(3);
  wireguard::DeviceStatus current;
  current.private_key = a.private_key;
  current.listen_port = 51820;
  current.peers.resize(2);
  current.peers[0].public_key = a.public_key;
  current.peers[0].allowed_ips = {prefix("10.0.0.2/32"), prefix("10.0.0.1/32")};
  current.peers[1].public_key = b.public_key;
  current.peers[1].preshared_key = c.private_key;
  wireguard::DeviceChange file;
  file.replace_peers = true;
  file.private_key = a.private_key;
  file.listen_port = 51820;
  file.peers.resize(2);
  file.peers[0].public_key = a.public_key;
  file.peers[0].allowed_ips = {{prefix("10.0.0.1/32")}, {prefix("10.0.0.2/32")}};
  file.peers[1].public_key = c.public_key;
  const wireguard::DeviceChange change = reload_change(current, file);
  EXPECT_FALSE(change.replace_peers);
  EXPECT_FALSE(change.private_key);  // setting it again would drop every session
  EXPECT_FALSE(change.listen_port);
  ASSERT_EQ(change.peers.size(), 3U);
  EXPECT_TRUE(change.peers[0].allowed_ips.empty());
  EXPECT_FALSE(change.peers[0].replace_allowed_ips);
  EXPECT_TRUE(change.peers[1].replace_allowed_ips);
  EXPECT_EQ(change.peers[2].public_key, b.public_key);
  EXPECT_TRUE(change.peers[2].remove);
}

}  // namespace
}  // namespace penstock
