// The forwarding table: what routes, neighbours and addresses together mean.
#include "dataplane/route/fib.h"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <random>

namespace penstock {
namespace {

using Kind = NextHopEntry::Kind;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }
IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
NextHop connected(uint32_t port) { return {NextHop::Kind::kConnected, PortId{port}, {}, {}}; }
NextHop tunnel(uint32_t id) { return {NextHop::Kind::kTunnel, {}, InterfaceId{id}, {}}; }
NextHop local(uint32_t port) { return {NextHop::Kind::kLocal, PortId{port}, {}, {}}; }
NextHop via(uint32_t port, const char* gateway) {
  return {NextHop::Kind::kGateway, PortId{port}, {}, ip(gateway)};
}
const MacAddress kMac0{{2, 0, 0, 0, 0, 0x10}}, kMac1{{2, 0, 0, 0, 0, 0x11}};
const MacAddress kNeighbour{{2, 0, 0, 0, 0, 0x20}}, kOther{{2, 0, 0, 0, 0, 0x21}};

class FibTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Fib::create({{kMac0, 1500}, {kMac1, 9000}}, size_t{1} << 28,
                            [this](std::function<void()> fn) { deferred_.push_back(fn); });
    ASSERT_TRUE(made.ok());
    fib_ = std::move(made).value();
  }
  void TearDown() override {
    while (!deferred_.empty()) grace();
  }
  void grace() {
    for (auto& fn : std::exchange(deferred_, {})) fn();
  }
  void set(const char* to, const NextHop& next_hop) {
    const auto status = fib_->set_route(prefix(to), next_hop);
    ASSERT_TRUE(status.ok()) << status.error().text;
  }
  void neighbour(uint32_t port, const char* address, const MacAddress& mac = kNeighbour) {
    ASSERT_TRUE(fib_->set_neighbour(PortId{port}, ip(address), mac).ok());
  }
  Kind kind(const char* to) { return fib_->find(ip(to)).kind; }
  static MacAddress destination_of(const NextHopEntry& entry) {
    const uint64_t start = entry.ethernet_start.load();
    MacAddress mac;
    std::memcpy(mac.bytes.data(), &start, 6);
    return mac;
  }
  std::deque<std::function<void()>> deferred_;
  std::unique_ptr<Fib> fib_;
};

TEST_F(FibTest, route_of_each_kind_leads_where_it_says) {
  EXPECT_EQ(kind("192.0.2.5"), Kind::kNone);
  set("192.0.2.0/24", connected(1));
  set("192.0.2.1/32", local(1));
  set("10.0.0.0/8", tunnel(3));
  set("10.9.0.0/16", {NextHop::Kind::kBlackhole, {}, {}, {}});
  set("0.0.0.0/0", via(0, "198.51.100.254"));
  fib_->set_interface_mtu(InterfaceId{3}, 1380);
  EXPECT_EQ(kind("192.0.2.5"), Kind::kConnected);
  EXPECT_EQ(fib_->find(ip("192.0.2.5")).port, 1);
  EXPECT_EQ(fib_->find(ip("192.0.2.5")).mtu, 9000);
  EXPECT_EQ(kind("192.0.2.1"), Kind::kLocal);
  EXPECT_EQ(kind("10.1.2.3"), Kind::kTunnel);
  EXPECT_EQ(fib_->find(ip("10.1.2.3")).interface, 3);
  EXPECT_EQ(fib_->find(ip("10.1.2.3")).mtu, 1380);
  EXPECT_EQ(kind("10.9.2.3"), Kind::kBlackhole);
  EXPECT_EQ(kind("203.0.113.1"), Kind::kGateway);
  EXPECT_EQ(kind("2001:db8::1"), Kind::kNone);
}

TEST_F(FibTest, route_without_port_or_interface_is_refused) {
  EXPECT_FALSE(fib_->set_route(prefix("10.0.0.0/8"), connected(2)).ok());
  EXPECT_FALSE(fib_->set_route(prefix("10.0.0.0/8"), tunnel(kMaxInterfaces)).ok());
  EXPECT_FALSE(fib_->set_neighbour(PortId{2}, ip("10.0.0.1"), kNeighbour).ok());
  EXPECT_TRUE(fib_->routes().empty());
}

TEST_F(FibTest, neighbour_of_a_connected_network_is_a_host_entry) {
  set("192.0.2.0/24", connected(1));
  const uint32_t before = fib_->version();
  neighbour(1, "192.0.2.5");
  EXPECT_NE(fib_->version(), before);
  const NextHopEntry& entry = fib_->find(ip("192.0.2.5"));
  EXPECT_EQ(entry.kind, Kind::kNeighbour);
  EXPECT_EQ(destination_of(entry), kNeighbour);
  EXPECT_EQ(kind("192.0.2.6"), Kind::kConnected);
  neighbour(1, "192.0.2.5", kOther);
  EXPECT_EQ(destination_of(fib_->find(ip("192.0.2.5"))), kOther);
  fib_->remove_neighbour(PortId{1}, ip("192.0.2.5"));
  EXPECT_EQ(kind("192.0.2.5"), Kind::kConnected);
}

