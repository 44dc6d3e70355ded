// Questions of others, announcements, duplicates, and what nobody should believe.
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/icmp.h"
#include "tests/unit/neighbour/harness.h"

namespace penstock::neighbour::test {
namespace {

TEST_F(ResolverTest, arp_request_for_us_is_answered_and_asker_learnt) {
  arp_request(kHost);
  const auto effects = drain();
  ASSERT_EQ(effects.size(), 2U);
  EXPECT_EQ(std::get<SetNeighbour>(effects[0]).address, kHost);
  const auto& reply = std::get<SendFrame>(effects[1]);
  EXPECT_EQ(reply.destination, kHostMac);
  EXPECT_EQ(reply.payload, build_arp({false, kOurMac, kOurs.v4(), kHostMac, kHost.v4()}));
  EXPECT_EQ(state_of(kHost), State::kStale);
  // Not confirmed yet: asked after five seconds.
  advance(5 * kSecond);
  EXPECT_EQ(state_of(kHost), State::kProbe);
}

TEST_F(ResolverTest, arp_request_releases_what_waits_for_the_asker) {
  need(kHost, "waits");
  (void)drain();
  arp_request(kHost);
  EXPECT_EQ(only<SendIp>().size(), 1U);
}

TEST_F(ResolverTest, solicitation_for_us_is_answered_and_asker_learnt) {
  nd(solicitation(kHost6, kHostMac));
  const auto effects = drain();
  ASSERT_EQ(effects.size(), 2U);
  EXPECT_EQ(std::get<SetNeighbour>(effects[0]).address, kHost6);
  const auto& frame = std::get<SendFrame>(effects[1]);
  EXPECT_EQ(frame.destination, kHostMac);
  const auto answer = parse_nd(frame.payload);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->is_solicitation);
  EXPECT_TRUE(answer->solicited);
  EXPECT_TRUE(answer->overrides);
  EXPECT_EQ(IpAddress(answer->source), kOurs6);
  EXPECT_EQ(IpAddress(answer->destination), kHost6);
  EXPECT_EQ(IpAddress(answer->target), kOurs6);
  EXPECT_EQ(answer->link_layer, kOurMac);
  EXPECT_NE(header_at<NeighbourAdvertisement>(frame.payload, 40)->flags.get() & kNaRouter, 0U);
}

TEST_F(ResolverTest, solicitation_without_option_is_answered_but_not_learnt_from) {
  nd(solicitation(ip("fe80::77"), std::nullopt));
  const auto effects = drain();
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_EQ(std::get<SendFrame>(effects[0]).destination, kHostMac);
  EXPECT_EQ(resolver_->size(), 0U);
}

TEST_F(ResolverTest, duplicate_detection_of_others_is_told_that_the_address_is_taken) {
  arp({true, kHostMac, {}, {}, kOurs.v4()});
  auto frames = only<SendFrame>();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].destination, kHostMac);
  EXPECT_EQ(parse_arp(frames[0].payload)->sender, kOurs.v4());

  NdMessage message = solicitation(ip("::"), std::nullopt);
  nd(message);
  frames = only<SendFrame>();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].destination, mac("33:33:00:00:00:01"));
  const auto answer = parse_nd(frames[0].payload);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->destination, kAllNodes);
  EXPECT_FALSE(answer->solicited);
  EXPECT_EQ(resolver_->size(), 0U);
}

