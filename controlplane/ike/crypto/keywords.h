// The keywords of swanctl.conf's proposals. Internal to this folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "controlplane/ike/wire/proposal.h"
#include "gateway/base/result.h"

namespace penstock::ike {

// The transform that a keyword stands for; the error says why it is refused.
Result<Transform> transform_of_keyword(std::string_view keyword);
// The keyword that stands for a transform that we have; empty for any other.
std::string_view keyword_of(const Transform& transform);

}  // namespace penstock::ike
