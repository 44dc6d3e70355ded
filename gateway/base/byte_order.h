// Integers of a fixed byte order for wire formats: trivially copyable, alignment 1, no implicit
// conversion to or from host integers.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace penstock {

static_assert(std::endian::native == std::endian::little,
              "Penstock runs on little-endian hosts only");

template <class T>
constexpr T byte_swap(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

template <class T, bool kBig>
class [[gnu::packed]] WireInteger {
 public:
  WireInteger() = default;
  explicit constexpr WireInteger(T host) : raw_(kBig ? byte_swap(host) : host) {}
  [[nodiscard]] constexpr T get() const { return kBig ? byte_swap(T{raw_}) : T{raw_}; }
  constexpr void set(T host) { raw_ = kBig ? byte_swap(host) : host; }
  // The bytes as they lie in memory, read as a host integer: for checksums and equality only.
  [[nodiscard]] constexpr T raw() const { return raw_; }
  static constexpr WireInteger from_raw(T raw) {
    WireInteger value{};
    value.raw_ = raw;
    return value;
  }
  friend constexpr bool operator==(const WireInteger& a, const WireInteger& b) {
    return a.raw_ == b.raw_;
  }

 private:
  T raw_;
};

using Be16 = WireInteger<uint16_t, true>;
using Be32 = WireInteger<uint32_t, true>;
using Be64 = WireInteger<uint64_t, true>;
using Le16 = WireInteger<uint16_t, false>;
using Le32 = WireInteger<uint32_t, false>;
using Le64 = WireInteger<uint64_t, false>;

static_assert(sizeof(Be16) == 2 && alignof(Be16) == 1 && std::is_trivially_copyable_v<Be16>);
static_assert(sizeof(Be32) == 4 && alignof(Be32) == 1);
static_assert(sizeof(Le64) == 8 && alignof(Le64) == 1);

// Unaligned loads and stores in host order (little-endian).
template <class T>
T load_unaligned(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
void store_unaligned(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace penstock
