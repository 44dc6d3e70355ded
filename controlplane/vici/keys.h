// Every key of swanctl.conf(5), strongSwan 5.9: whether it is honoured, harmless (loaded, with a
// warning) or refused by name. These tables drive the parser (configuration.cc), the tests and the
// manual (deploy/swanctl-keys.md).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/bytes.h"
#include "gateway/base/result.h"

namespace penstock::vici {

enum class Handling : uint8_t { kHonoured, kHarmless, kRefused };

enum class Shape : uint8_t {
  kValue,
  kList,   // comma separated in swanctl.conf
  kFiles,  // a list of file names there; swanctl sends what is in them
};

struct KeyInfo {
  std::string_view name;
  Shape shape;
  Handling handling;
  std::string_view standard;  // the default; empty: none
  // kHonoured: what it takes. kHarmless: why it has no effect. kRefused: why.
  std::string_view text;
  // kHarmless, kRefused: values that say what is the case anyway, taken without a word; separated
  // by '|'. After a '~' one that is taken with a warning.
  std::string_view accepted;
};

// What a key was given.
class KeyInput {
 public:
  explicit KeyInput(std::vector<Bytes> values) : values_(std::move(values)) {}
  [[nodiscard]] std::string_view text() const { return text_of(values_.front()); }
  [[nodiscard]] Bytes bytes() const { return values_.front(); }
  [[nodiscard]] std::vector<std::string_view> texts() const;
  [[nodiscard]] const std::vector<Bytes>& values() const { return values_; }

 private:
  std::vector<Bytes> values_;  // at least one
};

template <class Draft>
struct Key {
  KeyInfo info;
  // Error: a sentence about the value. kHonoured only.
  Status (*apply)(Draft&, const KeyInput&) = nullptr;
};

// A section of swanctl.conf as the manual shows it.
struct KeyTable {
  std::string_view section;  // "connections.<conn>.children.<child>"
  std::vector<KeyInfo> keys;
};
std::vector<KeyTable> key_tables();
// The tables as Markdown.
std::string keys_manual();

}  // namespace penstock::vici
