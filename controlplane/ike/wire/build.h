// Builders: chains of payloads, and messages in clear. What they are given is copied at once.
#pragma once

#include "controlplane/ike/wire/message.h"

namespace penstock::ike {

// Collects payloads in order. Sizes beyond what the format can say (64 KiB) are programming errors
// of the caller and make the chain fail: ok() is false then.
class ChainBuilder {
 public:
  ChainBuilder& sa(std::span<const Proposal> proposals);
  ChainBuilder& sa(const Proposal& proposal) { return sa({&proposal, 1}); }
  ChainBuilder& key_exchange(DhGroup group, Bytes public_value);
  ChainBuilder& nonce(Bytes nonce);
  ChainBuilder& id_initiator(IdType type, Bytes data);
  ChainBuilder& id_responder(IdType type, Bytes data);
  ChainBuilder& cert(CertEncoding encoding, Bytes data);
  ChainBuilder& cert_request(CertEncoding encoding, Bytes authorities);
  ChainBuilder& auth(AuthMethod method, Bytes data);
  // Protocol and SPI are written for the types that have them (RFC 7296 section 3.10): others are
  // sent with protocol 0 and no SPI, whatever a peer had sent us.
  ChainBuilder& notify(NotifyType type, Bytes data = {});
  ChainBuilder& notify_u16(NotifyType type, uint16_t data);
  ChainBuilder& notify_u32(NotifyType type, uint32_t data);
  ChainBuilder& notify_spi(NotifyType type, ProtocolId protocol, uint32_t spi, Bytes data = {});
  ChainBuilder& delete_ike();
  ChainBuilder& delete_children(ProtocolId protocol, std::span<const uint32_t> spis);
  ChainBuilder& vendor_id(Bytes id);
  ChainBuilder& ts_initiator(std::span<const TrafficSelector> selectors);
  ChainBuilder& ts_responder(std::span<const TrafficSelector> selectors);
  ChainBuilder& configuration(CpType type, std::span<const CpAttribute> attributes);
  ChainBuilder& eap(Bytes packet);

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] PayloadType first() const { return first_; }
  [[nodiscard]] Bytes bytes() const { return bytes_; }

 private:
  friend class PayloadScope;
  ChainBuilder& selectors(PayloadType type, std::span<const TrafficSelector> selectors);
  PayloadType first_ = PayloadType::kNone;
  size_t last_ = 0;  // offset of the newest payload's header
  ByteVector bytes_;
  bool ok_ = true;
};

// The body of an ID payload without the generic header, as IdPayload::body: for AUTH.
ByteVector id_body(IdType type, Bytes data);

// The header alone, for who writes what follows: `length` is of the whole message.
ByteVector build_header(const Header& header, PayloadType first, size_t length);
// A message in clear: the header (first and length are filled in), then the chain.
ByteVector build_message(const Header& header, const ChainBuilder& chain);
// As build_message with a COOKIE notify in front of the chain: how an initiator repeats
// IKE_SA_INIT (RFC 7296 section 2.6).
ByteVector build_message_with_cookie(const Header& header, Bytes cookie, const ChainBuilder& chain);

}  // namespace penstock::ike
