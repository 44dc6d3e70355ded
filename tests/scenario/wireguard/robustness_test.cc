// Damaged, forged and misplaced messages: each is refused with a reason and changes nothing.
#include <gtest/gtest.h>

#include "controlplane/crypto/x25519.h"
#include "controlplane/wireguard/cookie.h"
#include "controlplane/wireguard/strangers.h"
#include "tests/scenario/wireguard/pair.h"

namespace penstock::wireguard::simulation {
namespace {

// What must not change by a refused message. The status holds endpoints, times and errors.
struct Snapshot {
  explicit Snapshot(Node& node)
      : sas(node.inbound_sas()),
        sent(node.sent.size()),
        endpoints(node.endpoints),
        indices(node.indices.reserved),
        deadline_ns(node.device->next_timeout()),
        state(node.status().state),
        handshake_ns(node.status().last_handshake_wall_ns),
        endpoint(node.status().endpoint) {}
  bool operator==(const Snapshot&) const = default;
  size_t sas, sent;
  std::map<std::pair<uint32_t, uint32_t>, Endpoint> endpoints;
  std::set<uint32_t> indices;
  Nanoseconds deadline_ns;
  std::string state;
  Nanoseconds handshake_ns;
  std::optional<Endpoint> endpoint;
};

uint64_t all_drops(const Node& node) {
  uint64_t sum = 0;
  for (const auto& [reason, count] : node.dropped) sum += count;
  return sum;
}

void expect_refused(Node& node, const Endpoint& source, Bytes message) {
  const Snapshot before(node);
  const uint64_t drops = all_drops(node);
  node.device->on_datagram(node.now(), source, node.address, {}, message);
  node.drain();
  ASSERT_TRUE(Snapshot(node) == before) << message.size();
  ASSERT_EQ(all_drops(node), drops + 1);
}

void expect_all_damage_refused(Node& node, const Endpoint& source, const ByteVector& message) {
  for (size_t size = 0; size < message.size(); ++size) {
    expect_refused(node, source, Bytes(message).first(size));
  }
  for (size_t more = 1; more <= 64; ++more) {
    ByteVector longer = message;
    longer.resize(message.size() + more);
    expect_refused(node, source, longer);
  }
  // MAC2 is not looked at without load: its 128 bits are left out.
  const size_t bits = (message.size() == 64 ? 64 : message.size() - 16) * 8;
  for (size_t bit = 0; bit < bits; ++bit) {
    ByteVector flipped = message;
    flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ (1U << (bit % 8)));
    expect_refused(node, source, flipped);
  }
}

// Captures what `from` sends next without delivering it.
ByteVector captured(World& world, Node& from, const std::function<void()>& action) {
  const size_t before = from.sent.size();
  world.filter = [](const Packet&) { return false; };
  action();
  world.filter = nullptr;
  return from.sent.at(before);
}

// Whoever knows our public key can make MAC1: damage below it must fail too.
ByteVector with_fresh_mac1(ByteVector message, const PublicKey& receiver) {
  CookieJar jar(receiver);
  jar.add_macs(0, kSecond, message);
  return message;
}

TEST(Robustness, damaged_initiation_is_refused) {
  Pair pair;
  const ByteVector initiation =
      captured(pair.world, pair.a, [&] { pair.a.send_data(pair.b_at_a(), kPing); });
  ASSERT_EQ(initiation.size(), 148U);
  expect_all_damage_refused(pair.b, pair.a.address, initiation);
  EXPECT_GT(pair.b.drops(DropReason::kHandshakeBadMac), 900U);
  EXPECT_GT(pair.b.drops(DropReason::kHandshakeMalformed), 200U);

  const PublicKey b_key = public_key_of(private_key_of(2));
  for (size_t byte = 8; byte < 116; ++byte) {  // ephemeral, static, time stamp
    ByteVector flipped = initiation;
    flipped[byte] ^= 1;
    expect_refused(pair.b, pair.a.address, with_fresh_mac1(flipped, b_key));
  }
  EXPECT_GT(pair.b.drops(DropReason::kHandshakeInvalid), 100U);
  pair.b.receive(Packet{pair.a.address, pair.b.address, initiation, 0, {}, {}});
  EXPECT_EQ(pair.b.sent.size(), 1U) << "the undamaged one is still good";
}

TEST(Robustness, damaged_response_is_refused_and_the_right_one_still_counts) {
  Pair pair;
  const ByteVector initiation =
      captured(pair.world, pair.a, [&] { pair.a.send_data(pair.b_at_a(), kPing); });
  const ByteVector response = captured(pair.world, pair.b, [&] {
    pair.b.receive(Packet{pair.a.address, pair.b.address, initiation, 0, {}, {}});
  });
  ASSERT_EQ(response.size(), 92U);
  expect_all_damage_refused(pair.a, pair.b.address, response);
  const PublicKey a_key = public_key_of(private_key_of(1));
  for (size_t byte = 8; byte < 60; ++byte) {  // index, ephemeral, the empty payload
    ByteVector flipped = response;
    flipped[byte] ^= 1;
    expect_refused(pair.a, pair.b.address, with_fresh_mac1(flipped, a_key));
  }
  EXPECT_EQ(pair.a.status().state, "handshaking");
  pair.a.receive(Packet{pair.b.address, pair.a.address, response, 0, {}, {}});
  EXPECT_EQ(pair.a.status().state, "up");
}

TEST(Robustness, forged_responses_in_computation_do_not_shut_out_the_right_one) {
  Pair pair;
  const ByteVector initiation =
      captured(pair.world, pair.a, [&] { pair.a.send_data(pair.b_at_a(), kPing); });
  const ByteVector response = captured(pair.world, pair.b, [&] {
    pair.b.receive(Packet{pair.a.address, pair.b.address, initiation, 0, {}, {}});
  });
  ByteVector forged = response;
  forged[20] ^= 1;
  forged = with_fresh_mac1(forged, public_key_of(private_key_of(1)));
  pair.a.hold_jobs = true;
  for (int i = 0; i < 7; ++i) {
    pair.a.receive(Packet{pair.b.address, pair.a.address, forged, 0, {}, {}});
  }
  pair.a.receive(Packet{pair.b.address, pair.a.address, response, 0, {}, {}});
  pair.a.hold_jobs = false;
  pair.a.finish_held_jobs();
  EXPECT_EQ(pair.a.status().state, "up");
  EXPECT_EQ(pair.a.drops(DropReason::kHandshakeInvalid), 7U);
}

TEST(Robustness, damaged_cookie_reply_is_refused) {
  Device::Options options;
  options.limits.under_load_handshakes = 0;  // always under load
  Pair pair(1, options);
  const ByteVector initiation =
      captured(pair.world, pair.a, [&] { pair.a.send_data(pair.b_at_a(), kPing); });
  const ByteVector reply = captured(pair.world, pair.b, [&] {
    pair.b.receive(Packet{pair.a.address, pair.b.address, initiation, 0, {}, {}});
  });
  ASSERT_EQ(reply.size(), 64U);
  expect_all_damage_refused(pair.a, pair.b.address, reply);
  pair.a.receive(Packet{endpoint_of("203.0.113.5:5"), pair.a.address, reply, 0, {}, {}});
  EXPECT_EQ(pair.a.notified(Notify::Kind::kCookieReceived), 1U);
  EXPECT_EQ(pair.a.status().endpoint, pair.b.address);
  expect_refused(pair.a, pair.b.address, reply);  // once only
}

// Each message in each state of its receiver: before any handshake, with one under way, with a
// session, after the peer is gone.
TEST(Robustness, messages_in_the_wrong_state_are_refused) {
  Pair source;
  const ByteVector initiation =
      captured(source.world, source.a, [&] { source.a.send_data(source.b_at_a(), kPing); });
  const ByteVector response = captured(source.world, source.b, [&] {
    source.b.receive(Packet{source.a.address, source.b.address, initiation, 0, {}, {}});
  });
  const ByteVector data{4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

  Pair fresh(2);
  expect_refused(fresh.a, fresh.b.address, response);    // nothing was asked
  expect_refused(fresh.a, fresh.b.address, data);        // not for the control plane
  expect_refused(fresh.a, fresh.b.address, initiation);  // to another key: MAC1
  expect_refused(fresh.b, fresh.b.address, response);

  source.a.receive(Packet{source.b.address, source.a.address, response, 0, {}, {}});
  ASSERT_EQ(source.a.status().state, "up");
  expect_refused(source.a, source.b.address, response);    // consumed already
  expect_refused(source.b, source.a.address, initiation);  // replay

  DeviceChange change;
  change.replace_peers = true;
  ASSERT_TRUE(source.b.device->apply(source.b.now(), change).ok());
  source.b.drain();
  source.b.device->on_datagram(source.b.now(), source.a.address, source.b.address, {}, initiation);
  source.b.drain();
  EXPECT_EQ(source.b.drops(DropReason::kHandshakeUnknownPeer), 1U);

  change.private_key.emplace();
  ASSERT_TRUE(source.b.device->apply(source.b.now(), change).ok());
  source.b.device->on_datagram(source.b.now(), source.a.address, source.b.address, {}, initiation);
  source.b.drain();
  EXPECT_EQ(source.b.drops(DropReason::kHandshakeUnknownPeer), 2U);
}

TEST(Robustness, peer_removed_while_its_jobs_run_leaves_nothing_behind) {
  Pair pair;
  const ByteVector initiation =
      captured(pair.world, pair.a, [&] { pair.a.send_data(pair.b_at_a(), kPing); });
  pair.b.hold_jobs = true;
  pair.b.receive(Packet{pair.a.address, pair.b.address, initiation, 0, {}, {}});
  pair.b.send_data(pair.a_at_b(), kPong);
  DeviceChange change;
  change.replace_peers = true;
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), change).ok());
  pair.b.drain();
  pair.b.finish_held_jobs();
  EXPECT_TRUE(pair.b.sent.empty());
  EXPECT_TRUE(pair.b.indices.reserved.empty());
  EXPECT_EQ(pair.b.device->next_timeout(), kNever);
  EXPECT_EQ(pair.b.drops(DropReason::kTunnelNoSession), 1U);
}

