#include "controlplane/ike/auth/distinguished_name.h"

#include <array>
#include <cctype>

#include "controlplane/ike/auth/der.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

struct AttributeName {
  std::string_view text;
  std::string_view oid;  // content of the OBJECT IDENTIFIER
  uint8_t string_type = der::kPrintableString;
};

using namespace std::string_view_literals;

// The first name of an OID is the one that is printed. Names and string types as strongSwan 5.9.8
// has them (seen by issuing certificates with its pki), and a few aliases of others.
constexpr std::array kAttributeNames = {
    AttributeName{"C", "\x55\x04\x06"sv},
    AttributeName{"CN", "\x55\x04\x03"sv},
    AttributeName{"SN", "\x55\x04\x04"sv},
    AttributeName{"surname", "\x55\x04\x04"sv},
    AttributeName{"serialNumber", "\x55\x04\x05"sv},
    AttributeName{"L", "\x55\x04\x07"sv},
    AttributeName{"ST", "\x55\x04\x08"sv},
    AttributeName{"STREET", "\x55\x04\x09"sv},
    AttributeName{"O", "\x55\x04\x0a"sv},
    AttributeName{"OU", "\x55\x04\x0b"sv},
    AttributeName{"T", "\x55\x04\x0c"sv},
    AttributeName{"title", "\x55\x04\x0c"sv},
    AttributeName{"D", "\x55\x04\x0d"sv},
    AttributeName{"description", "\x55\x04\x0d"sv},
    AttributeName{"postalAddress", "\x55\x04\x10"sv},
    AttributeName{"postalCode", "\x55\x04\x11"sv},
    AttributeName{"N", "\x55\x04\x29"sv},
    AttributeName{"G", "\x55\x04\x2a"sv},
    AttributeName{"GN", "\x55\x04\x2a"sv},
    AttributeName{"givenName", "\x55\x04\x2a"sv},
    AttributeName{"I", "\x55\x04\x2b"sv},
    AttributeName{"initials", "\x55\x04\x2b"sv},
    AttributeName{"ID", "\x55\x04\x2d"sv},
    AttributeName{"dnQualifier", "\x55\x04\x2e"sv},
    AttributeName{"pseudonym", "\x55\x04\x41"sv},
    AttributeName{"ND", "\x02\x82\x06\x01\x0a\x07\x14"sv},
    AttributeName{"employeeNumber", "\x60\x86\x48\x01\x86\xf8\x42\x03\x01\x03"sv},
    AttributeName{"EN", "\x60\x86\x48\x01\x86\xf8\x42\x03\x01\x03"sv},
    AttributeName{"UID", "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01"sv},
    AttributeName{"DC", "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"sv},
    AttributeName{"E", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"sv, der::kIa5String},
    AttributeName{"Email", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"sv, der::kIa5String},
    AttributeName{"emailAddress", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"sv, der::kIa5String},
    AttributeName{"unstructuredName", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02"sv, der::kIa5String},
    AttributeName{"UN", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02"sv, der::kIa5String},
    AttributeName{"unstructuredAddress", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x08"sv},
    AttributeName{"UA", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x08"sv},
};

const AttributeName* attribute_by_text(std::string_view text) {
  for (const AttributeName& name : kAttributeNames) {
    if (equal_ignoring_case(name.text, text)) return &name;
  }
  return nullptr;
}

bool is_printable_string(std::string_view value) {  // X.680 41.4
  for (const char c : value) {
    const bool alphanumeric =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!alphanumeric && std::string_view(" '()+,-./:=?").find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

void append(ByteVector& to, Bytes from) { to.insert(to.end(), from.begin(), from.end()); }

// One attribute after another: Name ::= SEQUENCE OF SET OF SEQUENCE { type OID, value ANY }. Sets
// of several attributes are flattened.
class Attributes {
 public:
  explicit Attributes(Bytes name) : whole_(name) {
    names_ = Reader(der::take(whole_, der::kSequence));
    if (!whole_.ok() || !whole_.at_end()) fail();
  }
  struct Attribute {
    Bytes oid;
    der::Item value;
  };
  bool next(Attribute& out) {
    if (set_.at_end()) {
      if (failed_ || names_.at_end()) return false;
      set_ = Reader(der::take(names_, der::kSet));
      if (!names_.ok() || set_.at_end()) return fail();  // an empty set is no name
    }
    Reader pair(der::take(set_, der::kSequence));
    out.oid = der::take(pair, der::kObjectIdentifier);
    out.value = der::take(pair);
    if (!set_.ok() || !pair.ok() || !pair.at_end() || out.oid.empty()) return fail();
    return true;
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  bool fail() {
    failed_ = true;
    names_ = Reader({});
    set_ = Reader({});
    return false;
  }
  Reader whole_;
  Reader names_{Bytes{}};
  Reader set_{Bytes{}};
  bool failed_ = false;
};

// String types whose ASCII letters compare without regard to case (RFC 5280 section 7.1).
bool is_text(uint8_t tag) {
  return tag == der::kPrintableString || tag == der::kUtf8String || tag == der::kIa5String ||
         tag == der::kT61String;
}

bool values_equal(const der::Item& a, const der::Item& b) {
  if (is_text(a.tag) && is_text(b.tag)) {
    return equal_ignoring_case(text_of(a.content), text_of(b.content));
  }
  return a.tag == b.tag && equal_bytes(a.content, b.content);
}

bool is_wildcard(const der::Item& value) { return text_of(value.content) == "*"; }

std::string dotted(Bytes oid) {
  std::string out;
  uint64_t part = 0;
  bool first = true;
  for (const uint8_t byte : oid) {
    if (part >> 56 != 0) return "?";  // not an identifier anyone has
    part = part << 7 | (byte & 0x7fU);
    if ((byte & 0x80) != 0) continue;
    if (first) {
      const uint64_t arc = part < 80 ? part / 40 : 2;
      out = std::to_string(arc) + "." + std::to_string(part - arc * 40);
      first = false;
    } else {
      out += "." + std::to_string(part);
    }
    part = 0;
  }
  return out;
}

// One "TYPE=value"; false where it is none.
bool append_attribute(ByteVector& name, std::string_view part) {
  const size_t equals = part.find('=');
  if (equals == std::string_view::npos) return false;
  const AttributeName* attribute = attribute_by_text(trim(part.substr(0, equals)));
  if (attribute == nullptr) return false;
  const std::string_view value = trim(part.substr(equals + 1));
  uint8_t type = attribute->string_type;
  if (type == der::kPrintableString && !is_printable_string(value)) type = der::kUtf8String;
  ByteVector pair = der::wrap(der::kObjectIdentifier, bytes_of(attribute->oid));
  append(pair, der::wrap(type, bytes_of(value)));
  append(name, der::wrap(der::kSet, der::wrap(der::kSequence, pair)));
  return true;
}

}  // namespace

std::optional<ByteVector> name_from_text(std::string_view text) {
  text = trim(text);
  char separator = ',';
  if (!text.empty() && text.front() == '/') {
    separator = '/';
    text.remove_prefix(1);
  }
  ByteVector content;
  size_t parts = 0;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    const std::string_view part = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (trim(part).empty() && text.empty()) break;  // a separator at the end
    if (++parts > kDistinguishedNameMaxParts || !append_attribute(content, part)) {
      return std::nullopt;
    }
  }
  ByteVector name = der::wrap(der::kSequence, content);
  if (parts == 0 || name.size() > kIdentityMaxSize) return std::nullopt;
  return name;
}

bool name_is_valid(Bytes der) {
  if (der.size() > kIdentityMaxSize) return false;
  Attributes attributes(der);
  Attributes::Attribute attribute;
  size_t count = 0;
  while (attributes.next(attribute)) {
    if (++count > kDistinguishedNameMaxParts) return false;
  }
  return !attributes.failed();
}

std::string name_to_text(Bytes der) {
  std::string out;
  Attributes attributes(der);
  Attributes::Attribute attribute;
  while (attributes.next(attribute)) {
    if (!out.empty()) out += ", ";
    std::string type;
    for (const AttributeName& name : kAttributeNames) {
      if (name.oid == text_of(attribute.oid)) {
        type = name.text;
        break;
      }
    }
    out += type.empty() ? dotted(attribute.oid) : type;
    out += '=';
    for (const uint8_t byte : attribute.value.content) {
      out += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
    }
  }
  return out;
}

bool name_has_wildcards(Bytes der) {
  Attributes attributes(der);
  Attributes::Attribute attribute;
  while (attributes.next(attribute)) {
    if (is_wildcard(attribute.value)) return true;
  }
  return false;
}

MatchStrength name_match(Bytes der, Bytes pattern, bool wildcards) {
  Attributes mine(der);
  Attributes other(pattern);
  Attributes::Attribute a;
  Attributes::Attribute b;
  int wild = 0;
  for (;;) {
    const bool more_mine = mine.next(a);
    const bool more_other = other.next(b);
    if (more_mine != more_other || mine.failed() || other.failed()) return kMatchNone;
    if (!more_mine) break;
    if (!equal_bytes(a.oid, b.oid)) return kMatchNone;
    if (wildcards && is_wildcard(b.value)) {
      ++wild;
    } else if (!values_equal(a.value, b.value)) {
      return kMatchNone;
    }
  }
  if (wild == 0) return kMatchExact;
  return static_cast<MatchStrength>(
      std::max(kMatchOneWildcard - wild + 1, static_cast<int>(kMatchManyWildcards)));
}

std::string name_key(Bytes der) {
  std::string key;
  Attributes attributes(der);
  Attributes::Attribute attribute;
  while (attributes.next(attribute)) {
    const bool text = is_text(attribute.value.tag);
    // Lengths delimit the parts; sizes are bounded far below 2^16.
    for (const size_t size : {attribute.oid.size(), attribute.value.content.size()}) {
      key += static_cast<char>(size >> 8);
      key += static_cast<char>(size);
    }
    key += text_of(attribute.oid);
    key += static_cast<char>(text ? der::kUtf8String : attribute.value.tag);
    for (const uint8_t byte : attribute.value.content) {
      const char c = static_cast<char>(byte);
      key += text && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
  }
  return key;
}

}  // namespace penstock::ike
