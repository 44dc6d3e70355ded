// The payloads of a message as typed structs (RFC 7296 sections 3.3 to 3.16), and the parser of a
// chain of them. Bytes fields are views: they live as long as the message that was parsed.
//
// What a bound or a rule here refuses never reaches the engine: fixed sizes are exact, counts are
// bounded, what may come once came once. What the engine still has to judge: whether a payload
// belongs into this exchange, and what its values mean.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/ike/wire/error.h"
#include "controlplane/ike/wire/iana.h"
#include "controlplane/ike/wire/proposal.h"
#include "dataplane/api/policy.h"
#include "gateway/base/bytes.h"
#include "gateway/base/net.h"
#include "gateway/base/result.h"

namespace penstock::ike {

inline constexpr size_t kMaxPayloads = 96;
inline constexpr size_t kMaxProposals = 48;
inline constexpr size_t kMaxTransforms = 128;  // of one proposal; charon's default has about 40
inline constexpr size_t kMaxSelectors = 128;   // of one TS payload
inline constexpr size_t kMaxCertificates = 16;
inline constexpr size_t kMaxCpAttributes = 128;
inline constexpr size_t kMaxDeletedSpis = 256;  // of one Delete payload
inline constexpr size_t kMaxIdBytes = 2048;
inline constexpr size_t kMaxKeyExchangeBytes = 2048;

struct KeyExchangePayload {  // 3.4; the size of `data` is checked against the group by DH
  uint16_t group = 0;        // of DhGroup, or one that we do not have
  Bytes data;
};

struct IdPayload {  // 3.5; addresses have their exact size
  IdType type{};
  Bytes data;
  // The payload without its generic header: what AUTH signs (2.15, RestOfInitIDPayload).
  Bytes body;
};

struct CertPayload {  // 3.6
  CertEncoding encoding{};
  Bytes data;
};

struct CertReqPayload {  // 3.7
  CertEncoding encoding{};
  Bytes authorities;  // for kX509Signature: SHA-1 hashes, 20 bytes each
};

struct AuthPayload {  // 3.8
  AuthMethod method{};
  Bytes data;
};

struct NotifyPayload {  // 3.10; `data` of a type in the table of notify.h has its length
  NotifyType type{};
  ProtocolId protocol = ProtocolId::kNone;
  uint8_t spi_size = 0;
  uint64_t spi = 0;  // host order
  Bytes data;
  // Big-endian integers in `data`: the group of INVALID_KE_PAYLOAD (2 bytes), the seconds of
  // AUTH_LIFETIME (4). Zero where data is of another size.
  [[nodiscard]] uint16_t data_u16() const;
  [[nodiscard]] uint32_t data_u32() const;
};

struct DeletePayload {  // 3.11; for kIke no SPIs
  ProtocolId protocol{};
  std::vector<uint32_t> spis;
};

struct CpAttribute {  // 3.15.1; lengths of known types are checked, unknown types are kept
  CpAttributeType type{};
  Bytes value;
};
struct CpPayload {  // 3.15
  CpType type{};
  std::vector<CpAttribute> attributes;
};

struct EapPayload {  // 3.16: `packet` has the length that its own header says
  EapCode code{};
  uint8_t identifier = 0;
  uint8_t type = 0;  // of a request or response
  Bytes packet;      // the EAP packet as a whole
};

// 3.13. OPAQUE ports (start 65535, end 0 on the wire) are `opaque_ports`; a range of addresses does
// not end before it starts.
struct TsPayload {
  std::vector<TrafficSelector> selectors;
  uint8_t unknown = 0;  // selectors of types that we do not have; they are not in the list
};

// SK (3.14) or SKF (RFC 7383 section 2.5), still sealed.
struct EncryptedPayload {
  PayloadType first_inside = PayloadType::kNone;  // of the chain inside; SKF: of fragment 1 only
  uint16_t fragment = 0;                          // from 1; 0: SK
  uint16_t fragments = 0;                         // 0: SK
  Bytes associated;  // the message from its first byte to before the IV
  Bytes body;        // IV, ciphertext, ICV
  [[nodiscard]] bool is_fragment() const { return fragments != 0; }
};

struct SaPayload {  // 3.3
  std::vector<Proposal> proposals;
};

// The payloads of one chain. Absent: nullopt or an empty vector.
struct Payloads {
  std::optional<SaPayload> sa;
  std::optional<KeyExchangePayload> key_exchange;
  std::optional<Bytes> nonce;  // 16 to 256 bytes (3.9)
  std::optional<IdPayload> id_initiator;
  std::optional<IdPayload> id_responder;
  std::vector<CertPayload> certs;
  std::vector<CertReqPayload> cert_requests;
  std::optional<AuthPayload> auth;
  std::vector<NotifyPayload> notifies;
  std::vector<DeletePayload> deletes;
  std::vector<Bytes> vendor_ids;
  std::optional<TsPayload> ts_initiator;
  std::optional<TsPayload> ts_responder;
  std::optional<CpPayload> configuration;
  std::optional<EapPayload> eap;
  std::optional<EncryptedPayload> encrypted;
  std::vector<PayloadType> order;  // every payload as it came, unknown ones too: for the log

  [[nodiscard]] const NotifyPayload* find(NotifyType type) const;  // the first one, or nullptr
  [[nodiscard]] bool has(NotifyType type) const { return find(type) != nullptr; }
  [[nodiscard]] const NotifyPayload* first_error() const;  // the first error notify, or nullptr
  [[nodiscard]] std::optional<uint16_t> group() const {    // of the KE payload, if there is one
    return key_exchange ? std::optional(key_exchange->group) : std::nullopt;
  }
  // "[ SA KE No N(COOKIE) V ]": what a log says of a message. Bounded in length.
  [[nodiscard]] std::string summary() const;
};

// Parses a decrypted chain whose first payload has type `first`. Unknown payloads are skipped
// unless critical.
Result<Payloads, WireError> parse_chain(PayloadType first, Bytes chain);

}  // namespace penstock::ike
