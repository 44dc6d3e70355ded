#include "controlplane/vici/packet.h"

#include "gateway/base/secret.h"

namespace penstock::vici {
namespace {

constexpr size_t kLengthBytes = 4;

}  // namespace

Result<Packet> parse_packet(Bytes segment) {
  Reader reader(segment);
  Packet packet;
  const uint8_t type = reader.u8();
  packet.type = static_cast<PacketType>(type);
  switch (packet.type) {
    case PacketType::kCommandRequest:
    case PacketType::kEventRegister:
    case PacketType::kEventUnregister:
      break;
    default:
      return errorf("a client sent a packet of type %u", type);
  }
  const size_t name_bytes = reader.u8();
  packet.name = text_of(reader.take(name_bytes));
  if (!reader.ok()) return errorf("a packet ends within its name");
  if (packet.type != PacketType::kCommandRequest && !reader.at_end()) {
    return errorf("a packet about an event has bytes behind the name");
  }
  packet.message = reader.take_rest();
  return packet;
}

ByteVector make_packet(PacketType type, Bytes message, std::string_view name) {
  ByteVector packet(kLengthBytes);
  packet.reserve(kLengthBytes + 2 + name.size() + message.size());
  packet.push_back(static_cast<uint8_t>(type));
  if (!name.empty()) {
    packet.push_back(static_cast<uint8_t>(name.size()));
    packet.insert(packet.end(), name.begin(), name.end());
  }
  packet.insert(packet.end(), message.begin(), message.end());
  store_unaligned(packet.data(), Be32(static_cast<uint32_t>(packet.size() - kLengthBytes)));
  return packet;
}

SegmentSplitter::~SegmentSplitter() { wipe(MutableBytes(buffer_)); }

void SegmentSplitter::drop_handed_out() {
  if (handed_out_ == 0) return;
  const size_t rest = buffered();
  std::memmove(buffer_.data(), buffer_.data() + handed_out_, rest);
  wipe(MutableBytes(buffer_).subspan(rest));
  buffer_.resize(rest);
  handed_out_ = 0;
}

void SegmentSplitter::append(Bytes bytes) {
  drop_handed_out();
  if (buffer_.size() + bytes.size() > buffer_.capacity()) {
    ByteVector larger;  // instead of a reallocation, which would leave a copy behind
    larger.reserve(2 * (buffer_.size() + bytes.size()));
    larger.assign(buffer_.begin(), buffer_.end());
    wipe(MutableBytes(buffer_));
    buffer_ = std::move(larger);
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<Bytes>> SegmentSplitter::next() {
  drop_handed_out();
  Reader reader(buffer_);
  const size_t length = reader.be32();
  if (!reader.ok()) return std::optional<Bytes>();
  if (length == 0 || length > kSegmentLimitBytes) {
    return errorf("a segment of %zu bytes, where 1 to %zu are possible", length,
                  kSegmentLimitBytes);
  }
  const Bytes segment = reader.take(length);
  if (!reader.ok()) return std::optional<Bytes>();
  handed_out_ = kLengthBytes + length;
  return std::optional<Bytes>(segment);
}

}  // namespace penstock::vici
