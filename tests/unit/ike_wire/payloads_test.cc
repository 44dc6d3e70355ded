// The other payloads: RFC 7296 sections 3.4 to 3.16.
#include <gtest/gtest.h>

#include "controlplane/ike/wire/notify.h"
#include "tests/unit/ike_wire/samples.h"

namespace penstock::ike {
namespace {

TEST(KeyExchangePayload, sizes_are_bounded) {
  for (size_t size = 0; size < 65000; size += size < 10 ? 1 : 997) {
    const ByteVector payload = raw_payload(filled(size));
    const bool good = size > 4 && size <= 4 + kMaxKeyExchangeBytes;
    EXPECT_EQ(parse_chain(PayloadType::kKeyExchange, payload).ok(), good) << size;
  }
}

TEST(IdPayload, every_type_and_size_is_taken_or_refused) {
  for (unsigned type = 0; type < 256; ++type) {
    for (const size_t size : {0, 1, 3, 4, 5, 15, 16, 17, 2048, 2049, 65000}) {
      ByteVector body(4 + size, uint8_t{0});  // NUL bytes are an identity's business
      body[0] = static_cast<uint8_t>(type);
      const ByteVector payload = raw_payload(body);
      const auto result = parse_chain(PayloadType::kIdInitiator, payload);
      bool good = size > 0 && size <= kMaxIdBytes;
      if (type == 1) good = size == 4;
      if (type == 5) good = size == 16;
      if (type == 13) good = size == 0;
      ASSERT_EQ(result.ok(), good) << type << " " << size;
      if (good) {
        EXPECT_EQ(result->id_initiator->data.size(), size);
        EXPECT_EQ(to_vector(result->id_initiator->body), body);
      }
    }
  }
  for (size_t size = 0; size < 4; ++size) {
    EXPECT_FALSE(parse_chain(PayloadType::kIdResponder, raw_payload(filled(size))).ok());
  }
}

TEST(IdPayload, body_is_what_auth_signs) {
  ChainBuilder chain;
  chain.id_responder(IdType::kFqdn, bytes_of("gw.example"));
  const auto payloads = parse_chain(chain.first(), chain.bytes());
  ASSERT_TRUE(payloads.ok());
  EXPECT_EQ(to_vector(payloads->id_responder->body),
            id_body(IdType::kFqdn, bytes_of("gw.example")));
}

TEST(CertPayload, certificates_are_bounded) {
  for (const size_t count : {kMaxCertificates, kMaxCertificates + 1}) {
    ChainBuilder chain;
    for (size_t i = 0; i < count; ++i) chain.cert(CertEncoding::kX509Signature, filled(3));
    const auto payloads = parse_chain(chain.first(), chain.bytes());
    ASSERT_EQ(payloads.ok(), count == kMaxCertificates);
    if (payloads.ok()) {
      EXPECT_EQ(payloads->certs.size(), count);
    }
  }
  expect_fault(parse_chain(PayloadType::kCert, raw_payload("04")), WireFault::kPayloadSize);
}

TEST(CertReqPayload, x509_authorities_are_whole_hashes) {
  for (size_t size = 0; size <= 60; ++size) {
    ChainBuilder chain;
    chain.cert_request(CertEncoding::kX509Signature, filled(size));
    EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), size % 20 == 0) << size;
  }
  EXPECT_FALSE(parse_chain(PayloadType::kCertReq, raw_payload("")).ok());
}

TEST(AuthPayload, data_must_be_there) {
  EXPECT_FALSE(parse_chain(PayloadType::kAuth, raw_payload("0200")).ok());
  EXPECT_FALSE(parse_chain(PayloadType::kAuth, raw_payload("02000000")).ok());
  const ByteVector payload = raw_payload("02000000ff");
  const auto result = parse_chain(PayloadType::kAuth, payload);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->auth->method, AuthMethod::kSharedKey);
  EXPECT_EQ(result->auth->data.size(), 1U);
}

TEST(NoncePayload, sizes_are_16_to_256) {
  for (size_t size = 0; size < 300; ++size) {
    EXPECT_EQ(parse_chain(PayloadType::kNonce, raw_payload(filled(size))).ok(),
              size >= 16 && size <= 256)
        << size;
  }
}

// Every type in the table with every size of data up to 1100 bytes.
TEST(NotifyPayload, data_has_the_length_of_its_type) {
  size_t known = 0;
  for (unsigned type = 0; type < 65536; ++type) {
    const NotifyRule* rule = notify_rule(NotifyType{static_cast<uint16_t>(type)});
    if (rule == nullptr) continue;
    ++known;
    for (size_t size = 0; size <= 1100; ++size) {
      ByteVector body(4 + (rule->has_spi ? 4 : 0) + size);
      body[0] = rule->has_spi ? 3 : 0;
      body[1] = rule->has_spi ? 4 : 0;
      store_unaligned(body.data() + 2, Be16(static_cast<uint16_t>(type)));
      const auto result = parse_chain(PayloadType::kNotify, raw_payload(body));
      ASSERT_EQ(result.ok(), rule->allows(size)) << rule->name << " " << size;
      if (!result.ok()) {
        EXPECT_EQ(result.error().fault, WireFault::kNotifyLength);
      }
    }
  }
  EXPECT_GE(known, 50U);
}

