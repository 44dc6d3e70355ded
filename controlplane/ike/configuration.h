// What an operator configures: connections with their children. Plain values with the meaning of
// swanctl.conf(5)'s keys (pools: pool/pool.h); whoever parses a configuration has checked what each
// field says here. The engine shares a configuration among all IKE SAs that use it and never
// changes one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/ike/auth/certificate.h"
#include "controlplane/ike/auth/chain.h"
#include "controlplane/ike/auth/identity.h"
#include "controlplane/ike/auth/signature.h"
#include "controlplane/ike/eap/eap_server.h"
#include "controlplane/ike/pool/pool.h"
#include "controlplane/ike/wire/proposal.h"
#include "dataplane/api/policy.h"
#include "dataplane/api/tunnel.h"
#include "gateway/base/bytes.h"
#include "gateway/base/clock.h"
#include "gateway/base/net.h"

namespace penstock::ike {

// Whether something happens always, if the other side can, or never.
enum class Wish : uint8_t { kNo, kYes, kForce };

// One entry of local_addrs or remote_addrs.
struct AddressMatch {
  IpAddress first, last;  // one address, a prefix or a range: first..last
  std::string name;       // a host name instead; the engine asks for its addresses
  [[nodiscard]] bool is_name() const { return !name.empty(); }
};
// Empty: %any.
using AddressMatches = std::vector<AddressMatch>;

enum class AuthClass : uint8_t { kPsk, kPubkey, kEap };

// connections.NAME.local: how we authenticate ourselves. EAP: the peer's side only.
struct LocalAuth {
  AuthClass method = AuthClass::kPubkey;
  Identity id;                        // any: the subject of the certificate, or our address
  std::vector<CertificatePtr> certs;  // empty: by identity in the store
  PublicKeyAuth schemes;              // of `auth`: what our signature may look like
};

// connections.NAME.remote: what the peer must show.
struct RemoteAuth {
  AuthClass method = AuthClass::kPubkey;
  Identity id;  // any: whoever authenticates; wildcards are honoured
  PublicKeyAuth schemes;
  std::vector<CertificatePtr> certs;     // only these end entities
  std::vector<CertificatePtr> ca_certs;  // the chain ends in one of these; sent as CERTREQ too
  std::vector<std::string> cert_policies;
  RevocationPolicy revocation = RevocationPolicy::kRelaxed;
  // Of method kEap:
  std::vector<EapType> eap_methods;  // kMschapv2, kTls, in order of preference
  bool ask_eap_identity = true;      // eap_id = %any, or not given
  Identity eap_id;                   // any, or what the EAP identity must match
};

// Lifetimes; 0 is: none. Every rekey limit gets its own random reduction in [0, random].
struct Lifetimes {
  Nanoseconds rekey_ns = 0;
  Nanoseconds life_ns = 0;
  Nanoseconds random_ns = 0;
  uint64_t rekey_bytes = 0, life_bytes = 0, random_bytes = 0;
  uint64_t rekey_packets = 0, life_packets = 0, random_packets = 0;
};

// local_ts and remote_ts: a selector, or `dynamic`, which becomes the virtual or the outer address.
struct ConfiguredSelector {
  bool dynamic = false;      // the addresses of `selector` are replaced
  TrafficSelector selector;  // protocol and ports hold for `dynamic` too
};

enum class ChildMode : uint8_t { kTunnel, kPass, kDrop };
enum class DpdAction : uint8_t { kClear, kTrap, kRestart };
enum class CloseAction : uint8_t { kNone, kTrap, kStart };

// connections.NAME.children.NAME.
struct ChildConfig {
  std::string name;
  ChildMode mode = ChildMode::kTunnel;
  std::vector<Proposal> proposals;  // ESP, in order of preference
  // No proposal without a group is accepted, nor offered.
  bool require_pfs = false;
  // `esp_proposals` was given: taken literally, also where it names groups for some proposals only.
  bool literal_proposals = false;
  std::vector<ConfiguredSelector> local_ts, remote_ts;
  Lifetimes lifetimes;  // defaults are filled in by whoever parses: 1 h, 10 % over, random 10 %
  Nanoseconds inactivity_ns = 0;     // 0: none
  bool start = false, trap = false;  // start_action: trap, start, trap|start, none
  DpdAction dpd_action = DpdAction::kClear;
  CloseAction close_action = CloseAction::kNone;
  bool policies = true;  // false: no policies are installed (route-based by the operator's hand)
  bool copy_df = false;
  DscpMode dscp = DscpMode::kZero;
  uint32_t reqid = 0;     // 0: chosen
  uint32_t priority = 0;  // 0: by the size of the selectors
  uint32_t if_id = 0;     // 0: that of the connection
  uint32_t replay_window_packets = 1024;
  uint16_t tfc_padding = 0;  // UINT16_MAX: up to the MTU
};

enum class Uniqueness : uint8_t { kNo, kNever, kKeep, kReplace };

// connections.NAME.
struct ConnectionConfig {
  std::string name;
  AddressMatches local_addresses, remote_addresses;
  uint16_t local_port = 500, remote_port = 500;
  std::vector<Proposal> proposals;  // IKE, in order of preference
  LocalAuth local;
  RemoteAuth remote;
  std::vector<IpAddress> virtual_ips;  // to ask for as initiator; unspecified: any of its family
  std::vector<std::string> pools;      // to lease from as responder
  bool encap = false;                  // force UDP encapsulation
  bool mobike = true;
  Wish fragmentation = Wish::kYes;
  // childless: kNo: never; kYes (allow): a peer may; kForce: we initiate so and require it.
  bool childless_prefer = false;
  Wish childless = Wish::kYes;
  bool send_certreq = true;
  Wish send_cert = Wish::kYes;   // kYes: if asked for by CERTREQ (or none came); kForce: always
  Nanoseconds dpd_delay_ns = 0;  // 0: none
  uint32_t keying_tries = 1;     // 0: without end
  Uniqueness unique = Uniqueness::kNo;
  Nanoseconds rekey_ns = 0, reauth_ns = 0, over_ns = 0, random_ns = 0;  // 0: none
  bool make_before_break = false;  // of reauthentication (charon.make_before_break)
  uint32_t if_id = 0;              // 0: policy-based
  uint8_t dscp = 0;                // of IKE packets
  std::vector<std::shared_ptr<const ChildConfig>> children;  // names are unique within

  // nullptr: none of that name.
  [[nodiscard]] const std::shared_ptr<const ChildConfig>* find_child(
      const std::string& child) const {
    for (const auto& each : children) {
      if (each->name == child) return &each;
    }
    return nullptr;
  }
  [[nodiscard]] std::shared_ptr<const ChildConfig> child_named(const std::string& child) const {
    const auto* const found = find_child(child);
    return found == nullptr ? nullptr : *found;
  }
};

}  // namespace penstock::ike