TEST_F(FibTest, neighbour_before_its_network_counts_once_the_network_is_set) {
  neighbour(1, "192.0.2.5");
  EXPECT_EQ(kind("192.0.2.5"), Kind::kNone);
  set("192.0.2.0/24", connected(1));
  EXPECT_EQ(kind("192.0.2.5"), Kind::kNeighbour);
  fib_->remove_route(prefix("192.0.2.0/24"));
  EXPECT_EQ(kind("192.0.2.5"), Kind::kNone);
}

TEST_F(FibTest, neighbour_on_another_port_changes_nothing) {
  set("192.0.2.0/24", connected(1));
  neighbour(0, "192.0.2.5");
  EXPECT_EQ(kind("192.0.2.5"), Kind::kConnected);
}

// Else a host that answers ARP for an address behind a tunnel would get its packets in clear.
TEST_F(FibTest, neighbour_never_draws_from_a_longer_route) {
  set("192.168.0.0/16", connected(1));
  set("192.168.77.0/24", tunnel(0));
  neighbour(1, "192.168.77.5");
  EXPECT_EQ(kind("192.168.77.5"), Kind::kTunnel);
  fib_->remove_route(prefix("192.168.77.0/24"));
  EXPECT_EQ(kind("192.168.77.5"), Kind::kNeighbour);
  set("192.168.77.0/24", tunnel(0));
  EXPECT_EQ(kind("192.168.77.5"), Kind::kTunnel);
  set("192.168.77.0/24", connected(1));
  EXPECT_EQ(kind("192.168.77.5"), Kind::kNeighbour);
}

TEST_F(FibTest, neighbour_of_nested_networks_is_of_the_longest) {
  set("10.0.0.0/8", connected(0));
  set("10.1.0.0/16", connected(1));
  neighbour(0, "10.1.0.5");
  EXPECT_EQ(fib_->find(ip("10.1.0.5")).port, 1);
  EXPECT_EQ(kind("10.1.0.5"), Kind::kConnected);
  neighbour(1, "10.1.0.5", kOther);
  EXPECT_EQ(fib_->find(ip("10.1.0.5")).port, 1);
  EXPECT_EQ(destination_of(fib_->find(ip("10.1.0.5"))), kOther);
}

TEST_F(FibTest, host_route_wins_over_a_neighbour_and_gives_way_when_removed) {
  set("192.0.2.0/24", connected(1));
  neighbour(1, "192.0.2.5");
  set("192.0.2.5/32", tunnel(0));
  EXPECT_EQ(kind("192.0.2.5"), Kind::kTunnel);
  neighbour(1, "192.0.2.5", kOther);
  EXPECT_EQ(kind("192.0.2.5"), Kind::kTunnel);
  fib_->remove_route(prefix("192.0.2.5/32"));
  EXPECT_EQ(kind("192.0.2.5"), Kind::kNeighbour);
}

TEST_F(FibTest, connected_host_route_uses_its_neighbour) {
  set("203.0.113.9/32", connected(0));
  EXPECT_EQ(kind("203.0.113.9"), Kind::kConnected);
  neighbour(0, "203.0.113.9");
  EXPECT_EQ(kind("203.0.113.9"), Kind::kNeighbour);
  fib_->remove_neighbour(PortId{0}, ip("203.0.113.9"));
  EXPECT_EQ(kind("203.0.113.9"), Kind::kConnected);
}

TEST_F(FibTest, gateway_follows_its_neighbour) {
  set("198.51.100.0/24", connected(0));
  set("0.0.0.0/0", via(0, "198.51.100.254"));
  const NextHopEntry& entry = fib_->find(ip("203.0.113.1"));
  EXPECT_EQ(entry.kind, Kind::kGateway);
  EXPECT_EQ(entry.ethernet_start.load(), 0U);
  EXPECT_EQ(entry.gateway, ip("198.51.100.254"));
  neighbour(0, "198.51.100.254");
  EXPECT_EQ(destination_of(entry), kNeighbour);
  neighbour(0, "198.51.100.254", kOther);
  EXPECT_EQ(destination_of(entry), kOther);
  fib_->remove_neighbour(PortId{0}, ip("198.51.100.254"));
  EXPECT_EQ(entry.ethernet_start.load(), 0U);
  neighbour(0, "198.51.100.254");
  set("10.0.0.0/8", via(0, "198.51.100.254"));  // resolved from the start
  EXPECT_EQ(destination_of(fib_->find(ip("10.0.0.1"))), kNeighbour);
}

TEST_F(FibTest, broadcast_belongs_to_connected_networks_of_30_and_shorter) {
  set("192.0.2.0/24", connected(1));
  set("198.51.100.0/31", connected(0));
  EXPECT_EQ(kind("192.0.2.255"), Kind::kBroadcast);
  EXPECT_EQ(kind("198.51.100.1"), Kind::kConnected);
  set("192.0.2.0/24", tunnel(0));
  EXPECT_EQ(kind("192.0.2.255"), Kind::kTunnel);
  set("192.0.2.0/24", connected(1));
  EXPECT_EQ(kind("192.0.2.255"), Kind::kBroadcast);
  fib_->remove_route(prefix("192.0.2.0/24"));
  EXPECT_EQ(kind("192.0.2.255"), Kind::kNone);
}

