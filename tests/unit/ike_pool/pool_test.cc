// Leases of virtual addresses: who gets which, and what is kept.
#include "controlplane/ike/pool/pool.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

PoolConfig config_of(const char* addresses) {
  auto config = PoolConfig::parse_addresses("rw", addresses);
  EXPECT_TRUE(config.ok()) << config.error().text;
  return *config;
}
Endpoint peer(unsigned number, uint16_t port = 4500) {
  return {Ipv4Address::from_host(0xc6336400 + number), port};
}
std::string acquire(Pool& pool, const char* identity, unsigned from,
                    std::optional<IpAddress> wanted = std::nullopt) {
  const auto address = pool.acquire({identity, peer(from)}, wanted);
  return address ? address->to_string() : "exhausted";
}
void release(Pool& pool, const std::string& address, const char* identity) {
  pool.release(*IpAddress::parse(address), identity);
}

TEST(Pool, new_addresses_come_in_order_and_end) {
  Pool pool(config_of("10.3.0.10-10.3.0.12"));
  EXPECT_EQ(acquire(pool, "a", 1), "10.3.0.10");
  EXPECT_EQ(acquire(pool, "b", 2), "10.3.0.11");
  EXPECT_EQ(acquire(pool, "c", 3), "10.3.0.12");
  EXPECT_EQ(acquire(pool, "d", 4), "exhausted");
  EXPECT_EQ(acquire(pool, "d", 4), "exhausted");
  const Pool::Counters counters = pool.counters();
  EXPECT_EQ(counters.size, 3U);
  EXPECT_EQ(counters.online, 3U);
  EXPECT_EQ(counters.exhausted, 2U);
}

TEST(Pool, identity_gets_its_own_address_again) {
  Pool pool(config_of("10.3.0.0/24"));
  EXPECT_EQ(acquire(pool, "a", 1), "10.3.0.1");
  EXPECT_EQ(acquire(pool, "b", 2), "10.3.0.2");
  release(pool, "10.3.0.1", "a");
  EXPECT_EQ(pool.counters().offline, 1U);
  EXPECT_EQ(acquire(pool, "c", 3), "10.3.0.3") << "new ones first: a's is kept";
  EXPECT_EQ(acquire(pool, "a", 9), "10.3.0.1") << "from another place";
  EXPECT_EQ(pool.counters().offline, 0U);
}

TEST(Pool, two_devices_of_one_user_get_two_addresses) {
  Pool pool(config_of("10.3.0.0/24"));
  EXPECT_EQ(acquire(pool, "a", 1), "10.3.0.1");
  EXPECT_EQ(acquire(pool, "a", 2), "10.3.0.2");
  release(pool, "10.3.0.1", "a");
  release(pool, "10.3.0.2", "a");
  EXPECT_EQ(acquire(pool, "a", 1, *IpAddress::parse("10.3.0.1")), "10.3.0.1");
  EXPECT_EQ(acquire(pool, "a", 2), "10.3.0.2");
}

TEST(Pool, same_address_and_port_is_a_reauthentication) {
  Pool pool(config_of("10.3.0.0/24"));
  EXPECT_EQ(acquire(pool, "a", 1), "10.3.0.1");
  EXPECT_EQ(acquire(pool, "a", 1), "10.3.0.1");
  EXPECT_EQ(pool.counters().online, 1U);
  release(pool, "10.3.0.1", "a");
  EXPECT_EQ(pool.counters().online, 1U) << "the new IKE SA holds it";
  release(pool, "10.3.0.1", "a");
  EXPECT_EQ(pool.counters().online, 0U);
  EXPECT_EQ(pool.acquire({"b", peer(1)})->to_string(), "10.3.0.2") << "another identity is not";
  EXPECT_EQ(pool.acquire({"b", peer(1, 4501)})->to_string(), "10.3.0.3") << "nor another port";
}

TEST(Pool, reauthentication_is_found_where_the_peer_has_moved_to) {
  Pool pool(config_of("10.3.0.0/24"));
  EXPECT_EQ(acquire(pool, "a", 1), "10.3.0.1");
  pool.move(*IpAddress::parse("10.3.0.1"), peer(7));
  EXPECT_EQ(acquire(pool, "a", 1), "10.3.0.2") << "who is there now is another device";
  EXPECT_EQ(acquire(pool, "a", 7), "10.3.0.1");
}

TEST(Pool, the_longest_offline_lease_is_reclaimed_first) {
  Pool pool(config_of("10.3.0.10-10.3.0.12"));
  acquire(pool, "a", 1);
  acquire(pool, "b", 2);
  acquire(pool, "c", 3);
  release(pool, "10.3.0.11", "b");
  release(pool, "10.3.0.10", "a");
  EXPECT_EQ(acquire(pool, "d", 4), "10.3.0.11");
  EXPECT_EQ(pool.counters().reclaimed, 1U);
  EXPECT_EQ(acquire(pool, "b", 2), "10.3.0.10");
  EXPECT_EQ(acquire(pool, "a", 1), "exhausted");
}

