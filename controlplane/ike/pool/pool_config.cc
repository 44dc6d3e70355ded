#include "controlplane/ike/pool/pool_config.h"

#include <algorithm>

#include "controlplane/ike/pool/address_math.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

// RFC 7296 3.15.1, and Microsoft's for `server`.
struct Key {
  std::string_view name;
  uint16_t ipv4;  // 0: not for this family
  uint16_t ipv6;
  bool prefix;
};
constexpr Key kKeys[] = {
    {"dns", 3, 10, false},
    {"nbns", 4, 0, false},
    {"dhcp", 6, 12, false},
    {"netmask", 2, 0, false},
    {"server", 23456, 23457, false},
    {"subnet", 13, 15, true},
    // What Cisco's clients call so in IKEv1 is the subnets of IKEv2.
    {"split_include", 13, 15, true},
};
constexpr size_t kMaxAttributes = 64;
constexpr size_t kMaxValueBytes = 1024;

// INTERNAL_IP4_SUBNET is address and netmask, INTERNAL_IP6_SUBNET address and prefix length.
ByteVector subnet_value(const IpPrefix& prefix) {
  ByteVector value = to_vector(prefix.address.bytes());
  if (prefix.address.is_v6()) {
    value.push_back(prefix.length);
    return value;
  }
  const uint32_t mask = prefix.length == 0 ? 0 : ~uint32_t{0} << (32 - prefix.length);
  const Ipv4Address netmask = Ipv4Address::from_host(mask);
  value.insert(value.end(), netmask.bytes.begin(), netmask.bytes.end());
  return value;
}

// The value of a numeric key, as charon reads it.
std::optional<ByteVector> free_value(std::string_view text) {
  if (text.substr(0, 2) == "0x") return from_hex(text.substr(2));
  if (const auto address = IpAddress::parse(text)) return to_vector(address->bytes());
  if (text.find('/') != std::string_view::npos) {
    if (const auto prefix = IpPrefix::parse(text)) return subnet_value(*prefix);
  }
  return to_vector(bytes_of(text));
}

int shown(std::string_view text) { return static_cast<int>(std::min<size_t>(text.size(), 64)); }

}  // namespace

Result<PoolConfig> PoolConfig::parse_addresses(std::string_view name, std::string_view addresses) {
  PoolConfig config;
  config.name = std::string(name);
  const std::string_view text = trim(addresses);
  const auto wrong = [&text] {
    return errorf("'%.*s' is no address, prefix or range of addresses", shown(text), text.data());
  };
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto first = IpAddress::parse(trim(text.substr(0, dash)));
    const auto last = IpAddress::parse(trim(text.substr(dash + 1)));
    if (!first || !last || first->family() != last->family()) return wrong();
    if (*last < *first) return errorf("'%.*s' ends before it starts", shown(text), text.data());
    config.first = *first;
    config.last = *last;
    return config;
  }
  const auto given = InterfaceAddress::parse(text);
  if (!given) return wrong();
  const IpPrefix network = given->network();
  const unsigned host_bits = network.address.bits() - network.length;
  const WideOffset highest = host_bits == 128 ? ~WideOffset{0} : (WideOffset{1} << host_bits) - 1;
  config.first = given->address;
  config.last = plus(network.address, highest);
  if (host_bits >= 2) {
    if (config.first == network.address) config.first = plus(network.address, 1);
    config.last = plus(network.address, highest - 1);
    if (config.last < config.first) return wrong();  // it began at the broadcast address
  }
  return config;
}

Status PoolConfig::add_attribute(std::string_view key, std::string_view value) {
  const std::string_view text = trim(value);
  if (attributes.size() == kMaxAttributes)
    return errorf("more than %zu attributes", kMaxAttributes);
  if (const auto number = parse_unsigned(key, 0x7fff); number && *number > 0) {
    auto bytes = free_value(text);
    if (!bytes || bytes->size() > kMaxValueBytes) {
      return errorf("'%.*s' is no value of an attribute", shown(text), text.data());
    }
    attributes.push_back({static_cast<uint16_t>(*number), std::move(*bytes)});
    return {};
  }
  const auto* known = std::find_if(std::begin(kKeys), std::end(kKeys),
                                   [key](const Key& each) { return each.name == key; });
  if (known == std::end(kKeys)) {
    return errorf("'%.*s' is no attribute of pools", shown(key), key.data());
  }
  const auto prefix = IpPrefix::parse(text);
  const auto address = IpAddress::parse(text);
  if (!prefix || (!known->prefix && !address)) {
    return errorf("'%.*s' is no %s", shown(text), text.data(),
                  known->prefix ? "subnet" : "address");
  }
  const uint16_t type = prefix->address.is_v4() ? known->ipv4 : known->ipv6;
  if (type == 0) {
    return errorf("'%.*s' takes IPv4 addresses only", shown(key), key.data());
  }
  attributes.push_back({type, known->prefix ? subnet_value(*prefix) : to_vector(address->bytes())});
  return {};
}

}  // namespace penstock::ike
