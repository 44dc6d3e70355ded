#include "controlplane/ike/auth/identity.h"

#include <array>
#include <optional>

#include "controlplane/ike/auth/der.h"
#include "controlplane/ike/auth/distinguished_name.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

struct Prefix {
  std::string_view text;
  IdentityType type;
};
constexpr std::array kPrefixes = {
    Prefix{"ipv4:", IdentityType::kIpv4Address},
    Prefix{"ipv6:", IdentityType::kIpv6Address},
    Prefix{"rfc822:", IdentityType::kRfc822Address},
    Prefix{"email:", IdentityType::kRfc822Address},
    Prefix{"userfqdn:", IdentityType::kRfc822Address},
    Prefix{"fqdn:", IdentityType::kFqdn},
    Prefix{"dns:", IdentityType::kFqdn},
    Prefix{"asn1dn:", IdentityType::kDerAsn1Dn},
    Prefix{"asn1gn:", IdentityType::kDerAsn1Gn},
    Prefix{"keyid:", IdentityType::kKeyId},
};

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && equal_ignoring_case(text.substr(0, prefix.size()), prefix);
}

bool is_known(uint8_t type) {
  switch (static_cast<IdentityType>(type)) {
    case IdentityType::kIpv4Address:
    case IdentityType::kFqdn:
    case IdentityType::kRfc822Address:
    case IdentityType::kIpv6Address:
    case IdentityType::kDerAsn1Dn:
    case IdentityType::kDerAsn1Gn:
    case IdentityType::kKeyId:
      return true;
    case IdentityType::kAny:
      break;
  }
  return false;
}

// Hex digits with or without colons, as strongSwan's chunk_from_hex takes them.
std::optional<ByteVector> hex_bytes(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != ':') digits += c;
  }
  if (digits.size() % 2 != 0) digits.insert(digits.begin(), '0');
  return from_hex(digits);
}

std::string printable(Bytes data) {
  std::string out;
  for (const uint8_t byte : data)
    out += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
  return out;
}

std::string hex_with_colons(Bytes data) {
  std::string out;
  for (const uint8_t byte : data) {
    if (!out.empty()) out += ':';
    out += to_hex({&byte, 1});
  }
  return out;
}

// A pattern with one asterisk at its head fits every text that ends as it does.
MatchStrength match_text(std::string_view text, std::string_view pattern) {
  if (equal_ignoring_case(text, pattern)) return kMatchExact;
  if (pattern.empty() || pattern.front() != '*') return kMatchNone;
  pattern.remove_prefix(1);
  if (pattern.empty()) return kMatchAny;
  if (text.size() < pattern.size()) return kMatchNone;
  return equal_ignoring_case(text.substr(text.size() - pattern.size()), pattern) ? kMatchOneWildcard
                                                                                 : kMatchNone;
}

IpAddress address_of(IdentityType type, Bytes data) {
  if (type == IdentityType::kIpv4Address) {
    return Ipv4Address{Reader(data).array<4>()};
  }
  return Ipv6Address{Reader(data).array<16>()};
}

}  // namespace

Result<Identity> Identity::from_wire(uint8_t type, Bytes data) {
  if (!is_known(type)) return errorf("identity of unknown type %u", static_cast<unsigned>(type));
  if (data.size() > kIdentityMaxSize) return errorf("identity of %zu bytes", data.size());
  const auto known = static_cast<IdentityType>(type);
  switch (known) {
    case IdentityType::kIpv4Address:
      if (data.size() != 4) return errorf("IPv4 identity of %zu bytes", data.size());
      break;
    case IdentityType::kIpv6Address:
      if (data.size() != 16) return errorf("IPv6 identity of %zu bytes", data.size());
      break;
    case IdentityType::kFqdn:
    case IdentityType::kRfc822Address:
      // RFC 7296 3.5: no terminators; a NUL inside would look like another name to C code.
      if (data.empty()) return Error{"empty identity"};
      if (std::find(data.begin(), data.end(), 0) != data.end()) {
        return Error{"identity with a zero byte"};
      }
      break;
    case IdentityType::kDerAsn1Dn:
      if (!name_is_valid(data)) return Error{"identity that is no DER distinguished name"};
      break;
    case IdentityType::kDerAsn1Gn: {
      Reader reader(data);
      const der::Item item = der::take(reader);
      if (!reader.ok() || !reader.at_end() || item.tag == 0) {
        return Error{"identity that is no DER general name"};
      }
      break;
    }
    case IdentityType::kKeyId:
      if (data.empty()) return Error{"empty identity"};
      break;
    case IdentityType::kAny:
      break;
  }
  return Identity(known, to_vector(data));
}

Result<Identity> Identity::parse_typed(IdentityType type, std::string_view text) {
  const auto wire_type = static_cast<uint8_t>(type);
  if (!text.empty() && text.front() == '#') {
    const auto bytes = hex_bytes(text.substr(1));
    if (!bytes) return Error{"identity with broken hex digits"};
    return from_wire(wire_type, *bytes);
  }
  if (type == IdentityType::kIpv4Address || type == IdentityType::kIpv6Address) {
    const auto address = IpAddress::parse(text);
    if (address && address->is_v4() == (type == IdentityType::kIpv4Address)) {
      return from_address(*address);
    }
    return Error{"identity with a prefix for addresses, but no such address"};
  }
  if (type == IdentityType::kDerAsn1Dn) {
    const auto name = name_from_text(text);
    if (!name) return Error{"identity that is no distinguished name"};
    return Identity(type, *name);
  }
  return from_wire(wire_type, bytes_of(text));
}

