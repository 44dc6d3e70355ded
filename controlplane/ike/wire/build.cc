#include "controlplane/ike/wire/build.h"

#include <algorithm>
#include <limits>

namespace penstock::ike {
namespace {

constexpr size_t kMaxPayloadBytes = std::numeric_limits<uint16_t>::max();

// Not insert(): gcc 12 takes its code for an overflow.
void append(ByteVector& to, Bytes bytes) {
  const size_t at = to.size();
  to.resize(at + bytes.size());
  std::copy(bytes.begin(), bytes.end(), to.begin() + static_cast<std::ptrdiff_t>(at));
}
template <class Wire>
void append(ByteVector& to, Wire value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  append(to, Bytes(bytes, sizeof value));
}
void append_zeros(ByteVector& to, size_t count) { to.resize(to.size() + count); }

template <class Enum>
uint8_t octet(Enum value) {
  return static_cast<uint8_t>(value);
}
template <class Enum>
Be16 be16(Enum value) {
  return Be16(static_cast<uint16_t>(value));
}

// 3.3.2 and 3.3.5.
void append_transform(ByteVector& to, const Transform& transform, bool more) {
  constexpr uint16_t kKeyLengthAttribute = 0x8000 | 14;
  append(to, octet(more ? 3 : 0));
  append_zeros(to, 1);
  append(to, be16(transform.key_bits != 0 ? 12 : 8));
  append(to, octet(transform.type));
  append_zeros(to, 1);
  append(to, Be16(transform.id));
  if (transform.key_bits == 0) return;
  append(to, Be16(kKeyLengthAttribute));
  append(to, Be16(transform.key_bits));
}

// 3.3.1. False: a number that does not fit into its field.
bool append_proposal(ByteVector& to, const Proposal& proposal, bool more) {
  const size_t start = to.size();
  append(to, octet(more ? 2 : 0));
  append_zeros(to, 3);  // the length comes last
  append(to, proposal.number);
  append(to, octet(proposal.protocol));
  append(to, proposal.spi_size);
  append(to, octet(proposal.transforms.size()));
  if (proposal.spi_size == 4) append(to, Be32(static_cast<uint32_t>(proposal.spi)));
  if (proposal.spi_size == 8) append(to, Be64(proposal.spi));
  for (size_t i = 0; i < proposal.transforms.size(); ++i) {
    append_transform(to, proposal.transforms[i], i + 1 < proposal.transforms.size());
  }
  const size_t length = to.size() - start;
  store_unaligned(to.data() + start + 2, be16(length));
  const uint8_t size = proposal.spi_size;
  return proposal.transforms.size() <= UINT8_MAX && length <= kMaxPayloadBytes &&
         (size == 0 || size == 4 || size == 8);
}

// 3.13.1.
bool append_selector(ByteVector& to, const TrafficSelector& selector) {
  constexpr uint8_t kTsIpv4Range = 7;
  constexpr uint8_t kTsIpv6Range = 8;
  append(to, selector.first.is_v4() ? kTsIpv4Range : kTsIpv6Range);
  append(to, selector.protocol);
  append(to, be16(8 + 2 * selector.first.bytes().size()));
  append(to, Be16(selector.opaque_ports ? uint16_t{65535} : selector.first_port));
  append(to, Be16(selector.opaque_ports ? uint16_t{0} : selector.last_port));
  append(to, selector.first.bytes());
  append(to, selector.last.bytes());
  return selector.first.family() == selector.last.family();
}

}  // namespace

// One payload while it is written: links it to the one before, fills its length in at the end.
class PayloadScope {
 public:
  PayloadScope(ChainBuilder& chain, PayloadType type) : chain_(chain) {
    if (chain.bytes_.empty()) {
      chain.first_ = type;
    } else {
      chain.bytes_[chain.last_] = octet(type);
    }
    chain.last_ = chain.bytes_.size();
    append_zeros(chain.bytes_, 4);
  }
  PayloadScope(const PayloadScope&) = delete;
  PayloadScope& operator=(const PayloadScope&) = delete;
  ~PayloadScope() {
    const size_t length = chain_.bytes_.size() - chain_.last_;
    require(length <= kMaxPayloadBytes);
    store_unaligned(chain_.bytes_.data() + chain_.last_ + 2, be16(length));
  }
  ByteVector& bytes() { return chain_.bytes_; }
  void require(bool condition) { chain_.ok_ = chain_.ok_ && condition; }

