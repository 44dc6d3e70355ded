// One IKE SA with its exchanges and CHILD_SAs, as data. What happens to it stands in the files of
// the exchanges.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/ike/configuration.h"
#include "controlplane/ike/crypto/key_derivation.h"
#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/ike/crypto/sk.h"
#include "controlplane/ike/effect.h"
#include "controlplane/ike/listing.h"
#include "controlplane/ike/wire/fragments.h"
#include "controlplane/ike/wire/message.h"

namespace penstock::ike {

// Where an IKE SA stands. Initiator (RFC 7296 1.2):
//
//   kResolving -> kInitDh -> kInitSent -> kInitFinish -> kAuthSigning -> kAuthSent
//       -> kAuthVerifying -> kEstablished
//
// Responder, the second line with EAP:
//
//   kInitResponding -> kAuthAwaited -> kAuthJob -> kEstablished
//                                        -> kEapAwaited <-> kEapJob -> kEapAuthAwaited ->
//                                        kEstablished
//
// What is not awaited is dropped; tests/scenario/ike/matrix_test.cc has the whole table.
enum class Phase : uint8_t {
  kResolving,       // the peer's name is being looked up
  kInitDh,          // our public value is being computed
  kInitSent,        // -> HDR, SAi1, KEi, Ni
  kInitFinish,      // g^ir is being computed
  kAuthSigning,     // our AUTH is being computed
  kAuthSent,        // -> HDR, SK {IDi, AUTH, SAi2, TSi, TSr}
  kAuthVerifying,   // the responder's AUTH is being verified
  kInitResponding,  // g^ir is being computed, <- HDR, SAr1, KEr, Nr is not sent yet
  kAuthAwaited,     // waits for the first IKE_AUTH request
  kAuthJob,         // the initiator's or our AUTH is being computed, or its status is fetched
  kEapAwaited,      // waits for an EAP response
  kEapJob,          // one is being looked at
  kEapAuthAwaited,  // EAP-Success is sent: waits for AUTH by the MSK
  kEstablished,
  kDeleting,  // -> HDR, SK {D}
};
constexpr bool is_half_open(Phase phase) { return phase < Phase::kEstablished; }

struct Arrival {
  Endpoint source, destination;  // destination: ours
  WorkerId worker;
};

// A decrypted message; the payloads are views into the chain.
struct Opened {
  ByteVector chain;
  Payloads payloads;
};

// --- own exchanges -----------------------------------------------------------------------------

enum class TaskKind : uint8_t {
  kIkeInit,      // IKE_SA_INIT
  kIkeAuth,      // IKE_AUTH
  kNewChild,     // CREATE_CHILD_SA {SA, Ni, [KEi], TSi, TSr}
  kRekeyChild,   // CREATE_CHILD_SA {N(REKEY_SA), SA, Ni, [KEi], TSi, TSr}
  kRekeyIke,     // CREATE_CHILD_SA {SA, Ni, KEi}
  kDeleteChild,  // INFORMATIONAL {D}
  kDeleteIke,    // INFORMATIONAL {D}
  kProbe,        // INFORMATIONAL {}: DPD
  kMoveAddress,  // INFORMATIONAL {N(UPDATE_SA_ADDRESSES), N(NAT_DETECTION...)}
  kCheckPath,    // INFORMATIONAL {N(COOKIE2)}
};
std::string_view text_of(TaskKind kind);  // charon's words

// Something to do in an exchange of our own, one after the other (window size 1).
struct Task {
  TaskKind kind = TaskKind::kProbe;
  CommandId command = 0;
  Reason reason = Reason::kNone;
  Nanoseconds not_before_ns = 0;
  std::shared_ptr<const ChildConfig> child;  // kNewChild
  std::optional<SelectorPair> trigger;       // kNewChild: of the packet that wants out
  std::optional<SelectorPair> single_pair;   // kNewChild: after SINGLE_PAIR_REQUIRED
  std::vector<ByteVector> packets;           // kNewChild: what waits for it
  ChildTunnel trap = kNoChildTunnel;         // kNewChild: whose packet it was
  uint32_t child_id = 0;                     // kRekeyChild, kDeleteChild: unique id
  bool reauthenticate = false;               // kDeleteIke: initiate again afterwards
  uint32_t raw_spi = 0;                      // kDeleteChild: of one that we never had
  unsigned tries = 0;                        // after TEMPORARY_FAILURE
};

// The peer's rekeying of what we are rekeying ourselves (RFC 7296 2.8.1, 2.8.2).
struct Collision {
  uint32_t new_id = 0;   // unique id of the CHILD_SA or IKE SA that the peer's exchange made
  ByteVector low_nonce;  // the lower of that exchange's two nonces
};

inline ByteVector lower_nonce(Bytes a, Bytes b) {
  return to_vector(std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end()) ? a : b);
}

