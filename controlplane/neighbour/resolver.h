// Who is where on the links: ARP and IPv6 neighbour discovery for all ports, as a machine without
// input or output. Inputs are calls, outputs are effects pulled with poll(); time and randomness
// are injected, so that the same seed and inputs give the same effects.
//
//                 on_need()                       answer
//     (absent) ─────────────► INCOMPLETE ─────────────────────► REACHABLE ◄──────┐
//        │                        │ 3 requests, no answer          │ ~30 s       │ answer
//        │ they ask for us        ▼                                ▼             │
//        │                     FAILED ─► (absent)  ┌──────────► PROBE ───────────┘
//        └──────► STALE ─────────── 5 s ───────────┘              │ 3 requests, no answer
//                                                                 └─► (absent)
//
// An entry is in the dataplane from its first MAC address until it is absent again, PROBE included.
// Entries are made by our own questions and by questions for our addresses, never by announcements.
//
// Not handled: router solicitation and advertisement, redirect, RFC 4862 address configuration:
// addresses are configured and used at once; a duplicate is reported.
//
// Not thread-safe: the control thread calls everything.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/neighbour/effect.h"
#include "controlplane/neighbour/messages.h"
#include "dataplane/api/route.h"
#include "dataplane/wire/rate_limit.h"
#include "gateway/base/clock.h"
#include "gateway/base/ids.h"
#include "gateway/base/net.h"
#include "gateway/base/random.h"
#include "gateway/base/result.h"

namespace penstock::neighbour {

struct Limits {
  size_t neighbours = 8192;   // static ones included
  size_t queue_packets = 16;  // that wait for one neighbour
  size_t total_queued_packets = 4096;
  uint32_t resolutions_per_second =
      1000;  // begun by packets, at least 1: a scan's share of the link
};

struct Timers {
  Nanoseconds retransmit_ns = kSecond;      // RFC 4861 10: RETRANS_TIMER
  unsigned requests = 3;                    // MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT
  Nanoseconds reachable_ns = 30 * kSecond;  // REACHABLE_TIME; each time between half and 1.5 times
  Nanoseconds stale_ns = 5 * kSecond;       // DELAY_FIRST_PROBE_TIME
  Nanoseconds failed_ns = 3 * kSecond;      // no new questions for this long
  Nanoseconds announce_ns = 2 * kSecond;    // RFC 5227 1.1: ANNOUNCE_INTERVAL
  Nanoseconds defend_ns = 10 * kSecond;     // RFC 5227 1.1: DEFEND_INTERVAL
};

enum class State : uint8_t { kIncomplete, kReachable, kStale, kProbe, kFailed, kStatic };
using penstock::text_of;  // the overloads of other types stay visible
constexpr std::string_view text_of(State state) {
  switch (state) {
    case State::kIncomplete:
      return "resolving";
    case State::kReachable:
      return "reachable";
    case State::kStale:
      return "stale";
    case State::kProbe:
      return "probing";
    case State::kFailed:
      return "failed";
    case State::kStatic:
      break;
  }
  return "static";
}

struct StaticNeighbour {
  IpAddress address;
  MacAddress mac;
};

struct PortSetup {
  PortId id;
  MacAddress mac;
  std::vector<InterfaceAddress> addresses;  // IPv6 link-local ones too, see link_local_of()
  std::vector<IpPrefix> on_link;            // beyond the networks of the addresses
  std::vector<StaticNeighbour> neighbours;
  bool link_up = false;
};

struct NeighbourState {
  NeighbourInfo neighbour;  // MAC address zero: not known
  State state = State::kIncomplete;
  Nanoseconds age_ns = 0;  // since it was last confirmed, or the question began
  size_t queued_packets = 0;
};

class Resolver {
 public:
  // `random` outlives the resolver.
  Resolver(RandomSource& random, const Limits& limits, const Timers& timers);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // --- inputs ------------------------------------------------------------------------------------
  // Adds a port or replaces what is known of it: its neighbours are forgotten, and its addresses
  // are announced when its link is up. Refused, with nothing changed, where static neighbours
  // exceed the limit.
  Status set_port(Nanoseconds now, const PortSetup& setup);
  void on_link(Nanoseconds now, PortId port, bool up);
  // Answers for an address that is not ours but behind us, such as a VPN client's (proxy ARP,
  // RFC 1027; RFC 4861 7.2.8). Announced at once, as a host that had it may still be remembered.
  void add_proxy(PortId port, const IpAddress& address);
  void remove_proxy(PortId port, const IpAddress& address);
  // From the ARP header on, and a whole IPv6 packet; `source_mac` is the frame's.
  void on_arp(Nanoseconds now, PortId port, const MacAddress& source_mac, Bytes bytes);
  void on_nd(Nanoseconds now, PortId port, const MacAddress& source_mac, Bytes packet);
  // An IP packet that wants to go to `next_hop`, whose MAC address the dataplane does not know.
  void on_need(Nanoseconds now, PortId port, const IpAddress& next_hop, Bytes packet);
  // The dataplane had no place for a SetNeighbour.
  void on_refused(Nanoseconds now, PortId port, const IpAddress& address);
  void on_timeout(Nanoseconds now);

