#include "controlplane/driver/route_book.h"

#include <gtest/gtest.h>

#include "tests/unit/driver/recording_dataplane.h"

namespace penstock {
namespace {

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }

class RouteBookTest : public testing::Test {
 protected:
  [[nodiscard]] std::optional<NextHop> route(const char* text) const {
    const auto found = dataplane_.routes_by_prefix.find(prefix(text));
    if (found == dataplane_.routes_by_prefix.end()) return std::nullopt;
    return found->second;
  }
  static NextHop into(InterfaceId interface) {
    NextHop next_hop;
    next_hop.kind = NextHop::Kind::kTunnel;
    next_hop.interface = interface;
    return next_hop;
  }
  static NextHop connected(uint32_t port) {
    NextHop next_hop;
    next_hop.kind = NextHop::Kind::kConnected;
    next_hop.port = PortId{port};
    return next_hop;
  }
  RecordingDataplane dataplane_;
  RouteBook book_{dataplane_};
  const InterfaceId wg0_{0}, wg1_{1};
};

TEST_F(RouteBookTest, interface_address_makes_local_and_network_route) {
  ASSERT_TRUE(
      book_.add_interface_address(wg0_, "wg0", *InterfaceAddress::parse("10.8.0.1/24")).ok());
  ASSERT_TRUE(
      book_.add_interface_address(wg0_, "wg0", *InterfaceAddress::parse("fd00::1/128")).ok());
  EXPECT_EQ(route("10.8.0.1/32")->kind, NextHop::Kind::kLocal);
  EXPECT_EQ(route("10.8.0.0/24"), into(wg0_));
  EXPECT_EQ(route("fd00::1/128")->kind, NextHop::Kind::kLocal);
  EXPECT_EQ(dataplane_.routes_by_prefix.size(), 3U);
}

TEST_F(RouteBookTest, allowed_ip_covered_by_own_network_gets_no_route) {
  ASSERT_TRUE(
      book_.add_interface_address(wg0_, "wg0", *InterfaceAddress::parse("10.8.0.1/24")).ok());
  book_.add_allowed_ip(wg0_, "wg0", prefix("10.8.0.7/32"));
  book_.add_allowed_ip(wg1_, "wg1", prefix("10.8.0.8/32"));  // another interface's network
  book_.add_allowed_ip(wg0_, "wg0", prefix("192.168.0.0/16"));
  EXPECT_FALSE(route("10.8.0.7/32"));
  EXPECT_EQ(route("10.8.0.8/32"), into(wg1_));
  EXPECT_EQ(route("192.168.0.0/16"), into(wg0_));
  book_.remove_allowed_ip(wg0_, prefix("10.8.0.7/32"));
  book_.remove_allowed_ip(wg0_, prefix("192.168.0.0/16"));
  EXPECT_FALSE(route("192.168.0.0/16"));
}

TEST_F(RouteBookTest, prefix_of_two_interfaces_goes_to_the_second_when_the_first_lets_go) {
  book_.add_allowed_ip(wg0_, "wg0", prefix("10.1.0.0/16"));
  book_.add_allowed_ip(wg1_, "wg1", prefix("10.1.0.0/16"));
  book_.add_allowed_ip(wg0_, "wg0", prefix("10.1.0.0/16"));  // moved between its peers
  EXPECT_EQ(route("10.1.0.0/16"), into(wg0_));
  book_.remove_allowed_ip(wg0_, prefix("10.1.0.0/16"));
  EXPECT_EQ(route("10.1.0.0/16"), into(wg1_));
  book_.remove_allowed_ip(wg1_, prefix("10.1.0.0/16"));
  EXPECT_FALSE(route("10.1.0.0/16"));
  EXPECT_EQ(book_.tunnel_routes(), 0U);
}

TEST_F(RouteBookTest, prefix_second_interface_lets_go_first_stays) {
  book_.add_allowed_ip(wg0_, "wg0", prefix("10.1.0.0/16"));
  book_.add_allowed_ip(wg1_, "wg1", prefix("10.1.0.0/16"));
  book_.remove_allowed_ip(wg1_, prefix("10.1.0.0/16"));
  EXPECT_EQ(route("10.1.0.0/16"), into(wg0_));
  book_.remove_allowed_ip(wg1_, prefix("10.1.0.0/16"));  // has none: nothing happens
  EXPECT_EQ(route("10.1.0.0/16"), into(wg0_));
}

TEST_F(RouteBookTest, allowed_ip_equal_to_configured_route_leaves_it) {
  ASSERT_TRUE(book_.add_fixed(prefix("0.0.0.0/0"), connected(0)).ok());
  book_.add_allowed_ip(wg0_, "wg0", prefix("0.0.0.0/0"));
  EXPECT_EQ(route("0.0.0.0/0"), connected(0));
  book_.remove_allowed_ip(wg0_, prefix("0.0.0.0/0"));
  EXPECT_EQ(route("0.0.0.0/0"), connected(0));
}

TEST_F(RouteBookTest, fixed_route_over_allowed_ip_stays_when_allowed_ip_goes) {
  book_.add_allowed_ip(wg0_, "wg0", prefix("10.1.0.0/16"));
  ASSERT_TRUE(book_.add_fixed(prefix("10.1.0.0/16"), into(wg1_)).ok());
  book_.remove_allowed_ip(wg0_, prefix("10.1.0.0/16"));
  EXPECT_EQ(route("10.1.0.0/16"), into(wg1_));
}

TEST_F(RouteBookTest, fixed_route_twice_is_refused_unless_the_same) {
  ASSERT_TRUE(book_.add_fixed(prefix("10.0.0.0/8"), connected(0)).ok());
  EXPECT_TRUE(book_.add_fixed(prefix("10.0.0.0/8"), connected(0)).ok());
  EXPECT_FALSE(book_.add_fixed(prefix("10.0.0.0/8"), connected(1)).ok());
  EXPECT_EQ(route("10.0.0.0/8"), connected(0));
}

TEST_F(RouteBookTest, allowed_ip_with_full_table_is_not_claimed) {
  dataplane_.route_limit = 0;
  book_.add_allowed_ip(wg0_, "wg0", prefix("10.1.0.0/16"));
  EXPECT_EQ(book_.tunnel_routes(), 0U);
  book_.remove_allowed_ip(wg0_, prefix("10.1.0.0/16"));  // would fail on a route it never made
}

}  // namespace
}  // namespace penstock