// What a request to create something remembers until its response.
struct Negotiation {
  DhGroup group = DhGroup::kNone;
  SecretBytes dh_private;
  ByteVector dh_public;
  ByteVector nonce;      // ours
  uint32_t spi = 0;      // reserved for the CHILD_SA
  uint64_t ike_spi = 0;  // of the new IKE SA
  std::vector<Proposal> offered;
  std::vector<TrafficSelector> local_ts, remote_ts;  // offered
  unsigned group_tries = 0;                          // INVALID_KE_PAYLOADs so far
  std::optional<Collision> collision;
  std::vector<uint32_t> deleted;  // SPIs of the peer's that went before we heard of them
};

struct Exchange {
  Task task;
  ExchangeType type = ExchangeType::kInformational;
  uint32_t message_id = 0;
  uint32_t serial = 0;    // tells its jobs from those of others
  bool sent = false;      // false: a job of ours runs first
  bool answered = false;  // the response is being worked on
  std::vector<ByteVector> datagrams;
  uint32_t repeats = 0;
  Negotiation negotiation;
  ByteVector cookie2;
};

// What a child is made from, once both sides agree.
struct ChildPlan {
  std::shared_ptr<const ChildConfig> config;
  Suite suite;
  Selection selection;  // responder: what the peer offered and we chose
  uint32_t peer_spi = 0;
  std::vector<TrafficSelector> local_ts, remote_ts;
};

// A CREATE_CHILD_SA request that is answered when a job is done.
struct Passive {
  uint32_t message_id = 0;
  Arrival arrival;
  Opened request;
  std::unique_ptr<ChildPlan> plan;  // unset: the IKE SA is rekeyed
  uint32_t rekeyed = 0;             // unique id of the child
  Selection selection;              // of the IKE SA
  ByteVector nonce;                 // ours
};

// --- CHILD_SAs -----------------------------------------------------------------------------------

struct Child {
  uint32_t unique_id = 0;
  std::shared_ptr<const ChildConfig> config;
  ChildState state = ChildState::kInstalled;
  ChildTunnel tunnel = kNoChildTunnel;
  uint32_t inbound_spi = 0, outbound_spi = 0;
  Suite suite;
  std::vector<TrafficSelector> local_ts, remote_ts;
  bool by_us = false;        // we sent the request that made it
  uint32_t replaced_by = 0;  // unique id; the rekeying is done, the DELETE is not
  uint32_t replaces = 0;     // unique id; 0 as soon as that one is gone
  bool unused = false;       // the loser of a collision: never installed
  bool lingers = false;      // deleted on both sides; packets on the way are still taken
  bool rekey_queued = false, delete_queued = false;
  Nanoseconds installed_ns = 0;
  Nanoseconds rekey_at_ns = kNever, life_at_ns = kNever;
  Nanoseconds gone_at_ns = kNever;  // of one that lingers
};

// --- the handshake -------------------------------------------------------------------------------

// What only a half-open IKE SA needs.
struct Handshake {
  uint32_t serial = 0;  // tells its jobs from those of another attempt
  DhGroup group = DhGroup::kNone;
  SecretBytes dh_private;
  ByteVector dh_public;
  ByteVector nonce_initiator, nonce_responder;
  ByteVector init_request, init_response;  // as sent: AUTH covers them
  std::vector<Proposal> offered;
  Proposal chosen;  // responder
  ByteVector cookie;
  unsigned restarts = 0;  // after COOKIE and INVALID_KE_PAYLOAD

  // Initiator: the first child goes with IKE_AUTH.
  std::optional<Task> first_child;
  Negotiation child;
  std::vector<Task> more_children;
  std::vector<CommandId> commands;  // that want the IKE SA alone
  unsigned keying_try = 1;
  uint32_t reauthenticates = 0;  // unique id of the IKE SA that this one replaces
  std::vector<KeyId> requested_cas;

  // Responder.
  bool guarded = false;  // counted as half-open, for this address
  Endpoint init_source;  // with the initiator's SPI the key of repeated IKE_SA_INITs
  std::vector<std::shared_ptr<const ConnectionConfig>> candidates;  // best first
  size_t candidate = 0;
  std::shared_ptr<const ConnectionConfig> refused;  // the best one that did not do, and why
  Reason refusal_reason = Reason::kNone;
  std::string refusal_text;
  // The first IKE_AUTH message of the peer: the request, or the response that is being verified.
  std::optional<Opened> request;
  uint32_t request_id = 0;
  Arrival arrival;
  ByteVector peer_id_body, own_id_body;
  std::shared_ptr<EapServer> eap;
  std::string eap_reason;  // why the client has failed, once it was told
  SecretBytes msk;
  std::vector<uint64_t> fetches;  // that are waited for
  bool fetched = false;
  bool initial_contact = false;

  // Both: our AUTH payload with what goes in front of it.
  std::vector<SignatureHash> peer_hashes;
  std::vector<ByteVector> own_certs;
  std::vector<ByteVector> peer_certs;
  uint32_t bad_messages = 0;
};

// --- the IKE SA ----------------------------------------------------------------------------------