TEST(Pool, wanted_address_is_given_if_nobody_has_it) {
  Pool pool(config_of("10.3.0.0/24"));
  EXPECT_EQ(acquire(pool, "a", 1, *IpAddress::parse("10.3.0.2")), "10.3.0.2");
  EXPECT_EQ(acquire(pool, "b", 2, *IpAddress::parse("10.3.0.2")), "10.3.0.1");
  EXPECT_EQ(acquire(pool, "c", 3, *IpAddress::parse("10.4.0.2")), "10.3.0.3") << "not of the pool";
  EXPECT_EQ(acquire(pool, "d", 4, *IpAddress::parse("0.0.0.0")), "10.3.0.4");
  EXPECT_EQ(acquire(pool, "e", 5, *IpAddress::parse("10.3.0.0")), "10.3.0.5") << "the network";
  release(pool, "10.3.0.2", "a");
  EXPECT_EQ(acquire(pool, "f", 6, *IpAddress::parse("10.3.0.2")), "10.3.0.6") << "a's is kept";
  EXPECT_EQ(acquire(pool, "a", 6, *IpAddress::parse("10.3.0.77")), "10.3.0.2") << "its own first";
}

TEST(Pool, release_of_what_is_not_leased_changes_nothing) {
  Pool pool(config_of("10.3.0.0/24"));
  acquire(pool, "a", 1);
  release(pool, "10.3.0.1", "b");
  release(pool, "10.3.0.9", "a");
  EXPECT_EQ(pool.counters().online, 1U);
  release(pool, "10.3.0.1", "a");
  release(pool, "10.3.0.1", "a");
  EXPECT_EQ(pool.counters().offline, 1U);
}

TEST(Pool, reload_keeps_leases_inside_the_bounds) {
  Pool pool(config_of("10.3.0.10-10.3.0.20"));
  acquire(pool, "a", 1);
  acquire(pool, "b", 2);
  acquire(pool, "c", 3);
  acquire(pool, "d", 4);
  release(pool, "10.3.0.10", "a");
  release(pool, "10.3.0.12", "c");
  pool.reconfigure(config_of("10.3.0.12-10.3.0.30"));
  EXPECT_EQ(pool.leases().size(), 3U) << "a's is forgotten, b goes on";
  EXPECT_EQ(acquire(pool, "c", 3), "10.3.0.12");
  EXPECT_EQ(acquire(pool, "a", 1), "10.3.0.14");
  EXPECT_EQ(acquire(pool, "b", 2), "10.3.0.15") << "a reauthentication into the new pool";
  release(pool, "10.3.0.11", "b");
  EXPECT_EQ(pool.leases().front().address.to_string(), "10.3.0.12") << "gone with its end";
}

TEST(Pool, leases_are_listed_by_address) {
  Pool pool(config_of("fd00::/64"));
  EXPECT_EQ(acquire(pool, "b", 2), "fd00::1");
  EXPECT_EQ(acquire(pool, "a", 1), "fd00::2");
  release(pool, "fd00::1", "b");
  const auto leases = pool.leases();
  ASSERT_EQ(leases.size(), 2U);
  EXPECT_EQ(leases[0].identity, "b");
  EXPECT_FALSE(leases[0].online());
  EXPECT_EQ(leases[1].identity, "a");
  EXPECT_TRUE(leases[1].online());
  EXPECT_EQ(leases[1].peer, peer(1));
  EXPECT_EQ(pool.counters().size, Pool::kMaxLeases);
}

// Against a model that does everything the slow way.
TEST(Pool, random_use_leaves_no_address_with_two_owners) {
  Pool pool(config_of("10.3.0.1-10.3.0.20"));
  std::map<IpAddress, std::pair<std::string, unsigned>> held;  // identity, holds
  uint32_t state = 1;
  const auto random = [&state](uint32_t below) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
  };
  for (int step = 0; step < 200000; ++step) {
    if (random(2) == 0) {
      const std::string identity = "user" + std::to_string(random(30));
      const auto address = pool.acquire({identity, peer(random(4))});
      if (!address) {
        EXPECT_EQ(held.size(), 20U);
        continue;
      }
      auto& [owner, holds] = held[*address];
      if (holds > 0) {
        ASSERT_EQ(owner, identity);
      }
      owner = identity;
      ++holds;
    } else if (!held.empty()) {
      auto chosen = std::next(held.begin(), random(static_cast<uint32_t>(held.size())));
      if (random(3) == 0) {
        pool.move(chosen->first, peer(random(4)));
        continue;
      }
      pool.release(chosen->first, chosen->second.first);
      if (--chosen->second.second == 0) held.erase(chosen);
    }
    const Pool::Counters counters = pool.counters();
    ASSERT_EQ(counters.online, held.size());
    ASSERT_LE(counters.online + counters.offline, 20U);
  }
}

