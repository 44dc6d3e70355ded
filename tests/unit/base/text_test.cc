#include "gateway/base/text.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Base64, every_padding_round_trips) {
  for (size_t size = 0; size < 40; ++size) {
    ByteVector bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 37 + size);
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
  }
  EXPECT_EQ(to_base64(bytes_of("foob")), "Zm9vYg==");
}

TEST(Base64, malformed_text_is_refused) {
  for (const char* text : {"Zg", "Zg=", "Zg= ", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zm9\n"}) {
    EXPECT_FALSE(from_base64(text)) << text;
  }
}

TEST(Hex, round_trips_and_refuses) {
  EXPECT_EQ(to_hex(*from_hex("00fFa5")), "00ffa5");
  EXPECT_FALSE(from_hex("0"));
  EXPECT_FALSE(from_hex("0g"));
}

TEST(ParseUnsigned, only_digits_within_the_bound) {
  EXPECT_EQ(parse_unsigned("65535", 65535), 65535U);
  for (const char* text : {"", "65536", "-1", "+1", " 1", "1 ", "0x1", "99999999999999999999999"}) {
    EXPECT_FALSE(parse_unsigned(text, 65535)) << text;
  }
}

TEST(Split, fields_are_trimmed) {
  EXPECT_EQ(split(" a, b ,,c ", ','), (std::vector<std::string_view>{"a", "b", "", "c"}));
}

}  // namespace
}  // namespace penstock
