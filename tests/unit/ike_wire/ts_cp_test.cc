// Traffic selectors and the configuration payload: RFC 7296 sections 3.13 and 3.15.
#include <gtest/gtest.h>

#include "tests/unit/ike_wire/samples.h"

namespace penstock::ike {
namespace {

Result<Payloads, WireError> parse_ts(const std::string& hex) {
  static ByteVector bytes;
  bytes = raw_payload(hex.c_str());
  return parse_chain(PayloadType::kTsInitiator, bytes);
}

TEST(TsPayload, selectors_come_back) {
  TrafficSelector opaque = selector_of("10.1.0.0", "10.1.255.255", 17);
  opaque.opaque_ports = true;
  const std::vector<TrafficSelector> list = {
      selector_of("0.0.0.0", "255.255.255.255"), selector_of("10.0.0.1", "10.0.0.1", 6, 443, 443),
      opaque, selector_of("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
      selector_of("2001:db8::1", "2001:db8::ffff", 58, 0x8000, 0x80ff)};
  ChainBuilder chain;
  chain.ts_initiator(list).ts_responder(list);
  ASSERT_TRUE(chain.ok());
  const auto payloads = parse_chain(chain.first(), chain.bytes());
  ASSERT_TRUE(payloads.ok()) << payloads.error().to_string();
  EXPECT_EQ(payloads->ts_initiator->selectors, list);
  EXPECT_EQ(payloads->ts_responder->selectors, list);
}

TEST(TsPayload, opaque_is_65535_to_0_on_the_wire) {
  TrafficSelector opaque = selector_of("10.0.0.0", "10.0.0.255", 6);
  opaque.opaque_ports = true;
  ChainBuilder chain;
  chain.ts_initiator({&opaque, 1});
  EXPECT_EQ(to_hex(chain.bytes().last(20)),
            "01000000"
            "07060010"
            "ffff0000"
            "0a000000"
            "0a0000ff");
}

TEST(TsPayload, ranges_that_end_before_they_start_are_refused) {
  EXPECT_TRUE(parse_ts("01000000"
                       "07060010"
                       "00500050"
                       "0a000001"
                       "0a000001")
                  .ok());
  expect_fault(parse_ts("01000000"
                        "07060010"
                        "00500050"
                        "0a000002"
                        "0a000001"),
               WireFault::kPayloadValue);
  expect_fault(parse_ts("01000000"
                        "07060010"
                        "0051"
                        "0050"
                        "0a000001"
                        "0a000001"),
               WireFault::kPayloadValue);
  expect_fault(parse_ts("01000000"
                        "07060010"
                        "ffff"
                        "0001"
                        "0a000001"
                        "0a000001"),
               WireFault::kPayloadValue);
}

TEST(TsPayload, counts_and_lengths_that_disagree_are_refused) {
  const std::string one =
      "07060010"
      "00500050"
      "0a000001"
      "0a000001";
  expect_fault(parse_ts("00000000" + one), WireFault::kPayloadValue);
  expect_fault(parse_ts("02000000" + one), WireFault::kPayloadLength);
  expect_fault(parse_ts("01000000" + one + one), WireFault::kTrailingBytes);
  expect_fault(parse_ts("ff000000" + one), WireFault::kTooMany);
  for (unsigned length = 0; length < 256; ++length) {
    for (const unsigned type : {7U, 8U}) {
      ByteVector body = *from_hex("01000000" + one);
      body.resize(4 + 40, 0xff);
      body[4] = static_cast<uint8_t>(type);
      body[7] = static_cast<uint8_t>(length);
      body.resize(4 + std::min<size_t>(std::max(length, 4U), 40));
      const bool good = (type == 7 && length == 16) || (type == 8 && length == 40);
      if (type == 8 && good) body[12] = 0;  // the first address is below the last
      EXPECT_EQ(parse_chain(PayloadType::kTsInitiator, raw_payload(body)).ok(), good)
          << type << " " << length;
    }
  }
}

TEST(TsPayload, unknown_types_are_counted_not_taken) {
  const auto result = parse_ts(
      "02000000"
      "0a000008"
      "01020304"
      "07060010"
      "00500050"
      "0a000001"
      "0a000001");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->ts_initiator->unknown, 1);
  EXPECT_EQ(result->ts_initiator->selectors.size(), 1U);
}

TEST(TsPayload, bound_on_selectors_holds) {
  for (const size_t count : {kMaxSelectors, kMaxSelectors + 1}) {
    const std::vector<TrafficSelector> many(count, selector_of("10.0.0.0", "10.0.0.255"));
    ChainBuilder chain;
    chain.ts_initiator(many);
    ASSERT_TRUE(chain.ok());
    EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), count == kMaxSelectors);
  }
}

