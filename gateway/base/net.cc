#include "gateway/base/net.h"

#include <arpa/inet.h>

#include "gateway/base/text.h"

namespace penstock {

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress mac;
  if (text.size() != 17) return std::nullopt;
  for (size_t i = 0; i < 6; ++i) {
    if (i > 0 && text[i * 3 - 1] != ':') return std::nullopt;
    const auto byte = from_hex(text.substr(i * 3, 2));
    if (!byte || byte->size() != 1) return std::nullopt;
    mac.bytes[i] = (*byte)[0];
  }
  return mac;
}

std::string MacAddress::to_string() const {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2],
                bytes[3], bytes[4], bytes[5]);
  return text;
}

namespace {

template <class Address>
std::optional<Address> parse_address(int family, std::string_view text) {
  Address address;
  const std::string terminated(text);
  if (terminated.size() != text.size() || terminated.find('\0') != std::string::npos)
    return std::nullopt;
  if (inet_pton(family, terminated.c_str(), address.bytes.data()) != 1) return std::nullopt;
  return address;
}

template <class Address>
std::string format_address(int family, const Address& address) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(family, address.bytes.data(), text, sizeof text) != nullptr ? text : "";
}

struct AddressAndLength {
  IpAddress address;
  uint8_t length;
};

std::optional<AddressAndLength> parse_address_and_length(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) {
    return AddressAndLength{*address, static_cast<uint8_t>(address->bits())};
  }
  const auto length = parse_unsigned(text.substr(slash + 1), address->bits());
  if (!length) return std::nullopt;
  return AddressAndLength{*address, static_cast<uint8_t>(*length)};
}

}  // namespace

std::optional<Ipv4Address> Ipv4Address::parse(std::string_view text) {
  return parse_address<Ipv4Address>(AF_INET, text);
}
std::string Ipv4Address::to_string() const { return format_address(AF_INET, *this); }
std::optional<Ipv6Address> Ipv6Address::parse(std::string_view text) {
  return parse_address<Ipv6Address>(AF_INET6, text);
}
std::string Ipv6Address::to_string() const { return format_address(AF_INET6, *this); }

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (const auto v4 = Ipv4Address::parse(text)) return IpAddress(*v4);
  if (const auto v6 = Ipv6Address::parse(text)) return IpAddress(*v6);
  return std::nullopt;
}

std::string IpAddress::to_string() const { return is_v4() ? v4().to_string() : v6().to_string(); }

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[0] == 127;
  std::array<uint8_t, 16> loopback{};
  loopback[15] = 1;
  return bytes_ == loopback;
}

bool IpAddress::is_multicast() const {
  return is_v4() ? (bytes_[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
}

bool IpAddress::is_link_local() const {
  return is_v4() ? bytes_[0] == 169 && bytes_[1] == 254 : v6().is_link_local();
}

IpPrefix IpPrefix::make(const IpAddress& address, unsigned length) {
  std::array<uint8_t, 16> bytes{};
  const unsigned kept = std::min(length, address.bits());
  std::memcpy(bytes.data(), address.bytes().data(), address.bytes().size());
  for (unsigned i = 0; i < 16; ++i) {
    if (i * 8 >= kept) {
      bytes[i] = 0;
    } else if (kept - i * 8 < 8) {
      bytes[i] = static_cast<uint8_t>(bytes[i] & (0xff << (8 - (kept - i * 8))));
    }
  }
  IpPrefix prefix;
  if (address.is_v4()) {
    Ipv4Address v4;
    std::memcpy(v4.bytes.data(), bytes.data(), 4);
    prefix.address = v4;
  } else {
    prefix.address = Ipv6Address{bytes};
  }
  prefix.length = static_cast<uint8_t>(kept);
  return prefix;
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const auto parsed = parse_address_and_length(text);
  if (!parsed) return std::nullopt;
  return make(parsed->address, parsed->length);
}

std::string IpPrefix::to_string() const {
  return address.to_string() + "/" + std::to_string(length);
}

bool IpPrefix::contains(const IpAddress& other) const {
  return other.family() == address.family() && make(other, length).address == address;
}

bool IpPrefix::contains(const IpPrefix& other) const {
  return other.length >= length && contains(other.address);
}

std::optional<InterfaceAddress> InterfaceAddress::parse(std::string_view text) {
  const auto parsed = parse_address_and_length(text);
  if (!parsed) return std::nullopt;
  return InterfaceAddress{parsed->address, parsed->length};
}

std::string InterfaceAddress::to_string() const {
  return address.to_string() + "/" + std::to_string(length);
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_unsigned(text.substr(colon + 1), 65535);
  if (!address || !port || address->is_v6() != bracketed) return std::nullopt;
  return Endpoint{*address, static_cast<uint16_t>(*port)};
}

std::string Endpoint::to_string() const {
  const std::string host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  return host + ":" + std::to_string(port);
}

}  // namespace penstock
