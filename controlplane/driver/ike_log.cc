#include "controlplane/driver/ike_log.h"

#include "gateway/base/log.h"

namespace penstock {
namespace {

// What an attacker with an IPv6 network has one of.
IpAddress address_block(const IpAddress& address) {
  return address.is_v4() ? address : IpPrefix::make(address, 64).address;
}

}  // namespace

std::string line_of(const ike::Notify& notify) {
  using Kind = ike::Notify::Kind;
  std::string line = "ike";
  if (!notify.connection.empty()) line += " " + notify.connection;
  if (notify.ike_id != 0) line += "[" + std::to_string(notify.ike_id) + "]";
  if (!notify.child.empty()) line += " child " + notify.child;
  if (notify.child_id != 0) line += "{" + std::to_string(notify.child_id) + "}";
  line += ": ";
  if (notify.kind == Kind::kLeased || notify.kind == Kind::kReleased) {
    line += notify.address.to_string() + " of pool " + notify.pool +
            (notify.kind == Kind::kLeased ? " leased to " : " released by ") + notify.identity;
  } else {
    line += notify.text;
  }
  const std::string address = notify.peer.address.to_string();
  if (notify.peer.port != 0 && line.find(address) == std::string::npos) {
    line += " (peer " + notify.peer.to_string() + ")";
  }
  return line;
}

bool IkeLog::allow(Nanoseconds boot_ns, const IpAddress& address) {
  const IpAddress block = address_block(address);
  auto found = peers_.find(block);
  if (found == peers_.end() && peers_.size() >= kPeers) {
    std::erase_if(peers_,
                  [&](const auto& one) { return boot_ns - one.second.began_ns >= kIntervalNs; });
  }
  if (found == peers_.end()) {
    const IpAddress& key = peers_.size() < kPeers ? block : IpAddress();
    found = peers_.try_emplace(key, Peer{boot_ns, 0, 0}).first;
  }
  Peer& peer = found->second;
  if (boot_ns - peer.began_ns >= kIntervalNs) {
    if (peer.left_out > 0) {
      log_notice("ike: %llu log lines about %s left out",
                 static_cast<unsigned long long>(peer.left_out), block.to_string().c_str());
    }
    peer = Peer{boot_ns, 0, 0};
  }
  if (peer.lines >= kLinesPerPeer) {
    ++peer.left_out;
    return false;
  }
  ++peer.lines;
  return true;
}

void IkeLog::write(Nanoseconds boot_ns, const ike::Notify& notify) {
  using Kind = ike::Notify::Kind;
  // What waits for a command reads its lines itself, and the same ones come as kLog.
  if (notify.kind == Kind::kCommandLine || notify.kind == Kind::kCommandDone ||
      notify.kind == Kind::kCommandFailed) {
    return;
  }
  const bool has_words =
      !notify.text.empty() || notify.kind == Kind::kLeased || notify.kind == Kind::kReleased;
  if (!has_words || !log_enabled(notify.level)) return;
  // Debug lines are asked for.
  if (notify.level != LogLevel::kDebug) {
    if (notify.peer.port != 0 && !allow(boot_ns, notify.peer.address)) return;
    if (!limit_.allow(boot_ns)) return;
  }
  log_line(notify.level, "%s", line_of(notify).c_str());
}

}  // namespace penstock
