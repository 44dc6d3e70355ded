// Questions of ours: what packets make us ask, and what answers make of it.
#include "tests/unit/neighbour/harness.h"

namespace penstock::neighbour::test {
namespace {

TEST_F(ResolverTest, need_asks_and_answer_releases_packets_in_order) {
  need(kHost, "one");
  need(kHost, "two");
  auto effects = drain();
  ASSERT_EQ(effects.size(), 1U);
  const auto& request = std::get<SendFrame>(effects[0]);
  EXPECT_EQ(request.port, kInside);
  EXPECT_EQ(request.destination, kBroadcastMac);
  EXPECT_EQ(request.ether_type, kEtherTypeArp);
  EXPECT_EQ(request.payload, build_arp({true, kOurMac, kOurs.v4(), {}, kHost.v4()}));
  EXPECT_EQ(state_of(kHost), State::kIncomplete);
  EXPECT_EQ(resolver_->queued_packets(), 2U);

  arp_reply();
  effects = drain();
  ASSERT_EQ(effects.size(), 3U);
  const auto& set = std::get<SetNeighbour>(effects[0]);
  EXPECT_EQ(set.port, kInside);
  EXPECT_EQ(set.address, kHost);
  EXPECT_EQ(set.mac, kHostMac);
  EXPECT_EQ(text_of(std::get<SendIp>(effects[1]).packet), "one");
  EXPECT_EQ(text_of(std::get<SendIp>(effects[2]).packet), "two");
  EXPECT_EQ(state_of(kHost), State::kReachable);
  EXPECT_EQ(resolver_->queued_packets(), 0U);
}

TEST_F(ResolverTest, need_over_ipv6_asks_the_solicited_node_group) {
  need(kHost6, "six");
  const auto frames = only<SendFrame>();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].destination, mac("33:33:ff:00:00:05"));
  EXPECT_EQ(frames[0].ether_type, kEtherTypeIpv6);
  const auto message = parse_nd(frames[0].payload);
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->is_solicitation);
  EXPECT_EQ(IpAddress(message->source), kOurs6);
  EXPECT_EQ(IpAddress(message->destination), ip("ff02::1:ff00:5"));
  EXPECT_EQ(IpAddress(message->target), kHost6);
  EXPECT_EQ(message->link_layer, kOurMac);

  nd(advertisement(kHostMac, true, true));
  const auto effects = drain();
  ASSERT_EQ(effects.size(), 2U);
  EXPECT_EQ(std::get<SetNeighbour>(effects[0]).address, kHost6);
  EXPECT_EQ(text_of(std::get<SendIp>(effects[1]).packet), "six");
}

TEST_F(ResolverTest, link_local_next_hop_is_asked_from_link_local_address) {
  need(ip("fe80::99"));
  const auto frames = only<SendFrame>();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(parse_nd(frames[0].payload)->source, link_local_of(kOurMac));
}

TEST_F(ResolverTest, silence_gives_three_questions_then_unreachable_and_a_pause) {
  need(kHost, "one");
  need(kHost, "two");
  advance(2999 * kMillisecond);
  EXPECT_EQ(only<SendFrame>().size(), 3U);
  advance(1 * kMillisecond);
  auto effects = drain();
  ASSERT_EQ(effects.size(), 2U);
  EXPECT_EQ(text_of(std::get<UnreachableIcmp>(effects[0]).packet), "one");
  EXPECT_EQ(std::get<CountDrop>(effects[1]).reason, DropReason::kNeighbourUnresolved);
  EXPECT_EQ(std::get<CountDrop>(effects[1]).packets, 2U);
  EXPECT_EQ(state_of(kHost), State::kFailed);

  need(kHost, "three");
  EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 1U);
  advance(3 * kSecond);
  EXPECT_EQ(state_of(kHost), std::nullopt);
  need(kHost, "four");
  EXPECT_EQ(only<SendFrame>().size(), 1U);
}

TEST_F(ResolverTest, answer_after_failure_is_still_good) {
  need(kHost);
  advance(3 * kSecond);
  (void)drain();
  arp_reply();
  EXPECT_EQ(only<SetNeighbour>().size(), 1U);
  EXPECT_EQ(state_of(kHost), State::kReachable);
}

