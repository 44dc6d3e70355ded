// The chain (RFC 7296 section 3.2) and the payloads with a simple layout. SA is in parse_sa.cc, TS
// and CP are in parse_ts_cp.cc.
#include "controlplane/ike/wire/payload_parser.h"

#include "controlplane/ike/wire/notify.h"

namespace penstock::ike {
namespace {

constexpr size_t kGenericHeaderBytes = 4;
constexpr uint8_t kCriticalBit = 0x80;
constexpr size_t kMinNonceBytes = 16;  // 3.9
constexpr size_t kMaxNonceBytes = 256;
constexpr size_t kSha1Bytes = 20;

}  // namespace

bool PayloadParser::fail(WireFault fault, const char* what, NotifyType notify) {
  error_ = {fault, current_, notify, what};
  return false;
}

Result<Payloads, WireError> PayloadParser::parse(PayloadType first) {
  PayloadType type = first;
  while (type != PayloadType::kNone) {
    current_ = type;
    if (out_.order.size() == kMaxPayloads) {
      (void)fail(WireFault::kTooMany, "payloads");
      return error_;
    }
    Reader header(message_.subspan(offset_));
    const auto next = PayloadType{header.u8()};
    const bool critical = (header.u8() & kCriticalBit) != 0;
    const size_t length = header.be16();
    if (!header.ok() || length < kGenericHeaderBytes ||
        length - kGenericHeaderBytes > header.remaining()) {
      (void)fail(WireFault::kPayloadLength, "payload length");
      return error_;
    }
    const Bytes body = header.take(length - kGenericHeaderBytes);
    offset_ += length;
    out_.order.push_back(type);
    if (type == PayloadType::kEncrypted || type == PayloadType::kEncryptedFragment) {
      if (!encrypted(type, next, body)) return error_;
      break;
    }
    if (!payload(type, critical, body)) return error_;
    type = next;
  }
  current_ = PayloadType::kNone;
  if (offset_ != message_.size()) {
    (void)fail(WireFault::kTrailingBytes, "after the last payload");
    return error_;
  }
  return std::move(out_);
}

bool PayloadParser::payload(PayloadType type, bool critical, Bytes body) {
  switch (type) {
    case PayloadType::kSa:
      return security_association(body);
    case PayloadType::kKeyExchange:
      return key_exchange(body);
    case PayloadType::kIdInitiator:
      return id(body, out_.id_initiator);
    case PayloadType::kIdResponder:
      return id(body, out_.id_responder);
    case PayloadType::kCert:
      return cert(body);
    case PayloadType::kCertReq:
      return cert_request(body);
    case PayloadType::kAuth:
      return auth(body);
    case PayloadType::kNonce:
      return nonce(body);
    case PayloadType::kNotify:
      return notify(body);
    case PayloadType::kDelete:
      return deletion(body);
    case PayloadType::kVendorId:
      out_.vendor_ids.push_back(body);
      return true;
    case PayloadType::kTsInitiator:
      return selectors(body, out_.ts_initiator);
    case PayloadType::kTsResponder:
      return selectors(body, out_.ts_responder);
    case PayloadType::kConfiguration:
      return configuration(body);
    case PayloadType::kEap:
      return eap(body);
    case PayloadType::kNone:
    case PayloadType::kEncrypted:
    case PayloadType::kEncryptedFragment:
      break;  // parse() has taken these
  }
  // 2.5: an unknown payload is skipped, unless the sender says that nothing makes sense without it.
  if (critical) return fail(WireFault::kCritical, "", NotifyType::kUnsupportedCriticalPayload);
  return true;
}

bool PayloadParser::key_exchange(Bytes body) {  // 3.4
  if (out_.key_exchange) return fail(WireFault::kDuplicate, "");
  Reader reader(body);
  KeyExchangePayload payload;
  payload.group = reader.be16();
  reader.skip(2);
  payload.data = reader.take_rest();
  if (!reader.ok() || payload.data.empty() || payload.data.size() > kMaxKeyExchangeBytes) {
    return fail(WireFault::kPayloadSize, "public value");
  }
  out_.key_exchange = payload;
  return true;
}

bool PayloadParser::id(Bytes body, std::optional<IdPayload>& into) {  // 3.5
  if (into) return fail(WireFault::kDuplicate, "");
  Reader reader(body);
  IdPayload payload;
  payload.type = IdType{reader.u8()};
  reader.skip(3);
  payload.data = reader.take_rest();
  payload.body = body;
  if (!reader.ok() || payload.data.size() > kMaxIdBytes) {
    return fail(WireFault::kPayloadSize, "identity");
  }
  const size_t size = payload.data.size();
  const bool fits = payload.type == IdType::kIpv4   ? size == 4
                    : payload.type == IdType::kIpv6 ? size == 16
                    : payload.type == IdType::kNull ? size == 0  // RFC 7619 2.2
                                                    : size > 0;
  if (!fits) return fail(WireFault::kPayloadSize, "identity of this type");
  into = payload;
  return true;
}

bool PayloadParser::cert(Bytes body) {  // 3.6
  Reader reader(body);
  CertPayload payload;
  payload.encoding = CertEncoding{reader.u8()};
  payload.data = reader.take_rest();
  if (!reader.ok() || payload.data.empty()) return fail(WireFault::kPayloadSize, "certificate");
  if (out_.certs.size() == kMaxCertificates) return fail(WireFault::kTooMany, "certificates");
  out_.certs.push_back(payload);
  return true;
}

bool PayloadParser::cert_request(Bytes body) {  // 3.7
  Reader reader(body);
  CertReqPayload payload;
  payload.encoding = CertEncoding{reader.u8()};
  payload.authorities = reader.take_rest();
  if (!reader.ok()) return fail(WireFault::kPayloadSize, "encoding");
  if (payload.encoding == CertEncoding::kX509Signature &&
      payload.authorities.size() % kSha1Bytes != 0) {
    return fail(WireFault::kPayloadSize, "certification authorities");
  }
  out_.cert_requests.push_back(payload);
  return true;
}

bool PayloadParser::auth(Bytes body) {  // 3.8
  if (out_.auth) return fail(WireFault::kDuplicate, "");
  Reader reader(body);
  AuthPayload payload;
  payload.method = AuthMethod{reader.u8()};
  reader.skip(3);
  payload.data = reader.take_rest();
  if (!reader.ok() || payload.data.empty()) return fail(WireFault::kPayloadSize, "data");
  out_.auth = payload;
  return true;
}

bool PayloadParser::nonce(Bytes body) {  // 3.9
  if (out_.nonce) return fail(WireFault::kDuplicate, "");
  if (body.size() < kMinNonceBytes || body.size() > kMaxNonceBytes) {
    return fail(WireFault::kPayloadSize, "nonce");
  }
  out_.nonce = body;
  return true;
}

bool PayloadParser::notify(Bytes body) {  // 3.10
  Reader reader(body);
  NotifyPayload payload;
  payload.protocol = ProtocolId{reader.u8()};
  payload.spi_size = reader.u8();
  payload.type = NotifyType{reader.be16()};
  if (payload.spi_size == 4) {
    payload.spi = reader.be32();
  } else if (payload.spi_size == 8) {
    payload.spi = reader.be64();
  } else if (payload.spi_size != 0) {
    return fail(WireFault::kPayloadValue, "SPI size");
  }
  payload.data = reader.take_rest();
  if (!reader.ok()) return fail(WireFault::kPayloadSize, "notify");
  if (const NotifyRule* rule = notify_rule(payload.type)) {
    if (!rule->allows(payload.data.size())) return fail(WireFault::kNotifyLength, rule->name);
    if (rule->has_spi && payload.spi_size != 4) {
      return fail(WireFault::kPayloadValue, "SPI size of a notify that names a child SA");
    }
  }
  out_.notifies.push_back(payload);
  return true;
}

bool PayloadParser::deletion(Bytes body) {  // 3.11
  Reader reader(body);
  DeletePayload payload;
  payload.protocol = ProtocolId{reader.u8()};
  const size_t spi_size = reader.u8();
  const size_t count = reader.be16();
  if (!reader.ok()) return fail(WireFault::kPayloadSize, "delete");
  const bool is_child = payload.protocol == ProtocolId::kEsp || payload.protocol == ProtocolId::kAh;
  if (!is_child && payload.protocol != ProtocolId::kIke) {
    return fail(WireFault::kPayloadValue, "protocol");
  }
  if (spi_size != (is_child ? 4U : 0U)) return fail(WireFault::kPayloadValue, "SPI size");
  if (!is_child && count != 0) return fail(WireFault::kPayloadValue, "SPIs of an IKE SA");
  if (count > kMaxDeletedSpis) return fail(WireFault::kTooMany, "SPIs");
  if (reader.remaining() != count * spi_size) return fail(WireFault::kPayloadSize, "SPIs");
  for (size_t i = 0; i < count; ++i) payload.spis.push_back(reader.be32());
  out_.deletes.push_back(std::move(payload));
  return true;
}

bool PayloadParser::eap(Bytes body) {  // 3.16, RFC 3748 section 4
  if (out_.eap) return fail(WireFault::kDuplicate, "");
  Reader reader(body);
  EapPayload payload;
  payload.code = EapCode{reader.u8()};
  payload.identifier = reader.u8();
  const size_t length = reader.be16();
  if (!reader.ok() || length != body.size()) return fail(WireFault::kPayloadSize, "EAP length");
  switch (payload.code) {
    case EapCode::kRequest:
    case EapCode::kResponse:
      payload.type = reader.u8();
      break;
    case EapCode::kSuccess:
    case EapCode::kFailure:
      if (!reader.at_end()) return fail(WireFault::kPayloadSize, "EAP result with data");
      break;
    default:
      return fail(WireFault::kPayloadValue, "EAP code");
  }
  if (!reader.ok()) return fail(WireFault::kPayloadSize, "EAP without a type");
  payload.packet = body;
  out_.eap = payload;
  return true;
}

bool PayloadParser::encrypted(PayloadType type, PayloadType next, Bytes body) {
  if (!in_clear_) return fail(WireFault::kNestedEncrypted, "");
  if (offset_ != message_.size()) return fail(WireFault::kEncryptedNotLast, "");
  EncryptedPayload payload;
  payload.first_inside = next;
  Reader reader(body);
  if (type == PayloadType::kEncryptedFragment) {  // RFC 7383 2.5
    payload.fragment = reader.be16();
    payload.fragments = reader.be16();
    if (!reader.ok()) return fail(WireFault::kPayloadSize, "fragment");
    if (payload.fragment == 0 || payload.fragment > payload.fragments) {
      return fail(WireFault::kPayloadValue, "fragment number");
    }
  }
  payload.body = reader.take_rest();
  payload.associated = message_.first(message_.size() - payload.body.size());
  out_.encrypted = payload;
  return true;
}

}  // namespace penstock::ike
