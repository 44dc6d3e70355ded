#include "controlplane/ike/pool/pool.h"

#include <algorithm>
#include <functional>

#include "controlplane/ike/pool/address_math.h"

namespace penstock::ike {

size_t Pool::OnlineKeyHash::operator()(const OnlineKey& key) const noexcept {
  const size_t a = std::hash<std::string>{}(key.identity);
  const size_t b = IpAddressHash{}(key.peer.address);
  return a ^ (b * 31) ^ (size_t{key.peer.port} << 17);
}

Pool::Pool(PoolConfig config) { reconfigure(std::move(config)); }

bool Pool::contains(const IpAddress& address) const {
  return address.family() == config_.first.family() && address >= config_.first &&
         address <= config_.last;
}

std::optional<IpAddress> Pool::acquire(const LeaseRequest& request,
                                       const std::optional<IpAddress>& wanted) {
  if (auto address = own_offline(request, wanted)) return address;
  if (auto address = own_online(request)) return address;
  if (auto address = fresh(request, wanted)) return address;
  if (auto address = reclaim(request)) return address;
  ++exhausted_;
  return std::nullopt;
}

std::optional<IpAddress> Pool::own_offline(const LeaseRequest& request,
                                           const std::optional<IpAddress>& wanted) {
  const auto own = offline_of_.find(request.identity);
  if (own == offline_of_.end()) return std::nullopt;
  auto entry = entries_.find(own->second.front());
  if (wanted) {
    const auto asked = entries_.find(*wanted);
    if (asked != entries_.end() && !asked->second.lease.online() &&
        asked->second.lease.identity == request.identity) {
      entry = asked;
    }
  }
  leave_offline(entry->second);
  go_online(entry->second, request);
  return entry->first;
}

std::optional<IpAddress> Pool::own_online(const LeaseRequest& request) {
  const auto own = online_of_.find({request.identity, request.peer});
  if (own == online_of_.end()) return std::nullopt;
  // Reconfigured away while online: a reauthentication gets an address of today's pool.
  if (!contains(own->second)) return std::nullopt;
  ++entries_.find(own->second)->second.lease.holds;
  return own->second;
}

std::optional<IpAddress> Pool::fresh(const LeaseRequest& request,
                                     const std::optional<IpAddress>& wanted) {
  if (entries_.size() >= kMaxLeases) return std::nullopt;
  IpAddress address;
  if (wanted && contains(*wanted) && entries_.find(*wanted) == entries_.end()) {
    address = *wanted;
  } else {
    // Each offset is passed once: what is leased beyond the cursor was asked for by name.
    while (cursor_ < size_ && entries_.count(plus(config_.first, cursor_)) != 0) ++cursor_;
    if (cursor_ == size_) return std::nullopt;
    address = plus(config_.first, cursor_++);
  }
  Entry& entry = entries_[address];
  entry.lease.address = address;
  entry.lease.identity = request.identity;
  go_online(entry, request);
  return address;
}

std::optional<IpAddress> Pool::reclaim(const LeaseRequest& request) {
  if (offline_.empty()) return std::nullopt;
  Entry& entry = entries_.find(offline_.front())->second;
  leave_offline(entry);
  entry.lease.identity = request.identity;
  go_online(entry, request);
  ++reclaimed_;
  return entry.lease.address;
}

void Pool::release(const IpAddress& address, std::string_view identity) {
  const auto found = entries_.find(address);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  if (!entry.lease.online() || entry.lease.identity != identity) return;
  if (--entry.lease.holds > 0) return;
  forget_peer(entry);
  if (contains(address)) {
    go_offline(entry);
  } else {
    entries_.erase(found);
  }
}

void Pool::move(const IpAddress& address, const Endpoint& peer) {
  const auto found = entries_.find(address);
  if (found == entries_.end() || !found->second.lease.online()) return;
  forget_peer(found->second);
  found->second.lease.peer = peer;
  online_of_.insert_or_assign({found->second.lease.identity, peer}, address);
}

void Pool::go_online(Entry& entry, const LeaseRequest& request) {
  entry.lease.holds = 1;
  entry.lease.peer = request.peer;
  online_of_.insert_or_assign({request.identity, request.peer}, entry.lease.address);
}

// Of two leases of an identity from one place (which only move() can make) the newer is found.
void Pool::forget_peer(const Entry& entry) {
  const auto found = online_of_.find({entry.lease.identity, entry.lease.peer});
  if (found != online_of_.end() && found->second == entry.lease.address) online_of_.erase(found);
}

void Pool::go_offline(Entry& entry) {
  entry.in_offline = offline_.insert(offline_.end(), entry.lease.address);
  std::list<IpAddress>& own = offline_of_[entry.lease.identity];
  entry.in_identity = own.insert(own.begin(), entry.lease.address);
}

void Pool::leave_offline(Entry& entry) {
  offline_.erase(entry.in_offline);
  const auto own = offline_of_.find(entry.lease.identity);
  own->second.erase(entry.in_identity);
  if (own->second.empty()) offline_of_.erase(own);
}

void Pool::reconfigure(PoolConfig config) {
  config_ = std::move(config);
  const WideOffset span = number_of(config_.last) - number_of(config_.first);
  size_ = span >= kMaxLeases ? kMaxLeases : static_cast<uint64_t>(span) + 1;
  cursor_ = 0;
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    if (contains(it->first) || entry.lease.online()) {
      ++it;
      continue;
    }
    leave_offline(entry);
    it = entries_.erase(it);
  }
}

std::vector<Pool::Lease> Pool::leases() const {
  std::vector<Lease> all;
  all.reserve(entries_.size());
  for (const auto& [address, entry] : entries_) all.push_back(entry.lease);
  std::sort(all.begin(), all.end(),
            [](const Lease& a, const Lease& b) { return a.address < b.address; });
  return all;
}

Pool::Counters Pool::counters() const {
  return {.size = size_,
          .online = entries_.size() - offline_.size(),
          .offline = offline_.size(),
          .exhausted = exhausted_,
          .reclaimed = reclaimed_};
}

}  // namespace penstock::ike