TEST(Robustness, private_key_changed_while_jobs_run_makes_their_results_stale) {
  Pair pair;
  pair.a.hold_jobs = true;
  pair.a.send_data(pair.b_at_a(), kPing);
  ASSERT_EQ(pair.a.held.size(), 1U);
  DeviceChange change;
  change.private_key = private_key_of(88);
  ASSERT_TRUE(pair.a.device->apply(pair.a.now(), change).ok());
  pair.a.drain();
  pair.a.hold_jobs = false;
  pair.a.finish_held_jobs();
  EXPECT_EQ(pair.a.initiations_sent, 0U) << "nothing under the old key";
  EXPECT_TRUE(pair.a.indices.reserved.empty());
}

TEST(Robustness, low_order_peer_key_is_refused_and_said) {
  World world;
  Node& a = world.add("a", kA);
  DeviceChange change;
  change.peers.emplace_back();  // the zero point
  change.peers[0].endpoint = endpoint_of(kB);
  change.peers[0].persistent_keepalive_s = 1;
  ASSERT_TRUE(a.device->apply(a.now(), change).ok());
  a.drain();
  world.run_for(10 * kSecond);
  EXPECT_TRUE(a.sent.empty());
  EXPECT_EQ(a.notified(Notify::Kind::kLowOrderPoint), 1U);
  EXPECT_NE(a.status().last_error.find("low-order"), std::string::npos);
}

