#include "gateway/config/scan.h"

#include "gateway/base/text.h"

namespace penstock::config {

namespace {

std::string_view without_comment(std::string_view line) {
  for (size_t i = 0; i < line.size(); ++i) {
    const bool may_start = i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t';
    if (line[i] == '#' && may_start) return line.substr(0, i);
  }
  return line;
}

// [route] holds `route = ...`: the full name of that key is just "route".
std::string full_name(const std::string& section, std::string_view key) {
  if (section.empty() || section == "route") return std::string(key);
  return section + "." + std::string(key);
}

}  // namespace

std::string section_of(std::string_view name) {
  if (name == "route") return "route";
  const size_t dot = name.rfind('.');
  return std::string(name.substr(0, dot == std::string_view::npos ? 0 : dot));
}

Scan scan_lines(std::string_view text, const std::string& path, Diagnostics& diagnostics) {
  Scan scan;
  std::string section;
  size_t line = 0;
  const auto error = [&](std::string_view key, std::string what) {
    diagnostics.push_back({Severity::kError, path, line, std::string(key), std::move(what)});
  };
  text = without_byte_order_mark(text);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view content = trim(without_comment(text.substr(0, end)));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++line;
    if (content.empty()) continue;
    if (content.front() == '[') {
      section = std::string(trim(content.substr(1, content.find(']') - 1)));
      if (content.back() != ']') error(content, "a section is [NAME]");
      scan.sections.push_back({section, {path, line, "[" + section + "]"}});
      continue;
    }
    const size_t equals = content.find('=');
    const std::string_view key = trim(content.substr(0, equals));
    if (equals == std::string_view::npos || key.empty()) {
      error({}, "not a section and not KEY = VALUE");
      continue;
    }
    const std::string name = full_name(section, key);
    scan.entries.push_back({section.empty() ? section_of(name) : section,
                            name,
                            std::string(trim(content.substr(equals + 1))),
                            {path, line, std::string(key)}});
  }
  return scan;
}

}  // namespace penstock::config