TEST_F(ResolverTest, what_is_not_for_us_or_implausible_is_dropped_without_effect) {
  const auto expect_dropped = [&](const char* what) {
    const auto effects = drain();
    ASSERT_EQ(effects.size(), 1U) << what;
    ASSERT_TRUE(std::holds_alternative<CountDrop>(effects[0])) << what;
    EXPECT_EQ(std::get<CountDrop>(effects[0]).reason, DropReason::kHostDropped);
    EXPECT_EQ(resolver_->size(), 0U) << what;
  };
  arp({true, kHostMac, kHost.v4(), {}, ip("192.0.2.77").v4()});
  expect_dropped("request for another");
  arp({true, kHostMac, {}, {}, ip("192.0.2.77").v4()});
  expect_dropped("probe for another");
  arp({false, kHostMac, {}, kOurMac, kOurs.v4()});
  expect_dropped("reply of nobody");
  arp_reply();
  expect_dropped("reply to no question");
  arp({true, kHostMac, kHost.v4(), {}, kHost.v4()});
  expect_dropped("announcement of an unknown");
  arp_request(kHost, kBroadcastMac);
  expect_dropped("broadcast sender");
  arp_request(kHost, mac("01:00:5e:00:00:01"));
  expect_dropped("multicast sender");
  arp_request(kHost, MacAddress{});
  expect_dropped("zero sender");
  arp_request(kHost, kOurMac);
  expect_dropped("our own MAC address");
  arp_request(kHost, kOurOtherMac);
  expect_dropped("the other port's MAC address");
  arp_request(ip("192.0.2.255"));
  expect_dropped("broadcast address");
  arp_request(ip("224.0.0.1"));
  expect_dropped("multicast address");
  arp_request(ip("127.0.0.1"));
  expect_dropped("loopback");
  arp_request(ip("198.51.100.9"));
  expect_dropped("not on the link");
  arp({true, kHostMac, ip("203.0.113.2").v4(), {}, ip("203.0.113.1").v4()}, kInside);
  expect_dropped("address of another port");
  arp({true, kHostMac, kHost.v4(), {}, kOurs.v4()}, PortId{9});
  expect_dropped("unknown port");

  nd(advertisement(kHostMac, true, true));
  expect_dropped("advertisement to no question");
  nd(solicitation(ip("2001:db8:9::1"), kHostMac));
  expect_dropped("source not on the link");
  nd(solicitation(kHost6, kBroadcastMac));
  expect_dropped("broadcast MAC in the option");
  nd(solicitation(kHost6, kOurMac));
  expect_dropped("our MAC in the option");
  nd(solicitation(kHost6, kHostMac), kOurMac);
  expect_dropped("our own frame");
  NdMessage other = solicitation(kHost6, kHostMac);
  other.target = ip("2001:db8::77").v6();
  nd(other);
  expect_dropped("solicitation for another");
  other = solicitation(ip("::"), std::nullopt);
  other.target = ip("2001:db8::77").v6();
  other.destination = solicited_node(other.target);
  nd(other);
  expect_dropped("detection for another");
}

TEST_F(ResolverTest, on_link_prefix_makes_senders_plausible) {
  PortSetup setup = inside_setup();
  setup.on_link = {*IpPrefix::parse("198.51.100.0/24")};
  ASSERT_TRUE(resolver_->set_port(now_, setup).ok());
  advance(3 * kSecond);
  (void)drain();
  arp_request(ip("198.51.100.9"));
  EXPECT_EQ(only<SetNeighbour>().size(), 1U);
}

TEST_F(ResolverTest, announcement_moves_a_known_neighbour) {
  make_reachable();
  arp({true, kEvilMac, kHost.v4(), {}, kHost.v4()});
  auto effects = drain();
  ASSERT_EQ(effects.size(), 2U);
  EXPECT_EQ(std::get<Notify>(effects[0]).kind, Notify::Kind::kMacChanged);
  EXPECT_EQ(std::get<SetNeighbour>(effects[1]).mac, kEvilMac);
  EXPECT_EQ(state_of(kHost), State::kStale) << "to be confirmed";
  // The same again changes nothing.
  arp({true, kEvilMac, kHost.v4(), {}, kHost.v4()});
  EXPECT_TRUE(drain().empty());
}

// RFC 4861 7.2.5, what an advertisement does to an entry that has an address.
TEST_F(ResolverTest, advertisement_follows_the_override_and_solicited_flags) {
  struct Row {
    const char* what;
    std::optional<MacAddress> option;
    bool solicited, overrides;
    State state;
    bool moves;
  };
  const Row rows[] = {
      {"same, solicited", kHostMac, true, false, State::kReachable, false},
      {"none, solicited", std::nullopt, true, true, State::kReachable, false},
      {"same, unsolicited", kHostMac, false, true, State::kReachable, false},
      {"other, no override", kEvilMac, true, false, State::kStale, false},
      {"other, no override, unsolicited", kEvilMac, false, false, State::kStale, false},
      {"other, override, solicited", kEvilMac, true, true, State::kReachable, true},
      {"other, override, unsolicited", kEvilMac, false, true, State::kStale, true},
  };
  for (const Row& row : rows) {
    restart({});
    make_reachable();
    nd(advertisement(row.option, row.solicited, row.overrides));
    EXPECT_EQ(state_of(kHost6), row.state) << row.what;
    EXPECT_EQ(only<SetNeighbour>().size(), row.moves ? 1U : 0U) << row.what;
  }
}

