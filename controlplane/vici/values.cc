#include "controlplane/vici/values.h"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

constexpr uint8_t kIcmp = 1, kIcmpv6 = 58;
constexpr size_t kHostNameMax = 253;  // RFC 1035 2.3.4, without the root's dot

std::string printable(std::string_view text) {
  std::string shown(text.substr(0, 100));
  std::replace_if(
      shown.begin(), shown.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return shown;
}

std::optional<uint64_t> to_number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
    text.remove_prefix(1);
  }
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// A number of protocols(5); the database is asked only for names.
std::optional<uint8_t> to_protocol(std::string_view text) {
  if (text.empty() || text == "any") return uint8_t{0};
  if (const auto number = to_number(text)) {
    if (*number > UINT8_MAX) return std::nullopt;
    return static_cast<uint8_t>(*number);
  }
  if (text == "icmpv6") return kIcmpv6;
  protoent entry{};
  protoent* found = nullptr;
  std::array<char, 2048> buffer{};
  if (getprotobyname_r(std::string(text).c_str(), &entry, buffer.data(), buffer.size(), &found) !=
          0 ||
      found == nullptr || entry.p_proto < 0 || entry.p_proto > UINT8_MAX) {
    return std::nullopt;
  }
  return static_cast<uint8_t>(entry.p_proto);
}

std::optional<uint16_t> to_port(std::string_view text) {
  if (const auto number = to_number(text)) {
    if (*number > UINT16_MAX) return std::nullopt;
    return static_cast<uint16_t>(*number);
  }
  servent entry{};
  servent* found = nullptr;
  std::array<char, 2048> buffer{};
  if (getservbyname_r(std::string(text).c_str(), nullptr, &entry, buffer.data(), buffer.size(),
                      &found) != 0 ||
      found == nullptr) {
    return std::nullopt;
  }
  return ntohs(static_cast<uint16_t>(entry.s_port));
}

Status set_ports(TrafficSelector& selector, std::string_view text) {
  if (text.empty() || text == "any") return {};
  if (text == "opaque") {
    selector.opaque_ports = true;
    return {};
  }
  // A name of services(5) may hold a dash too.
  auto first = to_port(text), last = first;
  const size_t dash = text.find('-');
  if (!first && dash != std::string_view::npos) {
    first = to_port(trim(text.substr(0, dash)));
    last = to_port(trim(text.substr(dash + 1)));
  }
  if (!first || !last || *first > *last) {
    return errorf("\"%s\" is no port, range of ports, service name, \"any\" or \"opaque\"",
                  printable(text).c_str());
  }
  selector.first_port = *first;
  selector.last_port = *last;
  if (selector.protocol == kIcmp || selector.protocol == kIcmpv6) {
    // RFC 4301 4.4.1.1: the type in the upper, the code in the lower eight bits.
    if (*first <= UINT8_MAX) selector.first_port = static_cast<uint16_t>(*first << 8);
    if (*last <= UINT8_MAX) selector.last_port = static_cast<uint16_t>((*last << 8) | 0xff);
  }
  return {};
}

std::string protocol_name(uint8_t protocol) {
  protoent entry{};
  protoent* found = nullptr;
  std::array<char, 2048> buffer{};
  if (getprotobynumber_r(protocol, &entry, buffer.data(), buffer.size(), &found) == 0 &&
      found != nullptr) {
    return entry.p_name;
  }
  return std::to_string(protocol);
}