// One line per timer of an IKE SA.
enum class Timer : uint8_t {
  kRetransmit,  // the request in flight is sent again, or given up
  kHalfOpen,    // the handshake has taken too long
  kRekey,       // rekey_time
  kReauth,      // reauth_time, AUTH_LIFETIME
  kLife,        // over_time after the sooner of both
  kDpd,         // dpd_delay without inbound traffic
  kKeepalive,   // NAT keepalive
  kRetry,       // a task of the queue that waits
  kChildren,    // the earliest of the children
  kDeleteWait,  // the peer should have deleted this rekeyed or redundant IKE SA
  kForced,      // terminate --force
  kCount
};

struct HeldLease {
  std::string pool;
  IpAddress address;
  std::string identity;
};

struct ConnectionStats {
  Counters counters{};
};

struct IkeSa {
  uint32_t slot = 0;
  uint32_t unique_id = 0;
  Phase phase = Phase::kInitDh;
  bool initiator = false;  // of this IKE SA: its flag I
  uint64_t spi_initiator = 0, spi_responder = 0;
  [[nodiscard]] uint64_t own_spi() const { return initiator ? spi_initiator : spi_responder; }
  [[nodiscard]] uint64_t peer_spi() const { return initiator ? spi_responder : spi_initiator; }

  std::shared_ptr<const ConnectionConfig> config;  // unset: responder before IKE_AUTH
  std::shared_ptr<ConnectionStats> stats;
  Endpoint local, remote;
  WorkerId worker;
  bool nat_local = false, nat_remote = false;  // who is behind a NAT
  bool nat_faked = false;                      // `encap = yes`: we pretend to be
  bool original_initiator = false;             // of the first IKE SA of a row of rekeys (RFC 4555)
  bool fragmentation = false;                  // both sides can
  bool mobike = false;                         // both sides can
  bool childless = false;                      // the peer can
  bool superseded = false;                     // rekeyed: only its deletion is left
  bool redundant = false;                      // of a collision: waits to be deleted
  // The peer's side of a collision that is not settled: unique id of the IKE SA it rekeys.
  uint32_t unsettled = 0;
  uint32_t successor = 0;  // unique id of the IKE SA it was rekeyed to
  uint32_t predecessor = 0;

  Suite suite;
  IkeKeys keys;
  IkeCipher outbound, inbound;

  Identity local_id, remote_id, remote_eap_id;
  std::string peer_key;  // in the table of identities; empty: not in it
  std::vector<IpAddress> local_vips;
  std::vector<HeldLease> leases;
  std::vector<IpAddress> peer_addresses;  // additional ones (MOBIKE)
  size_t address_tries = 0;               // how many of them the request in flight has seen
  bool move_again = false;                // our address changed while its change was announced

  uint32_t next_request_id = 0;  // of ours
  uint32_t expected_id = 0;      // of the peer's next request
  std::vector<ByteVector> last_response;
  std::unique_ptr<FragmentReassembler> request_parts, response_parts;
  std::unique_ptr<Exchange> exchange;
  std::deque<Task> queue;
  std::unique_ptr<Passive> passive;
  std::unique_ptr<Handshake> handshake;
  std::vector<std::unique_ptr<Child>> children;

  std::array<Nanoseconds, static_cast<size_t>(Timer::kCount)> timers = all_never();
  Nanoseconds created_ns = 0, established_ns = 0;
  Nanoseconds last_inbound_ns = 0, last_outbound_ns = 0;
  std::vector<CommandId> end_commands;  // done when this IKE SA is gone
  std::string last_error;

  [[nodiscard]] Nanoseconds& timer(Timer which) { return timers[static_cast<size_t>(which)]; }
  [[nodiscard]] Nanoseconds timer(Timer which) const { return timers[static_cast<size_t>(which)]; }
  [[nodiscard]] Child* find_child(uint32_t id) const {
    for (const auto& child : children) {
      if (child->unique_id == id) return child.get();
    }
    return nullptr;
  }
  [[nodiscard]] Child* find_outbound(uint32_t spi) const {
    for (const auto& child : children) {
      if (child->outbound_spi == spi && !child->lingers) return child.get();
    }
    return nullptr;
  }
  [[nodiscard]] const Identity& policy_id() const {  // what uniqueness and leases go by
    return remote_eap_id.is_any() ? remote_id : remote_eap_id;
  }

 private:
  static constexpr std::array<Nanoseconds, static_cast<size_t>(Timer::kCount)> all_never() {
    std::array<Nanoseconds, static_cast<size_t>(Timer::kCount)> all{};
    for (Nanoseconds& each : all) each = kNever;
    return all;
  }
};

// One logical child in the dataplane, or a trap.
struct Line {
  ChildTunnel tunnel = kNoChildTunnel;
  uint32_t ike_id = 0;  // unique id of the IKE SA; 0: a trap
  std::string connection;
  std::shared_ptr<const ChildConfig> config;
  std::vector<uint32_t> policies;
  std::vector<SelectorPair> pairs;
  std::vector<TrafficSelector> local_ts, remote_ts;
  Endpoint local, remote;
  bool encapsulated = false;
  uint32_t reqid = 0;
  uint32_t if_id = 0;
  Nanoseconds last_used_ns = 0;
};

}  // namespace penstock::ike