TEST_F(FibTest, own_addresses_come_and_go_with_local_routes) {
  set("192.0.2.1/32", local(1));
  set("2001:db8:2::1/128", local(1));
  set("fe80::1/128", local(1));
  set("10.0.0.1/32", {NextHop::Kind::kLocal, {}, InterfaceId{2}, {}});
  EXPECT_EQ(fib_->port_address(1).v4.load(),
            load_unaligned<uint32_t>(ip("192.0.2.1").bytes().data()));
  EXPECT_EQ(fib_->port_address(1).v6[0].load(),
            load_unaligned<uint64_t>(ip("2001:db8:2::1").bytes().data()));
  EXPECT_NE(fib_->interface_address(2).v4.load(), 0U);
  EXPECT_EQ(fib_->port_address(0).v4.load(), 0U);
  fib_->remove_route(prefix("192.0.2.1/32"));
  EXPECT_EQ(fib_->port_address(1).v4.load(), 0U);
  EXPECT_NE(fib_->port_address(1).v6[0].load(), 0U);
}

TEST_F(FibTest, next_hop_is_reused_only_after_the_grace_period) {
  set("10.0.0.0/8", via(0, "198.51.100.1"));
  const uint32_t index = fib_->lookup_v4(ip("10.0.0.1").bytes().data());
  fib_->remove_route(prefix("10.0.0.0/8"));
  EXPECT_EQ(fib_->next_hop(index).kind, Kind::kGateway);  // a worker may still hold it
  for (int i = 1; i < 100; ++i) {
    const std::string gateway = "198.51.100." + std::to_string(i + 1);
    set(("11." + std::to_string(i) + ".0.0/16").c_str(), via(0, gateway.c_str()));
    EXPECT_NE(fib_->lookup_v4(ip(("11." + std::to_string(i) + ".0.1").c_str()).bytes().data()),
              index);
  }
  grace();
  EXPECT_EQ(fib_->next_hop(index).kind, Kind::kNone);
  set("12.0.0.0/8", via(0, "198.51.100.200"));
  EXPECT_EQ(fib_->lookup_v4(ip("12.0.0.1").bytes().data()), index);
}

TEST_F(FibTest, random_routes_agree_with_a_linear_search) {
  std::mt19937 random(7);
  std::map<IpPrefix, NextHop> model;
  for (int step = 0; step < 4000; ++step) {
    const bool v6 = random() % 2 == 0;
    Ipv6Address a6{};
    a6.bytes[0] = 0x20;
    a6.bytes[1] = static_cast<uint8_t>(random() % 4);
    a6.bytes[2] = static_cast<uint8_t>(random());
    const IpAddress address =
        v6 ? IpAddress(a6) : IpAddress(Ipv4Address::from_host(0x0a000000 | (random() & 0x3ffff)));
    const IpPrefix route = IpPrefix::make(address, v6 ? random() % 25 : 8 + random() % 25);
    if (random() % 3 == 0) {
      fib_->remove_route(route);
      model.erase(route);
    } else {
      const NextHop next_hop = tunnel(random() % kMaxInterfaces);
      ASSERT_TRUE(fib_->set_route(route, next_hop).ok());
      model[route] = next_hop;
    }
    if (step % 8 == 0) grace();
    const NextHop* best = nullptr;
    int longest = -1;
    for (const auto& [candidate, next_hop] : model) {
      if (candidate.contains(address) && candidate.length > longest) {
        longest = candidate.length;
        best = &next_hop;
      }
    }
    const NextHopEntry& found = fib_->find(address);
    ASSERT_EQ(found.kind, best == nullptr ? Kind::kNone : Kind::kTunnel) << step;
    if (best != nullptr) {
      ASSERT_EQ(found.interface, best->interface.value) << step;
    }
  }
  EXPECT_EQ(fib_->routes().size(), model.size());
}

TEST_F(FibTest, hundred_thousand_routes_are_set_and_removed_in_no_time) {
  for (int i = 1; i < 200; ++i) neighbour(1, ("172.16.0." + std::to_string(i)).c_str());
  const auto begin = std::chrono::steady_clock::now();
  for (uint32_t i = 0; i < 100'000; ++i) {
    const IpPrefix route = IpPrefix::make(Ipv4Address::from_host(0x0a000000 + (i << 5)), 27);
    ASSERT_TRUE(fib_->set_route(route, tunnel(i % kMaxInterfaces)).ok());
  }
  EXPECT_EQ(fib_->find(Ipv4Address::from_host(0x0a000000 + (77'777 << 5) + 3)).interface,
            77'777 % kMaxInterfaces);
  for (uint32_t i = 0; i < 100'000; ++i) {
    fib_->remove_route(IpPrefix::make(Ipv4Address::from_host(0x0a000000 + (i << 5)), 27));
    if (i % 1024 == 0) grace();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 10.0);  // 2 s on a slow machine; minutes if a step were linear
  EXPECT_TRUE(fib_->routes().empty());
}

}  // namespace
}  // namespace penstock
