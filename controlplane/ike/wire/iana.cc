#include "controlplane/ike/wire/iana.h"

#include "controlplane/ike/wire/notify.h"

namespace penstock::ike {
namespace {

std::string number(unsigned value) { return "(" + std::to_string(value) + ")"; }

}  // namespace

std::string to_string(ExchangeType type) {
  switch (type) {
    case ExchangeType::kIkeSaInit:
      return "IKE_SA_INIT";
    case ExchangeType::kIkeAuth:
      return "IKE_AUTH";
    case ExchangeType::kCreateChildSa:
      return "CREATE_CHILD_SA";
    case ExchangeType::kInformational:
      return "INFORMATIONAL";
  }
  return number(static_cast<uint8_t>(type));
}

std::string to_string(PayloadType type) {
  switch (type) {
    case PayloadType::kNone:
      return "none";
    case PayloadType::kSa:
      return "SA";
    case PayloadType::kKeyExchange:
      return "KE";
    case PayloadType::kIdInitiator:
      return "IDi";
    case PayloadType::kIdResponder:
      return "IDr";
    case PayloadType::kCert:
      return "CERT";
    case PayloadType::kCertReq:
      return "CERTREQ";
    case PayloadType::kAuth:
      return "AUTH";
    case PayloadType::kNonce:
      return "Nonce";
    case PayloadType::kNotify:
      return "N";
    case PayloadType::kDelete:
      return "D";
    case PayloadType::kVendorId:
      return "V";
    case PayloadType::kTsInitiator:
      return "TSi";
    case PayloadType::kTsResponder:
      return "TSr";
    case PayloadType::kEncrypted:
      return "SK";
    case PayloadType::kConfiguration:
      return "CP";
    case PayloadType::kEap:
      return "EAP";
    case PayloadType::kEncryptedFragment:
      return "SKF";
  }
  return number(static_cast<uint8_t>(type));
}

std::string to_string(ProtocolId protocol) {
  switch (protocol) {
    case ProtocolId::kNone:
      return "none";
    case ProtocolId::kIke:
      return "IKE";
    case ProtocolId::kAh:
      return "AH";
    case ProtocolId::kEsp:
      return "ESP";
  }
  return number(static_cast<uint8_t>(protocol));
}

std::string to_string(NotifyType type) {
  if (const NotifyRule* rule = notify_rule(type)) return rule->name;
  return number(static_cast<uint16_t>(type));
}

std::string to_string(AuthMethod method) {
  switch (method) {
    case AuthMethod::kRsa:
      return "RSA signature";
    case AuthMethod::kSharedKey:
      return "shared key";
    case AuthMethod::kEcdsaP256:
      return "ECDSA-256 signature";
    case AuthMethod::kEcdsaP384:
      return "ECDSA-384 signature";
    case AuthMethod::kEcdsaP521:
      return "ECDSA-521 signature";
    case AuthMethod::kNull:
      return "null";
    case AuthMethod::kSignature:
      return "digital signature";
  }
  return number(static_cast<uint8_t>(method));
}

}  // namespace penstock::ike
