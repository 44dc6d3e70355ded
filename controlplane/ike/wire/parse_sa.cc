// The SA payload (RFC 7296 section 3.3): proposals of transforms with attributes, three levels of
// lengths that must all agree.
#include "controlplane/ike/wire/payload_parser.h"

namespace penstock::ike {
namespace {

constexpr uint8_t kMoreProposals = 2;
constexpr uint8_t kMoreTransforms = 3;
constexpr uint16_t kShortAttribute = 0x8000;  // type and value, no length (3.3.5)
constexpr uint16_t kKeyLength = 14;

// Attributes of one transform. False: a length that does not fit. What we do not know makes the
// transform unacceptable, not the message (3.3.6).
bool parse_attributes(Bytes bytes, Transform& transform) {
  Reader reader(bytes);
  while (!reader.at_end()) {
    const uint16_t head = reader.be16();
    if ((head & kShortAttribute) != 0) {
      const uint16_t value = reader.be16();
      const bool known = (head & ~kShortAttribute) == kKeyLength && transform.key_bits == 0;
      if (known && value != 0) {
        transform.key_bits = value;
      } else {
        transform.unknown_attribute = true;
      }
    } else {
      reader.skip(reader.be16());
      transform.unknown_attribute = true;
    }
    if (!reader.ok()) return false;
  }
  return true;
}

}  // namespace

bool PayloadParser::security_association(Bytes body) {
  if (out_.sa) return fail(WireFault::kDuplicate, "");
  out_.sa.emplace();
  Reader reader(body);
  bool more = true;
  while (more) {
    if (out_.sa->proposals.size() == kMaxProposals) return fail(WireFault::kTooMany, "proposals");
    if (!proposal(reader, more)) return false;
  }
  if (!reader.at_end()) return fail(WireFault::kTrailingBytes, "after the last proposal");
  return true;
}

bool PayloadParser::proposal(Reader& reader, bool& more) {  // 3.3.1
  constexpr size_t kHead = 8;
  const uint8_t last = reader.u8();
  reader.skip(1);
  const size_t length = reader.be16();
  if (!reader.ok() || length < kHead || length - 4 > reader.remaining()) {
    return fail(WireFault::kPayloadLength, "proposal length");
  }
  if (last != 0 && last != kMoreProposals) return fail(WireFault::kPayloadValue, "last proposal");
  more = last != 0;

  Reader inside(reader.take(length - 4));
  Proposal proposal;
  proposal.number = inside.u8();
  proposal.protocol = ProtocolId{inside.u8()};
  proposal.spi_size = inside.u8();
  const size_t transforms = inside.u8();
  const Bytes spi = inside.take(proposal.spi_size);
  if (!inside.ok()) return fail(WireFault::kPayloadSize, "SPI of a proposal");
  const bool is_child =
      proposal.protocol == ProtocolId::kEsp || proposal.protocol == ProtocolId::kAh;
  const bool is_ike = proposal.protocol == ProtocolId::kIke;
  const size_t size = spi.size();
  if ((is_child && size != 4) || (is_ike && size != 0 && size != 8)) {
    return fail(WireFault::kPayloadValue, "SPI size of a proposal");
  }
  // Of a protocol that we do not know the SPI means nothing to us.
  if (is_child || is_ike) {
    for (const uint8_t byte : spi) proposal.spi = proposal.spi << 8 | byte;
  }
  if (transforms > kMaxTransforms) return fail(WireFault::kTooMany, "transforms");
  for (size_t i = 0; i < transforms; ++i) {
    if (!transform(inside, i + 1 < transforms, proposal)) return false;
  }
  if (!inside.at_end()) return fail(WireFault::kTrailingBytes, "after the last transform");
  out_.sa->proposals.push_back(std::move(proposal));
  return true;
}

bool PayloadParser::transform(Reader& reader, bool expect_more, Proposal& proposal) {  // 3.3.2
  constexpr size_t kHead = 8;
  const uint8_t last = reader.u8();
  reader.skip(1);
  const size_t length = reader.be16();
  if (!reader.ok() || length < kHead || length - 4 > reader.remaining()) {
    return fail(WireFault::kPayloadLength, "transform length");
  }
  if (last != (expect_more ? kMoreTransforms : 0)) {
    return fail(WireFault::kPayloadValue, "number of transforms");
  }
  Reader inside(reader.take(length - 4));
  Transform transform;
  transform.type = TransformType{inside.u8()};
  inside.skip(1);
  transform.id = inside.be16();
  if (!parse_attributes(inside.take_rest(), transform)) {
    return fail(WireFault::kPayloadLength, "attribute length");
  }
  proposal.transforms.push_back(transform);
  return true;
}

}  // namespace penstock::ike
