// Transforms and proposals as the SA payload carries them (RFC 7296 section 3.3). What they mean,
// and which to choose, is controlplane/ike/crypto's.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "controlplane/ike/wire/iana.h"

namespace penstock::ike {

struct Transform {
  TransformType type{};
  uint16_t id = 0;
  uint16_t key_bits = 0;  // the Key Length attribute (3.3.5); 0: absent
  // It had an attribute that we do not know, so it must not be chosen (3.3.6).
  bool unknown_attribute = false;
  friend auto operator<=>(const Transform&, const Transform&) = default;
};

struct Proposal {
  uint8_t number = 1;
  ProtocolId protocol = ProtocolId::kIke;
  uint8_t spi_size = 0;               // bytes on the wire: 0, 4 (ESP, AH) or 8 (rekeying an IKE SA)
  uint64_t spi = 0;                   // host order
  std::vector<Transform> transforms;  // in the order of preference
};

}  // namespace penstock::ike
