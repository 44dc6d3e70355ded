#include "dataplane/worker/port_claim.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace penstock {
namespace {

TEST(PortClaim, second_claim_is_refused_until_the_first_ends) {
  const std::string interface = "t" + std::to_string(getpid());
  {
    const auto first = PortClaim::take(interface);
    ASSERT_TRUE(first.ok());
    const auto second = PortClaim::take(interface);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().text, "interface " + interface + " is a port of another penstockd");
    EXPECT_TRUE(PortClaim::take(interface + "x").ok()) << "another interface is free";
  }
  EXPECT_TRUE(PortClaim::take(interface).ok());
}

}  // namespace
}  // namespace penstock
