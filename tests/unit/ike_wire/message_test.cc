// Headers and chains: RFC 7296 sections 2.5, 3.1, 3.2 and 3.14; RFC 7383 section 2.5.
#include "controlplane/ike/wire/message.h"

#include <gtest/gtest.h>

#include "tests/unit/ike_wire/samples.h"

namespace penstock::ike {
namespace {

ChainBuilder init_chain() {
  ChainBuilder chain;
  chain.sa(sample_ike_proposal()).key_exchange(DhGroup::kCurve25519, filled(32));
  chain.nonce(filled(32)).notify(NotifyType::kFragmentationSupported);
  return chain;
}

TEST(ParseMessage, what_was_built_comes_back) {
  const ByteVector bytes = build_message(sample_header(), init_chain());
  const auto message = parse_message(bytes);
  ASSERT_TRUE(message.ok()) << message.error().to_string();
  EXPECT_EQ(message->header.spi_initiator, 0x0102030405060708U);
  EXPECT_EQ(message->header.spi_responder, 0x1112131415161718U);
  EXPECT_EQ(message->header.exchange, ExchangeType::kIkeSaInit);
  EXPECT_TRUE(message->header.from_initiator);
  EXPECT_FALSE(message->header.response);
  EXPECT_EQ(message->header.message_id, 7U);
  EXPECT_EQ(message->header.length, bytes.size());
  const Payloads& payloads = message->payloads;
  EXPECT_EQ(payloads.sa->proposals.at(0).transforms, sample_ike_proposal().transforms);
  EXPECT_EQ(payloads.key_exchange->group, 31);
  EXPECT_EQ(to_vector(payloads.key_exchange->data), filled(32));
  EXPECT_EQ(payloads.nonce->size(), 32U);
  EXPECT_TRUE(payloads.has(NotifyType::kFragmentationSupported));
  EXPECT_EQ(payloads.summary(), "[ SA KE Nonce N(IKEV2_FRAGMENTATION_SUPPORTED) ]");
}

TEST(ParseMessage, every_cut_and_every_extension_is_refused) {
  const ByteVector bytes = build_message(sample_header(), init_chain());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(parse_message(Bytes(bytes).first(size)).ok()) << size;
    // Also where the header agrees with what is there.
    ByteVector cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    if (size < kHeaderBytes) continue;
    store_unaligned(cut.data() + 24, Be32(static_cast<uint32_t>(size)));
    EXPECT_FALSE(parse_message(cut).ok()) << size;
  }
  ByteVector longer = bytes;
  longer.push_back(0);
  EXPECT_EQ(parse_message(longer).error().fault, WireFault::kHeaderLength);
  store_unaligned(longer.data() + 24, Be32(static_cast<uint32_t>(longer.size())));
  EXPECT_EQ(parse_message(longer).error().fault, WireFault::kTrailingBytes);
}

TEST(ParseMessage, each_byte_set_to_extremes_is_no_crash) {
  // What may be found then is the fuzzer's; here every length and count is off by the most.
  const ByteVector bytes = build_message(sample_header(), init_chain());
  size_t refused = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
      ByteVector changed = bytes;
      changed[i] = static_cast<uint8_t>(value);
      if (!parse_message(changed).ok()) ++refused;
    }
  }
  EXPECT_GT(refused, 50U);
}

TEST(ParseHeader, versions_and_the_notify_they_call_for) {
  ByteVector bytes = build_message(sample_header(), init_chain());
  bytes[17] = 0x21;  // a higher minor version is ignored (2.5)
  EXPECT_TRUE(parse_header(bytes).ok());
  bytes[17] = 0x30;
  EXPECT_EQ(parse_header(bytes).error().fault, WireFault::kVersion);
  EXPECT_EQ(parse_header(bytes).error().notify, NotifyType::kInvalidMajorVersion);
  bytes[17] = 0x10;
  EXPECT_EQ(parse_header(bytes).error().fault, WireFault::kVersion);
  EXPECT_EQ(parse_header(bytes).error().notify, NotifyType::kNone) << "IKEv1 would not read it";
}

TEST(ParseHeader, initiator_spi_zero_is_refused) {
  Header header = sample_header();
  header.spi_initiator = 0;
  const ByteVector bytes = build_message(header, init_chain());
  EXPECT_EQ(parse_header(bytes).error().fault, WireFault::kPayloadValue);
}

