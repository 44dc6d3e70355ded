// The control socket's answers as tables.
#pragma once

#include <string>
#include <string_view>

#include "gateway/base/result.h"

namespace penstock::cli {

// `answer`: the line that the gateway sent for `command`. An error where the gateway refused, or
// where the line is not what this version expects.
Result<std::string> render(std::string_view command, std::string_view answer);

// The same line, checked and laid out for reading.
Result<std::string> render_json(std::string_view answer);

}  // namespace penstock::cli