TEST(Robustness, exhausted_indices_delay_and_recover) {
  Pair pair;
  pair.a.indices.exhausted = true;
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(7 * kSecond);
  EXPECT_TRUE(pair.a.sent.empty());
  pair.a.indices.exhausted = false;
  pair.world.run_for(6 * kSecond);
  EXPECT_EQ(pair.b.received.size(), 1U);
}

TEST(Robustness, failed_install_is_followed_by_a_new_handshake) {
  Pair pair;
  pair.exchange();
  const auto index = *pair.a.indices.reserved.begin();
  pair.a.device->on_install_failed(pair.a.now(), pair.b_at_a(), index);
  pair.a.drain();
  EXPECT_NE(pair.a.status().state, "up");
  pair.world.run_for(6 * kSecond);
  pair.exchange();
  EXPECT_EQ(pair.b.received.size(), 2U);
}

// The dataplane never stopped sending under it.
TEST(Robustness, failed_install_of_a_renewal_goes_on_with_the_session_before) {
  Pair pair;
  pair.exchange();
  pair.world.run_for(121 * kSecond);
  pair.exchange();  // renews
  pair.world.run_for(2 * kSecond);
  ASSERT_EQ(pair.a.indices.reserved.size(), 2U);
  const auto newest = *pair.a.indices.reserved.rbegin();
  pair.a.device->on_install_failed(pair.a.now(), pair.b_at_a(), newest);
  pair.a.drain();
  EXPECT_EQ(pair.a.indices.reserved.size(), 1U);
  EXPECT_EQ(pair.a.status().state, "up");
}

TEST(Robustness, promotion_that_crossed_a_newer_keypair_is_followed) {
  Pair pair;
  pair.exchange();
  // b's next keypair is promoted under an index that the event no longer names.
  pair.b.device->on_events(pair.b.now(), pair.a_at_b(), kEventPromoted, 0xdead, {}, {});
  size_t repairs = 0;
  while (auto effect = pair.b.device->poll()) {
    repairs += std::holds_alternative<MakeCurrent>(*effect);
  }
  EXPECT_EQ(repairs, 1U);
  EXPECT_EQ(pair.b.status().state, "up");
}

