// The values of swanctl.conf's keys, with charon's grammar: times, volumes, addresses, traffic
// selectors. Errors are a sentence about the value, without the key; the caller puts it in front.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/configuration.h"
#include "gateway/base/clock.h"
#include "gateway/base/result.h"

namespace penstock::vici {

inline constexpr Nanoseconds kTimeMax = int64_t{10} * 366 * 86400 * kSecond;

// "yes", "true", "enabled", "1"; "no", "false", "disabled", "0".
Result<bool> parse_bool(std::string_view text);
// A number of seconds, or one with s, m, h or d behind it.
Result<Nanoseconds> parse_time(std::string_view text);
// A number, decimal, 0xHEX or 0OCTAL, up to `maximum`.
Result<uint64_t> parse_number(std::string_view text, uint64_t maximum = UINT64_MAX);
// A number of bytes, or one with k, m or g (powers of 1024) behind it.
Result<uint64_t> parse_volume(std::string_view text);
// Six binary digits.
Result<uint8_t> parse_dscp(std::string_view text);

// An entry of local_addrs or remote_addrs: an address, a prefix, a range FROM-TO, "%any4", "%any6",
// or a host name. Not for "%any" (see is_any_address), which an empty list says.
Result<ike::AddressMatch> parse_address_match(std::string_view text);
bool is_any_address(std::string_view text);  // "%any"
std::string to_string(const ike::AddressMatch& match);

// "10.0.0.1-10.0.0.9" or a prefix, where every address counts. Both ends have one family.
struct AddressRange {
  IpAddress first, last;
};
std::optional<AddressRange> parse_address_range(std::string_view text);
AddressRange range_of(const IpPrefix& prefix);

// SUBNET[PROTOCOL/PORT]: SUBNET is a prefix, an address, a range or "dynamic"; PROTOCOL a number, a
// name of protocols(5) or "any"; PORT a number, a range, a name of services(5), "any" or "opaque".
// With ICMP a "port" below 256 is a type with every code, else type << 8 | code.
Result<ike::ConfiguredSelector> parse_selector(std::string_view text);
// As charon prints them: "10.0.0.0/16[tcp/80]", "10.0.0.1..10.0.0.9", "dynamic[udp]".
std::string to_string(const TrafficSelector& selector);
std::string to_string(const ike::ConfiguredSelector& selector);

}  // namespace penstock::vici
