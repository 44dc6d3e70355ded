// Reassembly: RFC 7383 section 2.6.
#include "controlplane/ike/wire/fragments.h"

#include <gtest/gtest.h>

#include "tests/unit/ike_wire/samples.h"

namespace penstock::ike {
namespace {

using enum FragmentVerdict;

TEST(FragmentReassembler, fragments_in_any_order_make_the_message) {
  const std::vector<std::vector<uint16_t>> orders = {{1, 2, 3}, {3, 2, 1}, {2, 3, 1}};
  for (const auto& order : orders) {
    FragmentReassembler reassembler;
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_FALSE(reassembler.take().has_value());
      EXPECT_EQ(reassembler.may_add(order[i], 3), kWanted);
      const PayloadType first = order[i] == 1 ? PayloadType::kIdInitiator : PayloadType::kNone;
      EXPECT_EQ(reassembler.add(order[i], 3, first, filled(2, order[i] * 10U)),
                i == 2 ? kComplete : kWanted);
    }
    const auto whole = reassembler.take();
    ASSERT_TRUE(whole.has_value());
    EXPECT_EQ(whole->first, PayloadType::kIdInitiator);
    EXPECT_EQ(whole->chain, (ByteVector{10, 11, 20, 21, 30, 31}));
    EXPECT_TRUE(reassembler.empty());
    EXPECT_FALSE(reassembler.take().has_value());
  }
}

TEST(FragmentReassembler, duplicates_change_nothing) {
  FragmentReassembler reassembler;
  EXPECT_EQ(reassembler.add(1, 2, PayloadType::kSa, filled(3)), kWanted);
  EXPECT_EQ(reassembler.may_add(1, 2), kDuplicate);
  EXPECT_EQ(reassembler.add(1, 2, PayloadType::kNonce, filled(9)), kDuplicate);
  EXPECT_EQ(reassembler.bytes(), 3U);
}

TEST(FragmentReassembler, impossible_numbers_are_refused) {
  FragmentReassembler reassembler;
  EXPECT_EQ(reassembler.may_add(0, 3), kInvalid);
  EXPECT_EQ(reassembler.may_add(4, 3), kInvalid);
  EXPECT_EQ(reassembler.may_add(0, 0), kInvalid);
  EXPECT_EQ(reassembler.add(4, 3, PayloadType::kSa, filled(3)), kInvalid);
  EXPECT_EQ(reassembler.may_add(1, 129), kTooMany);
  EXPECT_EQ(reassembler.may_add(65535, 65535), kTooMany);
  EXPECT_TRUE(reassembler.empty());
}

TEST(FragmentReassembler, higher_total_begins_anew_and_a_lower_one_is_old) {
  FragmentReassembler reassembler;
  EXPECT_EQ(reassembler.add(1, 2, PayloadType::kSa, filled(8)), kWanted);
  EXPECT_EQ(reassembler.add(2, 3, PayloadType::kNone, filled(4)), kWanted);
  EXPECT_EQ(reassembler.bytes(), 4U) << "the coarser one is gone";
  EXPECT_EQ(reassembler.may_add(2, 2), kOldTotal);
  EXPECT_EQ(reassembler.add(2, 2, PayloadType::kNone, filled(8)), kOldTotal);
  EXPECT_EQ(reassembler.add(1, 3, PayloadType::kNonce, filled(4)), kWanted);
  EXPECT_EQ(reassembler.add(3, 3, PayloadType::kNone, filled(4)), kComplete);
  EXPECT_EQ(reassembler.take()->first, PayloadType::kNonce);
}

TEST(FragmentReassembler, bytes_are_bounded) {
  FragmentReassembler reassembler({.fragments = 255, .bytes = 1000});
  EXPECT_EQ(reassembler.add(1, 255, PayloadType::kSa, filled(600)), kWanted);
  EXPECT_EQ(reassembler.add(2, 255, PayloadType::kNone, filled(401)), kTooMany);
  EXPECT_EQ(reassembler.add(2, 255, PayloadType::kNone, filled(400)), kWanted);
  EXPECT_EQ(reassembler.add(3, 255, PayloadType::kNone, filled(1)), kTooMany);
  EXPECT_EQ(reassembler.bytes(), 1000U);
}

TEST(FragmentReassembler, one_of_one_is_complete_at_once) {
  FragmentReassembler reassembler;
  EXPECT_EQ(reassembler.add(1, 1, PayloadType::kSa, {}), kComplete);
  EXPECT_TRUE(reassembler.take()->chain.empty());
}

}  // namespace
}  // namespace penstock::ike
