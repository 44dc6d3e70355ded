// What the two sides of a CHILD_SA agree on, as the dataplane knows it.
#pragma once

#include <optional>

#include "controlplane/ike/crypto/suite.h"
#include "dataplane/api/tunnel.h"

namespace penstock::ike {

// The packet cipher of a negotiated ESP suite; nothing where the dataplane has none.
std::optional<SaAlgorithm> algorithm_of(const Suite& suite);

}  // namespace penstock::ike
