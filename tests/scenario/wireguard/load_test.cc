// Floods, cookies, rate limits, and many peers.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/scenario/wireguard/pair.h"

namespace penstock::wireguard::simulation {
namespace {

Device::Options small_limits() {
  Device::Options options;
  options.limits.under_load_handshakes = 4;
  options.limits.responder_handshakes = 16;
  return options;
}

// Initiations of strangers, which pass MAC1 at `target` and cost it a computation each.
std::vector<ByteVector> initiations_of_strangers(Node& target, unsigned count) {
  std::vector<ByteVector> out;
  World world(99);
  for (unsigned i = 0; i < count; ++i) {
    Node& stranger = world.add("s", "203.0.113.7:7");
    DeviceChange change;
    change.private_key = private_key_of(static_cast<uint8_t>(100 + i));
    change.peers.emplace_back();
    change.peers[0].public_key = target.device->status(target.now()).public_key;
    change.peers[0].endpoint = target.address;
    change.peers[0].persistent_keepalive_s = 1;
    (void)stranger.device->apply(stranger.now(), change);
    stranger.drain();
    out.push_back(stranger.sent.at(0));
  }
  return out;
}

TEST(Load, busy_responder_sends_cookies_and_a_real_client_gets_in) {
  Pair pair(1, small_limits());
  pair.b.hold_jobs = true;
  const auto strangers = initiations_of_strangers(pair.b, 10);
  for (size_t i = 0; i < strangers.size(); ++i) {
    const Endpoint spoofed{Ipv4Address::from_host(0xcb007100 + static_cast<uint32_t>(i)), 1000};
    pair.b.device->on_datagram(pair.b.now(), spoofed, pair.b.address, {}, strangers[i]);
  }
  pair.b.drain();
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeNeedsCookie), 6U);
  EXPECT_EQ(pair.b.held.size(), 4U);
  EXPECT_EQ(pair.b.notified(Notify::Kind::kUnderLoad), 1U);

  const auto endpoints = pair.a.endpoints;
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.a.notified(Notify::Kind::kCookieReceived), 1U);
  EXPECT_EQ(pair.a.endpoints, endpoints) << "a cookie reply moves no endpoint";
  EXPECT_EQ(pair.b.received.size(), 0U);

  pair.world.run_for(4500 * kMillisecond);  // the retry bears MAC2
  EXPECT_EQ(pair.b.held.size(), 5U);
  pair.b.hold_jobs = false;
  pair.b.finish_held_jobs();
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.b.received.size(), 1U);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeUnknownPeer), 4U);
}

TEST(Load, cookie_is_worth_nothing_from_another_port) {
  Pair pair(1, small_limits());
  pair.b.hold_jobs = true;
  for (const ByteVector& one : initiations_of_strangers(pair.b, 4)) {
    pair.b.device->on_datagram(pair.b.now(), endpoint_of("203.0.113.1:1"), pair.b.address, {}, one);
  }
  pair.b.drain();
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(kSecond);
  ASSERT_EQ(pair.a.notified(Notify::Kind::kCookieReceived), 1U);
  pair.world.filter = [](const Packet&) { return false; };
  pair.world.run_for(5 * kSecond);
  const ByteVector retry = pair.a.sent.back();
  const uint64_t before = pair.b.drops(DropReason::kHandshakeNeedsCookie);
  Endpoint other = pair.a.address;
  ++other.port;
  pair.b.device->on_datagram(pair.b.now(), other, pair.b.address, {}, retry);
  pair.b.drain();
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeNeedsCookie), before + 1);
  const size_t held = pair.b.held.size();
  pair.b.device->on_datagram(pair.b.now(), pair.a.address, pair.b.address, {}, retry);
  pair.b.drain();
  EXPECT_EQ(pair.b.held.size(), held + 1);

  // Two secrets later it is worth nothing from the right port either.
  pair.world.boot_ns += 121 * kSecond;
  pair.b.device->on_datagram(pair.b.now(), pair.a.address, pair.b.address, {}, retry);
  pair.b.drain();
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeNeedsCookie), before + 2);
}

