// libFuzzer target: identities as text and as they come in IDi and IDr.
//
// Checks beside crashes: what was taken from the wire can be put there again and is equal to
// itself, prints without control characters, fits itself as a pattern; keys agree with equality.
#include <cstdlib>

#include "controlplane/ike/auth/identity.h"

using namespace penstock;
using namespace penstock::ike;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const Identity& identity) {
  const std::string text = identity.to_string();
  for (const char c : text) require(c >= 0x20 && c < 0x7f);
  require(identity == identity);
  if (identity.is_any()) return;
  require(identity.match(Identity()) == kMatchAny);
  require(identity.match(identity) != kMatchNone);
  const auto again = Identity::from_wire(static_cast<uint8_t>(identity.type()), identity.data());
  require(again.ok() && *again == identity && again->key() == identity.key());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Bytes bytes(data, size);
  const size_t half = 1 + (size - 1) / 2;
  const auto text = Identity::parse(text_of(bytes.subspan(1)));
  if (text.ok()) check(*text);
  const auto whole = Identity::from_wire(data[0], bytes.subspan(1));
  if (whole.ok()) check(*whole);
  const auto first = Identity::from_wire(data[0], bytes.subspan(1, half - 1));
  const auto second = Identity::from_wire(data[0], bytes.subspan(half));
  if (!first.ok() || !second.ok()) return 0;
  require((*first == *second) == (first->key() == second->key()));
  require(first->match(*second) != kMatchExact || *first == *second);
  return 0;
}
