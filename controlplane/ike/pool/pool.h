// Pools of virtual addresses and who leases them (CP payload, RFC 7296 section 3.15). No clock, no
// input or output: the engine calls it after authentication, on the control thread.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controlplane/ike/pool/pool_config.h"

namespace penstock::ike {

// Who asks: the identity that authenticated (of EAP, where it was EAP) and where from.
struct LeaseRequest {
  std::string identity;
  Endpoint peer;
};

// O(1) in the number of leases, but for reconfigure() and listings.
class Pool {
 public:
  explicit Pool(PoolConfig config);

  // In this order: an offline lease of this identity; its online lease, where it comes from the
  // same address and port (a reauthentication: the lease is then held twice, and released twice);
  // a new address; another identity's offline lease, the one that ended longest ago. `wanted` is
  // what the peer asked for: it decides among the offline leases of the identity, and is the new
  // address if nobody has it. nullopt: exhausted, and counted.
  std::optional<IpAddress> acquire(const LeaseRequest& request,
                                   const std::optional<IpAddress>& wanted = std::nullopt);
  // One hold of the lease less; with the last one it is offline and kept for its identity.
  void release(const IpAddress& address, std::string_view identity);
  // The peer of an online lease has a new address or port (MOBIKE, NAT).
  void move(const IpAddress& address, const Endpoint& peer);

  // New bounds and attributes; leases inside the bounds stay. Of those outside, the offline ones
  // are forgotten at once and the online ones when they end.
  void reconfigure(PoolConfig config);

  struct Lease {
    IpAddress address;
    std::string identity;
    uint32_t holds = 0;  // 0: offline
    Endpoint peer;       // while online
    [[nodiscard]] bool online() const { return holds > 0; }
  };
  [[nodiscard]] std::vector<Lease> leases() const;  // by address
  struct Counters {
    uint64_t size = 0;  // addresses that may be leased at once, at most kMaxLeases
    uint64_t online = 0;
    uint64_t offline = 0;
    uint64_t exhausted = 0;  // requests refused
    uint64_t reclaimed = 0;  // offline leases given to somebody else
  };
  [[nodiscard]] Counters counters() const;
  [[nodiscard]] const PoolConfig& config() const { return config_; }
  [[nodiscard]] bool contains(const IpAddress& address) const;

  static constexpr uint64_t kMaxLeases = 1U << 20;

 private:
  struct Entry {
    Lease lease;
    // Where the lease stands among all offline ones and among those of its identity.
    std::list<IpAddress>::iterator in_offline;
    std::list<IpAddress>::iterator in_identity;
  };
  struct OnlineKey {
    std::string identity;
    Endpoint peer;
    friend bool operator==(const OnlineKey&, const OnlineKey&) = default;
  };
  struct OnlineKeyHash {
    size_t operator()(const OnlineKey& key) const noexcept;
  };

  std::optional<IpAddress> own_offline(const LeaseRequest& request,
                                       const std::optional<IpAddress>& wanted);
  std::optional<IpAddress> own_online(const LeaseRequest& request);
  std::optional<IpAddress> fresh(const LeaseRequest& request,
                                 const std::optional<IpAddress>& wanted);
  std::optional<IpAddress> reclaim(const LeaseRequest& request);
  void go_online(Entry& entry, const LeaseRequest& request);
  void go_offline(Entry& entry);
  void leave_offline(Entry& entry);
  void forget_peer(const Entry& entry);

  PoolConfig config_;
  uint64_t size_ = 0;
  uint64_t cursor_ = 0;  // offsets below it have been leased at some time
  std::unordered_map<IpAddress, Entry, IpAddressHash> entries_;
  std::list<IpAddress> offline_;  // the one that ended longest ago first
  std::unordered_map<std::string, std::list<IpAddress>> offline_of_;  // the newest first
  std::unordered_map<OnlineKey, IpAddress, OnlineKeyHash> online_of_;
  uint64_t exhausted_ = 0;
  uint64_t reclaimed_ = 0;
};

}  // namespace penstock::ike
