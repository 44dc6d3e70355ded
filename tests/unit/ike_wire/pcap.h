// The IKE messages of a capture file: IPv4 over null or Ethernet link layers, UDP port 500.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gateway/base/bytes.h"

namespace penstock::ike {

inline std::vector<ByteVector> ike_messages_of(const std::string& name) {
  std::ifstream file(std::string(PENSTOCK_VECTORS) + "/captures/" + name, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Reader reader(bytes_of(text));
  reader.skip(20);
  const size_t link_bytes = reader.le32() == 1 ? 14 : 4;
  std::vector<ByteVector> messages;
  while (reader.ok() && !reader.at_end()) {
    reader.skip(8);
    const size_t size = reader.le32();
    reader.skip(4);
    Reader packet(reader.take(size));
    packet.skip(link_bytes + 20 + 4);
    const size_t udp_bytes = packet.be16();
    packet.skip(2);
    messages.push_back(to_vector(packet.take(udp_bytes - 8)));
  }
  EXPECT_FALSE(messages.empty()) << name;
  return messages;
}

}  // namespace penstock::ike
