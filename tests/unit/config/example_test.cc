#include <gtest/gtest.h>

#include "tests/unit/config/environment.h"

namespace penstock::config {
namespace {

TEST(Example, configuration_for_a_real_nic_loads) {
  const auto example = read_system_file(PENSTOCK_EXAMPLES "/penstock.conf");
  ASSERT_TRUE(example.ok()) << example.error().text;
  const Outcome outcome = parse_config(example->text, "penstock.conf", {}, usual_environment());
  ASSERT_TRUE(outcome.config.has_value()) << format_check(outcome, "penstock.conf");
  EXPECT_TRUE(outcome.diagnostics.empty());
  EXPECT_EQ(outcome.config->workers, 4);
  EXPECT_EQ(outcome.config->ports.size(), 2U);
  EXPECT_EQ(outcome.config->routes.size(), 4U);
  EXPECT_EQ(outcome.config->wireguards[0].device.peers.size(), 1U);
}

}  // namespace
}  // namespace penstock::config
