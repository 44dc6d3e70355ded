// Known answers for every transform that is ever offered, checked once at start: what a library
// lacks or gets wrong must not be found by a peer.
#pragma once

#include "gateway/base/result.h"

namespace penstock::ike {

// The error names the first transform that fails.
Status crypto_self_test();

}  // namespace penstock::ike
