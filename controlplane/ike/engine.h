// All IKE SAs of the gateway, initiator and responder (RFC 7296), as a machine without input or
// output. Inputs are calls, outputs are effects pulled with poll(); time, randomness and SPIs are
// injected, so that the same seed and inputs give the same bytes.
//
// Not thread-safe: one thread (the control thread) calls everything but run_compute().
// Not handled: IKEv1, REDIRECT (ignored), IPComp, transport mode, post-quantum exchanges,
// mediation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/ike/auth/credentials.h"
#include "controlplane/ike/configuration.h"
#include "controlplane/ike/effect.h"
#include "controlplane/ike/host.h"
#include "controlplane/ike/listing.h"
#include "controlplane/ike/options.h"
#include "gateway/base/bytes.h"
#include "gateway/base/clock.h"
#include "gateway/base/net.h"
#include "gateway/base/random.h"
#include "gateway/base/result.h"

namespace penstock::ike {

struct Now {
  Nanoseconds boot_ns = 0;  // boot_time_ns(): timers and lifetimes
  Nanoseconds wall_ns = 0;  // wall_time_ns(): certificates and what is shown
};

// Which SAs a command is about: all that match every field that is set (swanctl --terminate).
struct SaSelection {
  std::string ike;    // connection name
  std::string child;  // child name: its CHILD_SAs, not the IKE SA
  uint32_t ike_id = 0, child_id = 0;
};

class Engine {
 public:
  // The source and the host must outlive the engine.
  Engine(RandomSource& random, Host& host, const Options& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // --- configuration -----------------------------------------------------------------------------
  // New, or instead of the one of that name. Children that did not change keep their traps; traps
  // and start actions of new and changed children are carried out, those of children that are gone
  // are undone. IKE SAs go on under the configuration they were made with. Refused as a whole where
  // it cannot work (no proposals, no selectors, EAP as initiator). A pool that is missing when an
  // address is asked for is INTERNAL_ADDRESS_FAILURE then.
  Status load_connection(const Now& now, std::shared_ptr<const ConnectionConfig> connection);
  // Removes traps; IKE SAs stay. False: no such connection.
  bool unload_connection(const Now& now, const std::string& name);
  [[nodiscard]] std::vector<std::shared_ptr<const ConnectionConfig>> connections() const;
  // New, or changed.
  Status load_pool(const PoolConfig& pool);
  // Refused while leases are online.
  Status unload_pool(const std::string& name);
  void set_credentials(std::shared_ptr<const CredentialSnapshot> credentials);

  // --- commands ----------------------------------------------------------------------------------
  // Each ends with one kCommandDone or kCommandFailed of its id (unless that is 0).
  // `child` empty: the IKE SA alone. `connection` empty: that of the first child of that name.
  void initiate(const Now& now, CommandId command, const std::string& connection,
                const std::string& child);
  // Deletes; with `force` without waiting for the peer's answer (after `timeout_ns`). Returns how
  // many SAs match.
  size_t terminate(const Now& now, CommandId command, const SaSelection& selection, bool force,
                   Nanoseconds timeout_ns = 0);
  // Rekeys; with `reauthenticate` IKE SAs are reauthenticated. Returns how many SAs match.
  size_t rekey(const Now& now, const SaSelection& selection, bool reauthenticate);
  // Traps and shunts: swanctl --install, --uninstall.
  Status install(const Now& now, const std::string& connection, const std::string& child);
  Status uninstall(const Now& now, const std::string& connection, const std::string& child);
  // Before the process ends: tells every peer (a DELETE of each IKE SA, once, whose answer is not
  // waited for) and removes all. Returns how many there were.
  size_t shutdown(const Now& now);
  // What waits for `command` goes on without telling.
  void forget_command(CommandId command);

  // --- inputs ------------------------------------------------------------------------------------
  // An IKE message without non-ESP marker; the port of `destination` (ours) says whether it had
  // one.
  void on_datagram(const Now& now, const Endpoint& source, const Endpoint& destination,
                   WorkerId worker, Bytes message);
  // ESP with an SPI that no SA has, at most some a second.
  void on_unknown_spi(const Now& now, const Endpoint& source, const Endpoint& destination,
                      uint32_t spi);
  void on_timeout(const Now& now);
  // The answer to a Compute effect. An unknown id (its IKE SA is gone) is ignored.
  void on_compute(const Now& now, ComputeId id, ComputeResult result);
  // Flags of TunnelEvent raised for a child's tunnel; `inbound_spi`, `source` and `destination` as
  // in TunnelEvents.
  void on_tunnel_events(const Now& now, ChildTunnel tunnel, uint32_t flags, uint32_t inbound_spi,
                        const Endpoint& source, const IpAddress& destination);
  // An inner packet that found no usable SA: of a trap, or of a child whose SA is gone.
  void on_acquire(const Now& now, ChildTunnel tunnel, Bytes packet);
  // An SA of an InstallChildSa effect could not be installed.
  void on_install_failed(const Now& now, ChildTunnel tunnel, uint32_t inbound_spi,
                         const std::string& why);
  void on_resolved(const Now& now, const std::string& name, std::vector<IpAddress> addresses);
  void on_fetched(const Now& now, uint64_t id);
  // The addresses of Host::local_addresses() or the routes have changed (MOBIKE).
  void on_addresses_changed(const Now& now);

  // --- outputs -----------------------------------------------------------------------------------
  // Boot time at which on_timeout() is due; may be early, never late. kNever: nothing is due.
  [[nodiscard]] Nanoseconds next_timeout() const;
  // The next effect, oldest first.
  [[nodiscard]] std::optional<Effect> poll();

  // --- what is known -----------------------------------------------------------------------------
  // In the order of unique ids; the visitor must not call the engine. Building one costs the copy
  // of its strings: use the filters. `connection` empty: all; `ike_id` 0: all.
  void for_each_ike_sa(const std::string& connection, uint32_t ike_id,
                       const std::function<void(const IkeSaInfo&)>& visit) const;
  [[nodiscard]] std::vector<PolicyInfo> policies() const;
  [[nodiscard]] std::vector<PoolInfo> pools() const;
  [[nodiscard]] std::vector<LeaseInfo> leases(const std::string& pool) const;
  [[nodiscard]] Counters counters() const;
  // Empty: no such connection.
  [[nodiscard]] std::optional<Counters> counters(const std::string& connection) const;
  void reset_counters(const std::string& connection);  // empty: all
  [[nodiscard]] std::vector<std::string> counted_connections() const;
  [[nodiscard]] EngineTotals totals() const;
  [[nodiscard]] std::vector<ConnectionError> last_errors() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace penstock::ike
