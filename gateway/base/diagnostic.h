// A mistake, or something worth a notice, in a configuration: which file, which line, which key.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace penstock {

enum class Severity : uint8_t {
  kError,    // nothing is applied
  kWarning,  // applied, but probably not what was meant
  kNotice,   // applied; something that the file says has no meaning here
};

struct Diagnostic {
  Severity severity = Severity::kError;
  std::string file;  // a path, or "command line"
  size_t line = 0;   // from 1; 0: the file as a whole
  std::string key;   // as written there; empty: the line as a whole
  std::string text;  // one sentence, without a full stop

  // "FILE:LINE: KEY: text", with "warning: " or "notice: " before the text where it is not an
  // error. Control characters, which a file that is not text holds, are shown as '?': they would
  // end the line early, or speak to the terminal.
  [[nodiscard]] std::string to_string() const {
    std::string all = file;
    if (line > 0) all += ":" + std::to_string(line);
    all += ": ";
    if (!key.empty()) all += key + ": ";
    if (severity == Severity::kWarning) all += "warning: ";
    if (severity == Severity::kNotice) all += "notice: ";
    all += text;
    std::replace_if(
        all.begin(), all.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return all;
  }
};

using Diagnostics = std::vector<Diagnostic>;

inline bool has_errors(const Diagnostics& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

}  // namespace penstock
