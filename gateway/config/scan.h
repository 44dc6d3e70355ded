// The lines of an INI-like file: sections, keys, values, comments. Knows nothing of what they mean.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/diagnostic.h"

namespace penstock::config {

// Where something was said.
struct Location {
  std::string file;
  size_t line = 0;
  std::string key;  // as written there
};

struct Entry {
  std::string section;  // "" (the top), "dpdk", "port.outside"
  std::string name;     // in full: "workers", "port.outside.device"
  std::string value;
  Location location;
};

struct Section {
  std::string name;
  Location location;
};

struct Scan {
  std::vector<Section> sections;
  std::vector<Entry> entries;
};

// A `#` begins a comment at the start of a line or after white space. Lines that are neither a
// section nor KEY = VALUE are reported and left out.
Scan scan_lines(std::string_view text, const std::string& path, Diagnostics& diagnostics);

// The section that a full name belongs to: "port.outside" of "port.outside.device".
std::string section_of(std::string_view name);

}  // namespace penstock::config
