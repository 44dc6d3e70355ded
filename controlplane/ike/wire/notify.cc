#include "controlplane/ike/wire/notify.h"

#include <algorithm>
#include <iterator>

namespace penstock::ike {
namespace {

constexpr uint16_t kAny = UINT16_MAX;
using enum NotifyType;

// By number. A size stands alone where it is exact.
constexpr NotifyRule kRules[] = {
    {kUnsupportedCriticalPayload, "UNSUPPORTED_CRITICAL_PAYLOAD", 1, 1},
    {kInvalidIkeSpi, "INVALID_IKE_SPI"},
    {kInvalidMajorVersion, "INVALID_MAJOR_VERSION"},
    {kInvalidSyntax, "INVALID_SYNTAX"},
    {kInvalidMessageId, "INVALID_MESSAGE_ID", 4, 4},
    {kInvalidSpi, "INVALID_SPI", 4, 4},
    {kNoProposalChosen, "NO_PROPOSAL_CHOSEN"},
    {kInvalidKePayload, "INVALID_KE_PAYLOAD", 2, 2},
    {kAuthenticationFailed, "AUTHENTICATION_FAILED"},
    {kSinglePairRequired, "SINGLE_PAIR_REQUIRED"},
    {kNoAdditionalSas, "NO_ADDITIONAL_SAS"},
    {kInternalAddressFailure, "INTERNAL_ADDRESS_FAILURE"},
    {kFailedCpRequired, "FAILED_CP_REQUIRED"},
    {kTsUnacceptable, "TS_UNACCEPTABLE"},
    {kInvalidSelectors, "INVALID_SELECTORS", 0, kAny, 1, true},  // the packet, or a part of it
    {kUnacceptableAddresses, "UNACCEPTABLE_ADDRESSES"},
    {kUnexpectedNatDetected, "UNEXPECTED_NAT_DETECTED"},
    {kTemporaryFailure, "TEMPORARY_FAILURE"},
    {kChildSaNotFound, "CHILD_SA_NOT_FOUND", 0, 0, 1, true},

    {kInitialContact, "INITIAL_CONTACT"},
    {kSetWindowSize, "SET_WINDOW_SIZE", 4, 4},
    {kAdditionalTsPossible, "ADDITIONAL_TS_POSSIBLE"},
    {kIpcompSupported, "IPCOMP_SUPPORTED", 3, 64},  // CPI, transform, attributes
    {kNatDetectionSourceIp, "NAT_DETECTION_SOURCE_IP", 20, 20},
    {kNatDetectionDestinationIp, "NAT_DETECTION_DESTINATION_IP", 20, 20},
    {kCookie, "COOKIE", 1, 64},
    {kUseTransportMode, "USE_TRANSPORT_MODE"},
    {kHttpCertLookupSupported, "HTTP_CERT_LOOKUP_SUPPORTED"},
    {kRekeySa, "REKEY_SA", 0, 0, 1, true},
    {kEspTfcPaddingNotSupported, "ESP_TFC_PADDING_NOT_SUPPORTED"},
    {kNonFirstFragmentsAlso, "NON_FIRST_FRAGMENTS_ALSO"},
    {kMobikeSupported, "MOBIKE_SUPPORTED", 0, kAny},  // RFC 4555 4.2.1: contents are ignored
    {kAdditionalIp4Address, "ADDITIONAL_IP4_ADDRESS", 4, 4},
    {kAdditionalIp6Address, "ADDITIONAL_IP6_ADDRESS", 16, 16},
    {kNoAdditionalAddresses, "NO_ADDITIONAL_ADDRESSES"},
    {kUpdateSaAddresses, "UPDATE_SA_ADDRESSES"},
    {kCookie2, "COOKIE2", 8, 64},
    {kNoNatsAllowed, "NO_NATS_ALLOWED", 12, 36, 24},  // two addresses of a family and their ports
    {kAuthLifetime, "AUTH_LIFETIME", 4, 4},
    {kMultipleAuthSupported, "MULTIPLE_AUTH_SUPPORTED"},
    {kAnotherAuthFollows, "ANOTHER_AUTH_FOLLOWS"},
    {kRedirectSupported, "REDIRECT_SUPPORTED"},
    {kRedirect, "REDIRECT", 3, 513},  // type, length, gateway, nonce
    {kRedirectedFrom, "REDIRECTED_FROM", 3, 257},
    {kTicketLtOpaque, "TICKET_LT_OPAQUE", 5, kAny},
    {kTicketRequest, "TICKET_REQUEST"},
    {kTicketAck, "TICKET_ACK"},
    {kTicketNack, "TICKET_NACK"},
    {kTicketOpaque, "TICKET_OPAQUE", 1, kAny},
    {kEapOnlyAuthentication, "EAP_ONLY_AUTHENTICATION"},
    {kChildlessIkev2Supported, "CHILDLESS_IKEV2_SUPPORTED"},
    {kQuickCrashDetection, "QUICK_CRASH_DETECTION", 16, 128},
    {kIkev2MessageIdSyncSupported, "IKEV2_MESSAGE_ID_SYNC_SUPPORTED"},
    {kIpsecReplayCounterSyncSupported, "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED"},
    {kIkev2MessageIdSync, "IKEV2_MESSAGE_ID_SYNC", 12, 12},
    {kIpsecReplayCounterSync, "IPSEC_REPLAY_COUNTER_SYNC", 4, 8, 4},
    {kFragmentationSupported, "IKEV2_FRAGMENTATION_SUPPORTED"},
    {kSignatureHashAlgorithms, "SIGNATURE_HASH_ALGORITHMS", 2, 64, 2},
    {kUsePpk, "USE_PPK"},
    {kPpkIdentity, "PPK_IDENTITY", 1, 1024},  // type, identity
    {kNoPpkAuth, "NO_PPK_AUTH", 1, kAny},
    {kIntermediateExchangeSupported, "INTERMEDIATE_EXCHANGE_SUPPORTED"},
};

constexpr bool sorted() {
  for (size_t i = 1; i < std::size(kRules); ++i) {
    if (kRules[i - 1].type >= kRules[i].type) return false;
  }
  return true;
}
static_assert(sorted(), "notify_rule() searches by number");

}  // namespace

const NotifyRule* notify_rule(NotifyType type) {
  const auto* found = std::lower_bound(
      std::begin(kRules), std::end(kRules), type,
      [](const NotifyRule& rule, NotifyType wanted) { return rule.type < wanted; });
  return found != std::end(kRules) && found->type == type ? found : nullptr;
}

}  // namespace penstock::ike