TEST_F(ResolverTest, advertisement_without_option_resolves_nothing) {
  need(kHost6);
  (void)drain();
  nd(advertisement(std::nullopt, true, true));
  EXPECT_TRUE(only<SetNeighbour>().empty());
  EXPECT_EQ(state_of(kHost6), State::kIncomplete);
  nd(advertisement(kHostMac, false, false));
  EXPECT_EQ(only<SetNeighbour>().size(), 1U);
  EXPECT_EQ(state_of(kHost6), State::kStale);
}

TEST_F(ResolverTest, duplicate_of_our_address_is_reported_and_defended_once_per_interval) {
  const auto count = [&] {
    std::pair<int, int> counts;
    for (const Effect& effect : drain()) {
      if (const auto* notify = std::get_if<Notify>(&effect)) {
        EXPECT_EQ(notify->kind, Notify::Kind::kDuplicateAddress);
        EXPECT_EQ(notify->mac, kEvilMac);
        ++counts.first;
      }
      counts.second += std::holds_alternative<SendFrame>(effect) ? 1 : 0;
    }
    return counts;
  };
  for (int i = 0; i < 10; ++i) {
    arp({true, kEvilMac, kOurs.v4(), {}, kHost.v4()});
    arp({false, kEvilMac, kOurs.v4(), kHostMac, kHost.v4()});
    NdMessage message = advertisement(kEvilMac, false, true);
    message.source = message.target = kOurs6.v6();
    nd(message, kEvilMac);
    nd(solicitation(kOurs6, kEvilMac), kEvilMac);
    advance(500 * kMillisecond);
  }
  EXPECT_EQ(count(), std::pair(2, 2));
  advance(10 * kSecond);
  arp({true, kEvilMac, kOurs.v4(), {}, kHost.v4()});
  EXPECT_EQ(count(), std::pair(1, 1));
  EXPECT_EQ(resolver_->size(), 0U) << "nothing is learnt of our own address";
}

TEST_F(ResolverTest, start_probes_and_announces_every_address_twice) {
  Resolver fresh(random_, {}, Timers{});
  PortSetup setup = inside_setup();
  setup.link_up = false;
  ASSERT_TRUE(fresh.set_port(now_, setup).ok());
  EXPECT_FALSE(fresh.poll());
  EXPECT_EQ(fresh.next_timeout(), kNever);
  fresh.on_link(now_, kInside, true);
  int probes = 0;
  int announcements = 0;
  const auto collect = [&] {
    while (const auto effect = fresh.poll()) {
      const auto& frame = std::get<SendFrame>(*effect);
      EXPECT_TRUE(frame.destination.is_multicast());
      if (frame.ether_type == kEtherTypeArp) {
        const auto message = parse_arp(frame.payload);
        ASSERT_TRUE(message && message->is_request);
        EXPECT_EQ(message->target, kOurs.v4());
        (message->sender == Ipv4Address{} ? probes : announcements) += 1;
      } else {
        const auto message = parse_nd(frame.payload);
        ASSERT_TRUE(message);
        EXPECT_EQ(message->link_layer.has_value(), !message->is_solicitation);
        (message->is_solicitation ? probes : announcements) += 1;
      }
    }
  };
  collect();
  EXPECT_EQ(probes, 3);
  EXPECT_EQ(announcements, 3);
  EXPECT_EQ(fresh.next_timeout(), now_ + 2 * kSecond);
  fresh.on_timeout(now_ + 2 * kSecond);
  collect();
  EXPECT_EQ(probes, 3);
  EXPECT_EQ(announcements, 6);
  EXPECT_EQ(fresh.next_timeout(), kNever);
}

TEST_F(ResolverTest, flood_of_askers_stays_within_the_table) {
  restart({.neighbours = 50});
  for (uint32_t i = 2; i < 250; ++i) {
    arp_request(Ipv4Address::from_host((192U << 24 | 2U << 8) + i));
    ASSERT_LE(resolver_->size(), 50U);
  }
  size_t set = 0;
  size_t removed = 0;
  size_t notified = 0;
  for (const Effect& effect : drain()) {
    set += std::holds_alternative<SetNeighbour>(effect) ? 1 : 0;
    removed += std::holds_alternative<RemoveNeighbour>(effect) ? 1 : 0;
    notified += std::holds_alternative<Notify>(effect) ? 1 : 0;
  }
  EXPECT_EQ(set, 248U);
  EXPECT_EQ(removed, 198U);
  EXPECT_EQ(notified, 1U);
}

