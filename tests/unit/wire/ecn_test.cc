#include "dataplane/wire/ecn.h"

#include <gtest/gtest.h>

#include "tests/unit/wire/packets.h"

namespace penstock::test {
namespace {

constexpr uint8_t kAll[] = {kEcnNotEct, kEcnEct0, kEcnEct1, kEcnCe};

// RFC 6040 figure 4, in its own order of rows and columns: Not-ECT, ECT(0), ECT(1), CE.
constexpr uint8_t kFigure4[4][4] = {
    {kEcnNotEct, kEcnNotEct, kEcnNotEct, kEcnDrop},
    {kEcnEct0, kEcnEct0, kEcnEct1, kEcnCe},
    {kEcnEct1, kEcnEct1, kEcnEct1, kEcnCe},
    {kEcnCe, kEcnCe, kEcnCe, kEcnCe},
};

TEST(Ecn, codepoints_are_those_of_rfc3168) {
  EXPECT_EQ(kEcnNotEct, 0b00);
  EXPECT_EQ(kEcnEct1, 0b01);
  EXPECT_EQ(kEcnEct0, 0b10);
  EXPECT_EQ(kEcnCe, 0b11);
}

TEST(Ecn, encapsulation_copies_ecn_and_dscp_as_told) {
  for (unsigned value = 0; value < 256; ++value) {
    const auto inner = static_cast<uint8_t>(value);
    EXPECT_EQ(outer_traffic_class(inner, kTrafficClassEcnOnly), inner & 3);
    EXPECT_EQ(outer_traffic_class(inner, kTrafficClassAll), inner);
  }
}

TEST(Ecn, decapsulation_is_figure_4_whatever_the_dscp) {
  for (int row = 0; row < 4; ++row) {
    for (int column = 0; column < 4; ++column) {
      for (const uint8_t dscp : {0x00, 0xb8, 0xfc}) {
        EXPECT_EQ(decapsulated_ecn(kAll[row] | dscp, kAll[column] | dscp), kFigure4[row][column])
            << row << " " << column;
      }
    }
  }
}

TEST(Ecn, applying_keeps_inner_dscp_and_header_valid) {
  for (int row = 0; row < 4; ++row) {
    for (int column = 0; column < 4; ++column) {
      for (const uint8_t dscp : {0x00, 0xb8, 0xfc}) {
        const auto inner = static_cast<uint8_t>(dscp | kAll[row]);
        const uint8_t outer = kAll[column];
        const uint8_t expected = kFigure4[row][column];
        const uint8_t payload[8] = {};
        ByteVector four = ipv4_packet({.tos = inner}, payload);
        ByteVector six = ipv6_packet({.traffic_class = inner}, payload);
        auto* ip4 = view<Ipv4Header>(four);
        auto* ip6 = view<Ipv6Header>(six);
        const bool kept = expected != kEcnDrop;
        EXPECT_EQ(apply_outer_ecn(*ip4, outer), kept);
        EXPECT_EQ(apply_outer_ecn(*ip6, outer), kept);
        const uint8_t after = kept ? static_cast<uint8_t>(dscp | expected) : inner;
        EXPECT_EQ(ip4->tos, after);
        EXPECT_EQ(ip6->traffic_class(), after);
        EXPECT_TRUE(plain_header_checksum_ok(*ip4));
        EXPECT_EQ(ip6->version(), 6U);
        EXPECT_EQ(ip6->flow_label(), 0x12345U);
      }
    }
  }
}

}  // namespace
}  // namespace penstock::test
