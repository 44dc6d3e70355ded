// Byte spans and the bounds-checked cursor through which every variable wire format is read.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "gateway/base/byte_order.h"

namespace penstock {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;
using ByteVector = std::vector<uint8_t>;

inline Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline ByteVector to_vector(Bytes bytes) { return {bytes.begin(), bytes.end()}; }
inline bool equal_bytes(Bytes a, Bytes b) {  // not constant time: never for secrets or tags
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

// Reads forward through a span. The first read past the end fails the cursor; every later read
// then yields zeros or empty spans, so a parser may read a whole structure and check ok() once.
class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] size_t remaining() const { return rest_.size(); }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  void fail() {
    ok_ = false;
    rest_ = {};
  }

  // The next `length` bytes, or an empty span and a failed cursor.
  Bytes take(size_t length) {
    if (!ok_ || length > rest_.size()) {
      fail();
      return {};
    }
    const Bytes taken = rest_.first(length);
    rest_ = rest_.subspan(length);
    return taken;
  }
  void skip(size_t length) { (void)take(length); }
  Bytes take_rest() { return take(rest_.size()); }

  uint8_t u8() {
    const Bytes b = take(1);
    return b.empty() ? uint8_t{0} : b[0];
  }
  uint16_t be16() { return integer<Be16, uint16_t>(); }
  uint32_t be32() { return integer<Be32, uint32_t>(); }
  uint64_t be64() { return integer<Be64, uint64_t>(); }
  uint16_t le16() { return integer<Le16, uint16_t>(); }
  uint32_t le32() { return integer<Le32, uint32_t>(); }
  uint64_t le64() { return integer<Le64, uint64_t>(); }

  template <size_t N>
  std::array<uint8_t, N> array() {
    std::array<uint8_t, N> out{};
    const Bytes b = take(N);
    if (b.size() == N) std::memcpy(out.data(), b.data(), N);
    return out;
  }

 private:
  template <class Wire, class Host>
  Host integer() {
    const Bytes b = take(sizeof(Wire));
    return b.size() == sizeof(Wire) ? load_unaligned<Wire>(b.data()).get() : Host{0};
  }

  Bytes rest_;
  bool ok_ = true;
};

// Writes forward into a fixed span. Writing past the end fails the cursor and changes nothing.
class Writer {
 public:
  explicit Writer(MutableBytes bytes) : all_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] size_t size() const { return used_; }
  [[nodiscard]] Bytes written() const { return all_.first(used_); }

  // `length` bytes to fill in, or an empty span and a failed cursor.
  MutableBytes reserve(size_t length) {
    if (!ok_ || length > all_.size() - used_) {
      ok_ = false;
      return {};
    }
    const MutableBytes room = all_.subspan(used_, length);
    used_ += length;
    return room;
  }
  void bytes(Bytes from) {
    const MutableBytes to = reserve(from.size());
    if (!to.empty()) std::memcpy(to.data(), from.data(), from.size());
  }
  void zeros(size_t length) {
    const MutableBytes to = reserve(length);
    if (!to.empty()) std::memset(to.data(), 0, to.size());
  }
  void u8(uint8_t value) { bytes({&value, 1}); }
  void be16(uint16_t value) { object(Be16(value)); }
  void be32(uint32_t value) { object(Be32(value)); }
  void be64(uint64_t value) { object(Be64(value)); }
  void le16(uint16_t value) { object(Le16(value)); }
  void le32(uint32_t value) { object(Le32(value)); }
  void le64(uint64_t value) { object(Le64(value)); }

  template <class T>
  void object(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1, "wire structures only");
    bytes({reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }

 private:
  MutableBytes all_;
  size_t used_ = 0;
  bool ok_ = true;
};

// A fixed header as a typed view, or nullptr where the span is too short. T has alignment 1.
template <class T>
const T* header_at(Bytes bytes, size_t offset = 0) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1, "wire structures only");
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return nullptr;
  return reinterpret_cast<const T*>(bytes.data() + offset);
}

}  // namespace penstock
