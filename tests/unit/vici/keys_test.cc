// The tables of keys: complete against strongSwan 5.9's manual page, and the manual made from them.
#include "controlplane/vici/keys.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

// "secrets.private<suffix>, rsa<suffix>" are two sections.
std::vector<std::string> sections_of(const KeyTable& table) {
  std::vector<std::string> sections;
  for (const std::string_view part : split(table.section, ',')) {
    const bool whole = part.find('.') != std::string_view::npos;
    sections.push_back((whole ? "" : "secrets.") + std::string(part));
  }
  return sections;
}

TEST(ViciKeys, every_key_of_the_manual_page_is_in_the_tables) {
  std::set<std::string> known;
  for (const KeyTable& table : key_tables()) {
    for (const std::string& section : sections_of(table)) {
      for (const KeyInfo& key : table.keys) known.insert(section + "." + std::string(key.name));
    }
  }
  std::ifstream file(PENSTOCK_VECTORS "/vici/swanctl-keys.txt");
  size_t lines = 0;
  for (std::string name; std::getline(file, name); ++lines) {
    EXPECT_TRUE(known.contains(name)) << name;
  }
  EXPECT_GT(lines, 120U);
}

TEST(ViciKeys, rows_say_why_and_appear_once) {
  for (const KeyTable& table : key_tables()) {
    std::set<std::string_view> names;
    for (const KeyInfo& key : table.keys) {
      EXPECT_TRUE(names.insert(key.name).second) << table.section << "." << key.name;
      EXPECT_FALSE(key.text.empty()) << table.section << "." << key.name;
      // What is refused must not refuse its own default.
      if (key.handling != Handling::kRefused || key.standard.empty()) continue;
      bool accepted = false;
      for (std::string_view value : split(key.accepted, '|')) {
        if (value.starts_with('~')) value.remove_prefix(1);
        accepted = accepted || value == key.standard;
      }
      EXPECT_TRUE(accepted) << table.section << "." << key.name;
    }
  }
}

TEST(ViciKeys, manual_is_that_of_the_tables) {
  if (const char* path = std::getenv("PENSTOCK_WRITE_SWANCTL_KEYS")) {
    std::ofstream(path) << keys_manual();
  }
  std::ifstream file(PENSTOCK_SWANCTL_KEYS_MANUAL);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), keys_manual())
      << "renew it: PENSTOCK_WRITE_SWANCTL_KEYS=deploy/swanctl-keys.md build/tests/unit/vici/"
         "test_vici --gtest_filter=ViciKeys.manual*";
}

}  // namespace
}  // namespace penstock::vici
