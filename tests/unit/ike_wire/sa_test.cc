// The SA payload: RFC 7296 section 3.3.
#include <gtest/gtest.h>

#include "tests/unit/ike_wire/samples.h"

namespace penstock::ike {
namespace {

Result<Payloads, WireError> parse_sa(const std::string& hex) {
  static ByteVector bytes;  // the result has views of it
  bytes = raw_payload(hex.c_str());
  return parse_chain(PayloadType::kSa, bytes);
}

TEST(SaPayload, layout_is_that_of_the_rfc) {
  ChainBuilder chain;
  const Proposal both[] = {sample_esp_proposal(1), sample_ike_proposal(2)};
  chain.sa(both);
  EXPECT_EQ(to_hex(chain.bytes()),
            "00000050"
            "02000028"
            "01030403"
            "c0ffee01"
            "0300000c"
            "0100000c"
            "800e0080"
            "03000008"
            "0300000c"
            "00000008"
            "05000001"
            "00000024"
            "02010003"
            "0300000c"
            "01000014"
            "800e0100"
            "03000008"
            "02000005"
            "00000008"
            "0400001f");
}

TEST(SaPayload, proposals_come_back) {
  ChainBuilder chain;
  Proposal rekey = sample_ike_proposal(2);
  rekey.spi_size = 8;
  rekey.spi = 0x8877665544332211;
  const Proposal both[] = {sample_esp_proposal(1), rekey};
  chain.sa(both);
  ASSERT_TRUE(chain.ok());
  const auto payloads = parse_chain(chain.first(), chain.bytes());
  ASSERT_TRUE(payloads.ok()) << payloads.error().to_string();
  ASSERT_EQ(payloads->sa->proposals.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    const Proposal& got = payloads->sa->proposals[i];
    EXPECT_EQ(got.number, both[i].number);
    EXPECT_EQ(got.protocol, both[i].protocol);
    EXPECT_EQ(got.spi, both[i].spi);
    EXPECT_EQ(got.transforms, both[i].transforms);
  }
}

TEST(SaPayload, lengths_that_disagree_are_refused) {
  // proposal 0000 0010, number 1 IKE no SPI 1 transform; transform 0000 0008 type 2 id 5
  EXPECT_TRUE(parse_sa("00000010"
                       "01010001"
                       "00000008"
                       "02000005")
                  .ok());
  expect_fault(parse_sa("00000007"
                        "01010001"
                        "00000008"
                        "02000005"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa("00000011"
                        "01010001"
                        "00000008"
                        "02000005"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa("0000000f"
                        "01010001"
                        "00000008"
                        "020000"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa("00000010"
                        "01010001"
                        "00000007"
                        "02000005"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa("00000010"
                        "01010001"
                        "00000009"
                        "02000005"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa("00000000"
                        "01010001"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa(""), WireFault::kPayloadLength);
  // bytes after the last transform, and after the last proposal
  expect_fault(parse_sa("00000011"
                        "01010001"
                        "00000008"
                        "02000005"
                        "ff"),
               WireFault::kTrailingBytes);
  expect_fault(parse_sa("00000010"
                        "01010001"
                        "00000008"
                        "02000005"
                        "ff"),
               WireFault::kTrailingBytes);
}

TEST(SaPayload, counts_and_last_markers_that_disagree_are_refused) {
  expect_fault(parse_sa("00000010"
                        "01010001"
                        "03000008"
                        "02000005"),
               WireFault::kPayloadValue);
  expect_fault(parse_sa("00000010"
                        "01010002"
                        "03000008"
                        "02000005"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa("00000010"
                        "01010000"
                        "00000008"
                        "02000005"),
               WireFault::kTrailingBytes);
  expect_fault(parse_sa("01000010"
                        "01010001"
                        "00000008"
                        "02000005"),
               WireFault::kPayloadValue);
  expect_fault(parse_sa("02000010"
                        "01010001"
                        "00000008"
                        "02000005"),
               WireFault::kPayloadLength);
}

TEST(SaPayload, spi_sizes_are_those_of_the_protocol) {
  for (unsigned protocol = 0; protocol < 6; ++protocol) {
    for (unsigned size = 0; size <= 16; ++size) {
      ByteVector body = *from_hex(
          "00000010"
          "01010001");
      body[5] = static_cast<uint8_t>(protocol);
      body[6] = static_cast<uint8_t>(size);
      body[3] = static_cast<uint8_t>(16 + size);
      body.insert(body.end(), size, uint8_t{1});
      const ByteVector transform = *from_hex(
          "00000008"
          "02000005");
      body.insert(body.end(), transform.begin(), transform.end());
      const ByteVector payload = raw_payload(body);
      const bool good = protocol == 1   ? size == 0 || size == 8
                        : protocol == 2 ? size == 4
                        : protocol == 3 ? size == 4
                                        : true;  // unknown: passed over later
      EXPECT_EQ(parse_chain(PayloadType::kSa, payload).ok(), good) << protocol << " " << size;
    }
  }
}

TEST(SaPayload, attributes_that_we_do_not_know_mark_the_transform) {
  const auto marked = [](const std::string& attribute, const char* length) {
    const auto result = parse_sa(std::string("000000") + length + "01010001" + "000000" +
                                 (attribute.size() == 8 ? "0c" : "10") + "0100000c" + attribute);
    EXPECT_TRUE(result.ok()) << attribute;
    return result->sa->proposals.at(0).transforms.at(0);
  };
  EXPECT_FALSE(marked("800e0080", "14").unknown_attribute);
  EXPECT_EQ(marked("800e0080", "14").key_bits, 128);
  EXPECT_TRUE(marked("800f0080", "14").unknown_attribute);
  EXPECT_TRUE(marked("800e0000", "14").unknown_attribute) << "a key of no bits";
  EXPECT_TRUE(marked("800e0080800e0080", "18").unknown_attribute) << "twice";
  EXPECT_TRUE(marked("000e000400000080", "18").unknown_attribute) << "not in its short form";
}

TEST(SaPayload, attribute_lengths_that_lie_are_refused) {
  expect_fault(parse_sa("00000018"
                        "01010001"
                        "00000010"
                        "0100000c"
                        "000e000500000080"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa("00000018"
                        "01010001"
                        "00000010"
                        "0100000c"
                        "000effff00000080"),
               WireFault::kPayloadLength);
  expect_fault(parse_sa("00000012"
                        "01010001"
                        "0000000a"
                        "0100000c"
                        "800e"),
               WireFault::kPayloadLength);
}

TEST(SaPayload, bounds_on_proposals_and_transforms_hold) {
  for (const size_t count : {kMaxProposals, kMaxProposals + 1}) {
    const std::vector<Proposal> many(count, sample_ike_proposal());
    ChainBuilder chain;
    chain.sa(many);
    EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), count == kMaxProposals);
  }
  for (const size_t count : {kMaxTransforms, kMaxTransforms + 1}) {
    Proposal proposal = sample_ike_proposal();
    proposal.transforms.assign(count, {TransformType::kPrf, 5, 0, false});
    ChainBuilder chain;
    chain.sa(proposal);
    ASSERT_TRUE(chain.ok());
    EXPECT_EQ(parse_chain(chain.first(), chain.bytes()).ok(), count == kMaxTransforms);
  }
  Proposal proposal = sample_ike_proposal();
  proposal.transforms.assign(256, {TransformType::kPrf, 5, 0, false});
  ChainBuilder chain;
  EXPECT_FALSE(chain.sa(proposal).ok()) << "256 transforms do not fit into the count";
}

}  // namespace
}  // namespace penstock::ike
