#include "controlplane/ike/eap/eap_packet.h"

namespace penstock::ike {

std::optional<EapResponse> parse_eap_response(Bytes packet) {
  if (packet.size() > kEapPacketMaxSize) return std::nullopt;
  Reader reader(packet);
  const auto code = static_cast<EapCode>(reader.u8());
  EapResponse response;
  response.identifier = reader.u8();
  const uint16_t length = reader.be16();
  response.type = static_cast<EapType>(reader.u8());
  if (!reader.ok() || code != EapCode::kResponse || length != packet.size()) return std::nullopt;
  response.data = reader.take_rest();
  return response;
}

ByteVector eap_request(uint8_t identifier, EapType type, Bytes data) {
  ByteVector packet(5 + data.size());
  Writer writer(packet);
  writer.u8(static_cast<uint8_t>(EapCode::kRequest));
  writer.u8(identifier);
  writer.be16(static_cast<uint16_t>(packet.size()));
  writer.u8(static_cast<uint8_t>(type));
  writer.bytes(data);
  return packet;
}

ByteVector eap_end(EapCode success_or_failure, uint8_t identifier) {
  return {static_cast<uint8_t>(success_or_failure), identifier, 0, 4};
}

}  // namespace penstock::ike
