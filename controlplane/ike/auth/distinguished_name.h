// Distinguished names (RFC 5280 section 4.1.2.4): text as swanctl.conf writes it, DER, comparison.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "controlplane/ike/auth/identity.h"
#include "gateway/base/bytes.h"

namespace penstock::ike {

// "C=CH, O=x, CN=y" or "/C=CH/O=x". nullopt: no name, or an attribute that nobody knows.
std::optional<ByteVector> name_from_text(std::string_view text);
// Whether these bytes are exactly one name within our bounds.
bool name_is_valid(Bytes der);
// The functions below require valid names.
std::string name_to_text(Bytes der);
bool name_has_wildcards(Bytes der);
// Attribute by attribute in their order; a value "*" of `pattern` takes every value. An empty
// pattern name fits the empty name only.
MatchStrength name_match(Bytes der, Bytes pattern, bool wildcards);
// Equal names have equal keys.
std::string name_key(Bytes der);

}  // namespace penstock::ike
