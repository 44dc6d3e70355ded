// What an operator configures of a pool of virtual addresses (swanctl.conf's `pools` section).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/bytes.h"
#include "gateway/base/net.h"
#include "gateway/base/result.h"

namespace penstock::ike {

// A configuration attribute that goes with an address: `dns`, `nbns`, `subnet` (split include) and
// numeric keys of swanctl.conf's `pools` section, as CP attribute type and value.
struct PoolAttribute {
  uint16_t type = 0;
  ByteVector value;
  friend bool operator==(const PoolAttribute&, const PoolAttribute&) = default;
};

struct PoolConfig {
  std::string name;
  IpAddress first;  // the first and last address that may be leased
  IpAddress last;
  std::vector<PoolAttribute> attributes;
  // `addrs` as swanctl.conf has it: "10.3.0.0/24", "10.3.0.10-10.3.0.99", "10.3.0.5". Of a prefix
  // the first and the last address are left out, as charon does, where it has more than two.
  static Result<PoolConfig> parse_addresses(std::string_view name, std::string_view addresses);
  // Appends one value of an attribute key: dns, nbns, dhcp, netmask, server, subnet, split_include,
  // or a number with an address, a prefix, 0x and hex digits, or text.
  Status add_attribute(std::string_view key, std::string_view value);
  friend bool operator==(const PoolConfig&, const PoolConfig&) = default;
};

}  // namespace penstock::ike
