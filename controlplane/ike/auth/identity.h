// Identities of IKEv2 (RFC 7296 section 3.5), as swanctl.conf writes them and strongSwan prints
// and compares them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/base/bytes.h"
#include "gateway/base/net.h"
#include "gateway/base/result.h"

namespace penstock::ike {

// RFC 7296 section 3.5; kAny never goes onto the wire: it is the pattern that takes every identity.
enum class IdentityType : uint8_t {
  kAny = 0,
  kIpv4Address = 1,
  kFqdn = 2,
  kRfc822Address = 3,
  kIpv6Address = 5,
  kDerAsn1Dn = 9,
  kDerAsn1Gn = 10,
  kKeyId = 11,
};

inline constexpr size_t kIdentityMaxSize = 2048;          // the data of one, in bytes
inline constexpr size_t kDistinguishedNameMaxParts = 64;  // attributes of one name

// How well an identity fits a pattern; a greater value is a better fit. Between kOneWildcard and
// kManyWildcards lie distinguished names with more wildcards (kOneWildcard - n + 1).
enum MatchStrength : uint8_t {
  kMatchNone = 0,
  kMatchAny = 1,  // the pattern is %any, or "*" alone
  kMatchManyWildcards = 2,
  kMatchOneWildcard = 19,
  kMatchExact = 20,
};

// A value; copies are cheap enough for the control plane. Any thread.
class Identity {
 public:
  Identity() = default;  // %any

  // Reads text as strongSwan does:
  //   "" "%any" "*" "0.0.0.0" "::"       any
  //   prefixes ipv4: ipv6: rfc822: email: userfqdn: fqdn: dns: asn1dn: asn1gn: keyid:, {TYPE}:
  //                                      that type; "#" and hex digits after it are its bytes
  //   anything with "="                  a distinguished name ("C=CH, O=x, CN=*", "/C=CH/CN=y"),
  //                                      a key id where it is none
  //   "@fqdn" "@@user@fqdn" "@#hex"      FQDN, email, key id
  //   "user@fqdn"                        email
  //   an address                         that address
  //   the rest                           FQDN (a key id if there is a colon in it)
  // Refused: too long, a NUL byte, broken hex, unknown prefix types.
  static Result<Identity> parse(std::string_view text);
  // The body of an IDi or IDr payload after its three reserved bytes. Refused: unknown types, wrong
  // lengths, empty text, NUL bytes in text, what is not one DER name.
  static Result<Identity> from_wire(uint8_t type, Bytes data);
  static Identity from_address(const IpAddress& address);
  // Requires the DER of a Name (RFC 5280 section 4.1.2.4).
  static Result<Identity> from_name(Bytes der) {
    return from_wire(static_cast<uint8_t>(IdentityType::kDerAsn1Dn), der);
  }
  static Identity fqdn(std::string_view name);      // taken as it is
  static Identity email(std::string_view address);  // taken as it is

  [[nodiscard]] IdentityType type() const { return type_; }
  // What goes after type and reserved bytes on the wire.
  [[nodiscard]] Bytes data() const { return data_; }
  [[nodiscard]] bool is_any() const { return type_ == IdentityType::kAny; }
  [[nodiscard]] bool has_wildcards() const;

  // As strongSwan prints it: "C=CH, O=x", an address, text; a key id that is no text in hex with
  // colons. Never holds control characters: what cannot be printed is '?'.
  [[nodiscard]] std::string to_string() const;

  // How well this identity fits `pattern`, whose wildcards count; wildcards of this one are taken
  // literally. Types never fit one another.
  [[nodiscard]] MatchStrength match(const Identity& pattern) const;
  // The same identity: FQDN and email without regard to ASCII case, names attribute by attribute.
  [[nodiscard]] bool equals(const Identity& other) const;
  friend bool operator==(const Identity& a, const Identity& b) { return a.equals(b); }
  // Equal identities have equal keys: for maps (uniqueness, sticky leases). Binary.
  [[nodiscard]] std::string key() const;

 private:
  Identity(IdentityType type, ByteVector data) : type_(type), data_(std::move(data)) {}
  static Result<Identity> parse_typed(IdentityType type, std::string_view text);

  IdentityType type_ = IdentityType::kAny;
  ByteVector data_;
};

}  // namespace penstock::ike
