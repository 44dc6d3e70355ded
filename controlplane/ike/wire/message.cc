#include "controlplane/ike/wire/message.h"

#include "controlplane/ike/wire/payload_parser.h"

namespace penstock::ike {
namespace {

// 3.1.
constexpr uint8_t kFlagInitiator = 0x08;
constexpr uint8_t kFlagVersion = 0x10;
constexpr uint8_t kFlagResponse = 0x20;
constexpr uint8_t kMajorVersion = 2;

}  // namespace

Result<Header, WireError> parse_header(Bytes datagram) {
  using enum WireFault;
  Reader reader(datagram);
  Header header;
  header.spi_initiator = reader.be64();
  header.spi_responder = reader.be64();
  header.first = PayloadType{reader.u8()};
  header.version = reader.u8();
  header.exchange = ExchangeType{reader.u8()};
  const uint8_t flags = reader.u8();
  header.from_initiator = (flags & kFlagInitiator) != 0;
  header.higher_version = (flags & kFlagVersion) != 0;
  header.response = (flags & kFlagResponse) != 0;
  header.message_id = reader.be32();
  header.length = reader.be32();
  if (!reader.ok()) return WireError{kHeaderShort, PayloadType::kNone, NotifyType::kNone, ""};
  const uint8_t major = header.version >> 4;
  if (major != kMajorVersion) {
    // 2.5: who speaks a later version is told ours; IKEv1 has no notify that it would read.
    const NotifyType notify =
        major > kMajorVersion ? NotifyType::kInvalidMajorVersion : NotifyType::kNone;
    return WireError{kVersion, PayloadType::kNone, notify, ""};
  }
  if (header.length != datagram.size() || datagram.size() > kMaxMessageBytes) {
    return WireError{kHeaderLength, PayloadType::kNone, NotifyType::kNone, ""};
  }
  if (header.spi_initiator == 0) {
    return WireError{kPayloadValue, PayloadType::kNone, NotifyType::kNone, "initiator SPI"};
  }
  return header;
}

Result<Message, WireError> parse_message(Bytes datagram) {
  Message message;
  PENSTOCK_TRY(message.header, parse_header(datagram));
  PENSTOCK_TRY(message.payloads,
               PayloadParser(datagram, kHeaderBytes, true).parse(message.header.first));
  return message;
}

}  // namespace penstock::ike