// --- random input -------------------------------------------------------------------------------

// Mirrors what the dataplane would hold, and checks every effect against it.
class Mirror {
 public:
  void apply(const Effect& effect) {
    if (const auto* set = std::get_if<SetNeighbour>(&effect)) {
      EXPECT_FALSE(set->mac.is_multicast() || set->mac.is_zero());
      EXPECT_NE(set->mac, kOurMac);
      EXPECT_NE(set->address, kOurs);
      EXPECT_NE(set->address, kOurs6);
      known_[{set->port, set->address}] = set->mac;
    } else if (const auto* remove = std::get_if<RemoveNeighbour>(&effect)) {
      EXPECT_EQ(known_.erase({remove->port, remove->address}), 1U);
    } else if (const auto* frame = std::get_if<SendFrame>(&effect)) {
      const bool parses = frame->ether_type == kEtherTypeArp ? parse_arp(frame->payload).has_value()
                                                             : parse_nd(frame->payload).has_value();
      EXPECT_TRUE(parses);
    } else if (const auto* drop = std::get_if<CountDrop>(&effect)) {
      if (drop->reason != DropReason::kHostDropped) ended_ += drop->packets;
    } else if (std::holds_alternative<SendIp>(effect)) {
      ++ended_;
    }
  }
  void compare(const Resolver& resolver, Nanoseconds now) const {
    size_t resolved = 0;
    for (const NeighbourState& one : resolver.list(now)) {
      if (one.neighbour.mac.is_zero()) continue;
      ++resolved;
      const auto found = known_.find({one.neighbour.port, one.neighbour.address});
      ASSERT_NE(found, known_.end());
      ASSERT_EQ(found->second, one.neighbour.mac);
    }
    ASSERT_EQ(resolved, known_.size());
  }
  [[nodiscard]] uint64_t ended() const { return ended_; }

 private:
  std::map<std::pair<PortId, IpAddress>, MacAddress> known_;
  uint64_t ended_ = 0;  // packets that were sent on or dropped
};

TEST_F(ResolverTest, random_and_mutated_input_keeps_table_and_dataplane_the_same) {
  restart({.neighbours = 12, .queue_packets = 3, .total_queued_packets = 10});
  std::mt19937_64 random(99);
  Mirror mirror;
  uint64_t needs = 0;
  const auto pick_v4 = [&] {
    return Ipv4Address::from_host((192U << 24 | 2U << 8) + static_cast<uint32_t>(random() % 24));
  };
  const auto pick_v6 = [&] {
    Ipv6Address address = kOurs6.v6();
    address.bytes[15] = static_cast<uint8_t>(random() % 12);
    return address;
  };
  const MacAddress macs[] = {kHostMac, kEvilMac, mac("02:aa:00:00:00:07"), kOurMac, kBroadcastMac};
  const auto mutate = [&](ByteVector bytes) {
    if (random() % 3 == 0)
      bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1U << random() % 8);
    if (random() % 16 == 0) bytes.resize(random() % (bytes.size() + 8));
    return bytes;
  };
  const auto mutate_nd = [&](ByteVector packet) {
    packet = mutate(std::move(packet));
    if (packet.size() >= 64 && random() % 4 != 0) {  // past the checksum
      store_unaligned(&packet[42], Be16(0));
      const auto* header = header_at<Ipv6Header>(packet);
      const Bytes body = Bytes(packet).subspan(40);
      store_unaligned(
          &packet[42],
          transport_checksum(pseudo_header_sum(header->source, header->destination, kProtocolIcmpv6,
                                               static_cast<uint32_t>(body.size())),
                             body));
    }
    return packet;
  };
  for (int round = 0; round < 60000; ++round) {
    const MacAddress from = macs[random() % std::size(macs)];
    switch (random() % 8) {
      case 0:
      case 1: {
        const ArpMessage message{random() % 2 == 0, from, pick_v4(), kOurMac,
                                 random() % 2 == 0 ? kOurs.v4() : pick_v4()};
        resolver_->on_arp(now_, kInside, from, mutate(build_arp(message)));
        break;
      }
      case 2:
      case 3: {
        NdMessage message;
        message.is_solicitation = random() % 2 == 0;
        message.solicited = random() % 2 == 0;
        message.overrides = random() % 2 == 0;
        message.source = random() % 8 == 0 ? Ipv6Address{} : pick_v6();
        message.target = random() % 2 == 0 ? kOurs6.v6() : pick_v6();
        message.destination = random() % 2 == 0 ? kOurs6.v6() : solicited_node(message.target);
        if (random() % 4 != 0) message.link_layer = from;
        resolver_->on_nd(now_, kInside, from, mutate_nd(build_nd(message)));
        break;
      }
      case 4:
      case 5:
        ++needs;
        need(random() % 2 == 0 ? IpAddress(pick_v4()) : IpAddress(pick_v6()));
        break;
      case 6:
        advance(static_cast<Nanoseconds>(random() % (800 * kMillisecond)));
        break;
      case 7:
        if (random() % 64 == 0) {
          resolver_->on_link(now_, kInside, false);
          resolver_->on_link(now_, kInside, true);
        }
        break;
    }
    while (const auto effect = resolver_->poll()) mirror.apply(*effect);
    mirror.compare(*resolver_, now_);
    ASSERT_LE(resolver_->size(), 12U);
    ASSERT_LE(resolver_->queued_packets(), 10U);
    ASSERT_EQ(needs, mirror.ended() + resolver_->queued_packets()) << "every packet has one end";
  }
}

