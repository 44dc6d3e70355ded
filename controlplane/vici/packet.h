// VICI packets: a length of 32 bits in network order, a type, for some types a name, and the bytes
// of a message.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "controlplane/vici/message.h"
#include "gateway/base/bytes.h"
#include "gateway/base/result.h"

namespace penstock::vici {

enum class PacketType : uint8_t {
  kCommandRequest = 0,   // named, message
  kCommandResponse = 1,  // message
  kCommandUnknown = 2,
  kEventRegister = 3,    // named
  kEventUnregister = 4,  // named
  kEventConfirm = 5,
  kEventUnknown = 6,
  kEvent = 7,  // named, message
};

// What a client may send: a view into the segment.
struct Packet {
  PacketType type = PacketType::kCommandRequest;
  std::string_view name;
  Bytes message;
};
// Exact: only the types of a client, the name within the segment, no bytes behind an event's name.
Result<Packet> parse_packet(Bytes segment);

// With the length in front. Requires a name of at most 255 bytes; without one the type has none.
ByteVector make_packet(PacketType type, Bytes message = {}, std::string_view name = {});

// Cuts a stream of bytes into segments. Wipes what it has handed out.
class SegmentSplitter {
 public:
  SegmentSplitter() = default;
  ~SegmentSplitter();
  SegmentSplitter(const SegmentSplitter&) = delete;
  SegmentSplitter& operator=(const SegmentSplitter&) = delete;

  void append(Bytes bytes);
  // The next whole segment, or nothing yet. Valid until the next call of either function. Error: a
  // length that is zero or over kSegmentLimitBytes; nothing more can be read then.
  Result<std::optional<Bytes>> next();
  [[nodiscard]] size_t buffered() const { return buffer_.size() - handed_out_; }

 private:
  void drop_handed_out();
  ByteVector buffer_;
  size_t handed_out_ = 0;  // from the beginning of buffer_
};

}  // namespace penstock::vici