TEST_F(ResolverTest, queue_keeps_the_latest_packets) {
  restart({.queue_packets = 2});
  for (const char* packet : {"one", "two", "three"}) need(kHost, packet);
  EXPECT_EQ(drops(DropReason::kNeighbourQueueFull), 1U);
  arp_reply();
  const auto sent = only<SendIp>();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(text_of(sent[0].packet), "two");
  EXPECT_EQ(text_of(sent[1].packet), "three");
}

TEST_F(ResolverTest, queues_of_all_neighbours_are_bounded_together) {
  restart({.queue_packets = 16, .total_queued_packets = 20});
  for (int i = 0; i < 16; ++i) need(kHost);
  for (int i = 0; i < 16; ++i) need(kHost6);
  EXPECT_EQ(resolver_->queued_packets(), 20U);
  EXPECT_EQ(drops(DropReason::kNeighbourQueueFull), 12U);
  advance(10 * kSecond);
  EXPECT_EQ(resolver_->queued_packets(), 0U);
  restart({.queue_packets = 0});
  need(kHost);
  EXPECT_EQ(drops(DropReason::kNeighbourQueueFull), 1U);
}

TEST_F(ResolverTest, packet_for_a_known_neighbour_goes_at_once) {
  make_reachable();
  need(kHost, "late");
  const auto effects = drain();
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_EQ(text_of(std::get<SendIp>(effects[0]).packet), "late");
}

TEST_F(ResolverTest, neighbour_the_dataplane_refuses_does_not_circle) {
  need(kHost);
  arp_reply();
  resolver_->on_refused(now_, kInside, kHost);
  (void)drain();
  need(kHost);
  const auto effects = drain();
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_EQ(std::get<CountDrop>(effects[0]).reason, DropReason::kNeighbourUnresolved);
}

TEST_F(ResolverTest, impossible_next_hops_are_dropped_without_an_entry) {
  for (const char* address :
       {"192.0.2.1", "203.0.113.1", "192.0.2.255", "192.0.2.0", "0.0.0.0", "127.0.0.1", "224.0.0.1",
        "255.255.255.255", "2001:db8::1", "::", "::1", "ff02::1"}) {
    need(ip(address));
    EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 1U) << address;
  }
  need(kHost, "x", PortId{7});
  EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 1U);
  need(kHost6, "no IPv6 address there", kOutside);
  EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 1U);
  EXPECT_EQ(resolver_->size(), 0U);
}

TEST_F(ResolverTest, scan_keeps_to_its_rate_and_to_the_table) {
  restart({.neighbours = 100, .resolutions_per_second = 50});
  make_reachable();
  for (uint32_t second = 0; second < 10; ++second) {
    for (uint32_t i = 0; i < 1000; ++i) {
      need(Ipv4Address::from_host(0x0a000000 + second * 1000 + i));
    }
    ASSERT_LE(resolver_->size(), 100U);
    ASSERT_LE(resolver_->queued_packets(), 100U);
    // Three questions for each of the 50 that a second may begin (100 in the first).
    ASSERT_LE(only<SendFrame>().size(), 3U * 100U + 3U);
    advance(kSecond);
  }
  EXPECT_EQ(state_of(kHost), State::kReachable) << "known neighbours survive a scan";
  EXPECT_EQ(state_of(kHost6), State::kReachable);
}

// --- from REACHABLE on --------------------------------------------------------------------------

TEST_F(ResolverTest, reachable_neighbour_is_asked_alone_between_15_and_45_seconds) {
  make_reachable();
  advance(15 * kSecond - 1);
  EXPECT_TRUE(drain().empty());
  advance(30 * kSecond + 2);
  // Both have been asked by unicast by now.
  size_t arp_frames = 0;
  size_t nd_frames = 0;
  for (const SendFrame& frame : only<SendFrame>()) {
    EXPECT_EQ(frame.destination, kHostMac);
    if (frame.ether_type == kEtherTypeArp) {
      ++arp_frames;
      EXPECT_EQ(frame.payload, build_arp({true, kOurMac, kOurs.v4(), {}, kHost.v4()}));
    } else {
      ++nd_frames;
      EXPECT_EQ(IpAddress(parse_nd(frame.payload)->destination), kHost6);
    }
  }
  EXPECT_GE(arp_frames, 1U);
  EXPECT_GE(nd_frames, 1U);
}

