// What is known about the engine's state: values for swanctl's listings, `penstock tunnels` and the
// updown events.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/configuration.h"
#include "controlplane/ike/crypto/suite.h"
#include "dataplane/api/tunnel.h"
#include "gateway/base/clock.h"
#include "gateway/base/net.h"

namespace penstock::ike {

// One logical child: its tunnel in the dataplane. Lives from the first CHILD_SA (or the trap) to
// the last, over all rekeys.
using ChildTunnel = uint32_t;
inline constexpr ChildTunnel kNoChildTunnel = UINT32_MAX;

// The life of an IKE SA; swanctl shows the words.
//
//   created -> connecting -> established -> rekeying -> rekeyed -> deleting -> (gone)
//                    \             \-----------------------------------^
//                     \-> (gone)
enum class IkeState : uint8_t {
  kCreated,
  kConnecting,
  kEstablished,
  kRekeying,
  kRekeyed,
  kDeleting
};
std::string_view text_of(IkeState state);  // "CREATED", "CONNECTING", ...

// The life of a CHILD_SA.
enum class ChildState : uint8_t {
  kCreated,
  kRouted,
  kInstalling,
  kInstalled,
  kUpdating,
  kRekeying,
  kRekeyed,
  kRetrying,
  kDeleting
};
std::string_view text_of(ChildState state);  // "CREATED", "ROUTED", ...

struct ChildSaInfo {
  uint32_t unique_id = 0;
  std::string name;
  std::shared_ptr<const ChildConfig> config;
  ChildState state = ChildState::kCreated;
  uint32_t reqid = 0;
  ChildTunnel tunnel = kNoChildTunnel;
  uint32_t inbound_spi = 0, outbound_spi = 0;  // host order; 0 in a trap
  bool encapsulated = false;
  Suite suite;  // what was chosen; kNone everywhere in a trap
  uint32_t if_id = 0;
  std::vector<TrafficSelector> local_ts, remote_ts;
  // Boot time; 0 or kNever: none.
  Nanoseconds installed_ns = 0, rekey_at_ns = kNever, life_at_ns = kNever;
};

struct IkeSaInfo {
  uint32_t unique_id = 0;
  std::string connection;
  std::shared_ptr<const ConnectionConfig> config;
  IkeState state = IkeState::kCreated;
  bool initiator = false;  // of the original or, after a rekey, of the exchange that made it
  uint64_t initiator_spi = 0, responder_spi = 0;  // big-endian order as a number
  Endpoint local, remote;
  Identity local_id, remote_id, remote_eap_id;                  // of type any where not known yet
  bool nat_local = false, nat_remote = false, nat_any = false;  // nat_any: encapsulation forced too
  Suite suite;  // kNone everywhere while it is not known
  std::vector<IpAddress> local_vips, remote_vips;
  // Boot time; 0 or kNever: none.
  Nanoseconds established_ns = 0, rekey_at_ns = kNever, reauth_at_ns = kNever, life_at_ns = kNever;
  Nanoseconds last_inbound_ns = 0;
  std::vector<std::string> tasks_queued, tasks_active, tasks_passive;  // charon's words
  std::vector<ChildSaInfo> children;
  std::string last_error;
};

// A trap or a shunt, as --list-pols shows it.
struct PolicyInfo {
  std::string connection;  // empty where the shunt has none
  std::string child;
  ChildMode mode = ChildMode::kTunnel;
  std::vector<TrafficSelector> local_ts, remote_ts;
};

struct LeaseInfo {
  IpAddress address;
  std::string identity;
  bool online = false;
};
struct PoolInfo {
  std::string name;
  IpAddress first, last;
  uint64_t size = 0, online = 0, offline = 0;
  uint64_t refused = 0;  // for want of an address
};

// What the last failure of a connection was, for `penstock tunnels` and `penstock explain`.
struct ConnectionError {
  std::string connection;
  Endpoint peer;
  std::string text;
  Nanoseconds at_wall_ns = 0;
};

// charon's counters (--counters), in its order and with its names.
#define PENSTOCK_IKE_COUNTERS(X)                  \
  X(kIkeRekeyInit, "ike-rekey-init")              \
  X(kIkeRekeyResp, "ike-rekey-resp")              \
  X(kChildRekey, "child-rekey")                   \
  X(kInvalid, "invalid")                          \
  X(kInvalidSpi, "invalid-spi")                   \
  X(kIkeInitInReq, "ike-init-in-req")             \
  X(kIkeInitInResp, "ike-init-in-resp")           \
  X(kIkeInitOutReq, "ike-init-out-req")           \
  X(kIkeInitOutResp, "ike-init-out-resp")         \
  X(kIkeAuthInReq, "ike-auth-in-req")             \
  X(kIkeAuthInResp, "ike-auth-in-resp")           \
  X(kIkeAuthOutReq, "ike-auth-out-req")           \
  X(kIkeAuthOutResp, "ike-auth-out-resp")         \
  X(kCreateChildInReq, "create-child-in-req")     \
  X(kCreateChildInResp, "create-child-in-resp")   \
  X(kCreateChildOutReq, "create-child-out-req")   \
  X(kCreateChildOutResp, "create-child-out-resp") \
  X(kInfoInReq, "info-in-req")                    \
  X(kInfoInResp, "info-in-resp")                  \
  X(kInfoOutReq, "info-out-req")                  \
  X(kInfoOutResp, "info-out-resp")

enum class Counter : uint8_t {
#define X(name, label) name,
  PENSTOCK_IKE_COUNTERS(X)
#undef X
      kCount
};
inline constexpr size_t kCounterCount = static_cast<size_t>(Counter::kCount);
inline constexpr std::string_view kCounterNames[kCounterCount] = {
#define X(name, label) label,
    PENSTOCK_IKE_COUNTERS(X)
#undef X
};
using Counters = std::array<uint64_t, kCounterCount>;

struct EngineTotals {
  size_t ike_sas = 0, half_open = 0, children = 0, compute_jobs = 0;
  // Since start.
  uint64_t retransmits = 0, cookies_sent = 0, half_open_refused = 0, decrypt_failures = 0;
  uint64_t malformed = 0, hints_sent = 0, pool_exhausted = 0, children_without_pfs = 0;
  uint64_t established = 0, failed = 0, dpd_dead = 0;
};

}  // namespace penstock::ike
