// One question to a running gateway over its control socket.
#pragma once

#include <string>

#include "gateway/base/result.h"

namespace penstock::cli {

enum class AskFailure : unsigned char {
  kNotThere,  // nobody listens on the socket, or we may not open it
  kBroken,    // it hung up, or did not answer in time
};
struct AskError {
  AskFailure failure = AskFailure::kBroken;
  std::string text;
};

// The answer, without its end of line.
Result<std::string, AskError> ask(const std::string& socket_path, const std::string& command);

}  // namespace penstock::cli
