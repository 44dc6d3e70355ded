// Messages that the tests of this folder take apart.
#pragma once

#include <gtest/gtest.h>

#include "controlplane/ike/wire/build.h"
#include "gateway/base/text.h"

namespace penstock::ike {

// Not inlined: gcc 12 then takes what callers do with known sizes for overflows.
[[gnu::noinline]] inline ByteVector filled(size_t size, unsigned first = 1) {
  ByteVector bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(first + i);
  return bytes;
}

inline Header sample_header() {
  Header header;
  header.spi_initiator = 0x0102030405060708;
  header.spi_responder = 0x1112131415161718;
  header.exchange = ExchangeType::kIkeSaInit;
  header.from_initiator = true;
  header.message_id = 7;
  return header;
}

inline Proposal sample_ike_proposal(uint8_t number = 1) {
  return {number,
          ProtocolId::kIke,
          0,
          0,
          {{TransformType::kEncryption, 20, 256, false},
           {TransformType::kPrf, 5, 0, false},
           {TransformType::kKeyExchange, 31, 0, false}}};
}

inline Proposal sample_esp_proposal(uint8_t number = 1) {
  return {number,
          ProtocolId::kEsp,
          4,
          0xc0ffee01,
          {{TransformType::kEncryption, 12, 128, false},
           {TransformType::kIntegrity, 12, 0, false},
           {TransformType::kSequenceNumbers, 1, 0, false}}};
}

inline TrafficSelector selector_of(const char* first, const char* last, uint8_t protocol = 0,
                                   uint16_t first_port = 0, uint16_t last_port = 65535) {
  return {
      *IpAddress::parse(first), *IpAddress::parse(last), protocol, first_port, last_port, false};
}

// One payload as bytes, with a right generic header: for bodies that no builder would make.
inline ByteVector raw_payload(Bytes body, PayloadType next = PayloadType::kNone,
                              bool critical = false) {
  ByteVector bytes(4 + body.size());
  Writer writer(bytes);
  writer.u8(static_cast<uint8_t>(next));
  writer.u8(critical ? 0x80 : 0);
  writer.be16(static_cast<uint16_t>(bytes.size()));
  writer.bytes(body);
  return bytes;
}
inline ByteVector raw_payload(const char* hex) { return raw_payload(*from_hex(hex)); }

inline void expect_fault(const Result<Payloads, WireError>& result, WireFault fault,
                         const std::string& of = {}) {
  ASSERT_FALSE(result.ok()) << of;
  EXPECT_EQ(result.error().fault, fault) << of << ": " << result.error().to_string();
}

}  // namespace penstock::ike
