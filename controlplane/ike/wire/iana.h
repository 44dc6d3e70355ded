// The numbers of IKEv2 messages (IANA "Internet Key Exchange Version 2 (IKEv2) Parameters") and
// their names. An enum of what comes off the wire may hold any value of its type.
#pragma once

#include <cstdint>
#include <string>

namespace penstock::ike {

// RFC 7296 section 3.1.
enum class ExchangeType : uint8_t {
  kIkeSaInit = 34,
  kIkeAuth = 35,
  kCreateChildSa = 36,
  kInformational = 37,
};

// RFC 7296 section 3.2, RFC 7383 section 2.5.
enum class PayloadType : uint8_t {
  kNone = 0,
  kSa = 33,
  kKeyExchange = 34,
  kIdInitiator = 35,
  kIdResponder = 36,
  kCert = 37,
  kCertReq = 38,
  kAuth = 39,
  kNonce = 40,
  kNotify = 41,
  kDelete = 42,
  kVendorId = 43,
  kTsInitiator = 44,
  kTsResponder = 45,
  kEncrypted = 46,
  kConfiguration = 47,
  kEap = 48,
  kEncryptedFragment = 53,
};

// RFC 7296 section 3.3.1.
enum class ProtocolId : uint8_t { kNone = 0, kIke = 1, kAh = 2, kEsp = 3 };

// RFC 7296 section 3.3.2.
enum class TransformType : uint8_t {
  kEncryption = 1,
  kPrf = 2,
  kIntegrity = 3,
  kKeyExchange = 4,
  kSequenceNumbers = 5,
};

enum class EncryptionId : uint16_t {
  kNone = 0,
  kAesCbc = 12,
  kAesGcm16 = 20,
  kChacha20Poly1305 = 28
};
enum class PrfId : uint16_t { kNone = 0, kHmacSha256 = 5, kHmacSha384 = 6, kHmacSha512 = 7 };
enum class IntegrityId : uint16_t {
  kNone = 0,
  kHmacSha256_128 = 12,
  kHmacSha384_192 = 13,
  kHmacSha512_256 = 14,
};
enum class DhGroup : uint16_t {
  kNone = 0,
  kModp2048 = 14,
  kModp3072 = 15,
  kModp4096 = 16,
  kEcp256 = 19,
  kEcp384 = 20,
  kEcp521 = 21,
  kCurve25519 = 31,
};

// RFC 7296 section 3.5, RFC 7619.
enum class IdType : uint8_t {
  kIpv4 = 1,
  kFqdn = 2,
  kRfc822 = 3,
  kIpv6 = 5,
  kDerDn = 9,
  kDerGn = 10,
  kKeyId = 11,
  kNull = 13,
};

// RFC 7296 section 3.6.
enum class CertEncoding : uint8_t {
  kPkcs7 = 1,
  kX509Signature = 4,
  kCrl = 7,
  kRawKey = 15,  // RFC 7670
  kHashAndUrl = 12,
  kHashAndUrlBundle = 13,
  kOcsp = 14,  // RFC 4806
};

// RFC 7296 section 3.8, RFC 4754, RFC 7427, RFC 7619.
enum class AuthMethod : uint8_t {
  kRsa = 1,
  kSharedKey = 2,
  kEcdsaP256 = 9,
  kEcdsaP384 = 10,
  kEcdsaP521 = 11,
  kNull = 13,
  kSignature = 14,
};

// RFC 7296 section 3.10.1 and the RFCs named. Below 16384: errors.
enum class NotifyType : uint16_t {
  kNone = 0,
  kUnsupportedCriticalPayload = 1,
  kInvalidIkeSpi = 4,
  kInvalidMajorVersion = 5,
  kInvalidSyntax = 7,
  kInvalidMessageId = 9,
  kInvalidSpi = 11,
  kNoProposalChosen = 14,
  kInvalidKePayload = 17,
  kAuthenticationFailed = 24,
  kSinglePairRequired = 34,
  kNoAdditionalSas = 35,
  kInternalAddressFailure = 36,
  kFailedCpRequired = 37,
  kTsUnacceptable = 38,
  kInvalidSelectors = 39,
  kUnacceptableAddresses = 40,  // RFC 4555
  kUnexpectedNatDetected = 41,  // RFC 4555
  kTemporaryFailure = 43,
  kChildSaNotFound = 44,

