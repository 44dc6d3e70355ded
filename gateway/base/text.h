// Text helpers: numbers, hex, base64, trimming.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/bytes.h"

namespace penstock {

// Decimal digits only, at most `maximum`; no sign, no white space.
std::optional<uint64_t> parse_unsigned(std::string_view text, uint64_t maximum = UINT64_MAX);

std::string to_hex(Bytes bytes);  // lower case; never for secrets that reach a log
std::optional<ByteVector> from_hex(std::string_view text);
std::string to_base64(Bytes bytes);
std::optional<ByteVector> from_base64(std::string_view text);  // strict: padded, no white space

std::string_view trim(std::string_view text);  // ASCII white space on both sides
std::vector<std::string_view> split(std::string_view text, char separator);  // trimmed fields
// Without what editors on Windows put before the first line of a UTF-8 file.
std::string_view without_byte_order_mark(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b);  // ASCII

}  // namespace penstock
