#include "controlplane/vici/packet.h"

#include <gtest/gtest.h>

namespace penstock::vici {
namespace {

TEST(ViciPacket, command_request_parsed_has_name_and_message) {
  const ByteVector segment = {0, 7, 'v', 'e', 'r', 's', 'i', 'o', 'n', 3, 1, 'k', 0, 1, 'v'};
  const auto packet = parse_packet(segment);
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(packet->type, PacketType::kCommandRequest);
  EXPECT_EQ(packet->name, "version");
  EXPECT_EQ(packet->message.size(), 6U);
}

TEST(ViciPacket, packets_that_no_client_sends_are_refused) {
  for (const ByteVector& segment :
       {ByteVector{}, ByteVector{1}, ByteVector{2}, ByteVector{5}, ByteVector{6},
        ByteVector{7, 1, 'e'}, ByteVector{8, 1, 'e'}, ByteVector{0}, ByteVector{0, 2, 'x'},
        ByteVector{3, 1, 'e', 0}, ByteVector{4, 1, 'e', 0}}) {
    EXPECT_FALSE(parse_packet(segment).ok());
  }
}

TEST(ViciPacket, packet_made_has_length_type_name_and_message) {
  const ByteVector message = {3, 1, 'k', 0, 0};
  EXPECT_EQ(make_packet(PacketType::kEvent, message, "log"),
            (ByteVector{0, 0, 0, 10, 7, 3, 'l', 'o', 'g', 3, 1, 'k', 0, 0}));
  EXPECT_EQ(make_packet(PacketType::kEventConfirm), (ByteVector{0, 0, 0, 1, 5}));
  EXPECT_EQ(make_packet(PacketType::kCommandResponse, message),
            (ByteVector{0, 0, 0, 6, 1, 3, 1, 'k', 0, 0}));
}

TEST(ViciSegments, stream_in_any_pieces_gives_the_same_segments) {
  ByteVector stream;
  for (const char* name : {"a", "bcd", "efghij"}) {
    const ByteVector packet = make_packet(PacketType::kCommandRequest, bytes_of("message"), name);
    stream.insert(stream.end(), packet.begin(), packet.end());
  }
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    SegmentSplitter splitter;
    std::vector<std::string> names;
    for (size_t at = 0; at < stream.size(); at += piece) {
      splitter.append(Bytes(stream).subspan(at, std::min(piece, stream.size() - at)));
      for (auto next = splitter.next(); next.ok() && next->has_value(); next = splitter.next()) {
        const auto packet = parse_packet(**next);
        ASSERT_TRUE(packet.ok());
        names.emplace_back(packet->name);
      }
    }
    EXPECT_EQ(names, (std::vector<std::string>{"a", "bcd", "efghij"}));
    EXPECT_EQ(splitter.buffered(), 0U);
  }
}

TEST(ViciSegments, lengths_of_zero_and_over_512_kib_are_refused) {
  const auto refused = [](const ByteVector& length) {
    SegmentSplitter splitter;
    splitter.append(length);
    return !splitter.next().ok();
  };
  EXPECT_TRUE(refused({0, 0, 0, 0}));
  EXPECT_TRUE(refused({0, 8, 0, 1}));
  EXPECT_TRUE(refused({0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(refused({0, 8, 0, 0}));
  EXPECT_FALSE(refused({0, 0, 0}));
}

}  // namespace
}  // namespace penstock::vici