Result<Identity> Identity::parse(std::string_view text) {
  if (text.size() > kIdentityMaxSize) return Error{"identity is too long"};
  if (text.find('\0') != std::string_view::npos) return Error{"identity with a zero byte"};
  for (const Prefix& prefix : kPrefixes) {
    if (starts_with_ignoring_case(text, prefix.text)) {
      return parse_typed(prefix.type, text.substr(prefix.text.size()));
    }
  }
  if (text.starts_with('{')) {  // "{11}:text", "{11}:#hex"
    const size_t end = text.find("}:");
    const auto type =
        end == std::string_view::npos ? std::nullopt : parse_unsigned(text.substr(1, end - 1), 255);
    if (type) {
      if (!is_known(static_cast<uint8_t>(*type))) return Error{"identity of an unknown type"};
      return parse_typed(static_cast<IdentityType>(*type), text.substr(end + 2));
    }
  }
  if (text.find('=') != std::string_view::npos) {
    if (const auto name = name_from_text(text)) return Identity(IdentityType::kDerAsn1Dn, *name);
    return from_wire(static_cast<uint8_t>(IdentityType::kKeyId), bytes_of(text));
  }
  if (text.empty() || text == "%any" || text == "%any6" || text == "*" || text == "0.0.0.0" ||
      text == "::" || text == "0::0") {
    return Identity();
  }
  if (text.starts_with("@#")) return parse_typed(IdentityType::kKeyId, text.substr(1));
  if (text.starts_with("@@")) return parse_typed(IdentityType::kRfc822Address, text.substr(2));
  if (text.front() == '@') {
    return from_wire(static_cast<uint8_t>(IdentityType::kFqdn), bytes_of(text.substr(1)));
  }
  if (text.find('@') != std::string_view::npos) {
    return from_wire(static_cast<uint8_t>(IdentityType::kRfc822Address), bytes_of(text));
  }
  if (const auto address = IpAddress::parse(text)) return from_address(*address);
  const auto type =
      text.find(':') == std::string_view::npos ? IdentityType::kFqdn : IdentityType::kKeyId;
  return from_wire(static_cast<uint8_t>(type), bytes_of(text));
}

Identity Identity::from_address(const IpAddress& address) {
  return {address.is_v4() ? IdentityType::kIpv4Address : IdentityType::kIpv6Address,
          to_vector(address.bytes())};
}

Identity Identity::fqdn(std::string_view name) {
  return {IdentityType::kFqdn, to_vector(bytes_of(name))};
}

Identity Identity::email(std::string_view address) {
  return {IdentityType::kRfc822Address, to_vector(bytes_of(address))};
}

bool Identity::has_wildcards() const {
  switch (type_) {
    case IdentityType::kAny:
      return true;
    case IdentityType::kFqdn:
    case IdentityType::kRfc822Address:
      return !data_.empty() && data_.front() == '*';
    case IdentityType::kDerAsn1Dn:
      return name_has_wildcards(data_);
    default:
      return false;
  }
}

std::string Identity::to_string() const {
  switch (type_) {
    case IdentityType::kAny:
      return "%any";
    case IdentityType::kIpv4Address:
    case IdentityType::kIpv6Address:
      return address_of(type_, data_).to_string();
    case IdentityType::kFqdn:
    case IdentityType::kRfc822Address:
      return printable(data_);
    case IdentityType::kDerAsn1Dn:
      return name_to_text(data_);
    case IdentityType::kDerAsn1Gn:
      return "(ASN.1 general name)";
    case IdentityType::kKeyId: {
      // 20 bytes are a SHA-1, even if all of them happen to be letters.
      const std::string text = printable(data_);
      return text == text_of(data_) && data_.size() != 20 ? text : hex_with_colons(data_);
    }
  }
  return "%any";
}

MatchStrength Identity::match(const Identity& pattern) const {
  if (pattern.is_any()) return kMatchAny;
  if (pattern.type_ != type_) return kMatchNone;
  switch (type_) {
    case IdentityType::kFqdn:
    case IdentityType::kRfc822Address:
      return match_text(text_of(data_), text_of(pattern.data_));
    case IdentityType::kDerAsn1Dn:
      return name_match(data_, pattern.data_, true);
    default:
      return data_ == pattern.data_ ? kMatchExact : kMatchNone;
  }
}

bool Identity::equals(const Identity& other) const {
  if (type_ != other.type_) return false;
  switch (type_) {
    case IdentityType::kFqdn:
    case IdentityType::kRfc822Address:
      return equal_ignoring_case(text_of(data_), text_of(other.data_));
    case IdentityType::kDerAsn1Dn:
      return name_match(data_, other.data_, false) == kMatchExact;
    default:
      return data_ == other.data_;
  }
}

std::string Identity::key() const {
  std::string key(1, static_cast<char>(type_));
  switch (type_) {
    case IdentityType::kFqdn:
    case IdentityType::kRfc822Address:
      for (const char c : text_of(data_)) {
        key += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
      }
      return key;
    case IdentityType::kDerAsn1Dn:
      return key + name_key(data_);
    default:
      key += text_of(data_);
      return key;
  }
}

}  // namespace penstock::ike