TEST(ParseHeader, flags_are_told_apart) {
  for (unsigned bits = 0; bits < 8; ++bits) {
    Header header = sample_header();
    header.from_initiator = (bits & 1) != 0;
    header.response = (bits & 2) != 0;
    header.higher_version = (bits & 4) != 0;
    const auto parsed = parse_header(build_message(header, init_chain()));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->from_initiator, header.from_initiator);
    EXPECT_EQ(parsed->response, header.response);
    EXPECT_EQ(parsed->higher_version, header.higher_version);
  }
}

TEST(ParseChain, unknown_payload_is_skipped_unless_critical) {
  const ByteVector unknown = raw_payload(filled(5));
  const auto skipped = parse_chain(PayloadType{200}, unknown);
  ASSERT_TRUE(skipped.ok());
  EXPECT_EQ(skipped->summary(), "[ (200) ]");
  const ByteVector critical = raw_payload(filled(5), PayloadType::kNone, true);
  const auto refused = parse_chain(PayloadType{200}, critical);
  expect_fault(refused, WireFault::kCritical);
  EXPECT_EQ(refused.error().notify, NotifyType::kUnsupportedCriticalPayload);
  EXPECT_EQ(static_cast<unsigned>(refused.error().payload), 200U);
}

TEST(ParseChain, critical_bit_of_a_known_payload_is_ignored) {  // 3.2
  const ByteVector nonce = raw_payload(filled(16), PayloadType::kNone, true);
  EXPECT_TRUE(parse_chain(PayloadType::kNonce, nonce).ok());
}

TEST(ParseChain, empty_chain_has_nothing) {
  const auto payloads = parse_chain(PayloadType::kNone, {});
  ASSERT_TRUE(payloads.ok());
  EXPECT_TRUE(payloads->order.empty());
  expect_fault(parse_chain(PayloadType::kNone, filled(4)), WireFault::kTrailingBytes);
  expect_fault(parse_chain(PayloadType::kNonce, {}), WireFault::kPayloadLength);
}

TEST(ParseChain, payload_lengths_below_the_header_are_refused) {
  for (unsigned length = 0; length < 4; ++length) {
    ByteVector bytes = raw_payload(filled(16));
    bytes[3] = static_cast<uint8_t>(length);
    expect_fault(parse_chain(PayloadType::kNonce, bytes), WireFault::kPayloadLength);
  }
}

TEST(ParseChain, chain_that_names_itself_as_next_ends) {
  // A next payload that never becomes none: the bytes run out.
  ByteVector bytes;
  for (int i = 0; i < 5; ++i) {
    const ByteVector one = raw_payload(filled(3), PayloadType::kVendorId);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  expect_fault(parse_chain(PayloadType::kVendorId, bytes), WireFault::kPayloadLength);
}

TEST(ParseChain, more_payloads_than_the_bound_are_refused) {
  for (const size_t count : {kMaxPayloads, kMaxPayloads + 1}) {
    ChainBuilder chain;
    for (size_t i = 0; i < count; ++i) chain.vendor_id({});
    EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), count == kMaxPayloads);
  }
}

TEST(ParseChain, payloads_that_come_once_are_refused_twice) {
  const IdType id = IdType::kFqdn;
  const TrafficSelector ts = selector_of("10.0.0.0", "10.0.0.255");
  const ByteVector eap = *from_hex("02010006010a");
  std::vector<ChainBuilder> chains(10);
  for (int i = 0; i < 2; ++i) {
    chains[0].sa(sample_ike_proposal());
    chains[1].key_exchange(DhGroup::kEcp256, filled(64));
    chains[2].nonce(filled(16));
    chains[3].id_initiator(id, filled(3));
    chains[4].id_responder(id, filled(3));
    chains[5].auth(AuthMethod::kSharedKey, filled(32));
    chains[6].ts_initiator({&ts, 1});
    chains[7].ts_responder({&ts, 1});
    chains[8].configuration(CpType::kRequest, {});
    chains[9].eap(eap);
    for (const ChainBuilder& chain : chains) {
      const auto result = parse_chain(chain.first(), chain.bytes());
      if (i == 0) {
        EXPECT_TRUE(result.ok()) << result.error().to_string();
      } else {
        expect_fault(result, WireFault::kDuplicate, to_string(chain.first()));
      }
    }
  }
}