  kInitialContact = 16384,
  kSetWindowSize = 16385,
  kAdditionalTsPossible = 16386,
  kIpcompSupported = 16387,
  kNatDetectionSourceIp = 16388,
  kNatDetectionDestinationIp = 16389,
  kCookie = 16390,
  kUseTransportMode = 16391,
  kHttpCertLookupSupported = 16392,
  kRekeySa = 16393,
  kEspTfcPaddingNotSupported = 16394,
  kNonFirstFragmentsAlso = 16395,
  kMobikeSupported = 16396,                  // RFC 4555
  kAdditionalIp4Address = 16397,             // RFC 4555
  kAdditionalIp6Address = 16398,             // RFC 4555
  kNoAdditionalAddresses = 16399,            // RFC 4555
  kUpdateSaAddresses = 16400,                // RFC 4555
  kCookie2 = 16401,                          // RFC 4555
  kNoNatsAllowed = 16402,                    // RFC 4555
  kAuthLifetime = 16403,                     // RFC 4478
  kMultipleAuthSupported = 16404,            // RFC 4739
  kAnotherAuthFollows = 16405,               // RFC 4739
  kRedirectSupported = 16406,                // RFC 5685
  kRedirect = 16407,                         // RFC 5685
  kRedirectedFrom = 16408,                   // RFC 5685
  kTicketLtOpaque = 16409,                   // RFC 5723
  kTicketRequest = 16410,                    // RFC 5723
  kTicketAck = 16411,                        // RFC 5723
  kTicketNack = 16412,                       // RFC 5723
  kTicketOpaque = 16413,                     // RFC 5723
  kEapOnlyAuthentication = 16417,            // RFC 5998
  kChildlessIkev2Supported = 16418,          // RFC 6023
  kQuickCrashDetection = 16419,              // RFC 6290
  kIkev2MessageIdSyncSupported = 16420,      // RFC 6311
  kIpsecReplayCounterSyncSupported = 16421,  // RFC 6311
  kIkev2MessageIdSync = 16422,               // RFC 6311
  kIpsecReplayCounterSync = 16423,           // RFC 6311
  kFragmentationSupported = 16430,           // RFC 7383
  kSignatureHashAlgorithms = 16431,          // RFC 7427
  kUsePpk = 16435,                           // RFC 8784
  kPpkIdentity = 16436,                      // RFC 8784
  kNoPpkAuth = 16437,                        // RFC 8784
  kIntermediateExchangeSupported = 16438,    // RFC 9242
};
inline bool is_error(NotifyType type) {
  return type != NotifyType::kNone && static_cast<uint16_t>(type) < 16384;
}

// RFC 7296 section 3.15.
enum class CpType : uint8_t { kRequest = 1, kReply = 2, kSet = 3, kAck = 4 };
enum class CpAttributeType : uint16_t {
  kInternalIp4Address = 1,
  kInternalIp4Netmask = 2,
  kInternalIp4Dns = 3,
  kInternalIp4Nbns = 4,
  kInternalIp4Dhcp = 6,
  kApplicationVersion = 7,
  kInternalIp6Address = 8,
  kInternalIp6Dns = 10,
  kInternalIp6Dhcp = 12,
  kInternalIp4Subnet = 13,
  kSupportedAttributes = 14,
  kInternalIp6Subnet = 15,
  kInternalDnsDomain = 25,  // RFC 8598
};

// RFC 3748 section 4.
enum class EapCode : uint8_t { kRequest = 1, kResponse = 2, kSuccess = 3, kFailure = 4 };

// As the RFCs write them ("INVALID_KE_PAYLOAD", "IKE_AUTH"); the number where the value has no
// name.
std::string to_string(ExchangeType type);
std::string to_string(PayloadType type);
std::string to_string(ProtocolId protocol);
std::string to_string(NotifyType type);
std::string to_string(AuthMethod method);

}  // namespace penstock::ike