 private:
  ChainBuilder& chain_;
};

ChainBuilder& ChainBuilder::sa(std::span<const Proposal> proposals) {
  PayloadScope payload(*this, PayloadType::kSa);
  payload.require(!proposals.empty());
  for (size_t i = 0; i < proposals.size(); ++i) {
    payload.require(append_proposal(payload.bytes(), proposals[i], i + 1 < proposals.size()));
  }
  return *this;
}

ChainBuilder& ChainBuilder::key_exchange(DhGroup group, Bytes public_value) {
  PayloadScope payload(*this, PayloadType::kKeyExchange);
  append(payload.bytes(), be16(group));
  append_zeros(payload.bytes(), 2);
  append(payload.bytes(), public_value);
  return *this;
}

ChainBuilder& ChainBuilder::nonce(Bytes nonce) {
  PayloadScope payload(*this, PayloadType::kNonce);
  append(payload.bytes(), nonce);
  return *this;
}

ByteVector id_body(IdType type, Bytes data) {
  ByteVector body(4 + data.size());
  Writer writer(body);
  writer.u8(octet(type));
  writer.zeros(3);
  writer.bytes(data);
  return body;
}

ChainBuilder& ChainBuilder::id_initiator(IdType type, Bytes data) {
  PayloadScope payload(*this, PayloadType::kIdInitiator);
  append(payload.bytes(), Bytes(id_body(type, data)));
  return *this;
}

ChainBuilder& ChainBuilder::id_responder(IdType type, Bytes data) {
  PayloadScope payload(*this, PayloadType::kIdResponder);
  append(payload.bytes(), Bytes(id_body(type, data)));
  return *this;
}

ChainBuilder& ChainBuilder::cert(CertEncoding encoding, Bytes data) {
  PayloadScope payload(*this, PayloadType::kCert);
  append(payload.bytes(), octet(encoding));
  append(payload.bytes(), data);
  return *this;
}

ChainBuilder& ChainBuilder::cert_request(CertEncoding encoding, Bytes authorities) {
  PayloadScope payload(*this, PayloadType::kCertReq);
  append(payload.bytes(), octet(encoding));
  append(payload.bytes(), authorities);
  return *this;
}

ChainBuilder& ChainBuilder::auth(AuthMethod method, Bytes data) {
  PayloadScope payload(*this, PayloadType::kAuth);
  append(payload.bytes(), octet(method));
  append_zeros(payload.bytes(), 3);
  append(payload.bytes(), data);
  return *this;
}

ChainBuilder& ChainBuilder::notify(NotifyType type, Bytes data) {
  PayloadScope payload(*this, PayloadType::kNotify);
  append_zeros(payload.bytes(), 2);
  append(payload.bytes(), be16(type));
  append(payload.bytes(), data);
  return *this;
}

ChainBuilder& ChainBuilder::notify_u16(NotifyType type, uint16_t data) {
  const Be16 wire(data);
  return notify(type, {reinterpret_cast<const uint8_t*>(&wire), sizeof wire});
}

ChainBuilder& ChainBuilder::notify_u32(NotifyType type, uint32_t data) {
  const Be32 wire(data);
  return notify(type, {reinterpret_cast<const uint8_t*>(&wire), sizeof wire});
}

ChainBuilder& ChainBuilder::notify_spi(NotifyType type, ProtocolId protocol, uint32_t spi,
                                       Bytes data) {
  PayloadScope payload(*this, PayloadType::kNotify);
  append(payload.bytes(), octet(protocol));
  append(payload.bytes(), uint8_t{4});
  append(payload.bytes(), be16(type));
  append(payload.bytes(), Be32(spi));
  append(payload.bytes(), data);
  payload.require(protocol == ProtocolId::kEsp || protocol == ProtocolId::kAh);
  return *this;
}

ChainBuilder& ChainBuilder::delete_ike() {
  PayloadScope payload(*this, PayloadType::kDelete);
  append(payload.bytes(), octet(ProtocolId::kIke));
  append_zeros(payload.bytes(), 3);
  return *this;
}

ChainBuilder& ChainBuilder::delete_children(ProtocolId protocol, std::span<const uint32_t> spis) {
  PayloadScope payload(*this, PayloadType::kDelete);
  payload.require(protocol == ProtocolId::kEsp || protocol == ProtocolId::kAh);
  payload.require(spis.size() <= kMaxPayloadBytes / 4);
  append(payload.bytes(), octet(protocol));
  append(payload.bytes(), uint8_t{4});
  append(payload.bytes(), be16(spis.size()));
  for (const uint32_t spi : spis) append(payload.bytes(), Be32(spi));
  return *this;
}

ChainBuilder& ChainBuilder::vendor_id(Bytes id) {
  PayloadScope payload(*this, PayloadType::kVendorId);
  append(payload.bytes(), id);
  return *this;
}

ChainBuilder& ChainBuilder::selectors(PayloadType type,
                                      std::span<const TrafficSelector> selectors) {
  PayloadScope payload(*this, type);
  payload.require(!selectors.empty() && selectors.size() <= UINT8_MAX);
  append(payload.bytes(), octet(selectors.size()));
  append_zeros(payload.bytes(), 3);
  for (const TrafficSelector& selector : selectors) {
    payload.require(append_selector(payload.bytes(), selector));
  }
  return *this;
}

ChainBuilder& ChainBuilder::ts_initiator(std::span<const TrafficSelector> list) {
  return selectors(PayloadType::kTsInitiator, list);
}

ChainBuilder& ChainBuilder::ts_responder(std::span<const TrafficSelector> list) {
  return selectors(PayloadType::kTsResponder, list);
}

ChainBuilder& ChainBuilder::configuration(CpType type, std::span<const CpAttribute> attributes) {
  PayloadScope payload(*this, PayloadType::kConfiguration);
  append(payload.bytes(), octet(type));
  append_zeros(payload.bytes(), 3);
  for (const CpAttribute& attribute : attributes) {
    append(payload.bytes(), be16(attribute.type));
    append(payload.bytes(), be16(attribute.value.size()));
    append(payload.bytes(), attribute.value);
    payload.require(attribute.value.size() <= kMaxPayloadBytes);
  }
  return *this;
}

ChainBuilder& ChainBuilder::eap(Bytes packet) {
  PayloadScope payload(*this, PayloadType::kEap);
  append(payload.bytes(), packet);
  return *this;
}

ByteVector build_header(const Header& header, PayloadType first, size_t length) {
  const unsigned flags = (header.from_initiator ? 0x08U : 0U) |
                         (header.higher_version ? 0x10U : 0U) | (header.response ? 0x20U : 0U);
  ByteVector bytes(kHeaderBytes);
  Writer writer(bytes);
  writer.be64(header.spi_initiator);
  writer.be64(header.spi_responder);
  writer.u8(octet(first));
  writer.u8(header.version);
  writer.u8(octet(header.exchange));
  writer.u8(octet(flags));
  writer.be32(header.message_id);
  writer.be32(static_cast<uint32_t>(length));
  bytes.reserve(length);
  return bytes;
}

ByteVector build_message(const Header& header, const ChainBuilder& chain) {
  ByteVector message = build_header(header, chain.first(), kHeaderBytes + chain.bytes().size());
  append(message, chain.bytes());
  return message;
}

ByteVector build_message_with_cookie(const Header& header, Bytes cookie,
                                     const ChainBuilder& chain) {
  ChainBuilder front;
  front.notify(NotifyType::kCookie, cookie);
  ByteVector first = to_vector(front.bytes());
  first[0] = octet(chain.first());
  ByteVector message = build_header(header, PayloadType::kNotify,
                                    kHeaderBytes + first.size() + chain.bytes().size());
  append(message, Bytes(first));
  append(message, chain.bytes());
  return message;
}

}  // namespace penstock::ike