TEST(CpPayload, attributes_come_back) {
  const ByteVector address = *from_hex("0a030001");
  const ByteVector microsoft = filled(16);
  const CpAttribute attributes[] = {{CpAttributeType::kInternalIp4Address, address},
                                    {CpAttributeType::kInternalIp6Address, {}},
                                    {CpAttributeType{23456}, microsoft}};
  ChainBuilder chain;
  chain.configuration(CpType::kReply, attributes);
  const auto payloads = parse_chain(chain.first(), chain.bytes());
  ASSERT_TRUE(payloads.ok()) << payloads.error().to_string();
  const CpPayload& cp = *payloads->configuration;
  EXPECT_EQ(cp.type, CpType::kReply);
  ASSERT_EQ(cp.attributes.size(), 3U);
  EXPECT_EQ(to_vector(cp.attributes[0].value), address);
  EXPECT_TRUE(cp.attributes[1].value.empty());
  EXPECT_EQ(static_cast<unsigned>(cp.attributes[2].type), 23456U);
}

TEST(CpPayload, known_attributes_have_their_sizes) {
  struct Sizes {
    unsigned type;
    std::vector<size_t> good;
  };
  for (const Sizes& each : {Sizes{1, {0, 4}}, Sizes{2, {0, 4}}, Sizes{3, {0, 4}}, Sizes{4, {0, 4}},
                            Sizes{6, {0, 4}}, Sizes{8, {0, 16, 17}}, Sizes{10, {0, 16}},
                            Sizes{12, {0, 16}}, Sizes{13, {0, 8}}, Sizes{15, {0, 17}}}) {
    for (size_t size = 0; size < 40; ++size) {
      const ByteVector value = filled(size);
      const CpAttribute attribute{CpAttributeType{static_cast<uint16_t>(each.type)}, value};
      ChainBuilder chain;
      chain.configuration(CpType::kRequest, {&attribute, 1});
      const bool good = std::find(each.good.begin(), each.good.end(), size) != each.good.end();
      EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), good) << each.type << " " << size;
    }
  }
}

TEST(CpPayload, lengths_that_lie_are_refused) {
  EXPECT_TRUE(parse_chain(PayloadType::kConfiguration, raw_payload("01000000"
                                                                   "00010000"))
                  .ok());
  for (const char* bad : {"01000000"
                          "000100",
                          "01000000"
                          "00010001",
                          "01000000"
                          "0001ffff",
                          "010000", "", "00000000", "05000000"}) {
    EXPECT_FALSE(parse_chain(PayloadType::kConfiguration, raw_payload(bad)).ok()) << bad;
  }
  // The reserved bit is ignored.
  const ByteVector reserved = raw_payload(
      "01000000"
      "80010000");
  EXPECT_EQ(parse_chain(PayloadType::kConfiguration, reserved)->configuration->attributes[0].type,
            CpAttributeType::kInternalIp4Address);
}

TEST(CpPayload, bound_on_attributes_holds) {
  for (const size_t count : {kMaxCpAttributes, kMaxCpAttributes + 1}) {
    const std::vector<CpAttribute> many(count, {CpAttributeType::kInternalIp4Dns, {}});
    ChainBuilder chain;
    chain.configuration(CpType::kRequest, many);
    EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), count == kMaxCpAttributes);
  }
}

}  // namespace
}  // namespace penstock::ike