TEST(Load, one_proved_source_is_limited_by_its_rate) {
  Pair pair(1, small_limits());
  pair.b.hold_jobs = true;
  for (const ByteVector& one : initiations_of_strangers(pair.b, 4)) {
    pair.b.device->on_datagram(pair.b.now(), endpoint_of("203.0.113.1:1"), pair.b.address, {}, one);
  }
  pair.b.drain();
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(kSecond);
  pair.world.filter = [](const Packet&) { return false; };
  pair.world.run_for(5 * kSecond);
  const ByteVector retry = pair.a.sent.back();
  for (int i = 0; i < 9; ++i) {
    pair.b.device->on_datagram(pair.b.now(), pair.a.address, pair.b.address, {}, retry);
  }
  pair.b.drain();
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeRateLimited), 4U) << "a burst of 5";
}

TEST(Load, load_is_over_a_second_after_the_queue_is_empty) {
  Pair pair(1, small_limits());
  pair.b.hold_jobs = true;
  const auto strangers = initiations_of_strangers(pair.b, 7);
  const Endpoint source = endpoint_of("203.0.113.1:1");
  const auto deliver = [&](size_t i) {
    pair.b.device->on_datagram(pair.b.now(), source, pair.b.address, {}, strangers.at(i));
    pair.b.drain();
  };
  for (size_t i = 0; i < 5; ++i) deliver(i);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeNeedsCookie), 1U);
  pair.b.hold_jobs = false;
  pair.b.finish_held_jobs();
  pair.world.boot_ns += 900 * kMillisecond;
  deliver(5);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeNeedsCookie), 2U);
  pair.world.boot_ns += 200 * kMillisecond;
  deliver(6);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeNeedsCookie), 2U);
  EXPECT_EQ(pair.b.notified(Notify::Kind::kLoadOver), 1U);
}

TEST(Load, full_compute_queue_refuses_with_its_reason) {
  Device::Options options;
  options.limits.responder_handshakes = 8;
  options.limits.under_load_handshakes = 100;
  Pair pair(1, options);
  pair.b.hold_jobs = true;
  for (const ByteVector& one : initiations_of_strangers(pair.b, 12)) {
    pair.b.device->on_datagram(pair.b.now(), endpoint_of("203.0.113.1:1"), pair.b.address, {}, one);
  }
  pair.b.drain();
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeQueueFull), 4U);
  pair.b.hold_jobs = false;
  pair.b.finish_held_jobs();
  pair.exchange();
  EXPECT_EQ(pair.b.received.size(), 1U) << "every place in the queue came back";
}

TEST(Load, rate_of_arrivals_alone_is_load_too) {
  Device::Options options;
  options.limits.under_load_per_second = 3;
  Pair pair(1, options);
  for (const ByteVector& one : initiations_of_strangers(pair.b, 6)) {
    pair.b.device->on_datagram(pair.b.now(), endpoint_of("203.0.113.1:1"), pair.b.address, {}, one);
    pair.b.drain();
  }
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeUnknownPeer), 3U);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeNeedsCookie), 3U);
}

TEST(Load, cookie_replies_that_nobody_pulls_are_bounded) {
  Device::Options options;
  options.limits.under_load_handshakes = 0;
  options.limits.datagrams_waiting = 10;
  Pair pair(1, options);
  const ByteVector one = initiations_of_strangers(pair.b, 1).at(0);
  for (uint32_t i = 0; i < 1000; ++i) {
    const Endpoint spoofed{Ipv4Address::from_host(0xcb007100 + i), 1000};
    pair.b.device->on_datagram(pair.b.now(), spoofed, pair.b.address, {}, one);
  }
  size_t effects = 0;
  while (auto effect = pair.b.device->poll()) ++effects;
  EXPECT_LE(effects, 10U + 10U + 2U) << "replies, their drops, one drop for the rest, one notice";
}