// "[tcp/80]", or nothing for everything.
std::string protocol_and_ports(const TrafficSelector& selector) {
  const bool ports =
      selector.opaque_ports || selector.first_port != 0 || selector.last_port != UINT16_MAX;
  if (selector.protocol == 0 && !ports) return {};
  std::string text = "[";
  if (selector.protocol != 0) text += protocol_name(selector.protocol);
  if (ports) {
    text += "/";
    if (selector.opaque_ports) {
      text += "OPAQUE";
    } else if (selector.protocol == kIcmp || selector.protocol == kIcmpv6) {
      text += std::to_string(selector.first_port >> 8);
      if (selector.last_port != (selector.first_port | 0xff)) {
        text += "(" + std::to_string(selector.first_port & 0xff) + ")";
        if (selector.first_port != selector.last_port) {
          text += "-" + std::to_string(selector.last_port >> 8) + "(" +
                  std::to_string(selector.last_port & 0xff) + ")";
        }
      }
    } else {
      text += std::to_string(selector.first_port);
      if (selector.first_port != selector.last_port) {
        text += "-" + std::to_string(selector.last_port);
      }
    }
  }
  return text + "]";
}

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > kHostNameMax) return false;
  // Digits and dots alone are an address with a mistake in it.
  const bool numeric = std::all_of(text.begin(), text.end(),
                                   [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
  return !numeric && text.front() != '-' && text.front() != '.' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

IpAddress all_of(Family family, uint8_t fill) {
  if (family == Family::kIpv4) {
    Ipv4Address address;
    address.bytes.fill(fill);
    return address;
  }
  Ipv6Address address;
  address.bytes.fill(fill);
  return address;
}

IpAddress from_bytes(Family family, const std::array<uint8_t, 16>& bytes) {
  if (family == Family::kIpv4) {
    Ipv4Address address;
    std::copy_n(bytes.begin(), 4, address.bytes.begin());
    return address;
  }
  return Ipv6Address{bytes};
}

// The prefix that a range is, if it is one.
std::optional<IpPrefix> prefix_of(const IpAddress& first, const IpAddress& last) {
  for (unsigned length = 0; length <= first.bits(); ++length) {
    const IpPrefix prefix = IpPrefix::make(first, length);
    if (prefix.address == first && range_of(prefix).last == last) return prefix;
  }
  return std::nullopt;
}

}  // namespace

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view yes : {"yes", "true", "enabled", "1"}) {
    if (equal_ignoring_case(text, yes)) return true;
  }
  for (const std::string_view no : {"no", "false", "disabled", "0"}) {
    if (equal_ignoring_case(text, no)) return false;
  }
  return errorf("\"%s\" is neither yes nor no", printable(text).c_str());
}

Result<Nanoseconds> parse_time(std::string_view text) {
  std::string_view digits = text;
  uint64_t unit_s = 1;
  if (!digits.empty()) {
    const char last = digits.back();
    if (last == 's' || last == 'm' || last == 'h' || last == 'd') {
      unit_s = last == 's' ? 1 : last == 'm' ? 60 : last == 'h' ? 3600 : 86400;
      digits = trim(digits.substr(0, digits.size() - 1));
    }
  }
  const auto number = parse_unsigned(digits);
  if (!number) {
    return errorf("\"%s\" is no time: a number of seconds, or one with s, m, h or d",
                  printable(text).c_str());
  }
  if (*number > static_cast<uint64_t>(kTimeMax / kSecond) / unit_s) {
    return errorf("\"%s\" is more than ten years", printable(text).c_str());
  }
  return static_cast<Nanoseconds>(*number * unit_s) * kSecond;
}

Result<uint64_t> parse_number(std::string_view text, uint64_t maximum) {
  const auto number = to_number(text);
  if (!number) return errorf("\"%s\" is no number", printable(text).c_str());
  if (*number > maximum) {
    return errorf("\"%s\" is more than %llu", printable(text).c_str(),
                  static_cast<unsigned long long>(maximum));
  }
  return *number;
}

Result<uint64_t> parse_volume(std::string_view text) {
  std::string_view digits = text;
  unsigned shift = 0;
  if (!digits.empty()) {
    switch (digits.back()) {
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'm':
      case 'M':
        shift = 20;
        break;
      case 'g':
      case 'G':
        shift = 30;
        break;
      default:
        break;
    }
    if (shift != 0) digits = trim(digits.substr(0, digits.size() - 1));
  }
  const auto number = parse_unsigned(digits, UINT64_MAX >> shift);
  if (!number) {
    return errorf("\"%s\" is no number of bytes: a number, or one with k, m or g",
                  printable(text).c_str());
  }
  return *number << shift;
}