TEST_F(ResolverTest, probed_neighbour_stays_in_use_and_answer_renews_it) {
  need(kHost);
  arp_reply();
  (void)drain();
  for (int i = 0; i < 20; ++i) {
    while (state_of(kHost) == State::kReachable) advance(100 * kMillisecond);
    ASSERT_EQ(state_of(kHost), State::kProbe);
    need(kHost, "in use");
    EXPECT_EQ(only<SendIp>().size(), 1U);
    advance(kSecond);  // the first question is lost
    arp_reply();
    ASSERT_EQ(state_of(kHost), State::kReachable);
    for (const Effect& effect : drain()) {
      EXPECT_FALSE(std::holds_alternative<RemoveNeighbour>(effect));
      EXPECT_FALSE(std::holds_alternative<SetNeighbour>(effect));
    }
  }
}

TEST_F(ResolverTest, silent_neighbour_is_removed_after_three_probes) {
  need(kHost);
  arp_reply();
  (void)drain();
  advance(49 * kSecond);
  size_t probes = 0;
  std::vector<RemoveNeighbour> removed;
  for (Effect& effect : drain()) {
    probes += std::holds_alternative<SendFrame>(effect) ? 1 : 0;
    if (auto* one = std::get_if<RemoveNeighbour>(&effect)) removed.push_back(*one);
  }
  EXPECT_EQ(probes, 3U);
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].address, kHost);
  EXPECT_EQ(resolver_->size(), 0U);
  EXPECT_EQ(resolver_->next_timeout(), kNever);
}

TEST_F(ResolverTest, reachable_times_are_spread) {
  restart({.resolutions_per_second = 1000});
  std::set<Nanoseconds> times;
  for (uint32_t i = 10; i < 110; ++i) {
    const IpAddress address = Ipv4Address::from_host(kHost.v4().host() + i);
    need(address);
    arp({false, kHostMac, address.v4(), kOurMac, kOurs.v4()});
  }
  (void)drain();
  while (resolver_->next_timeout() < now_ + 45 * kSecond && times.size() < 90) {
    times.insert(resolver_->next_timeout());
    resolver_->on_timeout(resolver_->next_timeout());
  }
  EXPECT_EQ(times.size(), 90U);
}

TEST_F(ResolverTest, static_neighbour_never_asks_expires_or_changes) {
  PortSetup setup = inside_setup();
  setup.neighbours = {{kHost, kHostMac}};
  ASSERT_TRUE(resolver_->set_port(now_, setup).ok());
  const auto set = only<SetNeighbour>();
  ASSERT_EQ(set.size(), 1U);
  EXPECT_EQ(set[0].mac, kHostMac);
  advance(3 * kSecond);
  (void)drain();
  arp_reply(kEvilMac);
  arp_request(kHost, kEvilMac);
  advance(1000 * kSecond);
  for (const Effect& effect : drain()) {
    const auto* frame = std::get_if<SendFrame>(&effect);
    ASSERT_NE(frame, nullptr);  // only the answer to who asked
    EXPECT_FALSE(parse_arp(frame->payload)->is_request);
  }
  EXPECT_EQ(state_of(kHost), State::kStatic);
  resolver_->on_link(now_, kInside, false);
  EXPECT_EQ(state_of(kHost), State::kStatic);
}

