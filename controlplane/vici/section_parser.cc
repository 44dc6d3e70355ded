#include "controlplane/vici/section_parser.h"

#include <algorithm>

#include "gateway/base/text.h"

namespace penstock::vici {

std::string shown(std::string_view text) {
  std::string safe(text.substr(0, 200));
  std::replace_if(
      safe.begin(), safe.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return safe;
}

Error at(const std::string& path, std::string_view key, const std::string& text) {
  return Error{shown(path + (key.empty() ? "" : ".") + std::string(key)) + ": " + text};
}

Status check_name(const std::string& path, const std::string& name) {
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return at(path, "", "a name must not have control characters");
    }
  }
  return {};
}

Result<KeyInput> input_of(const Section::Entry& entry, Shape shape) {
  std::vector<Bytes> values;
  if (const auto* value = std::get_if<Value>(&entry.content)) {
    if (shape == Shape::kList) {
      for (const std::string_view part : split(value->text(), ','))
        values.push_back(bytes_of(part));
    } else if (shape == Shape::kValue) {
      values.push_back(bytes_of(trim(value->text())));
    } else {
      values.push_back(value->bytes());
    }
  } else if (const auto* list = std::get_if<Section::List>(&entry.content)) {
    if (shape == Shape::kValue && list->size() != 1) return errorf("takes one value, not a list");
    for (const Value& each : *list) {
      values.push_back(shape == Shape::kFiles ? each.bytes() : bytes_of(trim(each.text())));
    }
  } else {
    return errorf("is no section");
  }
  return KeyInput(std::move(values));
}

Accepted accepted(const KeyInfo& key, const KeyInput& input) {
  for (const std::string_view text : input.texts()) {
    bool silent = text.empty(), warned = false;
    for (const std::string_view value : split(key.accepted, '|')) {
      if (value.empty()) continue;
      const bool warns = value.front() == '~';
      if (!equal_ignoring_case(text, warns ? value.substr(1) : value)) continue;
      (warns ? warned : silent) = true;
    }
    if (warned) return Accepted::kWithWarning;
    if (!silent) return Accepted::kNo;
  }
  return Accepted::kSilently;
}

void take_warnings(std::vector<std::string>& all, const std::string& path,
                   const std::vector<std::string>& some) {
  for (const std::string& warning : some) all.push_back(shown(path + "." + warning));
}

}  // namespace penstock::vici