TEST(Load, one_peers_initiations_are_consumed_20_ms_apart) {
  Pair pair;
  pair.exchange();
  const uint64_t floor_ns = pair.a.persisted_ns;
  std::vector<ByteVector> initiations;
  pair.world.filter = [](const Packet&) { return false; };
  for (uint64_t i = 0; i < 3; ++i) {
    Device::Options options;
    options.timestamp_floor_ns = floor_ns + i * 100;
    pair.a.restart(options);
    DeviceChange change;
    change.private_key = private_key_of(1);
    change.peers.emplace_back();
    change.peers[0].public_key = pair.b.device->status(pair.b.now()).public_key;
    change.peers[0].endpoint = pair.b.address;
    change.peers[0].persistent_keepalive_s = 1;
    ASSERT_TRUE(pair.a.device->apply(pair.a.now(), change).ok());
    pair.a.drain();
    initiations.push_back(pair.a.sent.back());
  }
  const auto deliver = [&](size_t i) {
    pair.b.device->on_datagram(pair.b.now(), pair.a.address, pair.b.address, {}, initiations[i]);
    pair.b.drain();
  };
  const size_t answers = pair.b.sent.size();
  deliver(0);
  pair.world.boot_ns += 19 * kMillisecond;
  deliver(1);
  EXPECT_EQ(pair.b.sent.size(), answers + 1);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeRateLimited), 1U);
  pair.world.boot_ns += kMillisecond;
  deliver(2);
  EXPECT_EQ(pair.b.sent.size(), answers + 2);
  deliver(1);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeReplay), 1U);
}

TEST(Load, many_peers_behind_one_address_all_get_sessions) {
  World world;
  Node& gateway = world.add("gateway", kB);
  constexpr unsigned kClients = 50;
  std::vector<Node*> clients;
  for (unsigned i = 0; i < kClients; ++i) {
    const std::string at = "198.51.100.1:" + std::to_string(2000 + i);
    clients.push_back(&world.add("client", at.c_str()));
    world.connect(*clients.back(), gateway, false);
  }
  for (Node* const client : clients) client->send_data(client->device->peer_ids().at(0), kPing);
  world.run_for(2 * kSecond);
  EXPECT_EQ(gateway.received.size(), kClients);
  for (const PeerStatus& peer : gateway.device->status(gateway.now()).peers) {
    EXPECT_EQ(peer.state, "up");
  }
}

TEST(Load, hundred_thousand_peers_are_applied_and_found_quickly) {
  World world;
  Node& a = world.add("a", kA);
  a.hold_jobs = true;
  constexpr uint32_t kPeers = 100'000;
  DeviceChange change;
  for (uint32_t i = 0; i < kPeers; ++i) {
    PeerChange peer;
    store_unaligned(peer.public_key.data(), i + 1);
    peer.public_key[30] = 9;
    peer.allowed_ips.push_back({IpPrefix::host(Ipv4Address::from_host(0x0a000000 + i)), false});
    change.peers.push_back(peer);
  }
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(a.device->apply(a.now(), change).ok());
  a.drain();
  EXPECT_EQ(a.device->peer_count(), kPeers);
  EXPECT_LE(a.held.size(), Limits{}.static_jobs) << "precomputation is bounded";
  ASSERT_TRUE(a.device->apply(a.now(), change).ok());  // all of it again changes nothing
  size_t effects = 0;
  while (a.device->poll()) ++effects;
  EXPECT_EQ(effects, 0U);
  for (PeerChange& peer : change.peers) peer.remove = true;
  ASSERT_TRUE(a.device->apply(a.now(), change).ok());
  a.drain();
  EXPECT_EQ(a.device->peer_count(), 0U);
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_LT(std::chrono::duration<double>(took).count(), 10.0);
}

}  // namespace
}  // namespace penstock::wireguard::simulation