Result<uint8_t> parse_dscp(std::string_view text) {
  uint8_t value = 0;
  for (const char c : text) {
    if (text.size() != 6 || (c != '0' && c != '1')) {
      return errorf("\"%s\" is not six binary digits", printable(text).c_str());
    }
    value = static_cast<uint8_t>((value << 1) | (c == '1' ? 1 : 0));
  }
  if (text.empty()) return errorf("six binary digits are missing");
  return value;
}

AddressRange range_of(const IpPrefix& prefix) {
  std::array<uint8_t, 16> last{};
  const Bytes bytes = prefix.address.bytes();
  std::copy(bytes.begin(), bytes.end(), last.begin());
  for (unsigned bit = prefix.length; bit < prefix.address.bits(); ++bit) {
    last[bit / 8] = static_cast<uint8_t>(last[bit / 8] | (0x80U >> (bit % 8)));
  }
  return {prefix.address, from_bytes(prefix.address.family(), last)};
}

std::optional<AddressRange> parse_address_range(std::string_view text) {
  if (const auto prefix = IpPrefix::parse(text)) return range_of(*prefix);
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = IpAddress::parse(trim(text.substr(0, dash)));
  const auto last = IpAddress::parse(trim(text.substr(dash + 1)));
  if (!first || !last || first->family() != last->family() || *last < *first) return std::nullopt;
  return AddressRange{*first, *last};
}

bool is_any_address(std::string_view text) { return text == "%any"; }

Result<ike::AddressMatch> parse_address_match(std::string_view text) {
  ike::AddressMatch match;
  if (text == "%any4" || text == "0.0.0.0") {
    match.last = all_of(Family::kIpv4, 0xff);
    return match;
  }
  if (text == "%any6" || text == "::") {
    match.first = all_of(Family::kIpv6, 0);
    match.last = all_of(Family::kIpv6, 0xff);
    return match;
  }
  if (const auto range = parse_address_range(text)) {
    match.first = range->first;
    match.last = range->last;
    return match;
  }
  if (!is_host_name(text)) {
    return errorf("\"%s\" is no address, prefix, range of addresses or host name",
                  printable(text).c_str());
  }
  match.name = text;
  return match;
}

std::string to_string(const ike::AddressMatch& match) {
  if (match.is_name()) return match.name;
  if (match.first == match.last) return match.first.to_string();
  if (const auto prefix = prefix_of(match.first, match.last)) return prefix->to_string();
  return match.first.to_string() + "-" + match.last.to_string();
}

Result<ike::ConfiguredSelector> parse_selector(std::string_view text) {
  ike::ConfiguredSelector configured;
  std::string_view addresses = text;
  const size_t bracket = text.find('[');
  if (bracket != std::string_view::npos) {
    if (text.back() != ']') {
      return errorf("\"%s\" has no closing bracket", printable(text).c_str());
    }
    const std::string_view inner = text.substr(bracket + 1, text.size() - bracket - 2);
    addresses = trim(text.substr(0, bracket));
    const size_t slash = inner.find('/');
    const std::string_view name = trim(inner.substr(0, slash));
    const auto protocol = to_protocol(name);
    if (!protocol) return errorf("\"%s\" is no protocol", printable(name).c_str());
    configured.selector.protocol = *protocol;
    if (slash != std::string_view::npos) {
      PENSTOCK_CHECK(set_ports(configured.selector, trim(inner.substr(slash + 1))));
    }
  }
  if (addresses == "dynamic") {
    configured.dynamic = true;
    return configured;
  }
  const auto range = parse_address_range(addresses);
  if (!range) {
    return errorf("\"%s\" is no prefix, address, range of addresses or \"dynamic\"",
                  printable(addresses).c_str());
  }
  configured.selector.first = range->first;
  configured.selector.last = range->last;
  return configured;
}

std::string to_string(const TrafficSelector& selector) {
  const auto prefix = prefix_of(selector.first, selector.last);
  const std::string addresses =
      prefix ? prefix->address.to_string() + "/" + std::to_string(prefix->length)
             : selector.first.to_string() + ".." + selector.last.to_string();
  return addresses + protocol_and_ports(selector);
}

std::string to_string(const ike::ConfiguredSelector& selector) {
  if (selector.dynamic) return "dynamic" + protocol_and_ports(selector.selector);
  return to_string(selector.selector);
}

}  // namespace penstock::vici
