// Thousands of connections: what one more costs must not grow with them.
#include <gtest/gtest.h>

#include <ctime>

#include "tests/scenario/ike/pair.h"

namespace penstock::ike::simulation {
namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::shared_ptr<const ConnectionConfig> site(int number, const std::string& address) {
  const std::string name = "site" + std::to_string(number);
  Side side = side_of(name, kMoon, address, "moon.example", name);
  side.children.push_back(child_of("lan", {"10.1.0.0/16"}, {address + "/32"}));
  side.children.back().trap = true;
  return side.build();
}

std::string address_of_site(int number) {
  return "10.9." + std::to_string(number / 250) + "." + std::to_string(1 + number % 250);
}

TEST(Many, connection_beside_thousands_costs_what_the_first_ones_do) {
  World world(1);
  Node& moon = world.add("moon", kMoon, {});
  constexpr int kSome = 200, kThousands = 4000;
  std::vector<std::shared_ptr<const ConnectionConfig>> sites;
  for (int i = 0; i < kThousands + kSome; ++i) sites.push_back(site(i, address_of_site(i)));
  const auto load = [&](int first, int count) {
    const double began = cpu_seconds();
    for (int i = first; i < first + count; ++i) {
      EXPECT_TRUE(moon.engine->load_connection(moon.now(), sites[static_cast<size_t>(i)]).ok());
    }
    return cpu_seconds() - began;
  };
  const double first_s = load(0, kSome);
  load(kSome, kThousands - kSome);
  // Looking at all of them made it a hundred times as much.
  EXPECT_LT(load(kThousands, kSome), 10 * first_s);
  EXPECT_EQ(moon.engine->policies().size(), sites.size());
  for (const auto& each : sites) {
    EXPECT_TRUE(moon.engine->unload_connection(moon.now(), each->name));
  }
  EXPECT_TRUE(moon.engine->policies().empty());
}

TEST(Many, totals_cost_the_same_whatever_is_up) {
  constexpr int kSas = 300;
  Pair pair;
  pair.sun_side.connection.remote.id = Identity();
  pair.load();
  for (int i = 0; i < kSas; ++i) {
    Side side = pair.moon_side;
    side.connection.name = "net" + std::to_string(i);
    side.connection.local.id = id_of(side.connection.name);
    pair.moon.load(side.build());
  }
  const auto up = [&](int first, int last) {
    for (int i = first; i < last; ++i) {
      pair.moon.initiate("net" + std::to_string(i), "lan");
      if (i % 16 == 0 || i + 1 == last) pair.world.settle();  // half-open ones have a limit
    }
    EXPECT_EQ(pair.sun.engine->totals().children, static_cast<size_t>(last));
  };
  const auto cost_s = [&] {
    const double began = cpu_seconds();
    size_t sum = 0;
    for (int i = 0; i < 2000; ++i) sum += pair.sun.engine->totals().children;
    EXPECT_GT(sum, 0U);
    return cpu_seconds() - began;
  };
  up(0, 1);
  const double first_s = cost_s();
  up(1, kSas);
  EXPECT_LT(cost_s(), 10 * first_s);
}

TEST(Many, connection_of_a_new_address_is_found_by_that_one_alone) {
  Pair pair;
  pair.up();
  const auto refused = [&] {
    const CommandId command = pair.moon.initiate("net", "lan");
    pair.world.settle();
    return !pair.moon.succeeded(command);
  };
  const auto leave = [&] {
    pair.moon.terminate({.ike = "net", .child = {}});
    pair.world.settle();
  };
  EXPECT_FALSE(refused());
  leave();
  pair.sun_side.connection.remote_addresses = at("192.0.2.9");
  pair.sun.load(pair.sun_side.build());
  EXPECT_TRUE(refused());
  pair.sun_side.connection.remote_addresses.clear();  // any
  pair.sun.load(pair.sun_side.build());
  EXPECT_FALSE(refused());
  leave();
  EXPECT_TRUE(pair.sun.engine->unload_connection(pair.sun.now(), "net"));
  EXPECT_TRUE(refused());
}

}  // namespace
}  // namespace penstock::ike::simulation
