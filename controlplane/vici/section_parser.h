// Applies the entries of a section by a table of keys; errors and warnings begin with the path.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/vici/keys.h"
#include "controlplane/vici/message.h"
#include "gateway/base/result.h"

namespace penstock::vici {

// Bounded, without control characters.
std::string shown(std::string_view text);
// "PATH.KEY: TEXT"
Error at(const std::string& path, std::string_view key, const std::string& text);
Status check_name(const std::string& path, const std::string& name);

// The values of an entry in the shape that its key has; a value of a list key may hold commas.
Result<KeyInput> input_of(const Section::Entry& entry, Shape shape);

enum class Accepted : uint8_t { kNo, kSilently, kWithWarning };
// Whether a key that has no effect, or is refused, was given a value that asks for nothing.
Accepted accepted(const KeyInfo& key, const KeyInput& input);

// Warnings of a section become warnings of the whole, with their path.
void take_warnings(std::vector<std::string>& all, const std::string& path,
                   const std::vector<std::string>& some);

inline bool is_section(const Section::Entry& entry) {
  return std::holds_alternative<std::unique_ptr<Section>>(entry.content);
}
inline const Section& section_of(const Section::Entry& entry) {  // requires is_section()
  return *std::get<std::unique_ptr<Section>>(entry.content);
}

template <class Draft>
const Key<Draft>* key_named(std::span<const Key<Draft>> keys, std::string_view name) {
  for (const auto& key : keys) {
    if (key.info.name == name) return &key;
  }
  return nullptr;
}

template <class Draft>
Status apply_entry(const std::string& path, std::span<const Key<Draft>> keys, Draft& draft,
                   const Section::Entry& entry) {
  const Key<Draft>* const key = key_named(keys, entry.name);
  if (key == nullptr) return at(path, entry.name, "is no key that penstock knows");
  const auto input = input_of(entry, key->info.shape);
  if (!input.ok()) return at(path, entry.name, input.error().text);
  if (input->values().empty()) return {};  // an empty list says nothing
  if (key->info.handling == Handling::kHonoured) {
    const Status applied = key->apply(draft, *input);
    if (!applied.ok()) return at(path, entry.name, applied.error().text);
    return {};
  }
  const Accepted verdict = accepted(key->info, *input);
  if (verdict == Accepted::kSilently) return {};
  if (verdict == Accepted::kNo && key->info.handling == Handling::kRefused) {
    return at(path, entry.name, std::string(key->info.text));
  }
  draft.warnings.push_back(std::string(key->info.name) + ": " + std::string(key->info.text));
  return {};
}

}  // namespace penstock::vici
