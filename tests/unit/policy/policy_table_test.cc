#include "dataplane/policy/policy_table.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/unit/policy/linear_policies.h"

namespace penstock {
namespace {

using Random = std::mt19937_64;

const PolicyDefer kAtOnce = [](const std::function<void()>& fn) { fn(); };

TrafficSelector net(const char* text) {
  const IpPrefix prefix = *IpPrefix::parse(text);
  TrafficSelector selector;
  selector.first = prefix.address;
  std::array<uint8_t, 16> last{};
  const Bytes bytes = prefix.address.bytes();
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    const uint8_t bit = static_cast<uint8_t>(1U << (7 - i % 8));
    last[i / 8] |= i < prefix.length ? static_cast<uint8_t>(bytes[i / 8] & bit) : bit;
  }
  if (prefix.address.is_v4()) {
    selector.last = Ipv4Address{{last[0], last[1], last[2], last[3]}};
  } else {
    selector.last = Ipv6Address{last};
  }
  return selector;
}

TrafficSelector with_ports(TrafficSelector selector, uint8_t protocol, uint16_t first,
                           uint16_t last) {
  selector.protocol = protocol;
  selector.first_port = first;
  selector.last_port = last;
  return selector;
}

TrafficSelector opaque(TrafficSelector selector, uint8_t protocol) {
  selector.protocol = protocol;
  selector.opaque_ports = true;
  return selector;
}

PolicySpec protect(const TrafficSelector& local, const TrafficSelector& remote, uint32_t tunnel,
                   uint32_t priority = 100) {
  PolicySpec spec;
  spec.selectors = {local, remote};
  spec.tunnel = TunnelId{tunnel};
  spec.priority = priority;
  return spec;
}

PolicySpec with_action(PolicySpec spec, PolicyAction action) {
  spec.action = action;
  return spec;
}

Flow tcp(uint16_t from, uint16_t to) { return {kProtocolTcp, Flow::Ports::kBoth, from, to}; }
Flow icmp(uint8_t type, uint8_t code) {
  return {kProtocolIcmp, Flow::Ports::kSender, static_cast<uint16_t>(type << 8 | code), 0};
}
const Flow kTcpFragment{kProtocolTcp, Flow::Ports::kHidden, 0, 0};

PolicyMatch find_in(const PolicyTable& table, const IpAddress& local, const IpAddress& remote,
                    const Flow& flow, PolicySender sender = PolicySender::kLocal) {
  const auto flow_of = [&flow] { return flow; };
  const uint8_t* l = local.bytes().data();
  const uint8_t* r = remote.bytes().data();
  return local.is_v4() ? table.find<4>(l, r, flow_of, sender)
                       : table.find<16>(l, r, flow_of, sender);
}

class Policies : public testing::Test {
 protected:
  PolicyId add(const PolicySpec& spec) {
    const PolicyId id{next_++};
    const Status status = table_.add(id, spec);
    EXPECT_TRUE(status.ok()) << status.error().text;
    return id;
  }
  PolicyMatch find(const char* local, const char* remote, const Flow& flow,
                   PolicySender sender = PolicySender::kLocal) {
    const IpAddress a = *IpAddress::parse(local), b = *IpAddress::parse(remote);
    return find_in(table_, a, b, flow, sender);
  }

