#include "gateway/base/secret.h"

#include <gtest/gtest.h>

#include <new>

namespace penstock {
namespace {

TEST(Secret, destruction_wipes_the_bytes) {
  alignas(Secret<32>) unsigned char room[sizeof(Secret<32>)];
  auto* secret = new (room) Secret<32>();
  std::memset(secret->data(), 0xa5, 32);
  secret->~Secret<32>();
  for (const unsigned char byte : room) EXPECT_EQ(byte, 0);
}

TEST(SecretBytes, shrinking_wipes_what_is_cut_off) {
  SecretBytes secret(40);
  std::memset(secret.data(), 0xa5, 40);
  secret.resize(8);
  const uint8_t* cut_off = secret.data() + 8;
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(cut_off[i], 0);
  EXPECT_EQ(secret.data()[7], 0xa5);
}

TEST(SecretBytes, copies_are_separate_and_a_moved_from_one_is_empty) {
  const uint8_t bytes[] = {1, 2, 3};
  SecretBytes a = SecretBytes::copy_of(bytes);
  SecretBytes b = a;
  b.append(Bytes(bytes).first(1));
  EXPECT_EQ(a.size(), 3U);
  EXPECT_EQ(b.size(), 4U);
  EXPECT_FALSE(a == b) << "a prefix is not equal";
  b.resize(3);
  EXPECT_TRUE(a == b);
  const SecretBytes c = std::move(b);
  EXPECT_TRUE(b.empty());  // NOLINT: that it is empty is the point
  EXPECT_TRUE(c == a);
  a.clear();
  EXPECT_TRUE(a.empty());
}

TEST(EqualConstantTime, one_changed_bit_is_unequal) {
  uint8_t a[32] = {};
  for (size_t bit = 0; bit < 256; ++bit) {
    uint8_t b[32] = {};
    b[bit / 8] = static_cast<uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(equal_constant_time(a, b)) << bit;
  }
  EXPECT_TRUE(equal_constant_time(a, Bytes(a)));
  EXPECT_FALSE(equal_constant_time(a, Bytes(a).first(31))) << "a prefix is not equal";
  EXPECT_FALSE(equal_constant_time(Bytes(a).first(31), a));
}

TEST(SecretArena, memory_is_zero_and_writable) {
  auto arena = SecretArena::create(5U << 20);
  ASSERT_TRUE(arena.ok());
  EXPECT_GE(arena->size(), 5U << 20);
  EXPECT_EQ(arena->data()[arena->size() - 1], 0);
  arena->data()[0] = 1;
  SecretArena moved = std::move(*arena);
  EXPECT_EQ(moved.data()[0], 1);
}

}  // namespace
}  // namespace penstock
