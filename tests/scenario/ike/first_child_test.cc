// The CHILD_SA of IKE_AUTH (RFC 7296 1.2): selectors, proposals, and virtual addresses (2.19).
#include <gtest/gtest.h>

#include "controlplane/ike/selectors.h"
#include "tests/scenario/ike/pair.h"

namespace penstock::ike::simulation {
namespace {

TEST(FirstChild, unacceptable_selectors_leave_the_ike_sa) {
  Pair pair;
  pair.sun_side.children[0] = child_of("lan", {"172.16.0.0/16"}, {"10.1.0.0/16"});
  pair.load();
  const CommandId command = pair.moon.initiate("net", "lan");
  pair.world.settle();
  EXPECT_EQ(pair.moon.end_of(command)->reason, Reason::kTsUnacceptable);
  EXPECT_TRUE(pair.sun.said(Reason::kTsUnacceptable));
  EXPECT_EQ(pair.moon.established(), 1U);
  EXPECT_EQ(pair.sun.established(), 1U);
  EXPECT_EQ(pair.moon.children(), 0U);
  pair.check();
}

TEST(FirstChild, no_common_esp_proposal_leaves_the_ike_sa) {
  Pair pair;
  pair.sun_side.children[0].proposals = esp_proposals({"aes128gcm16"});
  pair.load();
  const CommandId command = pair.moon.initiate("net", "lan");
  pair.world.settle();
  EXPECT_EQ(pair.moon.end_of(command)->reason, Reason::kNoProposalChosen);
  EXPECT_EQ(pair.sun.established(), 1U);
  pair.check();
}

TEST(FirstChild, selectors_are_narrowed_to_what_both_want) {
  Pair pair;
  pair.moon_side.children[0] = child_of("lan", {"10.1.0.0/16", "10.9.0.0/16"}, {"0.0.0.0/0"});
  pair.up();
  const auto child = pair.moon.sa()->children.at(0);
  EXPECT_EQ(to_string(child.local_ts), "10.1.0.0/16");
  EXPECT_EQ(to_string(child.remote_ts), "10.2.0.0/16");
  EXPECT_EQ(pair.moon.policies.size(), 1U);
  pair.check();
}

TEST(FirstChild, ports_and_protocols_are_narrowed) {
  Pair pair;
  auto& selector = pair.sun_side.children[0].local_ts[0].selector;
  selector.protocol = 6;
  selector.first_port = selector.last_port = 443;
  pair.up();
  const auto child = pair.moon.sa()->children.at(0);
  EXPECT_EQ(to_string(child.remote_ts), "10.2.0.0/16[tcp/443]");
  ASSERT_EQ(pair.moon.policies.size(), 1U);
  EXPECT_EQ(pair.moon.policies.begin()->second.selectors.local.protocol, 6);
}

TEST(FirstChild, childless_initiation_makes_the_ike_sa_alone) {
  Pair pair;
  pair.load();
  const CommandId command = pair.moon.initiate("net", "");
  pair.world.settle();
  EXPECT_TRUE(pair.moon.succeeded(command));
  EXPECT_EQ(pair.world.arrows.size(), 4U);
  EXPECT_EQ(pair.moon.children(), 0U);
  // RFC 6023: a child comes in an exchange of its own.
  const CommandId child = pair.moon.initiate("net", "lan");
  pair.world.settle();
  EXPECT_TRUE(pair.moon.succeeded(child));
  EXPECT_EQ(pair.world.arrows.back(), "sun>moon CREATE_CHILD_SA 2 R");
  pair.exchange();
}

TEST(FirstChild, failed_installation_is_told_and_deleted) {
  Pair pair;
  pair.sun.fail_installs = true;
  pair.load();
  pair.moon.initiate("net", "lan");
  pair.world.settle();
  EXPECT_TRUE(pair.sun.said(Reason::kInstallFailed));
  EXPECT_EQ(pair.moon.children(), 0U) << "sun deletes it";
  EXPECT_EQ(pair.sun.children(), 0U);
  EXPECT_EQ(pair.sun.established(), 1U);
}

TEST(FirstChild, no_spi_left_is_told) {
  Pair pair;
  pair.sun.spis_exhausted = true;
  pair.load();
  const CommandId command = pair.moon.initiate("net", "lan");
  pair.world.settle();
  EXPECT_FALSE(pair.moon.succeeded(command));
  EXPECT_TRUE(pair.sun.said(Reason::kNoSpi));
  EXPECT_EQ(pair.sun.established(), 1U);
  pair.check();
}

// --- pools ---------------------------------------------------------------------------------------

struct Roadwarrior : Pair {
  explicit Roadwarrior(const std::string& range = "10.3.0.0/28") {
    const auto pool = PoolConfig::parse_addresses("rw", range);
    EXPECT_TRUE(pool.ok());
    auto with_dns = *pool;
    EXPECT_TRUE(with_dns.add_attribute("dns", "10.2.0.53").ok());
    EXPECT_TRUE(sun.engine->load_pool(with_dns).ok());
    sun_side.connection.pools = {"rw"};
    sun_side.connection.remote_addresses.clear();
    sun_side.connection.remote.id = Identity();
    sun_side.children[0] = child_of("lan", {"10.2.0.0/16"}, {"dynamic"});
    moon_side.connection.virtual_ips = {Ipv4Address{}};
    moon_side.children[0] = child_of("lan", {"dynamic"}, {"10.2.0.0/16"});
  }
};

TEST(Pool, virtual_address_is_leased_and_narrows_the_selectors) {
  Roadwarrior pair;
  pair.up();
  const auto moon = *pair.moon.sa();
  ASSERT_EQ(moon.local_vips.size(), 1U);
  EXPECT_EQ(moon.local_vips[0], address_of("10.3.0.1"));
  EXPECT_EQ(to_string(moon.children.at(0).local_ts), "10.3.0.1/32");
  EXPECT_EQ(to_string(pair.sun.sa()->children.at(0).remote_ts), "10.3.0.1/32");
  ASSERT_EQ(pair.sun.engine->leases("rw").size(), 1U);
  EXPECT_EQ(pair.sun.engine->leases("rw")[0].identity, "moon.example");
  EXPECT_TRUE(pair.sun.engine->leases("rw")[0].online);
  pair.exchange();
  pair.moon.terminate({"net", "", 0, 0});
  pair.world.settle();
  EXPECT_FALSE(pair.sun.engine->leases("rw")[0].online) << "kept for its identity";
  pair.check();
}

TEST(Pool, exhausted_pool_refuses_the_child_and_is_counted) {
  Roadwarrior pair("10.3.0.1");
  pair.up();
  Node& mars = pair.world.add("mars", "192.0.2.3");
  Side side = pair.moon_side;
  side.connection.local_addresses = at("192.0.2.3");
  side.connection.local.id = id_of("mars.example");
  mars.add_psk("a secret");
  mars.load(side.build());
  const CommandId command = mars.initiate("net", "lan");
  pair.world.settle();
  EXPECT_FALSE(mars.succeeded(command));
  EXPECT_TRUE(mars.said("INTERNAL_ADDRESS_FAILURE"));
  EXPECT_EQ(mars.established(), 1U) << "the IKE SA stays";
  EXPECT_TRUE(pair.sun.said(Reason::kPoolExhausted));
  EXPECT_EQ(pair.sun.engine->totals().pool_exhausted, 1U);
}

TEST(Pool, failed_login_leases_nothing) {
  Roadwarrior pair;
  pair.psk = false;
  pair.moon.add_psk("wrong");
  pair.sun.add_psk("right");
  pair.load();
  pair.moon.initiate("net", "lan");
  pair.world.settle();
  EXPECT_TRUE(pair.sun.engine->leases("rw").empty());
}

TEST(Pool, ipv6_without_a_pool_is_left_out_without_error) {
  Roadwarrior pair;
  pair.moon_side.connection.virtual_ips = {Ipv4Address{}, Ipv6Address{}};
  pair.up();
  EXPECT_EQ(pair.moon.sa()->local_vips.size(), 1U);
}

}  // namespace
}  // namespace penstock::ike::simulation