TEST(NotifyPayload, nat_detection_hash_of_another_size_is_refused) {
  for (size_t size = 0; size < 64; ++size) {
    ChainBuilder chain;
    chain.notify(NotifyType::kNatDetectionSourceIp, filled(size));
    EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), size == 20) << size;
  }
}

TEST(NotifyPayload, no_nats_allowed_has_two_addresses_of_one_family) {
  for (size_t size = 0; size < 64; ++size) {
    ChainBuilder chain;
    chain.notify(NotifyType::kNoNatsAllowed, filled(size));
    EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), size == 12 || size == 36) << size;
  }
}

TEST(NotifyPayload, spi_sizes_are_0_4_and_8) {
  for (unsigned size = 0; size < 256; ++size) {
    ByteVector body(4 + size, uint8_t{9});
    body[1] = static_cast<uint8_t>(size);
    store_unaligned(body.data() + 2, Be16(40000));
    const auto result = parse_chain(PayloadType::kNotify, raw_payload(body));
    EXPECT_EQ(result.ok(), size == 0 || size == 4 || size == 8) << size;
  }
}

TEST(NotifyPayload, rekey_without_an_spi_is_refused) {
  ChainBuilder without;
  without.notify(NotifyType::kRekeySa);
  expect_fault(parse_chain(without.first(), without.bytes()), WireFault::kPayloadValue);
  ChainBuilder with;
  with.notify_spi(NotifyType::kRekeySa, ProtocolId::kEsp, 0xc0000001);
  const auto result = parse_chain(with.first(), with.bytes());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->notifies[0].spi, 0xc0000001U);
  EXPECT_EQ(result->notifies[0].protocol, ProtocolId::kEsp);
}

TEST(NotifyPayload, unknown_types_are_kept_and_errors_found) {
  ChainBuilder chain;
  chain.notify(NotifyType{40001}, filled(3))
      .notify(NotifyType{12345})
      .notify_u16(NotifyType::kInvalidKePayload, 19);
  const auto result = parse_chain(chain.first(), chain.bytes());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(static_cast<unsigned>(result->first_error()->type), 12345U);
  EXPECT_EQ(result->find(NotifyType::kInvalidKePayload)->data_u16(), 19);
  EXPECT_EQ(result->find(NotifyType::kInvalidKePayload)->data_u32(), 0U);
  EXPECT_EQ(result->summary(), "[ N((40001)) N((12345)) N(INVALID_KE_PAYLOAD) ]");
}

TEST(DeletePayload, protocol_size_and_count_must_agree) {
  const uint32_t spis[] = {0xc0000001, 0xc0000001, 7};
  ChainBuilder chain;
  chain.delete_ike().delete_children(ProtocolId::kEsp, spis);
  const auto result = parse_chain(chain.first(), chain.bytes());
  ASSERT_TRUE(result.ok()) << result.error().to_string();
  ASSERT_EQ(result->deletes.size(), 2U);
  EXPECT_TRUE(result->deletes[0].spis.empty());
  EXPECT_EQ(result->deletes[1].spis, std::vector<uint32_t>(spis, spis + 3));
  for (const char* bad : {"01000001",  // an IKE SA has no SPI here
                          "01080001"
                          "0102030405060708",
                          "00000000",
                          "04040001"
                          "00000001",  // protocols that are none
                          "03040002"
                          "00000001",  // fewer than it says
                          "03040000"
                          "00000001",  // more
                          "03000001",
                          "03080001"
                          "0000000100000002",
                          "0304", ""}) {
    EXPECT_FALSE(parse_chain(PayloadType::kDelete, raw_payload(bad)).ok()) << bad;
  }
  const std::vector<uint32_t> many(kMaxDeletedSpis + 1, 9);
  ChainBuilder over;
  over.delete_children(ProtocolId::kEsp, many);
  expect_fault(parse_chain(over.first(), over.bytes()), WireFault::kTooMany);
}

TEST(EapPayload, lengths_and_codes_must_agree) {
  for (const char* good : {"0101000501",
                           "0201000a01616263"
                           "6465",
                           "03010004", "04010004"}) {
    const ByteVector payload = raw_payload(good);
    const auto result = parse_chain(PayloadType::kEap, payload);
    ASSERT_TRUE(result.ok()) << good;
    EXPECT_EQ(to_hex(result->eap->packet), good);
  }
  for (const char* bad : {"", "02", "020100", "01010004", "02010004", "0301000500", "0001000501",
                          "0501000501", "0101000401", "0101000601", "0101ffff01", "0101000001"}) {
    EXPECT_FALSE(parse_chain(PayloadType::kEap, raw_payload(bad)).ok()) << bad;
  }
}

}  // namespace
}  // namespace penstock::ike