  // --- outputs -----------------------------------------------------------------------------------
  std::optional<Effect> poll();
  [[nodiscard]] Nanoseconds next_timeout() const;
  [[nodiscard]] std::vector<NeighbourState> list(Nanoseconds now) const;  // by port and address
  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] size_t queued_packets() const { return queued_; }

 private:
  struct Key {
    PortId port;
    IpAddress address;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  struct Entry;
  using Order = std::list<Entry*>;  // by last change of state, the oldest first

  struct Entry {
    Key key;
    State state = State::kIncomplete;
    MacAddress mac;
    Nanoseconds since = 0;  // last confirmed, or the question began
    Nanoseconds deadline = kNever;
    unsigned requests = 0;  // sent in this state
    std::deque<ByteVector> queue;
    Order* order = nullptr;  // of static entries: none
    Order::iterator place;
    // Its MAC address is in the dataplane.
    [[nodiscard]] bool resolved() const {
      return state != State::kIncomplete && state != State::kFailed;
    }
  };

  struct Port {
    PortSetup setup;
    Nanoseconds announce_at = kNever;  // the second announcement
    std::set<IpAddress> proxies;
  };

  // --- ports and addresses (resolver.cc)
  [[nodiscard]] Port* find_port(PortId id);
  [[nodiscard]] static bool has_address(const Port& port, const IpAddress& address);
  // Ours, or one that we answer for.
  [[nodiscard]] static bool answers_for(const Port& port, const IpAddress& address) {
    return has_address(port, address) || port.proxies.contains(address);
  }
  [[nodiscard]] bool is_ours(const IpAddress& address) const;
  [[nodiscard]] bool is_our_mac(const MacAddress& mac) const;
  [[nodiscard]] static bool is_neighbour_address(const PortSetup& port, const IpAddress& address);
  [[nodiscard]] static bool is_on_link(const Port& port, const IpAddress& address);
  [[nodiscard]] static std::optional<IpAddress> source_for(const Port& port,
                                                           const IpAddress& target);
  void start_announcing(Nanoseconds now, Port& port);
  void forget(PortId port, DropReason reason, bool also_static);

  // --- entries (resolver.cc)
  [[nodiscard]] Entry* find(PortId port, const IpAddress& address);
  Entry* create(Nanoseconds now, const Key& key,
                State state);  // nullptr: static ones fill the table
  void evict(Nanoseconds now);
  void erase(Entry& entry);
  void set_deadline(Entry& entry, Nanoseconds deadline);
  void enter(Nanoseconds now, Entry& entry, State state);
  void ask(Nanoseconds now, Entry& entry);
  // The neighbour told its MAC address; `confirmed`: in answer to us.
  void learn(Nanoseconds now, Entry& entry, const MacAddress& mac, bool confirmed);
  void learn_or_create(Nanoseconds now, const Port& port, const IpAddress& address,
                       const MacAddress& mac);
  void fail(Nanoseconds now, Entry& entry);
  void on_deadline(Nanoseconds now, Entry& entry);
  void drop_queue(Entry& entry, DropReason reason);
  [[nodiscard]] Nanoseconds random_reachable_ns();

  // --- what is sent (resolver_send.cc)
  void send_arp(const Port& port, const MacAddress& to, const ArpMessage& message);
  void send_nd(const Port& port, const MacAddress& to, const NdMessage& message);
  void announce(const Port& port);
  void announce_address(const Port& port, const IpAddress& address);
  void probe_own_address(const Port& port, const IpAddress& address);
  void solicit(const Port& port, const Entry& entry);
  void advertise(const Port& port, const NdMessage& solicitation, const MacAddress& to);
  void answer(const Port& port, const ArpMessage& request);

  // --- what is received (resolver_receive.cc)
  [[nodiscard]] bool is_usable_mac(const MacAddress& mac) const;
  [[nodiscard]] bool is_plausible_sender(const Port& port, const IpAddress& address);
  void on_solicitation(Nanoseconds now, Port& port, const MacAddress& source_mac,
                       const NdMessage& message);
  void on_advertisement(Nanoseconds now, Port& port, const MacAddress& source_mac,
                        const NdMessage& message);
  void on_duplicate(Nanoseconds now, const Port& port, const IpAddress& address,
                    const MacAddress& mac);
  void drop(DropReason reason, uint64_t packets = 1) {
    effects_.emplace_back(CountDrop{reason, packets});
  }

  RandomSource& random_;
  const Limits limits_;
  const Timers timers_;
  TokenBucket resolutions_;
  std::map<PortId, Port> ports_;
  std::map<Key, Entry> entries_;
  Order resolved_;    // evicted last
  Order unresolved_;  // evicted first: a scan competes with itself
  std::set<std::pair<Nanoseconds, Key>> deadlines_;
  size_t queued_ = 0;
  std::map<IpAddress, Nanoseconds> defended_at_;  // of our own addresses
  Nanoseconds full_notified_at_ = -kSecond;
  std::deque<Effect> effects_;
};

}  // namespace penstock::neighbour