TEST(Pool, hundred_thousand_leases_take_no_time_to_speak_of) {
  Pool pool(config_of("10.0.0.0/15"));
  std::set<IpAddress> seen;
  for (unsigned i = 0; i < 100000; ++i) {
    const auto address = pool.acquire({"user" + std::to_string(i), peer(i)});
    ASSERT_TRUE(address && seen.insert(*address).second);
  }
  for (const Pool::Lease& lease : pool.leases()) pool.release(lease.address, lease.identity);
  EXPECT_EQ(pool.counters().offline, 100000U);
  EXPECT_EQ(acquire(pool, "user99999", 1), "10.1.134.160");
}

std::string bounds(const char* text) {
  const auto config = PoolConfig::parse_addresses("p", text);
  if (!config.ok()) return "error: " + config.error().text;
  return config->first.to_string() + " " + config->last.to_string();
}

TEST(PoolConfig, addresses_are_read_as_charon_does) {
  EXPECT_EQ(bounds("10.3.0.0/24"), "10.3.0.1 10.3.0.254");
  EXPECT_EQ(bounds("10.3.0.100/24"), "10.3.0.100 10.3.0.254");
  EXPECT_EQ(bounds("10.3.0.4/31"), "10.3.0.4 10.3.0.5");
  EXPECT_EQ(bounds("10.3.0.4"), "10.3.0.4 10.3.0.4");
  EXPECT_EQ(bounds("10.3.0.10 - 10.3.0.99"), "10.3.0.10 10.3.0.99");
  EXPECT_EQ(bounds("fd00::/120"), "fd00::1 fd00::fe");
  EXPECT_EQ(bounds("fd00::10-fd00::20"), "fd00::10 fd00::20");
  EXPECT_EQ(bounds("0.0.0.0/0"), "0.0.0.1 255.255.255.254");
  EXPECT_EQ(bounds("::/0"), "::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
  EXPECT_EQ(bounds("10.3.0.255/24").substr(0, 6), "error:");
  EXPECT_EQ(bounds("10.3.0.9-10.3.0.8"), "error: '10.3.0.9-10.3.0.8' ends before it starts");
  EXPECT_EQ(bounds("10.3.0.9-fd00::1").substr(0, 6), "error:");
  EXPECT_EQ(bounds("dhcp"), "error: 'dhcp' is no address, prefix or range of addresses");
  EXPECT_EQ(bounds("").substr(0, 6), "error:");
  EXPECT_EQ(bounds("10.3.0.0/33").substr(0, 6), "error:");
}

std::string attribute(const char* key, const char* value) {
  PoolConfig config;
  const Status status = config.add_attribute(key, value);
  if (!status.ok()) return "error: " + status.error().text;
  return std::to_string(config.attributes.at(0).type) + " " + to_hex(config.attributes.at(0).value);
}

TEST(PoolConfig, attributes_become_types_and_values) {
  EXPECT_EQ(attribute("dns", "10.0.0.53"), "3 0a000035");
  EXPECT_EQ(attribute("dns", "fd00::53"), "10 fd000000000000000000000000000053");
  EXPECT_EQ(attribute("nbns", "10.0.0.1"), "4 0a000001");
  EXPECT_EQ(attribute("subnet", "10.1.0.0/16"), "13 0a010000ffff0000");
  EXPECT_EQ(attribute("subnet", "0.0.0.0/0"), "13 0000000000000000");
  EXPECT_EQ(attribute("split_include", "fd00::/48"), "15 fd00000000000000000000000000000030");
  EXPECT_EQ(attribute("25", "corp.example"), "25 " + to_hex(bytes_of("corp.example")));
  EXPECT_EQ(attribute("28676", "0x0a0b"), "28676 0a0b");
  EXPECT_EQ(attribute("7", "10.0.0.1"), "7 0a000001");
  EXPECT_EQ(attribute("13", "10.1.0.0/16"), "13 0a010000ffff0000");
  EXPECT_EQ(attribute("nbns", "fd00::1"), "error: 'nbns' takes IPv4 addresses only");
  EXPECT_EQ(attribute("dns", "10.0.0.0/8"), "error: '10.0.0.0/8' is no address");
  EXPECT_EQ(attribute("dns", "ns.example"), "error: 'ns.example' is no address");
  EXPECT_EQ(attribute("split_exclude", "10.0.0.0/8"),
            "error: 'split_exclude' is no attribute of pools");
  EXPECT_EQ(attribute("0", "x").substr(0, 6), "error:");
  EXPECT_EQ(attribute("32768", "x").substr(0, 6), "error:");
  EXPECT_EQ(attribute("25", "0x0").substr(0, 6), "error:");
}

}  // namespace
}  // namespace penstock::ike
