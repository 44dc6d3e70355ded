#include "bench/load/plan.h"

#include <gtest/gtest.h>

#include <set>

#include "controlplane/crypto/x25519.h"

namespace penstock::load {
namespace {

TEST(Plan, addresses_of_tunnels_are_distinct_and_found_again) {
  for (const bool v6 : {false, true}) {
    PlanOptions options;
    options.tunnels = 70'000;
    options.outer_v6 = options.inner_v6 = v6;
    const auto plan = Plan::make(options);
    ASSERT_TRUE(plan.ok()) << plan.error().text;
    std::set<IpAddress> peers;
    for (uint32_t tunnel = 0; tunnel < options.tunnels; tunnel += 777) {
      peers.insert(plan->peer(tunnel));
      EXPECT_TRUE(plan->peers().contains(plan->peer(tunnel)));
      EXPECT_TRUE(plan->clients().contains(plan->client(tunnel)));
      EXPECT_EQ(plan->tunnel_of_peer(plan->peer(tunnel)), tunnel);
      EXPECT_EQ(plan->tunnel_of_client(plan->client(tunnel).bytes().data()), tunnel);
    }
    EXPECT_EQ(peers.size(), 70'000 / 777 + 1);
    EXPECT_EQ(plan->tunnel_of_peer(plan->gateway_outside()), UINT32_MAX);
    EXPECT_EQ(plan->tunnel_of_peer(plan->peer(options.tunnels)), UINT32_MAX);
  }
}

TEST(Plan, inner_addresses_lie_as_in_a_header) {
  PlanOptions options;
  options.tunnels = 10;
  options.flows = 3;
  const auto plan = Plan::make(options);
  ASSERT_TRUE(plan.ok());
  uint8_t up[8], down[8];
  plan->write_inner_addresses(7, 2, false, up);
  plan->write_inner_addresses(7, 2, true, down);
  EXPECT_TRUE(equal_bytes(Bytes(up, 4), plan->client(7).bytes()));
  EXPECT_TRUE(equal_bytes(Bytes(up + 4, 4), plan->host(2).bytes()));
  EXPECT_TRUE(equal_bytes(Bytes(up, 4), Bytes(down + 4, 4)));
  EXPECT_TRUE(equal_bytes(Bytes(up + 4, 4), Bytes(down, 4)));
}

TEST(Plan, in_clear_the_clients_are_outside) {
  PlanOptions options;
  options.protocol = Protocol::kClear;
  options.inner_v6 = true;
  auto plan = Plan::make(options);
  ASSERT_TRUE(plan.ok()) << plan.error().text;
  EXPECT_TRUE(plan->outer_v6());
  EXPECT_EQ(plan->peers(), plan->clients());
  options.inner_v6 = false;
  options.clients = IpPrefix::parse("192.0.2.0/24");
  plan = Plan::make(options);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().text, "--clients 192.0.2.0/24 overlaps --outside-address 192.0.2.0/24");
}

TEST(Plan, keys_follow_from_the_seed_alone) {
  PlanOptions options;
  options.tunnels = 2;
  const auto plan = Plan::make(options);
  const auto again = Plan::make(options);
  options.seed = "other";
  const auto other = Plan::make(options);
  ASSERT_TRUE(plan.ok() && again.ok() && other.ok());
  EXPECT_EQ(plan->peer_key(1), again->peer_key(1));
  EXPECT_EQ(plan->ike_secret(), again->ike_secret());
  EXPECT_FALSE(plan->peer_key(0) == plan->peer_key(1));
  EXPECT_FALSE(plan->peer_key(1) == other->peer_key(1));
  EXPECT_EQ(plan->gateway_public_key(), x25519_public(plan->gateway_private_key()));
}

TEST(Plan, what_does_not_fit_names_its_option) {
  PlanOptions options;
  options.tunnels = 300;
  options.peers = IpPrefix::parse("198.18.0.0/24");
  auto plan = Plan::make(options);
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.error().text.find("--peers 198.18.0.0/24"), std::string::npos);
  options.peers.reset();
  options.gateway_inside = IpAddress::parse("10.9.0.1");
  plan = Plan::make(options);
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.error().text.find("--gateway-inside 10.9.0.1"), std::string::npos);
  options.gateway_inside.reset();
  options.hosts = IpPrefix::parse("10.0.0.0/8");
  plan = Plan::make(options);
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.error().text.find("overlaps"), std::string::npos);
}

}  // namespace
}  // namespace penstock::load
