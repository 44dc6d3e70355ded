// A cursor over DER (X.690): definite, minimal lengths of at most four bytes, tags of one byte.
// Only for the few structures that are compared or taken apart outside OpenSSL.
#pragma once

#include "gateway/base/bytes.h"

namespace penstock::ike::der {

inline constexpr uint8_t kBitString = 0x03;
inline constexpr uint8_t kObjectIdentifier = 0x06;
inline constexpr uint8_t kUtf8String = 0x0c;
inline constexpr uint8_t kPrintableString = 0x13;
inline constexpr uint8_t kT61String = 0x14;
inline constexpr uint8_t kIa5String = 0x16;
inline constexpr uint8_t kSequence = 0x30;
inline constexpr uint8_t kSet = 0x31;

struct Item {
  uint8_t tag = 0;
  Bytes content;
};

// The next item; fails the reader where there is none.
inline Item take(Reader& reader) {
  Item item;
  item.tag = reader.u8();
  if ((item.tag & 0x1f) == 0x1f) reader.fail();
  const uint8_t first = reader.u8();
  size_t length = first;
  if (first >= 0x80) {
    const size_t count = first & 0x7fU;
    if (count == 0 || count > 4) reader.fail();
    length = 0;
    for (size_t i = 0; i < count && reader.ok(); ++i) length = length << 8 | reader.u8();
    const bool minimal = length >= 0x80 && (count == 1 || length >> (8 * (count - 1)) != 0);
    if (!minimal) reader.fail();
  }
  item.content = reader.take(length);
  return item;
}

// The next item if it has that tag; fails the reader otherwise.
inline Bytes take(Reader& reader, uint8_t tag) {
  const Item item = take(reader);
  if (item.tag != tag) reader.fail();
  return reader.ok() ? item.content : Bytes{};
}

// Writes tag and length before `content`; requires content.size() < 2^24.
inline ByteVector wrap(uint8_t tag, Bytes content) {
  ByteVector out{tag};
  const size_t length = content.size();
  if (length < 0x80) {
    out.push_back(static_cast<uint8_t>(length));
  } else {
    const int count = length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
    out.push_back(static_cast<uint8_t>(0x80 | count));
    for (int i = count - 1; i >= 0; --i) out.push_back(static_cast<uint8_t>(length >> (8 * i)));
  }
  out.insert(out.end(), content.begin(), content.end());
  return out;
}

}  // namespace penstock::ike::der
