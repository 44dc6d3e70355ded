// What the IKE engine tells, as log lines; a peer that fails again and again cannot fill the
// journal with them.
//
// Control thread only.
#pragma once

#include <unordered_map>

#include "controlplane/driver/log_limit.h"
#include "controlplane/ike/effect.h"

namespace penstock {

class IkeLog {
 public:
  // Lines about one address (IPv6: /64) within an interval; further ones are counted, and the count
  // is told with the first line of the next interval.
  static constexpr unsigned kLinesPerPeer = 20;
  static constexpr Nanoseconds kIntervalNs = 10 * kSecond;
  static constexpr size_t kPeers = 4096;  // beyond, all others share one allowance

  void write(Nanoseconds boot_ns, const ike::Notify& notify);

 private:
  struct Peer {
    Nanoseconds began_ns = 0;
    unsigned lines = 0;
    uint64_t left_out = 0;
  };
  [[nodiscard]] bool allow(Nanoseconds boot_ns, const IpAddress& address);
  LogLimit limit_;  // for all together
  std::unordered_map<IpAddress, Peer, IpAddressHash> peers_;
};

// The line without time and level: "site-a: authentication failed: ...", with the peer's address
// where the text lacks it.
std::string line_of(const ike::Notify& notify);

}  // namespace penstock
