// What the Engine wants done: pulled one by one with Engine::poll() and carried out in that order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "controlplane/ike/compute.h"
#include "controlplane/ike/listing.h"
#include "dataplane/api/drop_reason.h"
#include "dataplane/api/policy.h"
#include "gateway/base/bytes.h"
#include "gateway/base/ids.h"
#include "gateway/base/log.h"
#include "gateway/base/net.h"

namespace penstock::ike {

// A command of the operator, chosen by who gives it; 0: none.
using CommandId = uint64_t;

// A whole UDP payload (with the non-ESP marker where it needs one) or a NAT keepalive.
struct SendDatagram {
  Endpoint local;
  Endpoint remote;
  ByteVector payload;
  uint8_t dscp = 0;
};

// A child's place in the dataplane. A trap has one as well, without any SA.
struct AddTunnel {
  ChildTunnel tunnel = kNoChildTunnel;
  uint32_t if_id = 0;  // 0: policy-based; else the interface with this if_id (refused if none)
  bool copy_df = false;
  DscpMode dscp = DscpMode::kZero;
  std::string connection, child;  // for logs
};
// Its SAs and policies have been removed by earlier effects.
struct RemoveTunnel {
  ChildTunnel tunnel = kNoChildTunnel;
};
// Where the tunnel sends from now on; without encapsulation the ports mean nothing.
struct SetTunnelEndpoint {
  ChildTunnel tunnel = kNoChildTunnel;
  Endpoint local, remote;
  bool encapsulated = false;
};
// What packets out of the tunnel are checked against.
struct SetSelectors {
  ChildTunnel tunnel = kNoChildTunnel;
  std::vector<SelectorPair> pairs;
};
// A policy of the built-in policy interface, or of the interface with `if_id`. The number is the
// engine's and unique among living policies. Lower priority wins.
struct AddPolicy {
  uint32_t policy = 0;
  ChildTunnel tunnel = kNoChildTunnel;  // with kProtect
  uint32_t if_id = 0;
  SelectorPair selectors;
  PolicyAction action = PolicyAction::kProtect;
  uint32_t priority = 0;
};
struct RemovePolicy {
  uint32_t policy = 0;
};

enum class SaRole : uint8_t {
  kInitiator,  // both directions are in use at once: becomes the tunnel's current
  kResponder,  // becomes current when the first packet under it has authenticated
  kFirst,      // responder of a child's first SA: current at once
};

// Both directions of a CHILD_SA. If it cannot be installed: Engine::on_install_failed().
struct InstallChildSa {
  ChildTunnel tunnel = kNoChildTunnel;
  SaRole role = SaRole::kInitiator;
  uint32_t inbound_spi = 0;  // of Host::reserve_spi(); names the pair in all that follows
  uint32_t outbound_spi = 0;
  SaAlgorithm algorithm = SaAlgorithm::kAes256Gcm16;
  SaKeys inbound_keys, outbound_keys;
  EspParameters parameters;
  Nanoseconds expires_at_ns = kNever;  // boot time
  Endpoint expected_source;
  WorkerId owner;  // the worker on which the peer's message arrived
};
// Both directions. Frees the SPI.
struct RemoveChildSa {
  ChildTunnel tunnel = kNoChildTunnel;
  uint32_t inbound_spi = 0;
};
// The SA under which the tunnel sends from now on: the peer has deleted the older one.
struct MakeCurrent {
  ChildTunnel tunnel = kNoChildTunnel;
  uint32_t inbound_spi = 0;
};
// A packet that waited for the child (on_acquire).
struct SendIntoTunnel {
  ChildTunnel tunnel = kNoChildTunnel;
  ByteVector inner_packet;
};

// Slow crypto: answer with Engine::on_compute(now, id, run_compute(job)), from whatever thread ran
// it, in any order.
struct Compute {
  ComputeId id = 0;
  ComputeJob job;
};

// Answer with Engine::on_resolved().
struct ResolveName {
  std::string name;
};

// A CRL or an OCSP answer, wanted for a chain that is trusted, of a peer that has authenticated.
// What comes goes to the credential store (add_fetched_...) and as a new snapshot to
// Engine::set_credentials(); then answer with Engine::on_fetched().
struct FetchUrl {
  uint64_t id = 0;
  StatusFetch fetch;
};

struct CountDrop {
  DropReason reason = DropReason::kHandshakeInvalid;
  uint64_t packets = 1;
};

// Why something failed or ended; words in `Notify::text`.
#define PENSTOCK_IKE_REASONS(X)                                      \
  X(kNone, "none")                                                   \
  X(kTimeout, "timeout")                                             \
  X(kHalfOpenTimeout, "half_open_timeout")                           \
  X(kNoConnection, "no_connection")                                  \
  X(kNoProposalChosen, "no_proposal_chosen")                         \
  X(kInvalidKeGroup, "invalid_ke_group")                             \
  X(kDhFailed, "dh_failed")                                          \
  X(kInvalidSyntax, "invalid_syntax")                                \
  X(kUnsupportedCriticalPayload, "unsupported_critical_payload")     \
  X(kPskMissing, "psk_missing")                                      \
  X(kPskMismatch, "psk_mismatch")                                    \
  X(kPrivateKeyMissing, "private_key_missing")                       \
  X(kIdentityMismatch, "identity_mismatch")                          \
  X(kAuthMethodMismatch, "auth_method_mismatch")                     \
  X(kSignatureInvalid, "signature_invalid")                          \
  X(kCertificateMissing, "certificate_missing")                      \
  X(kCertificateExpired, "certificate_expired")                      \
  X(kCertificateNotYetValid, "certificate_not_yet_valid")            \
  X(kCertificateUntrusted, "certificate_untrusted_issuer")           \
  X(kCertificateRevoked, "certificate_revoked")                      \
  X(kCertificateRevocationUnknown, "certificate_revocation_unknown") \
  X(kCertificateIdentityMismatch, "certificate_identity_mismatch")   \
  X(kCertificateWrongUsage, "certificate_wrong_usage")               \
  X(kCertificateWeakKey, "certificate_key_too_weak")                 \
  X(kCertificateNameConstraint, "certificate_name_constraint")       \
  X(kCertificateInvalid, "certificate_invalid")                      \
  X(kEapFailed, "eap_failed")                                        \
  X(kPeerRefusedAuth, "peer_refused_authentication")                 \
  X(kPeerNotify, "peer_notify")                                      \
  X(kTsUnacceptable, "ts_unacceptable")                              \
  X(kPoolExhausted, "pool_exhausted")                                \
  X(kNoSpi, "no_spi")                                                \
  X(kInstallFailed, "install_failed")                                \
  X(kPfsRequired, "pfs_required")                                    \
  X(kDuplicate, "duplicate")                                         \
  X(kReplaced, "replaced")                                           \
  X(kDeletedByPeer, "deleted_by_peer")                               \
  X(kDeletedByOperator, "deleted_by_operator")                       \
  X(kLifetime, "lifetime")                                           \
  X(kInactivity, "inactivity")                                       \
  X(kDead, "peer_dead")                                              \
  X(kCollision, "collision")                                         \
  X(kTemporaryFailure, "temporary_failure")                          \
  X(kUnresolved, "name_unresolved")                                  \
  X(kNoAddress, "no_address")                                        \
  X(kLimit, "limit")                                                 \
  X(kUnderLoad, "under_load")                                        \
  X(kNatMapping, "address_changed")                                  \
  X(kInternal, "internal")

enum class Reason : uint8_t {
#define X(name, label) name,
  PENSTOCK_IKE_REASONS(X)
#undef X
      kCount
};
inline constexpr std::string_view kReasonLabels[] = {
#define X(name, label) label,
    PENSTOCK_IKE_REASONS(X)
#undef X
};
constexpr std::string_view label_of(Reason reason) {
  return kReasonLabels[static_cast<size_t>(reason)];
}

// For the log and for VICI's events. Upstream limits the rate by peer address.
struct Notify {
  enum class Kind : uint8_t {
    kLog,            // a line
    kIkeUp,          // ike-updown, up; `ike` is set
    kIkeDown,        // ike-updown, down
    kIkeRekeyed,     // ike-rekey; `ike` is the old one, `other_ike` the new one
    kChildUp,        // child-updown, up; `ike`, and in it the child with unique_id `child_id`
    kChildDown,      // child-updown, down
    kChildRekeyed,   // child-rekey; `child_id` is the old one, `other_child_id` the new one
    kCommandLine,    // control-log of `command`: a line
    kCommandDone,    // `command` has ended well
    kCommandFailed,  // `command` has failed: `reason` and `text`
    kLeased,         // `address` of `pool` to `identity`
    kReleased,
  };
  Kind kind = Kind::kLog;
  LogLevel level = LogLevel::kInfo;
  Reason reason = Reason::kNone;
  CommandId command = 0;
  uint32_t ike_id = 0;  // unique id; 0: none
  uint32_t child_id = 0, other_child_id = 0;
  std::string connection, child;
  Endpoint peer;
  std::string text;  // one sentence without a full stop
  std::shared_ptr<const IkeSaInfo> ike, other_ike;
  IpAddress address;  // of kLeased, kReleased
  std::string pool, identity;
};

using Effect = std::variant<SendDatagram, AddTunnel, RemoveTunnel, SetTunnelEndpoint, SetSelectors,
                            AddPolicy, RemovePolicy, InstallChildSa, RemoveChildSa, MakeCurrent,
                            SendIntoTunnel, Compute, ResolveName, FetchUrl, CountDrop, Notify>;

}  // namespace penstock::ike
