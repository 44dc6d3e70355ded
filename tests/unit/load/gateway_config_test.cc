// What is written for the gateway is read by the gateway's own parser.
#include "bench/load/gateway_config.h"

#include <gtest/gtest.h>

#include "gateway/config/config.h"

namespace penstock::load {
namespace {

struct Written {
  std::vector<WrittenFile> files;
  std::optional<config::Config> config;
  std::string complaints;
};

Written write_and_read(const Options& options) {
  const auto plan = Plan::make(options.plan);
  EXPECT_TRUE(plan.ok()) << plan.error().text;
  Written made;
  made.files = *gateway_files(options, *plan, "/gw", 0);
  config::Environment environment;
  environment.read_file = [&](const std::string& path) -> Result<config::FileText> {
    for (const WrittenFile& file : made.files) {
      if (path == "/gw/" + file.name) return config::FileText{file.text, false};
    }
    return errorf("%s is not there", path.c_str());
  };
  auto outcome = config::parse_config(made.files[0].text, "penstock.conf", {}, environment);
  made.config = std::move(outcome.config);
  made.complaints = config::format_check(outcome, "penstock.conf");
  return made;
}

Options options_of(Protocol protocol, bool v6, uint16_t bytes) {
  Options options;
  options.outside_device = "memif:/gw/out.sock";
  options.inside_device = "memif:/gw/in.sock";
  options.plan.protocol = protocol;
  options.plan.tunnels = 3;
  options.plan.inner_v6 = v6;
  options.sizes = {*parse_size_mix(std::to_string(bytes), 60)};
  return options;
}

TEST(GatewayConfig, clear_packets_are_forwarded_both_ways) {
  for (const bool v6 : {false, true}) {
    const Written made = write_and_read(options_of(Protocol::kClear, v6, 9000));
    ASSERT_TRUE(made.config.has_value()) << made.complaints;
    EXPECT_EQ(made.files.size(), 1U);
    for (const config::PortConfig& port : made.config->ports) {
      EXPECT_EQ(port.forward, config::Forward::kPlain) << port.name;
      EXPECT_GE(port.mtu, 9000);
    }
    const Plan plan = *Plan::make(options_of(Protocol::kClear, v6, 9000).plan);
    ASSERT_EQ(made.config->routes.size(), 2U);
    EXPECT_EQ(made.config->routes[0].prefix, plan.clients());
    EXPECT_EQ(made.config->routes[0].gateway, plan.outside().address);
    EXPECT_EQ(made.config->routes[1].prefix, plan.hosts());
    EXPECT_EQ(made.config->routes[1].gateway, plan.inside().address);
  }
}

TEST(GatewayConfig, beside_tunnels_nothing_passes_in_clear) {
  for (const Protocol protocol : {Protocol::kWireguard, Protocol::kEsp}) {
    const Written made = write_and_read(options_of(protocol, false, 1420));
    ASSERT_TRUE(made.config.has_value()) << made.complaints;
    EXPECT_EQ(made.files.size(), 2U);
    EXPECT_EQ(made.config->ports[0].role, PortRole::kOutside);
    EXPECT_EQ(made.config->ports[0].forward, config::Forward::kTunnelOnly);
    EXPECT_EQ(made.config->ipsec.enabled, protocol == Protocol::kEsp);
    EXPECT_EQ(made.config->wireguards.size(), protocol == Protocol::kWireguard ? 1U : 0U);
  }
}

TEST(GatewayConfig, swanctl_conf_asks_for_what_the_peers_propose) {
  Options options = options_of(Protocol::kEsp, false, 1420);
  const auto swanctl_conf = [&] {
    const Plan plan = *Plan::make(options.plan);
    return gateway_files(options, plan, "/gw", 0).value()[1].text;
  };
  EXPECT_NE(swanctl_conf().find("esp_proposals = aes128gcm16-esn-noesn\n"), std::string::npos);
  options.esp_algorithm = SaAlgorithm::kChacha20Poly1305;
  options.esp_esn = false;
  EXPECT_NE(swanctl_conf().find("esp_proposals = chacha20poly1305-noesn\n"), std::string::npos);
  // A generator that starts anew takes the place of the one before (INITIAL_CONTACT).
  EXPECT_EQ(swanctl_conf().find("unique"), std::string::npos);
}

}  // namespace
}  // namespace penstock::load
