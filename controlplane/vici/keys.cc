#include "controlplane/vici/keys.h"

#include "controlplane/vici/drafts.h"
#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

template <class Draft>
KeyTable table(std::string_view section, std::span<const Key<Draft>> keys) {
  KeyTable made{section, {}};
  for (const auto& key : keys) made.keys.push_back(key.info);
  return made;
}

std::string_view words(Handling handling) {
  switch (handling) {
    case Handling::kHonoured:
      return "honoured";
    case Handling::kHarmless:
      return "loaded with a warning";
    case Handling::kRefused:
      break;
  }
  return "refused";
}

// The bar would begin a new cell.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '<' || c == '>' || c == '*') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string code(std::string_view text) {
  return text.empty() ? std::string() : "`" + std::string(text) + "`";
}

std::string handled(const KeyInfo& key) {
  std::string text(words(key.handling));
  std::string silent, warned;
  for (const std::string_view value : split(key.accepted, '|')) {
    if (value.empty()) continue;
    const bool warns = value.front() == '~';
    std::string& list = warns ? warned : silent;
    if (!list.empty()) list += ", ";
    list += code(warns ? value.substr(1) : value);
  }
  if (!silent.empty()) text += ", but for " + silent;
  if (!warned.empty()) text += "; " + warned + " with a warning";
  return text;
}

}  // namespace

std::vector<std::string_view> KeyInput::texts() const {
  std::vector<std::string_view> all;
  all.reserve(values_.size());
  for (const Bytes value : values_) all.push_back(text_of(value));
  return all;
}

std::vector<KeyTable> key_tables() {
  std::vector<KeyTable> tables = {
      table("connections.<conn>", kConnectionKeys),
      table("connections.<conn>.local<suffix>", kLocalKeys),
      table("connections.<conn>.local<suffix>.cert<suffix>", kCertificateKeys),
      table("connections.<conn>.remote<suffix>", kRemoteKeys),
      table("connections.<conn>.remote<suffix>.cert<suffix>", kCertificateKeys),
      table("connections.<conn>.remote<suffix>.cacert<suffix>", kCertificateKeys),
      table("connections.<conn>.children.<child>", kChildKeys),
      table("pools.<name>", kPoolKeys),
      table("authorities.<name>", kAuthorityKeys),
  };
  for (const KeyTable& secrets : secret_tables()) tables.push_back(secrets);
  return tables;
}

std::string keys_manual() {
  std::string text =
      "# The keys of swanctl.conf\n"
      "\n"
      "What `penstockd` does with each key of strongSwan 5.9's `swanctl.conf`. A key is honoured, "
      "or loaded with a\n"
      "warning in the log where it has no effect and none is missed, or refused: then the "
      "connection is not loaded, and\n"
      "`swanctl` prints a sentence that begins with the key's path. So is a key that is not in "
      "these tables.\n"
      "\n"
      "Times are a number of seconds, or one with `s`, `m`, `h` or `d`; volumes are bytes, or "
      "with `k`, `m` or `g`; lists\n"
      "are separated by commas; `yes` may be `true`, `enabled` or `1`.\n"
      "\n"
      "There is one `local` and one `remote` section in a connection: a second round of "
      "authentication is refused.\n"
      "\n"
      "This file is made from the tables in `controlplane/vici`; the unit test `vici` compares it "
      "and says how to renew it.\n";
  for (const KeyTable& table : key_tables()) {
    text += "\n## " + code(table.section) + "\n\n";
    text += "| key | default | handling | values, or why |\n|---|---|---|---|\n";
    for (const KeyInfo& key : table.keys) {
      text += "| " + code(key.name) + " | " + cell(key.standard) + " | " + handled(key) + " | " +
              cell(key.text) + " |\n";
    }
  }
  return text;
}

}  // namespace penstock::vici
