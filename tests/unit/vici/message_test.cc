// The codec against bytes written by hand (the example of the protocol's description among them).
#include "controlplane/vici/message.h"

#include <gtest/gtest.h>

#include <string>

namespace penstock::vici {
namespace {

ByteVector bytes(std::initializer_list<int> list) {
  ByteVector all;
  for (const int each : list) all.push_back(static_cast<uint8_t>(each));
  return all;
}

// key1 = value1, section1 { sub-section { key2 = value2 } list1 = [ item1, item2 ] }
ByteVector example() {
  return bytes({3,   4,   'k', 'e', 'y', '1', 0,   6,   'v', 'a', 'l', 'u', 'e', '1', 1,   8,
                's', 'e', 'c', 't', 'i', 'o', 'n', '1', 1,   11,  's', 'u', 'b', '-', 's', 'e',
                'c', 't', 'i', 'o', 'n', 3,   4,   'k', 'e', 'y', '2', 0,   6,   'v', 'a', 'l',
                'u', 'e', '2', 2,   4,   5,   'l', 'i', 's', 't', '1', 5,   0,   5,   'i', 't',
                'e', 'm', '1', 5,   0,   5,   'i', 't', 'e', 'm', '2', 6,   2});
}

TEST(ViciMessage, example_parsed_has_its_tree) {
  const auto root = parse_message(example());
  ASSERT_TRUE(root.ok()) << root.error().text;
  EXPECT_EQ(root->text("key1"), "value1");
  EXPECT_EQ(root->text("absent", "otherwise"), "otherwise");
  const Section* const section = root->section("section1");
  ASSERT_NE(section, nullptr);
  ASSERT_NE(section->section("sub-section"), nullptr);
  EXPECT_EQ(section->section("sub-section")->text("key2"), "value2");
  const Section::List* const list = section->list("list1");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(list->size(), 2U);
  EXPECT_EQ(list->at(0).text(), "item1");
  EXPECT_EQ(list->at(1).text(), "item2");
  // A kind that it is not.
  EXPECT_EQ(root->section("key1"), nullptr);
  EXPECT_EQ(root->value("section1"), nullptr);
}

TEST(ViciMessage, example_written_has_its_bytes) {
  MessageWriter writer;
  writer.value("key1", "value1").begin_section("section1").begin_section("sub-section");
  writer.value("key2", "value2").end_section().list("list1", {"item1", "item2"}).end_section();
  ASSERT_TRUE(writer.ok());
  EXPECT_TRUE(equal_bytes(writer.bytes(), example()));
}

TEST(ViciMessage, message_cut_anywhere_is_refused_or_a_shorter_whole) {
  const ByteVector whole = example();
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto parsed = parse_message(Bytes(whole).first(length));
    // Whole are only: nothing at all, and the first value.
    EXPECT_EQ(parsed.ok(), length == 0 || length == 14) << length;
  }
}

TEST(ViciMessage, empty_message_is_an_empty_section) {
  const auto root = parse_message({});
  ASSERT_TRUE(root.ok());
  EXPECT_TRUE(root->empty());
}

TEST(ViciMessage, unbalanced_or_misplaced_elements_are_refused) {
  for (const auto& broken : {
           bytes({2}),                                 // ends a section not begun
           bytes({6}),                                 // ends a list not begun
           bytes({5, 0, 0}),                           // an item outside of a list
           bytes({4, 1, 'l'}),                         // a list without its end
           bytes({4, 1, 'l', 4, 1, 'm', 6, 6}),        // a list in a list
           bytes({4, 1, 'l', 3, 1, 'k', 0, 0, 6}),     // a value in a list
           bytes({1, 1, 's', 4, 1, 'l', 2, 6}),        // a section ends within a list
           bytes({1, 1, 's'}),                         // a section without its end
           bytes({7}), bytes({0}), bytes({255}),       // unknown types
           bytes({3, 0, 0, 0}),                        // a value without a name
           bytes({4, 0, 6}),                           // a list without a name
           bytes({3, 1, 'k', 0, 0, 3, 1, 'k', 0, 0}),  // a name twice
           bytes({3, 1, 'k', 0, 0, 1, 1, 'k', 2}),     // also as another kind
           bytes({3, 1, 'k', 1, 0, 'x'}),              // a value longer than the message
       }) {
    EXPECT_FALSE(parse_message(broken).ok());
  }
  // The same name in two sections is none twice.
  EXPECT_TRUE(parse_message(bytes({3, 1, 'k', 0, 0, 1, 1, 's', 3, 1, 'k', 0, 0, 2})).ok());
}

TEST(ViciMessage, depth_and_number_of_elements_are_bounded) {
  const auto nested = [](size_t depth) {
    ByteVector all;
    for (size_t i = 0; i < depth; ++i) all.insert(all.end(), {1, 1, 's'});
    for (size_t i = 0; i < depth; ++i) all.push_back(2);
    return all;
  };
  EXPECT_TRUE(parse_message(nested(kMessageDepthLimit)).ok());
  EXPECT_FALSE(parse_message(nested(kMessageDepthLimit + 1)).ok());

  ByteVector many = bytes({4, 1, 'l'});
  for (size_t i = 0; i < kMessageElementLimit - 2; ++i) many.insert(many.end(), {5, 0, 0});
  ByteVector enough = many;
  enough.push_back(6);
  EXPECT_TRUE(parse_message(enough).ok());
  many.insert(many.end(), {5, 0, 0, 6});
  EXPECT_FALSE(parse_message(many).ok());
}

TEST(ViciMessage, writer_beyond_the_format_fails) {
  MessageWriter long_name;
  long_name.value(std::string(256, 'n'), "x");
  EXPECT_FALSE(long_name.ok());
  MessageWriter long_value;
  long_value.value("k", std::string(65'536, 'v'));
  EXPECT_FALSE(long_value.ok());
  MessageWriter open_section;
  open_section.begin_section("s");
  EXPECT_FALSE(open_section.ok());
  MessageWriter closed_twice;
  closed_twice.begin_section("s").end_section().end_section();
  EXPECT_FALSE(closed_twice.ok());
  MessageWriter much;
  for (int i = 0; i < 9; ++i) much.value("k" + std::to_string(i), std::string(60'000, 'v'));
  EXPECT_FALSE(much.ok());
  EXPECT_LE(much.size(), kSegmentLimitBytes);
  MessageWriter largest;
  largest.value(std::string(255, 'n'), std::string(65'535, 'v'));
  EXPECT_TRUE(largest.ok());
  EXPECT_TRUE(parse_message(largest.bytes()).ok());
}

TEST(ViciMessage, values_may_be_any_bytes) {
  const ByteVector der = bytes({0x30, 0x00, 0xff, 0x00});
  MessageWriter writer;
  writer.value("data", Bytes(der));
  const auto root = parse_message(writer.bytes());
  ASSERT_TRUE(root.ok());
  EXPECT_TRUE(equal_bytes(root->value("data")->bytes(), der));
}

}  // namespace
}  // namespace penstock::vici