  PolicyTable table_{kAtOnce, 1024};
  uint32_t next_ = 1;
};

TEST_F(Policies, none_nothing_found) {
  EXPECT_TRUE(table_.empty());
  EXPECT_FALSE(find("10.0.0.1", "10.1.0.1", tcp(1, 2)).found());
  EXPECT_FALSE(find("fd00::1", "fd01::1", tcp(1, 2)).found());
}

TEST_F(Policies, added_and_removed_found_and_not_found) {
  const PolicyId id = add(protect(net("10.0.0.0/8"), net("10.1.0.0/16"), 7));
  EXPECT_FALSE(table_.empty());
  const PolicyMatch match = find("10.0.0.1", "10.1.2.3", tcp(1, 2));
  EXPECT_TRUE(match.found());
  EXPECT_EQ(match.id, id);
  EXPECT_EQ(match.tunnel, 7U);
  EXPECT_EQ(match.decision, PolicyDecision::kProtect);
  EXPECT_FALSE(find("10.0.0.1", "10.2.2.3", tcp(1, 2)).found());
  EXPECT_FALSE(find("11.0.0.1", "10.1.2.3", tcp(1, 2)).found());
  EXPECT_TRUE(table_.remove(id));
  EXPECT_FALSE(table_.remove(id));
  EXPECT_TRUE(table_.empty());
  EXPECT_FALSE(find("10.0.0.1", "10.1.2.3", tcp(1, 2)).found());
}

TEST_F(Policies, ipv6_found) {
  add(protect(net("fd00::/16"), net("fd01::5/128"), 7));
  EXPECT_EQ(find("fd00::1", "fd01::5", tcp(1, 2)).tunnel, 7U);
  EXPECT_FALSE(find("fd00::1", "fd01::6", tcp(1, 2)).found());
}

TEST_F(Policies, lower_priority_value_wins_over_more_specific) {
  add(protect(net("0.0.0.0/0"), net("10.1.2.3/32"), 1, 200));
  add(protect(net("0.0.0.0/0"), net("0.0.0.0/0"), 2, 100));
  EXPECT_EQ(find("10.0.0.1", "10.1.2.3", tcp(1, 2)).tunnel, 2U);
}

TEST_F(Policies, of_equal_priority_more_specific_wins) {
  add(protect(net("0.0.0.0/0"), net("10.1.2.3/32"), 1));
  add(protect(net("0.0.0.0/0"), net("0.0.0.0/0"), 2));
  add(protect(with_ports(net("0.0.0.0/0"), 6, 0, 65535),
              with_ports(net("10.1.2.3/32"), 6, 443, 443), 3));
  EXPECT_EQ(find("10.0.0.1", "10.1.2.3", tcp(1, 2)).tunnel, 1U);
  EXPECT_EQ(find("10.0.0.1", "10.1.2.3", tcp(1, 443)).tunnel, 3U);
  EXPECT_EQ(find("10.0.0.1", "10.1.2.4", tcp(1, 443)).tunnel, 2U);
}

TEST_F(Policies, of_equals_the_one_added_last_wins) {
  add(protect(net("10.0.0.0/8"), net("10.1.2.3/32"), 1));
  const PolicyId newer = add(protect(net("10.0.0.0/8"), net("10.1.2.3/32"), 2));
  EXPECT_EQ(find("10.0.0.1", "10.1.2.3", tcp(1, 2)).tunnel, 2U);
  table_.remove(newer);
  EXPECT_EQ(find("10.0.0.1", "10.1.2.3", tcp(1, 2)).tunnel, 1U);
}

TEST_F(Policies, host_does_not_match_falls_back_to_what_is_around_it) {
  add(protect(net("0.0.0.0/0"), net("0.0.0.0/0"), 1, 500));
  add(with_action(protect(with_ports(net("0.0.0.0/0"), 17, 0, 65535),
                          with_ports(net("10.1.0.0/16"), 17, 53, 53), 0),
                  PolicyAction::kBypass));
  add(protect(with_ports(net("10.0.0.0/24"), 6, 0, 65535),
              with_ports(net("10.1.2.3/32"), 6, 443, 443), 3));
  EXPECT_EQ(find("10.0.0.1", "10.1.2.3", tcp(1, 443)).tunnel, 3U);
  EXPECT_EQ(find("10.0.1.1", "10.1.2.3", tcp(1, 443)).tunnel, 1U) << "another local address";
  EXPECT_EQ(find("10.0.0.1", "10.1.2.3", tcp(1, 80)).tunnel, 1U) << "another port";
  const Flow dns{kProtocolUdp, Flow::Ports::kBoth, 1, 53};
  EXPECT_EQ(find("10.0.0.1", "10.1.2.3", dns).decision, PolicyDecision::kBypass);
}

TEST_F(Policies, address_range_ends_are_exact) {
  TrafficSelector range = net("10.1.0.0/16");
  range.first = *IpAddress::parse("10.1.0.5");
  range.last = *IpAddress::parse("10.1.3.9");
  add(protect(net("0.0.0.0/0"), range, 1));
  EXPECT_FALSE(find("10.0.0.1", "10.1.0.4", tcp(1, 2)).found());
  EXPECT_TRUE(find("10.0.0.1", "10.1.0.5", tcp(1, 2)).found());
  EXPECT_TRUE(find("10.0.0.1", "10.1.2.255", tcp(1, 2)).found());
  EXPECT_TRUE(find("10.0.0.1", "10.1.3.9", tcp(1, 2)).found());
  EXPECT_FALSE(find("10.0.0.1", "10.1.3.10", tcp(1, 2)).found());
}

TEST_F(Policies, whole_address_space_found_at_its_ends) {
  add(protect(net("0.0.0.0/0"), net("0.0.0.0/0"), 1));
  add(protect(net("::/0"), net("::/0"), 2));
  EXPECT_EQ(find("0.0.0.0", "255.255.255.255", tcp(1, 2)).tunnel, 1U);
  EXPECT_EQ(find("255.255.255.255", "0.0.0.0", tcp(1, 2)).tunnel, 1U);
  EXPECT_EQ(find("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", tcp(1, 2)).tunnel, 2U);
  EXPECT_EQ(find("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::", tcp(1, 2)).tunnel, 2U);
}

// RFC 4301 4.4.1.1: may send echo requests, may not receive them.
TEST_F(Policies, match_by_flow_is_marked_and_one_by_addresses_is_not) {
  add(protect(net("10.0.0.0/8"), net("10.1.0.1/32"), 1));
  add(protect(with_ports(net("10.0.0.0/8"), 6, 0, 65535),
              with_ports(net("10.1.0.2/32"), 6, 443, 443), 2));
  EXPECT_EQ(find("10.0.0.1", "10.1.0.1", tcp(1, 443)).by_flow, 0U);
  EXPECT_EQ(find("10.0.0.1", "10.1.0.2", tcp(1, 443)).by_flow, 1U);
  // Nothing was found, or something else, because of the ports.
  EXPECT_EQ(find("10.0.0.1", "10.1.0.2", tcp(1, 80)).by_flow, 1U);
  add(protect(net("10.0.0.0/8"), net("10.1.0.0/16"), 3));
  EXPECT_EQ(find("10.0.0.1", "10.1.0.2", tcp(1, 80)).tunnel, 3U);
  EXPECT_EQ(find("10.0.0.1", "10.1.0.2", tcp(1, 80)).by_flow, 1U);
  EXPECT_EQ(find("10.0.0.1", "10.1.0.3", tcp(1, 80)).by_flow, 0U);
}

TEST_F(Policies, icmp_type_and_code_are_the_senders) {
  const uint16_t echo = 8 << 8;
  add(protect(with_ports(net("0.0.0.0/0"), 1, echo, echo), opaque(net("0.0.0.0/0"), 1), 1));
  EXPECT_TRUE(find("10.0.0.1", "10.1.0.1", icmp(8, 0)).found());
  EXPECT_FALSE(find("10.0.0.1", "10.1.0.1", icmp(0, 0)).found());
  EXPECT_FALSE(find("10.0.0.1", "10.1.0.1", icmp(8, 0), PolicySender::kRemote).found());
}

TEST_F(Policies, ports_of_both_sides_looked_at_by_sender) {
  add(protect(with_ports(net("0.0.0.0/0"), 6, 1000, 2000),
              with_ports(net("0.0.0.0/0"), 6, 443, 443), 1));
  EXPECT_TRUE(find("10.0.0.1", "10.1.0.1", tcp(1000, 443)).found());
  EXPECT_TRUE(find("10.0.0.1", "10.1.0.1", tcp(2000, 443)).found());
  EXPECT_FALSE(find("10.0.0.1", "10.1.0.1", tcp(2001, 443)).found());
  EXPECT_FALSE(find("10.0.0.1", "10.1.0.1", tcp(443, 1000)).found());
  EXPECT_TRUE(find("10.0.0.1", "10.1.0.1", tcp(443, 1000), PolicySender::kRemote).found());
}

TEST_F(Policies, fragment_without_ports_never_in_clear_where_ports_are_protected) {
  const auto web = protect(with_ports(net("0.0.0.0/0"), 6, 0, 65535),
                           with_ports(net("10.1.0.0/16"), 6, 443, 443), 1);
  add(web);
  PolicyMatch match = find("10.0.0.1", "10.1.0.1", kTcpFragment);
  EXPECT_EQ(match.decision, PolicyDecision::kHiddenPorts);
  const Flow udp_fragment{kProtocolUdp, Flow::Ports::kHidden, 0, 0};
  EXPECT_FALSE(find("10.0.0.1", "10.1.0.1", udp_fragment).found()) << "another protocol";
  // Of a weaker bypass the same.
  add(with_action(protect(net("0.0.0.0/0"), net("0.0.0.0/0"), 0, 900), PolicyAction::kBypass));
  match = find("10.0.0.1", "10.1.0.1", kTcpFragment);
  EXPECT_EQ(match.decision, PolicyDecision::kHiddenPorts);
  // One that takes all ports decides.
  add(protect(net("0.0.0.0/0"), net("10.1.0.0/16"), 2, 800));
  match = find("10.0.0.1", "10.1.0.1", kTcpFragment);
  EXPECT_EQ(match.tunnel, 2U);
  EXPECT_EQ(match.decision, PolicyDecision::kProtect);
}

TEST_F(Policies, fragment_without_ports_before_stronger_bypass_passes) {
  add(with_action(protect(net("0.0.0.0/0"), net("0.0.0.0/0"), 0, 1), PolicyAction::kBypass));
  add(protect(with_ports(net("0.0.0.0/0"), 6, 0, 65535),
              with_ports(net("10.1.0.0/16"), 6, 443, 443), 1));
  EXPECT_EQ(find("10.0.0.1", "10.1.0.1", kTcpFragment).decision, PolicyDecision::kBypass);
}

TEST_F(Policies, opaque_ports_match_fragments_only) {
  add(protect(opaque(net("0.0.0.0/0"), 6), opaque(net("0.0.0.0/0"), 6), 1));
  EXPECT_TRUE(find("10.0.0.1", "10.1.0.1", kTcpFragment).found());
  EXPECT_FALSE(find("10.0.0.1", "10.1.0.1", tcp(1, 2)).found());
}

TEST_F(Policies, unreadable_packet_matches_any_protocol_only) {
  add(protect(net("0.0.0.0/0"), net("0.0.0.0/0"), 1, 500));
  EXPECT_EQ(find("10.0.0.1", "10.1.0.1", Flow{}).tunnel, 1U);
  add(with_action(protect(with_ports(net("0.0.0.0/0"), 6, 0, 65535),
                          with_ports(net("0.0.0.0/0"), 6, 0, 65535), 1),
                  PolicyAction::kDiscard));
  EXPECT_EQ(find("10.0.0.1", "10.1.0.1", Flow{}).tunnel, 1U);
  EXPECT_EQ(find("10.0.0.1", "10.1.0.1", tcp(1, 2)).decision, PolicyDecision::kDiscard);
}

TEST_F(Policies, bad_specs_refused_and_nothing_changed) {
  const TrafficSelector any = net("0.0.0.0/0");
  TrafficSelector upside_down = net("10.0.0.0/8");
  std::swap(upside_down.first, upside_down.last);
  const PolicySpec bad[] = {
      protect(any, net("::/0"), 1),
      protect(any, upside_down, 1),
      protect(any, with_ports(any, 0, 80, 80), 1),
      protect(any, with_ports(any, 6, 81, 80), 1),
      protect(with_ports(any, 17, 0, 65535), with_ports(any, 6, 80, 80), 1),
      protect(any, any, UINT32_MAX),
  };
  for (const PolicySpec& spec : bad) {
    EXPECT_FALSE(table_.add(PolicyId{1}, spec).ok());
    EXPECT_TRUE(table_.empty());
  }
  EXPECT_TRUE(table_.add(PolicyId{1}, protect(any, any, 1)).ok());
  EXPECT_FALSE(table_.add(PolicyId{1}, protect(any, any, 1)).ok()) << "a number twice";
}

TEST(PolicyTable, no_room_refused_and_nothing_changed) {
  PolicyTable table(kAtOnce, 4);
  ASSERT_TRUE(table.add(PolicyId{1}, protect(net("0.0.0.0/0"), net("10.0.0.0/8"), 1)).ok());
  TrafficSelector range = net("10.1.0.0/16");  // of six prefixes
  range.first = *IpAddress::parse("10.1.0.1");
  range.last = *IpAddress::parse("10.1.0.14");
  EXPECT_FALSE(table.add(PolicyId{2}, protect(net("0.0.0.0/0"), range, 2)).ok());
  EXPECT_EQ(table.size(), 1U);
  const IpAddress local = *IpAddress::parse("10.9.9.9");
  for (const char* remote : {"10.1.0.1", "10.1.0.2", "10.1.0.14"}) {
    const IpAddress address = *IpAddress::parse(remote);
    EXPECT_EQ(find_in(table, local, address, tcp(1, 2)).tunnel, 1U);
  }
  for (uint32_t i = 3; i < 6; ++i) {
    const std::string host = "10.2.0." + std::to_string(i);
    EXPECT_TRUE(table.add(PolicyId{i}, protect(net("0.0.0.0/0"), net(host.c_str()), i)).ok());
  }
}

// --- against the reference -----------------------------------------------------------------------

IpAddress small_address(Random& random, bool v4) {
  // Few addresses, so that policies overlap; some at the ends of the space.
  const auto low = static_cast<uint8_t>(random() % 32);
  const uint8_t high = random() % 8 == 0 ? 0xff : random() % 8 == 0 ? 0 : 10;
  const uint8_t middle = random() % 4 == 0 ? 1 : 0;
  if (v4) {
    if (high == 0xff) return Ipv4Address{{255, 255, 255, static_cast<uint8_t>(224 + low)}};
    return Ipv4Address{{high, middle, 0, low}};
  }
  Ipv6Address address;
  if (high == 0xff) address.bytes.fill(0xff);
  address.bytes[0] = high;
  address.bytes[7] = middle;
  address.bytes[15] = low;
  return address;
}

TrafficSelector random_selector(Random& random, bool v4, uint8_t protocol) {
  TrafficSelector selector;
  selector.first = small_address(random, v4);
  selector.last = small_address(random, v4);
  switch (random() % 6) {
    case 0:
      selector.last = selector.first;
      break;
    case 1: {
      const std::string all = v4 ? "0.0.0.0/0" : "::/0";
      selector = net(all.c_str());
      break;
    }
    case 2: {
      const auto length = static_cast<unsigned>(random() % (v4 ? 33 : 129));
      selector = net(IpPrefix::make(selector.first, length).to_string().c_str());
      break;
    }
    default:
      if (selector.last < selector.first) std::swap(selector.first, selector.last);
  }
  selector.protocol = protocol;
  if (protocol == 0) return selector;
  switch (random() % 4) {
    case 0:
      selector.opaque_ports = true;
      break;
    case 1:
      selector.first_port = static_cast<uint16_t>(random() % 4);
      selector.last_port = static_cast<uint16_t>(selector.first_port + random() % 4);
      break;
    case 2:
      selector.first_port = selector.last_port = static_cast<uint16_t>(random() % 6);
      break;
    default:
      break;
  }
  return selector;
}

PolicySpec random_spec(Random& random, bool v4) {
  constexpr uint8_t kProtocols[] = {0, 0, 6, 17, 1};
  const uint8_t protocol = kProtocols[random() % std::size(kProtocols)];
  PolicySpec spec;
  spec.selectors.local = random_selector(random, v4, protocol);
  spec.selectors.remote = random_selector(random, v4, protocol);
  spec.action = static_cast<PolicyAction>(random() % 3);
  spec.tunnel = TunnelId{static_cast<uint32_t>(random() % 1000)};
  spec.priority = static_cast<uint32_t>(random() % 3);
  return spec;
}

Flow random_flow(Random& random) {
  constexpr uint8_t kProtocols[] = {6, 17, 1, 47};
  Flow flow;
  flow.protocol = kProtocols[random() % std::size(kProtocols)];
  flow.ports = static_cast<Flow::Ports>(random() % 5);
  flow.sender_port = static_cast<uint16_t>(random() % 8);
  flow.receiver_port = static_cast<uint16_t>(random() % 8);
  return flow;
}

void expect_same(const PolicyTable& table, const LinearPolicies& reference, Random& random,
                 bool v4) {
  const IpAddress local = small_address(random, v4), remote = small_address(random, v4);
  const Flow flow = random_flow(random);
  const PolicySender sender = random() % 2 == 0 ? PolicySender::kLocal : PolicySender::kRemote;
  const PolicyMatch got = find_in(table, local, remote, flow, sender);
  const PolicyMatch expected = reference.find(local, remote, flow, sender);
  ASSERT_EQ(got.id.value, expected.id.value) << local.to_string() << " " << remote.to_string();
  ASSERT_EQ(got.decision, expected.decision) << local.to_string() << " " << remote.to_string();
  ASSERT_EQ(got.tunnel, expected.tunnel);
}

TEST(PolicyTable, random_policies_come_and_go_same_as_linear_search) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    PolicyTable table(kAtOnce, 1 << 16);
    LinearPolicies reference;
    uint32_t next = 0;
    const size_t most = 1 + random() % 60;
    for (int step = 0; step < 300; ++step) {
      if (reference.size() < most && random() % 3 != 0) {
        const PolicySpec spec = random_spec(random, random() % 2 == 0);
        const PolicyId id{next++};
        ASSERT_TRUE(table.add(id, spec).ok());
        reference.add(id, spec);
      } else if (reference.size() > 0) {
        const PolicyId id = reference.id_at(random() % reference.size());
        ASSERT_TRUE(table.remove(id));
        reference.remove(id);
      }
      ASSERT_EQ(table.size(), reference.size());
      for (int query = 0; query < 30; ++query) {
        expect_same(table, reference, random, query % 2 == 0);
        if (HasFatalFailure()) FAIL() << "seed " << seed << ", step " << step;
      }
    }
  }
}