TEST_F(ResolverTest, bad_static_neighbours_change_nothing) {
  make_reachable();
  PortSetup setup = inside_setup();
  for (const auto& [address, mac_text] :
       {std::pair("192.0.2.7", "ff:ff:ff:ff:ff:ff"), std::pair("192.0.2.7", "00:00:00:00:00:00"),
        std::pair("192.0.2.255", "02:00:00:00:00:07"), std::pair("ff02::1", "02:00:00:00:00:07")}) {
    setup.neighbours = {{ip(address), mac(mac_text)}};
    EXPECT_FALSE(resolver_->set_port(now_, setup).ok());
  }
  EXPECT_TRUE(drain().empty());
  EXPECT_EQ(resolver_->size(), 2U);
}

TEST_F(ResolverTest, static_neighbours_beyond_the_limit_are_refused_and_up_to_it_make_room) {
  restart({.neighbours = 3});
  make_reachable();
  PortSetup setup = outside_setup();
  for (const char* address : {"198.51.100.1", "198.51.100.2", "198.51.100.3"}) {
    setup.neighbours.push_back({ip(address), kHostMac});
  }
  ASSERT_TRUE(resolver_->set_port(now_, setup).ok());
  EXPECT_EQ(only<RemoveNeighbour>().size(), 2U);
  EXPECT_EQ(resolver_->size(), 3U);
  need(kHost);
  EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 1U) << "static ones are not evicted";
  setup.neighbours.push_back({ip("198.51.100.4"), kHostMac});
  EXPECT_FALSE(resolver_->set_port(now_, setup).ok());
  EXPECT_EQ(resolver_->size(), 3U);
}

TEST_F(ResolverTest, link_down_forgets_and_link_up_announces) {
  make_reachable();
  need(ip("192.0.2.9"), "waits");
  (void)drain();
  resolver_->on_link(now_, kInside, false);
  uint64_t link_drops = 0;
  size_t removed = 0;
  for (const Effect& effect : drain()) {
    if (const auto* drop = std::get_if<CountDrop>(&effect)) {
      EXPECT_EQ(drop->reason, DropReason::kTxLinkDown);
      link_drops += drop->packets;
    }
    removed += std::holds_alternative<RemoveNeighbour>(effect) ? 1 : 0;
  }
  EXPECT_EQ(link_drops, 1U);
  EXPECT_EQ(removed, 2U);
  EXPECT_EQ(resolver_->size(), 0U);
  need(kHost);
  EXPECT_EQ(drops(DropReason::kTxLinkDown), 1U);
  resolver_->on_link(now_, kInside, true);
  EXPECT_FALSE(only<SendFrame>().empty());
  resolver_->on_link(now_, kInside, true);
  EXPECT_TRUE(drain().empty()) << "no change, no effect";
}

TEST_F(ResolverTest, ports_keep_their_neighbours_apart) {
  const IpAddress gateway = ip("203.0.113.2");
  need(gateway, "out", kOutside);
  const auto frames = only<SendFrame>();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].port, kOutside);
  EXPECT_EQ(parse_arp(frames[0].payload)->sender, ip("203.0.113.1").v4());
  // The answer on another port is none.
  arp({false, kHostMac, gateway.v4(), kOurMac, kOurs.v4()}, kInside);
  EXPECT_TRUE(only<SetNeighbour>().empty());
  arp({false, kHostMac, gateway.v4(), kOurOtherMac, ip("203.0.113.1").v4()}, kOutside);
  EXPECT_EQ(only<SetNeighbour>().size(), 1U);
}

TEST_F(ResolverTest, list_tells_state_and_age) {
  make_reachable();
  advance(4 * kSecond);
  need(ip("192.0.2.200"), "waits");
  const auto all = resolver_->list(now_);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].neighbour.address, kHost6);
  EXPECT_EQ(all[1].neighbour.address, kHost);
  EXPECT_EQ(all[1].neighbour.mac, kHostMac);
  EXPECT_EQ(text_of(all[1].state), "reachable");
  EXPECT_EQ(all[1].age_ns, 4 * kSecond);
  EXPECT_EQ(all[2].neighbour.address, ip("192.0.2.200"));
  EXPECT_EQ(text_of(all[2].state), "resolving");
  EXPECT_TRUE(all[2].neighbour.mac.is_zero());
  EXPECT_EQ(all[2].queued_packets, 1U);
}

}  // namespace
}  // namespace penstock::neighbour::test
