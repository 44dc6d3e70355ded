// The generator's IKEv2 initiators against the gateway's own engine: keys and SPIs of both sides
// agree, and what goes wrong is told.
#include "tests/unit/load/ike_peers_lab.h"

#include <set>

namespace penstock::load {
namespace {

using IkePeersTest = IkePeersLab;

TEST_F(IkePeersTest, tunnels_come_up_as_wished_with_the_keys_of_the_gateway) {
  const Gateway all{
      .esp = {"aes256gcm16-esn-noesn", "chacha20poly1305-esn-noesn", "aes128gcm16-esn-noesn"}};
  for (const SaAlgorithm algorithm :
       {SaAlgorithm::kAes128Gcm16, SaAlgorithm::kAes256Gcm16, SaAlgorithm::kChacha20Poly1305}) {
    for (const bool in_udp : {true, false}) {
      for (const bool esn : {true, false}) {
        up_.clear();
        start(2, {algorithm, in_udp, esn}, all);
        bring_up(1);
        ASSERT_EQ(up_.size(), 1U);
        EXPECT_EQ(up_[0].tunnel, 1U);
        EXPECT_EQ(up_[0].algorithm, algorithm);
        EXPECT_EQ(up_[0].in_udp, in_udp);
        EXPECT_EQ(up_[0].esn, esn);
        EXPECT_FALSE(up_[0].rekeyed);
        expect_agreement(up_[0]);
      }
    }
  }
  EXPECT_TRUE(failed_.empty());
  EXPECT_EQ(peers_->trouble(), "");
}

TEST_F(IkePeersTest, rekeying_makes_another_session_of_the_same_tunnel) {
  start(2);
  for (int round = 0; round < 3; ++round) {
    for (const uint32_t tunnel : {0U, 1U}) bring_up(tunnel);
    advance(kSecond);
  }
  expect_sessions_of_two_tunnels(6);
  EXPECT_EQ(engine_->totals().ike_sas, 2U);
}

// Those of two engines, all under way at a time.
TEST_F(IkePeersTest, three_hundred_tunnels_come_up_each_its_own) {
  constexpr uint32_t kTunnels = 300;
  start(kTunnels);
  for (uint32_t tunnel = 0; tunnel < kTunnels; ++tunnel) peers_->initiate(now_, tunnel);
  exchange();
  ASSERT_EQ(up_.size(), kTunnels);
  std::set<uint32_t> tunnels;
  std::set<std::array<uint8_t, 32>> keys;
  for (const SessionUp& session : up_) {
    expect_agreement(session);
    tunnels.insert(session.tunnel);
    std::array<uint8_t, 32> key{};
    std::ranges::copy(session.send_keys.cipher_key.bytes(), key.begin());
    keys.insert(key);
  }
  EXPECT_EQ(tunnels.size(), kTunnels);
  EXPECT_EQ(keys.size(), kTunnels);
  std::set<std::string> names;
  engine_->for_each_ike_sa("", 0, [&](const ike::IkeSaInfo& sa) {
    const uint32_t tunnel = plan_->tunnel_of_peer(sa.remote.address);
    EXPECT_EQ(sa.remote_id.to_string(), Plan::ike_name(tunnel));
    names.insert(sa.remote_id.to_string());
  });
  EXPECT_EQ(names.size(), kTunnels);
}

TEST_F(IkePeersTest, silent_gateway_fails_the_handshake_in_time) {
  start(3);
  peers_->initiate(now_, 2);
  drain_peers();
  for (int second = 1; second <= 5; ++second) {
    advance(kSecond);
    EXPECT_TRUE(failed_.empty()) << second;
  }
  EXPECT_GT(to_gateway_.size(), 1U);  // it was asked again
  advance(kSecond);
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_EQ(failed_[0].tunnel, 2U);
  EXPECT_NE(failed_[0].why.find("does IKE listen on 192.0.2.1"), std::string::npos);
  EXPECT_EQ(peers_->trouble(), failed_[0].why);
  to_gateway_.clear();
  bring_up(2);
  ASSERT_EQ(up_.size(), 1U);
  EXPECT_FALSE(up_[0].rekeyed);
  expect_agreement(up_[0]);
}

TEST_F(IkePeersTest, refusals_say_what_may_be_changed) {
  const struct {
    Gateway gateway;
    EspWish wish;
    const char* words;
  } cases[] = {
      {{.seed = "another"}, {}, "was its configuration written with the same --seed?"},
      {{.esp = {"aes256gcm16-noesn"}},
       {},
       "aes128gcm16-esn-noesn for ESP (--esp-cipher; --esp-esn"},
      {{.esp = {"aes128gcm16-esn"}}, {.esn = false}, "aes128gcm16-noesn for ESP (--esp-cipher"},
      {{.clients = "10.200.0.0"}, {}, "10.128.0.1/32 here (--hosts, --clients)"},
  };
  for (const auto& one : cases) {
    store_ = {};
    failed_.clear();
    start(1, one.wish, one.gateway);
    bring_up(0);
    EXPECT_TRUE(up_.empty());
    ASSERT_EQ(failed_.size(), 1U) << one.words;
    EXPECT_NE(failed_[0].why.find(one.words), std::string::npos) << failed_[0].why;
    EXPECT_EQ(peers_->trouble(), failed_[0].why);
  }
}

TEST_F(IkePeersTest, garbage_changes_nothing) {
  start(2);
  for (const uint32_t tunnel : {0U, 1U}) peers_->initiate(now_, tunnel);
  const auto feed = [&](uint32_t tunnel, const SendToGateway& like, Bytes payload) {
    peers_->on_datagram(now_, tunnel, like.local_port, like.remote_port, payload);
  };
  // Before each of the two answers that are waited for.
  for (int answer = 0; answer < 2; ++answer) {
    reach_gateway();
    ASSERT_EQ(to_peers_.size(), 2U);
    const SendToGateway good = to_peers_[0];
    SendToGateway on_other_port = good;
    on_other_port.local_port = good.local_port == kIkePort ? kIkeNatTraversalPort : kIkePort;
    for (size_t bytes = 0; bytes < 120; ++bytes) {
      ByteVector noise(bytes);
      for (const bool marked : {false, true}) {
        random_.fill(noise);
        if (marked) std::fill_n(noise.begin(), std::min<size_t>(bytes, 4), 0);
        feed(good.tunnel, good, noise);
        feed(good.tunnel, on_other_port, noise);
      }
    }
    for (size_t bytes = 0; bytes < good.payload.size(); ++bytes) {
      feed(good.tunnel, good, Bytes(good.payload).first(bytes));
    }
    ByteVector changed = good.payload;
    changed[good.local_port == kIkePort ? 0 : 4] ^= 1;  // the initiator's SPI
    feed(good.tunnel, good, changed);
    drain_peers();
    EXPECT_TRUE(up_.empty() && failed_.empty());
    reach_peers();
  }
  ASSERT_EQ(up_.size(), 2U);
  for (const SessionUp& session : up_) expect_agreement(session);
}

TEST_F(IkePeersTest, rekeying_without_an_answer_fails_and_begins_anew) {
  start(2);
  bring_up(1);
  peers_->initiate(now_, 1);
  drain_peers();
  advance(kIkeWithinNs - 1);
  EXPECT_TRUE(failed_.empty());
  advance(1);
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_EQ(failed_[0].tunnel, 1U);
  EXPECT_NE(failed_[0].why.find("rekey"), std::string::npos) << failed_[0].why;
  to_gateway_.clear();
  bring_up(1);
  ASSERT_EQ(up_.size(), 2U);
  expect_agreement(up_[1]);
  EXPECT_FALSE(up_[1].rekeyed);
  EXPECT_EQ(engine_->totals().ike_sas, 1U);  // INITIAL_CONTACT: the old one is gone
}

TEST_F(IkePeersTest, rekeying_that_the_gateway_puts_off_fails_in_time) {
  start(1);
  bring_up(0);
  // It rekeys the IKE SA itself, which we do not hear of: TEMPORARY_FAILURE (RFC 7296 2.25.2).
  EXPECT_EQ(engine_->rekey(engine_now(), {.ike = "load", .child = {}}, false), 1U);
  drain_gateway();
  to_peers_.clear();
  bring_up(0);
  EXPECT_EQ(up_.size(), 1U);
  advance(kIkeWithinNs);
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_NE(failed_[0].why.find("does not carry out a rekeying"), std::string::npos);
  bring_up(0);
  ASSERT_EQ(up_.size(), 2U);
  expect_agreement(up_[1]);
}

TEST_F(IkePeersTest, tunnel_that_the_gateway_ended_comes_up_again) {
  start(1);
  for (const bool child_alone : {true, false}) {
    up_.clear();
    bring_up(0);
    ASSERT_EQ(up_.size(), 1U);
    ike::SaSelection selection{.ike = "load", .child = {}};
    if (child_alone) selection.child = "served";
    EXPECT_EQ(engine_->terminate(engine_now(), 0, selection, false), 1U);
    drain_gateway();
    reach_peers();
    exchange();
    bring_up(0);
    ASSERT_EQ(up_.size(), 2U);
    expect_agreement(up_[1]);
  }
  EXPECT_TRUE(failed_.empty());
}

}  // namespace
}  // namespace penstock::load
