#include "gateway/base/bytes.h"

#include <gtest/gtest.h>

#include "gateway/base/result.h"

namespace penstock {
namespace {

TEST(Reader, integers_in_order_read_back) {
  const uint8_t data[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07};
  Reader reader(data);
  EXPECT_EQ(reader.be16(), 0x0102);
  EXPECT_EQ(reader.le32(), 0x06050403U);
  EXPECT_EQ(reader.u8(), 7);
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.at_end());
}

TEST(Reader, read_past_end_fails_and_stays_failed) {
  const uint8_t data[] = {1, 2, 3};
  Reader reader(data);
  EXPECT_EQ(reader.be32(), 0U);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0) << "a failed cursor yields nothing, even where bytes were left";
  EXPECT_EQ(reader.take(0).size(), 0U);
  EXPECT_FALSE(reader.ok());
}

TEST(Reader, huge_length_fails_without_overflow) {
  const uint8_t data[] = {1, 2, 3};
  Reader reader(data);
  reader.skip(SIZE_MAX);
  EXPECT_FALSE(reader.ok());
}

TEST(Writer, overflow_changes_nothing) {
  uint8_t room[3] = {9, 9, 9};
  Writer writer(room);
  writer.be16(0x0102);
  writer.be16(0x0304);
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(writer.size(), 2U);
  EXPECT_EQ(room[2], 9);
}

TEST(HeaderAt, too_short_is_null) {
  const uint8_t data[] = {0, 1, 2, 3};
  EXPECT_NE(header_at<Be32>(data), nullptr);
  EXPECT_EQ(header_at<Be32>(data, 1), nullptr);
  EXPECT_EQ(header_at<Be32>(data, SIZE_MAX), nullptr);
}

Result<int> positive(int value) {
  if (value < 0) return errorf("%d is negative", value);
  return value;
}
Result<int> doubled(int value) {
  PENSTOCK_TRY(const int checked, positive(value));
  return checked * 2;
}

TEST(Result, try_hands_the_error_on) {
  EXPECT_EQ(doubled(4).value(), 8);
  EXPECT_EQ(doubled(-4).error().text, "-4 is negative");
}

}  // namespace
}  // namespace penstock