TEST_F(ResolverTest, same_seed_and_input_give_the_same_effects) {
  const auto run = [] {
    SeededRandom random(5);
    Resolver resolver(random, {}, Timers{});
    std::vector<std::string> log;
    Nanoseconds now = 0;
    EXPECT_TRUE(resolver.set_port(now, inside_setup()).ok());
    for (uint32_t i = 2; i < 40; ++i) {
      const IpAddress address = Ipv4Address::from_host((192U << 24 | 2U << 8) + i);
      resolver.on_need(now, kInside, address, bytes_of("x"));
      if (i % 2 == 0) {
        resolver.on_arp(now, kInside, kHostMac,
                        build_arp({false, kHostMac, address.v4(), kOurMac, kOurs.v4()}));
      }
    }
    while (now < 100 * kSecond) {
      while (const auto effect = resolver.poll()) {
        std::string line = std::to_string(now) + " " + std::to_string(effect->index());
        if (const auto* frame = std::get_if<SendFrame>(&*effect)) line += text_of(frame->payload);
        log.push_back(line);
      }
      now = resolver.next_timeout();
      if (now != kNever) resolver.on_timeout(now);
    }
    return log;
  };
  EXPECT_EQ(run(), run());
}

// --- addresses behind us
// --------------------------------------------------------------------------

TEST_F(ResolverTest, proxied_address_is_announced_and_answered_for) {
  const IpAddress client = ip("192.0.2.77");
  resolver_->add_proxy(kInside, client);
  auto frames = only<SendFrame>();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].payload, build_arp({true, kOurMac, client.v4(), {}, client.v4()}));

  arp({true, kHostMac, kHost.v4(), {}, client.v4()});
  frames = only<SendFrame>();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].payload, build_arp({false, kOurMac, client.v4(), kHostMac, kHost.v4()}));

  resolver_->remove_proxy(kInside, client);
  arp({true, kHostMac, kHost.v4(), {}, client.v4()});
  EXPECT_TRUE(only<SendFrame>().empty());
}

TEST_F(ResolverTest, proxied_ipv6_address_is_answered_for_from_our_own_without_override) {
  const IpAddress client = ip("2001:db8::77");
  resolver_->add_proxy(kInside, client);
  (void)drain();
  NdMessage question = solicitation(kHost6, kHostMac);
  question.target = client.v6();
  question.destination = solicited_node(question.target);
  nd(question);
  const auto frames = only<SendFrame>();
  ASSERT_EQ(frames.size(), 1U);
  const auto answer = parse_nd(frames[0].payload);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->overrides);
  EXPECT_EQ(IpAddress(answer->source), kOurs6);
  EXPECT_EQ(IpAddress(answer->target), client);
  EXPECT_EQ(answer->link_layer, kOurMac);
}

TEST_F(ResolverTest, proxied_address_takes_the_place_of_a_neighbour) {
  arp_request(kHost);
  (void)drain();
  resolver_->add_proxy(kInside, kHost);
  EXPECT_EQ(only<RemoveNeighbour>().size(), 1U);
  EXPECT_EQ(resolver_->size(), 0U);
}

}  // namespace
}  // namespace penstock::neighbour::test
