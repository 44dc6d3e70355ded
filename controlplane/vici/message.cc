#include "controlplane/vici/message.h"

#include <optional>
#include <unordered_set>

#include "gateway/base/secret.h"

namespace penstock::vici {
namespace {

enum class Element : uint8_t {
  kSectionStart = 1,
  kSectionEnd = 2,
  kKeyValue = 3,
  kListStart = 4,
  kListItem = 5,
  kListEnd = 6,
};

std::string take_name(Reader& reader) {
  const size_t length = reader.u8();
  return std::string(text_of(reader.take(length)));
}
Bytes take_value(Reader& reader) {
  const size_t length = reader.be16();
  return reader.take(length);
}

}  // namespace

Value::~Value() { wipe(MutableBytes(bytes_)); }

std::string Section::text(std::string_view name, std::string_view otherwise) const {
  const Value* found = value(name);
  return std::string(found != nullptr ? found->text() : otherwise);
}

bool Section::has(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return true;
  }
  return false;
}

// Keeps the way from the root to the open section, so that depth costs no stack.
class MessageParser {
 public:
  explicit MessageParser(Bytes bytes) : reader_(bytes) { open_.push_back({&root_, {}}); }

  Result<Section> run() {
    while (!reader_.at_end()) {
      if (++elements_ > kMessageElementLimit) {
        return errorf("message has more than %zu elements", kMessageElementLimit);
      }
      PENSTOCK_CHECK(element());
    }
    if (!reader_.ok()) return errorf("message ends within an element");
    if (list_ != nullptr) return errorf("message ends within a list");
    if (open_.size() != 1) return errorf("message ends within a section");
    return std::move(root_);
  }

 private:
  struct Open {
    Section* section;
    std::unordered_set<std::string_view> names;  // of its entries, which stay where they are
  };

  Status element() {
    const auto type = static_cast<Element>(reader_.u8());
    if (list_ != nullptr && type != Element::kListItem && type != Element::kListEnd) {
      return errorf("message has an element of type %u within a list", static_cast<unsigned>(type));
    }
    switch (type) {
      case Element::kSectionStart:
        return start_section();
      case Element::kSectionEnd:
        if (open_.size() == 1) return errorf("message ends a section that it did not begin");
        open_.pop_back();
        return {};
      case Element::kKeyValue: {
        PENSTOCK_TRY(std::string name, new_name());
        const Bytes bytes = take_value(reader_);
        if (!reader_.ok()) return errorf("message ends within an element");
        add<Value>(std::move(name), bytes);
        return {};
      }
      case Element::kListStart: {
        PENSTOCK_TRY(std::string name, new_name());
        list_ = add<Section::List>(std::move(name));
        return {};
      }
      case Element::kListItem: {
        if (list_ == nullptr) return errorf("message has a list item outside of a list");
        const Bytes bytes = take_value(reader_);
        if (!reader_.ok()) return errorf("message ends within an element");
        list_->emplace_back(bytes);
        return {};
      }
      case Element::kListEnd:
        if (list_ == nullptr) return errorf("message ends a list that it did not begin");
        list_ = nullptr;
        return {};
    }
    return errorf("message has an element of the unknown type %u", static_cast<unsigned>(type));
  }

  Status start_section() {
    if (open_.size() > kMessageDepthLimit) {
      return errorf("message has sections more than %zu deep", kMessageDepthLimit);
    }
    PENSTOCK_TRY(std::string name, new_name(true));
    Section* const section =
        add<std::unique_ptr<Section>>(std::move(name), std::make_unique<Section>())->get();
    open_.push_back({section, {}});
    return {};
  }

  // A name that the open section does not have yet.
  Result<std::string> new_name(bool may_be_empty = false) {
    std::string name = take_name(reader_);
    if (!reader_.ok()) return errorf("message ends within an element");
    if (name.empty() && !may_be_empty) return errorf("message has an element without a name");
    if (open_.back().names.contains(name)) {
      return errorf("message has \"%s\" twice in one section", name.c_str());
    }
    return name;
  }

  template <class Kind, class... Arguments>
  Kind* add(std::string name, Arguments&&... arguments) {
    auto& entry = open_.back().section->entries_.emplace_back(
        std::move(name), std::in_place_type<Kind>, std::forward<Arguments>(arguments)...);
    open_.back().names.insert(entry.name);
    return std::get_if<Kind>(&entry.content);
  }

  Reader reader_;
  Section root_;
  std::vector<Open> open_;
  Section::List* list_ = nullptr;
  size_t elements_ = 0;
};

Result<Section> parse_message(Bytes bytes) { return MessageParser(bytes).run(); }

MessageWriter::~MessageWriter() { wipe(MutableBytes(bytes_)); }

bool MessageWriter::fits(size_t more) {
  // The packet's type and its name come before the message.
  if (bytes_.size() + more + 2 + UINT8_MAX > kSegmentLimitBytes) ok_ = false;
  return ok_;
}

void MessageWriter::element(uint8_t type, std::string_view name) {
  if (name.size() > UINT8_MAX) ok_ = false;
  if (!fits(2 + name.size())) return;
  bytes_.push_back(type);
  bytes_.push_back(static_cast<uint8_t>(name.size()));
  bytes_.insert(bytes_.end(), name.begin(), name.end());
}

void MessageWriter::append_value(std::string_view bytes) {
  if (bytes.size() > UINT16_MAX) ok_ = false;
  if (!fits(2 + bytes.size())) return;
  bytes_.push_back(static_cast<uint8_t>(bytes.size() >> 8));
  bytes_.push_back(static_cast<uint8_t>(bytes.size()));
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

MessageWriter& MessageWriter::begin_section(std::string_view name) {
  element(static_cast<uint8_t>(Element::kSectionStart), name);
  ++depth_;
  return *this;
}

MessageWriter& MessageWriter::end_section() {
  if (depth_ == 0 || !fits(1)) {
    ok_ = false;
    return *this;
  }
  --depth_;
  bytes_.push_back(static_cast<uint8_t>(Element::kSectionEnd));
  return *this;
}

MessageWriter& MessageWriter::value(std::string_view name, std::string_view text) {
  element(static_cast<uint8_t>(Element::kKeyValue), name);
  append_value(text);
  return *this;
}

MessageWriter& MessageWriter::list(std::string_view name, const std::vector<std::string>& items) {
  element(static_cast<uint8_t>(Element::kListStart), name);
  for (const std::string& item : items) {
    if (!fits(1)) return *this;
    bytes_.push_back(static_cast<uint8_t>(Element::kListItem));
    append_value(item);
  }
  if (fits(1)) bytes_.push_back(static_cast<uint8_t>(Element::kListEnd));
  return *this;
}

}  // namespace penstock::vici