TEST(PolicyTable, sixty_thousand_hosts_and_trap_around_them_each_found) {
  PolicyTable table(kAtOnce);
  constexpr uint32_t kHosts = 60'000;
  const TrafficSelector all = net("0.0.0.0/0");
  const auto host = [](uint32_t i) {
    return IpAddress(Ipv4Address::from_host(0x0a000000 + i * 7));
  };
  const auto add_host = [&](uint32_t i) {
    TrafficSelector remote;
    remote.first = remote.last = host(i);
    ASSERT_TRUE(table.add(PolicyId{i}, protect(all, remote, i, 100)).ok());
  };
  const auto tunnel_of = [&](const IpAddress& remote) {
    const IpAddress local = *IpAddress::parse("192.0.2.1");
    return find_in(table, local, remote, tcp(1, 2)).tunnel;
  };
  for (uint32_t i = 0; i < kHosts; i += 2) add_host(i);
  const PolicyId trap{kHosts};
  ASSERT_TRUE(table.add(trap, protect(all, all, kHosts, 200)).ok());
  for (uint32_t i = 1; i < kHosts; i += 2) add_host(i);
  for (uint32_t i = 0; i < kHosts; ++i) ASSERT_EQ(tunnel_of(host(i)), i);
  EXPECT_EQ(tunnel_of(*IpAddress::parse("172.16.0.1")), kHosts);
  ASSERT_TRUE(table.remove(trap));
  ASSERT_TRUE(table.add(trap, protect(all, all, kHosts, 1)).ok());
  for (uint32_t i = 0; i < kHosts; ++i) ASSERT_EQ(tunnel_of(host(i)), kHosts);
  ASSERT_TRUE(table.remove(trap));
  for (uint32_t i = 0; i < kHosts; ++i) ASSERT_TRUE(table.remove(PolicyId{i}));
  EXPECT_TRUE(table.empty());
}

}  // namespace
}  // namespace penstock