ByteVector sealed_message(PayloadType type, Bytes body, Bytes behind = {}) {
  const ByteVector payload = raw_payload(body, PayloadType::kIdInitiator);
  ByteVector bytes =
      build_header(sample_header(), type, kHeaderBytes + payload.size() + behind.size());
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  bytes.insert(bytes.end(), behind.begin(), behind.end());
  return bytes;
}

TEST(ParseMessage, encrypted_payload_says_what_is_authenticated_and_what_is_sealed) {
  const ByteVector bytes = sealed_message(PayloadType::kEncrypted, filled(40));
  const auto message = parse_message(bytes);
  ASSERT_TRUE(message.ok());
  const EncryptedPayload& sealed = *message->payloads.encrypted;
  EXPECT_FALSE(sealed.is_fragment());
  EXPECT_EQ(sealed.first_inside, PayloadType::kIdInitiator);
  EXPECT_EQ(sealed.associated.size(), kHeaderBytes + 4);
  EXPECT_EQ(to_vector(sealed.body), filled(40));
}

TEST(ParseMessage, encrypted_payload_that_is_not_last_is_refused) {
  const auto message =
      parse_message(sealed_message(PayloadType::kEncrypted, filled(40), raw_payload(filled(3))));
  ASSERT_FALSE(message.ok());
  EXPECT_EQ(message.error().fault, WireFault::kEncryptedNotLast);
}

TEST(ParseMessage, encrypted_payload_inside_another_is_refused) {
  expect_fault(parse_chain(PayloadType::kEncrypted, raw_payload(filled(40))),
               WireFault::kNestedEncrypted);
  expect_fault(parse_chain(PayloadType::kEncryptedFragment, raw_payload(filled(40))),
               WireFault::kNestedEncrypted);
}

TEST(ParseMessage, fragment_numbers_must_be_possible) {
  const auto fragment = [](const char* numbers) {
    ByteVector body = *from_hex(numbers);
    const ByteVector rest = filled(40);
    body.insert(body.end(), rest.begin(), rest.end());
    return parse_message(sealed_message(PayloadType::kEncryptedFragment, body));
  };
  const auto good = fragment("00020003");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->payloads.encrypted->fragment, 2);
  EXPECT_EQ(good->payloads.encrypted->fragments, 3);
  EXPECT_EQ(good->payloads.encrypted->associated.size(), kHeaderBytes + 8);
  for (const char* bad : {"00000003", "00040003", "00000000", "00010000"}) {
    const auto result = fragment(bad);
    ASSERT_FALSE(result.ok()) << bad;
    EXPECT_EQ(result.error().fault, WireFault::kPayloadValue) << bad;
  }
  EXPECT_FALSE(parse_message(sealed_message(PayloadType::kEncryptedFragment, filled(3))).ok());
}

TEST(BuildMessage, cookie_stands_in_front_and_nothing_else_changes) {
  const ByteVector plain = build_message(sample_header(), init_chain());
  const ByteVector bytes = build_message_with_cookie(sample_header(), filled(20), init_chain());
  const auto message = parse_message(bytes);
  ASSERT_TRUE(message.ok()) << message.error().to_string();
  EXPECT_EQ(message->payloads.order.front(), PayloadType::kNotify);
  EXPECT_EQ(to_vector(message->payloads.find(NotifyType::kCookie)->data), filled(20));
  EXPECT_TRUE(equal_bytes(Bytes(bytes).last(plain.size() - kHeaderBytes),
                          Bytes(plain).subspan(kHeaderBytes)));
}

TEST(ChainBuilder, payload_beyond_64_kib_fails) {
  ChainBuilder fits;
  EXPECT_TRUE(fits.vendor_id(ByteVector(65531)).ok());
  ChainBuilder over;
  EXPECT_FALSE(over.vendor_id(ByteVector(65532)).ok());
  ChainBuilder nothing;
  EXPECT_FALSE(nothing.sa(std::span<const Proposal>()).ok());
  ChainBuilder none;
  EXPECT_FALSE(none.ts_initiator({}).ok());
}

TEST(WireError, words_name_the_payload_and_the_fault) {
  const auto result = parse_chain(PayloadType::kNonce, raw_payload(filled(15)));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().to_string(), "payload Nonce: a size that it cannot have (nonce)");
}

}  // namespace
}  // namespace penstock::ike