// Deterministic mutations, so that every run covers what the fuzz target covers at length.
TEST(Robustness, random_mutations_never_make_a_session) {
  Pair pair(11);
  const ByteVector initiation =
      captured(pair.world, pair.a, [&] { pair.a.send_data(pair.b_at_a(), kPing); });
  const ByteVector response = captured(pair.world, pair.b, [&] {
    pair.b.receive(Packet{pair.a.address, pair.b.address, initiation, 0, {}, {}});
  });
  SeededRandom dice(12);
  for (int round = 0; round < 20'000; ++round) {
    ByteVector message = dice.below(2) == 0 ? initiation : response;
    const uint32_t changes = 1 + dice.below(6);
    for (uint32_t i = 0; i < changes; ++i) {
      message[dice.below(static_cast<uint32_t>(message.size() - 16))] =
          static_cast<uint8_t>(dice.u32());
    }
    if (dice.below(4) == 0) message.resize(dice.below(200));
    if (message == initiation || message == response) continue;
    Node& to = dice.below(2) == 0 ? pair.a : pair.b;
    to.device->on_datagram(to.now(), endpoint_of("203.0.113.9:9"), to.address, {}, message);
    to.drain();
  }
  EXPECT_EQ(pair.a.status().state, "handshaking");
  EXPECT_EQ(pair.b.inbound_sas(), 1U);
  EXPECT_EQ(pair.a.status().endpoint, pair.b.address);
}

// --- what an operator is told of a wrong key -----------------------------------------------------

TEST(WrongKey, initiation_of_an_unknown_key_is_told_with_key_and_source) {
  Pair pair;
  DeviceChange other;
  other.private_key = private_key_of(77);
  ASSERT_TRUE(pair.a.device->apply(pair.a.now(), other).ok());
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(30 * kSecond);
  EXPECT_EQ(pair.b.notified(Notify::Kind::kUnknownKey), 1U) << "the same one is told once a minute";
  const DeviceStatus status = pair.b.device->status(pair.b.now());
  ASSERT_EQ(status.strangers.size(), 1U);
  EXPECT_EQ(status.strangers[0].public_key, public_key_of(private_key_of(77)));
  EXPECT_EQ(status.strangers[0].endpoint, endpoint_of(kA));
  EXPECT_GE(status.strangers[0].attempts, 5U);

  DeviceChange add;
  add.peers.emplace_back().public_key = public_key_of(private_key_of(77));
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), add).ok());
  EXPECT_TRUE(pair.b.device->status(pair.b.now()).strangers.empty());
}

TEST(WrongKey, initiation_made_with_another_public_key_of_ours_is_told) {
  Pair pair;
  DeviceChange other;
  other.private_key = private_key_of(78);
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), other).ok());
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(30 * kSecond);
  EXPECT_EQ(pair.b.notified(Notify::Kind::kNotOurKey), 1U);
  const DeviceStatus status = pair.b.device->status(pair.b.now());
  ASSERT_EQ(status.strangers.size(), 1U);
  EXPECT_EQ(status.strangers[0].public_key, PublicKey{});
}

TEST(WrongKey, preshared_key_that_differs_is_told_on_both_ends) {
  Pair pair;
  DeviceChange other;
  PeerChange& peer = other.peers.emplace_back();
  peer.public_key = pair.b.status().public_key;
  peer.preshared_key = private_key_of(79);
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), other).ok());
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(8 * kSecond);
  EXPECT_EQ(pair.b.notified(Notify::Kind::kUnconfirmed), 0U) << "two may be lost";
  pair.world.run_for(30 * kSecond);
  EXPECT_EQ(pair.b.notified(Notify::Kind::kUnconfirmed), 1U);
  EXPECT_NE(pair.b.status().last_error.find("preshared key differs"), std::string::npos);
  EXPECT_NE(pair.a.status().last_error.find("wrong preshared key"), std::string::npos);

  peer.preshared_key.emplace();  // repaired
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), other).ok());
  pair.world.run_for(10 * kSecond);
  EXPECT_EQ(pair.b.status().last_error, "");
  EXPECT_EQ(pair.b.status().state, "up");
}

TEST(WrongKey, flood_of_strangers_is_a_line_a_second_and_a_bounded_list) {
  Strangers strangers;
  unsigned told = 0;
  for (unsigned i = 0; i < 10'000; ++i) {
    PublicKey key{};
    key[0] = static_cast<uint8_t>(i);
    key[1] = static_cast<uint8_t>(i >> 8);
    key[2] = 1;
    const Nanoseconds at = i * kMillisecond;
    told += strangers.note(at, at, key, endpoint_of(kA)) ? 1U : 0U;
  }
  EXPECT_EQ(told, 10U);
  EXPECT_EQ(strangers.list().size(), Strangers::kRemembered);
}

}  // namespace
}  // namespace penstock::wireguard::simulation
