// Two gateways, moon and sun, with a connection between their networks; each test changes what it
// is about.
#pragma once

#include <gtest/gtest.h>

#include "controlplane/ike/crypto/proposals.h"
#include "tests/scenario/ike/simulator.h"

namespace penstock::ike::simulation {

inline Identity id_of(const std::string& text) { return Identity::parse(text).value(); }

inline std::vector<Proposal> ike_proposals(const std::vector<std::string_view>& list = {
                                               "aes256gcm16-prfsha256-x25519"}) {
  return parse_proposals(ProtocolId::kIke, list).value();
}
inline std::vector<Proposal> esp_proposals(const std::vector<std::string_view>& list = {
                                               "aes256gcm16-x25519"}) {
  return parse_proposals(ProtocolId::kEsp, list).value();
}

inline ConfiguredSelector selector_of(const std::string& text) {
  ConfiguredSelector configured;
  if (text == "dynamic") {
    configured.dynamic = true;
    return configured;
  }
  const IpPrefix prefix = *IpPrefix::parse(text);
  configured.selector.first = prefix.address;
  auto bytes = to_vector(prefix.address.bytes());
  for (unsigned bit = prefix.length; bit < prefix.address.bits(); ++bit) {
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] | (0x80U >> (bit % 8)));
  }
  if (prefix.address.is_v4()) {
    Ipv4Address last;
    std::copy(bytes.begin(), bytes.end(), last.bytes.begin());
    configured.selector.last = last;
  } else {
    Ipv6Address last;
    std::copy(bytes.begin(), bytes.end(), last.bytes.begin());
    configured.selector.last = last;
  }
  return configured;
}

inline ChildConfig child_of(const std::string& name, const std::vector<std::string>& local,
                            const std::vector<std::string>& remote) {
  ChildConfig child;
  child.name = name;
  child.proposals = esp_proposals();
  for (const std::string& each : local) child.local_ts.push_back(selector_of(each));
  for (const std::string& each : remote) child.remote_ts.push_back(selector_of(each));
  child.lifetimes.rekey_ns = 3600 * kSecond;
  child.lifetimes.life_ns = 3960 * kSecond;
  child.lifetimes.random_ns = 360 * kSecond;
  return child;
}

inline AddressMatches at(const std::string& text) {
  AddressMatch match;
  match.first = match.last = address_of(text);
  return {match};
}

// One side's configuration, still open to changes.
struct Side {
  ConnectionConfig connection;
  std::vector<ChildConfig> children;

  [[nodiscard]] std::shared_ptr<const ConnectionConfig> build() const {
    auto made = std::make_shared<ConnectionConfig>(connection);
    made->children.clear();
    for (const ChildConfig& child : children) {
      made->children.push_back(std::make_shared<const ChildConfig>(child));
    }
    return made;
  }
};

inline Side side_of(const std::string& name, const std::string& local, const std::string& remote,
                    const std::string& local_id, const std::string& remote_id) {
  Side side;
  ConnectionConfig& connection = side.connection;
  connection.name = name;
  if (!local.empty()) connection.local_addresses = at(local);
  if (!remote.empty()) connection.remote_addresses = at(remote);
  connection.proposals = ike_proposals();
  connection.local.method = AuthClass::kPsk;
  connection.local.id = id_of(local_id);
  connection.remote.method = AuthClass::kPsk;
  connection.remote.id = id_of(remote_id);
  connection.rekey_ns = 4 * 3600 * kSecond;
  connection.over_ns = 1440 * kSecond;
  connection.random_ns = 1440 * kSecond;
  return side;
}

inline constexpr const char* kMoon = "192.0.2.1";
inline constexpr const char* kSun = "192.0.2.2";

struct Pair {
  explicit Pair(uint64_t seed = 1, const Options& options = {})
      : world(seed), moon(world.add("moon", kMoon, options)), sun(world.add("sun", kSun, options)) {
    moon_side = side_of("net", kMoon, kSun, "moon.example", "sun.example");
    sun_side = side_of("net", kSun, kMoon, "sun.example", "moon.example");
    moon_side.children.push_back(child_of("lan", {"10.1.0.0/16"}, {"10.2.0.0/16"}));
    sun_side.children.push_back(child_of("lan", {"10.2.0.0/16"}, {"10.1.0.0/16"}));
  }
  void load() {
    if (psk) {
      moon.add_psk("a secret");
      sun.add_psk("a secret");
      psk = false;
    }
    moon.load(moon_side.build());
    sun.load(sun_side.build());
  }
  // moon initiates; both are up.
  void up() {
    load();
    command = moon.initiate("net", "lan");
    world.settle();
    ASSERT_TRUE(moon.succeeded(command)) << moon.log_text() << sun.log_text();
    ASSERT_EQ(moon.established(), 1U);
    ASSERT_EQ(sun.established(), 1U);
  }
  // A packet each way arrives.
  void exchange(const std::string& child = "lan") {
    const size_t at_moon = moon.received_from(child), at_sun = sun.received_from(child);
    EXPECT_TRUE(moon.send_data(child, 1));
    world.run_for(100 * kMillisecond);
    EXPECT_TRUE(sun.send_data(child, 2));
    world.run_for(100 * kMillisecond);
    EXPECT_EQ(sun.received_from(child), at_sun + 1);
    EXPECT_EQ(moon.received_from(child), at_moon + 1);
  }
  // Packets in both directions every 10 ms; returns how many were lost.
  uint64_t traffic(Nanoseconds duration_ns, const std::string& child = "lan") {
    const uint64_t lost = moon.data_lost + sun.data_lost;
    uint64_t unsent = 0;
    for (const Nanoseconds end = world.boot_ns + duration_ns; world.boot_ns < end;) {
      unsent += moon.send_data(child, 1) ? 0 : 1;
      unsent += sun.send_data(child, 2) ? 0 : 1;
      world.run_for(10 * kMillisecond);
    }
    return moon.data_lost + sun.data_lost - lost + unsent;
  }
  // The only IKE SA and the only child of each side agree with each other.
  void expect_one_of_each() {
    EXPECT_EQ(moon.engine->totals().ike_sas, 1U) << moon.log_text();
    EXPECT_EQ(sun.engine->totals().ike_sas, 1U) << sun.log_text();
    EXPECT_EQ(moon.children(), 1U);
    EXPECT_EQ(sun.children(), 1U);
    check();
  }
  void check() {
    moon.check_dataplane();
    sun.check_dataplane();
  }
  World world;
  Node& moon;
  Node& sun;
  Side moon_side, sun_side;
  bool psk = true;
  CommandId command = 0;
};

}  // namespace penstock::ike::simulation
