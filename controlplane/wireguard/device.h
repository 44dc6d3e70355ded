// One WireGuard interface: all its peers, handshakes, keypairs and timers, as a machine without
// input or output. Inputs are calls, outputs are effects pulled with poll(); time, randomness and
// receiver indices are injected, so that the same seed and inputs give the same bytes.
//
// Not thread-safe: one thread (the control thread) calls everything but run_compute().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "controlplane/wireguard/compute.h"
#include "controlplane/wireguard/configuration.h"
#include "controlplane/wireguard/effect.h"
#include "controlplane/wireguard/limits.h"
#include "gateway/base/bytes.h"
#include "gateway/base/clock.h"
#include "gateway/base/ids.h"
#include "gateway/base/net.h"
#include "gateway/base/random.h"
#include "gateway/base/result.h"

namespace penstock::wireguard {

struct Now {
  Nanoseconds boot_ns = 0;  // boot_time_ns(): timers and lifetimes
  Nanoseconds wall_ns = 0;  // wall_time_ns(): TAI64N and what is shown
};

// Receiver indices, which in the product name slots of the dataplane.
class IndexSource {
 public:
  virtual ~IndexSource() = default;
  virtual Result<uint32_t> reserve() = 0;
  // Of an index that no InstallKeypair has named; afterwards RemoveKeypair frees it.
  virtual void release(uint32_t index) = 0;
};

class Device {
 public:
  struct Options {
    Limits limits;
    TimerConfig timers;
    // From the last PersistTimestamp of an earlier run with this private key; 0: none.
    uint64_t timestamp_floor_ns = 0;
  };

  // Both sources must outlive the device.
  Device(RandomSource& random, IndexSource& indices, const Options& options);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // --- inputs ------------------------------------------------------------------------------------
  // A `set`, with the kernel's meaning. Refused as a whole, with nothing changed, where it would
  // exceed Limits::peers.
  Status apply(const Now& now, const DeviceChange& change);
  // The UDP payload of a message of type 1 to 3. `destination`: ours.
  void on_datagram(const Now& now, const Endpoint& source, const Endpoint& destination,
                   WorkerId worker, Bytes payload);
  // Flags of TunnelEvent; `inbound_index` and the roamed endpoint as in TunnelEvents.
  void on_events(const Now& now, PeerId peer, uint32_t flags, uint32_t inbound_index,
                 const Endpoint& roamed_source, const IpAddress& roamed_destination);
  // An inner packet that found no usable session.
  void on_need_session(const Now& now, PeerId peer, Bytes inner_packet);
  // The answer to a Compute effect. An unknown id (its peer is gone) is ignored.
  void on_compute(const Now& now, ComputeId id, ComputeResult result);
  // A keypair of an InstallKeypair effect could not be installed.
  void on_install_failed(const Now& now, PeerId peer, uint32_t local_index);
  void on_timeout(const Now& now);

  // --- outputs -----------------------------------------------------------------------------------
  // Boot time at which on_timeout() is due; may be early, never late. kNever: nothing is due.
  [[nodiscard]] Nanoseconds next_timeout() const;
  // The next effect, oldest first.
  [[nodiscard]] std::optional<Effect> poll();

  // --- what is known; O(peers) -------------------------------------------------------------------
  // Without byte counters, which the dataplane holds.
  [[nodiscard]] DeviceStatus status(const Now& now) const;
  // The peers in the order of status().peers, for whoever adds the counters.
  [[nodiscard]] std::vector<PeerId> peer_ids() const;
  [[nodiscard]] std::optional<PeerId> find_peer(const PublicKey& key) const;
  [[nodiscard]] size_t peer_count() const;
  [[nodiscard]] uint16_t listen_port() const;
  // The driver's choice, where the configuration said 0.
  void set_listen_port(uint16_t port);

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace penstock::wireguard
