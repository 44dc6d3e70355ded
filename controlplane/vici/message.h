// A VICI message: a tree of sections that hold values, lists and further sections, and its bytes.
// What a message says is the business of each command; here only its shape is checked.
//
// Elements (type byte, then): SECTION_START 1 name · SECTION_END 2 · KEY_VALUE 3 name value ·
// LIST_START 4 name · LIST_ITEM 5 value · LIST_END 6; a name has an 8-bit length before it, a value
// a 16-bit one in network order.
//
// Not taken, though the format leaves it open: a name twice in one section, an empty name of a
// value or list (sections may have one: the global counters), a depth of more than
// kMessageDepthLimit.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/base/bytes.h"
#include "gateway/base/result.h"

namespace penstock::vici {

inline constexpr size_t kMessageDepthLimit = 16;
inline constexpr size_t kMessageElementLimit = 65'536;
inline constexpr size_t kSegmentLimitBytes = 512 << 10;  // of a packet, without its length prefix

// Values are text by custom but may be any bytes, keys among them: every value wipes itself.
class Value {
 public:
  explicit Value(Bytes bytes) : bytes_(to_vector(bytes)) {}
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;
  ~Value();
  [[nodiscard]] Bytes bytes() const { return bytes_; }
  [[nodiscard]] std::string_view text() const { return text_of(bytes_); }

 private:
  ByteVector bytes_;
};

class Section {
 public:
  using List = std::deque<Value>;
  struct Entry {
    template <class Kind, class... Arguments>
    Entry(std::string entry_name, std::in_place_type_t<Kind> kind, Arguments&&... arguments)
        : name(std::move(entry_name)), content(kind, std::forward<Arguments>(arguments)...) {}
    std::string name;
    std::variant<Value, List, std::unique_ptr<Section>> content;
  };

  Section() = default;
  Section(Section&&) = default;
  Section& operator=(Section&&) = default;

  [[nodiscard]] const std::deque<Entry>& entries() const { return entries_; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  // The entry of that name and kind, or nullptr.
  [[nodiscard]] const Value* value(std::string_view name) const { return find<Value>(name); }
  [[nodiscard]] const List* list(std::string_view name) const { return find<List>(name); }
  [[nodiscard]] const Section* section(std::string_view name) const {
    const auto* found = find<std::unique_ptr<Section>>(name);
    return found != nullptr ? found->get() : nullptr;
  }
  // The value's text, or the default where there is none.
  [[nodiscard]] std::string text(std::string_view name, std::string_view otherwise = {}) const;
  [[nodiscard]] bool has(std::string_view name) const;

 private:
  friend class MessageParser;
  template <class Kind>
  [[nodiscard]] const Kind* find(std::string_view name) const {
    for (const Entry& entry : entries_) {
      if (entry.name == name) return std::get_if<Kind>(&entry.content);
    }
    return nullptr;
  }
  std::deque<Entry>
      entries_;  // in the order of the message; never moved, so nothing is left behind
};

// The root section of a message.
Result<Section> parse_message(Bytes bytes);

// Writes a message forward. What does not fit the format (a name over 255 bytes, a value over
// 65,535, more than kSegmentLimitBytes in all) fails the writer for good. Wipes itself.
class MessageWriter {
 public:
  MessageWriter() = default;
  MessageWriter(MessageWriter&&) = default;
  MessageWriter& operator=(MessageWriter&&) = default;
  ~MessageWriter();

  MessageWriter& begin_section(std::string_view name);
  MessageWriter& end_section();
  MessageWriter& value(std::string_view name, std::string_view text);
  MessageWriter& value(std::string_view name, Bytes bytes) { return value(name, text_of(bytes)); }
  MessageWriter& value(std::string_view name, uint64_t number) {
    return value(name, std::to_string(number));
  }
  MessageWriter& list(std::string_view name, const std::vector<std::string>& items);
  // Only where it is true: clients ask whether the key is there.
  MessageWriter& flag(std::string_view name, bool set) { return set ? value(name, "yes") : *this; }

  [[nodiscard]] bool ok() const { return ok_ && depth_ == 0; }
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] Bytes bytes() const { return bytes_; }
  [[nodiscard]] ByteVector take() { return std::move(bytes_); }  // requires ok()

 private:
  void element(uint8_t type, std::string_view name);
  void append_value(std::string_view bytes);
  [[nodiscard]] bool fits(size_t more);
  ByteVector bytes_;
  size_t depth_ = 0;
  bool ok_ = true;
};

}  // namespace penstock::vici
