// Addresses, prefixes and endpoints. Addresses hold their bytes in network order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/bytes.h"

namespace penstock {

enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };

struct MacAddress {
  std::array<uint8_t, 6> bytes{};
  static std::optional<MacAddress> parse(std::string_view text);  // "02:00:00:00:00:01"
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool is_multicast() const { return (bytes[0] & 1) != 0; }
  [[nodiscard]] bool is_zero() const { return *this == MacAddress{}; }
  friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};
inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

struct Ipv4Address {
  static constexpr size_t kBits = 32;
  std::array<uint8_t, 4> bytes{};
  // Exactly four decimal parts: "192.0.2.1". No octal, no shorthand.
  static std::optional<Ipv4Address> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] uint32_t host() const { return load_unaligned<Be32>(bytes.data()).get(); }
  static Ipv4Address from_host(uint32_t host) {
    Ipv4Address address;
    store_unaligned(address.bytes.data(), Be32(host));
    return address;
  }
  friend auto operator<=>(const Ipv4Address&, const Ipv4Address&) = default;
};

struct Ipv6Address {
  static constexpr size_t kBits = 128;
  std::array<uint8_t, 16> bytes{};
  static std::optional<Ipv6Address> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool is_link_local() const { return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80; }
  [[nodiscard]] bool is_multicast() const { return bytes[0] == 0xff; }
  friend auto operator<=>(const Ipv6Address&, const Ipv6Address&) = default;
};

// Either family. An IPv4 address occupies the first four bytes, the rest are zero.
class IpAddress {
 public:
  constexpr IpAddress() = default;
  IpAddress(const Ipv4Address& v4) {  // NOLINT: implicit by intent
    std::memcpy(bytes_.data(), v4.bytes.data(), 4);
  }
  IpAddress(const Ipv6Address& v6) : bytes_(v6.bytes), family_(Family::kIpv6) {}  // NOLINT

  static std::optional<IpAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;

  [[nodiscard]] Family family() const { return family_; }
  [[nodiscard]] bool is_v4() const { return family_ == Family::kIpv4; }
  [[nodiscard]] bool is_v6() const { return family_ == Family::kIpv6; }
  [[nodiscard]] unsigned bits() const { return is_v4() ? 32 : 128; }
  [[nodiscard]] Ipv4Address v4() const {  // requires is_v4()
    Ipv4Address address;
    std::memcpy(address.bytes.data(), bytes_.data(), 4);
    return address;
  }
  [[nodiscard]] Ipv6Address v6() const { return Ipv6Address{bytes_}; }  // requires is_v6()
  [[nodiscard]] Bytes bytes() const { return Bytes(bytes_).first(is_v4() ? 4 : 16); }
  [[nodiscard]] bool is_unspecified() const { return bytes_ == std::array<uint8_t, 16>{}; }
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_multicast() const;   // 224/4, ff00::/8
  [[nodiscard]] bool is_link_local() const;  // 169.254/16, fe80::/10

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<uint8_t, 16> bytes_{};
  Family family_ = Family::kIpv4;
};

// A network: the host bits of `address` are zero when it came from parse() or make().
struct IpPrefix {
  IpAddress address;
  uint8_t length = 0;

  // "10.0.0.0/8", "fd00::/64", or a lone address (/32, /128). Host bits are cleared.
  static std::optional<IpPrefix> parse(std::string_view text);
  static IpPrefix make(const IpAddress& address, unsigned length);
  static IpPrefix host(const IpAddress& address) {
    return {address, static_cast<uint8_t>(address.bits())};
  }
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool contains(const IpAddress& other) const;
  [[nodiscard]] bool contains(const IpPrefix& other) const;
  [[nodiscard]] bool is_host() const { return length == address.bits(); }
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

// An address of ours and the network it is in: "192.0.2.1/24". Host bits are kept.
struct InterfaceAddress {
  IpAddress address;
  uint8_t length = 0;
  static std::optional<InterfaceAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] IpPrefix network() const { return IpPrefix::make(address, length); }
  friend auto operator<=>(const InterfaceAddress&, const InterfaceAddress&) = default;
};

// A transport address.
struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
  // "192.0.2.1:51820", "[2001:db8::1]:51820". Names are not resolved here.
  static std::optional<Endpoint> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

struct IpAddressHash {
  size_t operator()(const IpAddress& address) const noexcept {
    return std::hash<std::string_view>{}(text_of(address.bytes()));
  }
};

}  // namespace penstock
