// The dataplane as the control plane sees it. Everything here is called on the control thread and
// returns without waiting for a worker; what a call publishes is seen by the workers' next turns,
// and what it removes is wiped after a grace period (RCU).
//
// This header names no DPDK, no crypto library and no protocol library, so that each plane compiles
// and is tested without the other.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/api/drop_reason.h"
#include "dataplane/api/policy.h"
#include "dataplane/api/punt.h"
#include "dataplane/api/route.h"
#include "dataplane/api/tunnel.h"
#include "gateway/base/result.h"

namespace penstock {

using DropCounters = std::array<uint64_t, kDropReasonCount>;

struct WorkerCounters {
  WorkerId id;
  unsigned lcore = 0;
  uint64_t turns = 0;       // of the polling loop
  uint64_t idle_turns = 0;  // that received nothing
  uint64_t sleeps = 0;
  uint64_t rx_packets = 0, tx_packets = 0;
  uint64_t punts = 0, injects = 0, hand_overs = 0;
  // Batches of packets of this worker: ciphered by others; offered to them, but ciphered here; that
  // another began and kept waiting for. And those of others that this one ciphered.
  uint64_t lent_batches = 0, taken_back_batches = 0, late_batches = 0, helped_batches = 0;
  DropCounters drops{};
};

class Dataplane {
 public:
  virtual ~Dataplane() = default;

  // --- ports ---------------------------------------------------------------------------------
  [[nodiscard]] virtual std::vector<PortInfo> ports() const = 0;

  // --- routes: longest prefix wins, one next hop per prefix; setting one again replaces it -------
  // A local address is a host route of kind kLocal; its network is a route of kind kConnected
  // (port) or kTunnel (interface). The caller sets both.
  virtual Status set_route(const IpPrefix& prefix, const NextHop& next_hop) = 0;
  virtual void remove_route(const IpPrefix& prefix) = 0;
  [[nodiscard]] virtual std::vector<RouteInfo> routes() const = 0;

  // A resolved neighbour. Packets to it or via it leave at once; without it they are punted as
  // kNeedNeighbour.
  virtual Status set_neighbour(PortId port, const IpAddress& address, const MacAddress& mac) = 0;
  virtual void remove_neighbour(PortId port, const IpAddress& address) = 0;

  // The address of ours that packets to `remote` would carry: of the port that the route to it
  // leaves by. Nothing where no route leads out of a port.
  [[nodiscard]] virtual std::optional<IpAddress> source_address_for(
      const IpAddress& remote) const = 0;

  // --- tunnel interfaces -------------------------------------------------------------------------
  virtual Result<InterfaceId> add_interface(const InterfaceSpec& spec) = 0;
  // Listen port, MTU and DSCP mode may change. Refused where another interface has the port.
  virtual Status update_interface(InterfaceId interface, const InterfaceSpec& spec) = 0;
  // Requires that its tunnels, routes and allowed IPs are gone.
  virtual void remove_interface(InterfaceId interface) = 0;

  // The owner of a prefix among an interface's allowed IPs. Setting one again moves it.
  virtual Status set_allowed_ip(InterfaceId interface, const IpPrefix& prefix, TunnelId tunnel) = 0;
  virtual void remove_allowed_ip(InterfaceId interface, const IpPrefix& prefix) = 0;

  // --- policies (RFC 4301 4.4.1) -----------------------------------------------------------------
  // Clear packets from a port that come from `remote` to `local` of a protect policy are dropped,
  // unless a bypass policy that precedes it covers them (the inbound SPD check, RFC 4301 5.2).
  virtual Result<PolicyId> add_policy(const PolicySpec& spec) = 0;
  virtual void remove_policy(PolicyId policy) = 0;

  // Whether UDP/500, UDP/4500 and protocol 50 on the outside addresses are IKE's and ESP's. Off at
  // first. No WireGuard interface may listen on these ports.
  virtual void listen_ike(bool listen) = 0;

  // --- tunnels and SAs ---------------------------------------------------------------------------
  virtual Result<TunnelId> add_tunnel(const TunnelSpec& spec) = 0;
  // Removes its SAs too. Its allowed IPs and policies must be gone. The id is not reused before the
  // grace period.
  virtual void remove_tunnel(TunnelId tunnel) = 0;
  // The outer addresses. `local` is the address of ours that the peer sent to, or unspecified: the
  // address of the port that the route to `remote` leaves by.
  // Encapsulation is for ESP: WireGuard is always in UDP.
  virtual void set_tunnel_endpoint(TunnelId tunnel, const Endpoint& remote, const IpAddress& local,
                                   Encapsulation encapsulation) = 0;
  // ESP: what inner packets may be, checked after decryption (RFC 4301 5.2, step 3a): at least one
  // pair must match. None: nothing may be. Replaces what was set before.
  virtual Status set_tunnel_selectors(TunnelId tunnel, std::span<const SelectorPair> selectors) = 0;

  // A free inbound slot with fresh random high bits, for WireGuard's receiver index and ESP's SPI;
  // never 0..255. The slot stays reserved until
  // the SA is installed and removed, or the index is released.
  virtual Result<uint32_t> reserve_inbound_index() = 0;
  virtual void release_inbound_index(uint32_t index) = 0;
  virtual Status install_inbound_sa(const InboundSaSpec& spec) = 0;
  virtual void remove_inbound_sa(uint32_t index) = 0;
  // Installed, but used only once it is current.
  virtual Result<SaHandle> install_outbound_sa(const OutboundSaSpec& spec) = 0;
  // Makes it the SA under which the tunnel sends. An invalid handle: none.
  virtual void set_current_outbound(TunnelId tunnel, SaHandle sa) = 0;
  [[nodiscard]] virtual SaHandle current_outbound(TunnelId tunnel) const = 0;
  virtual void remove_outbound_sa(SaHandle sa) = 0;

  // --- packets from the control plane; false: the queue to the worker is full -------------------
  // A UDP datagram of the gateway's own. An unspecified local address is chosen by the route. IKE
  // from port 4500 brings its non-ESP marker along (RFC 3948 2.2).
  virtual bool send_datagram(const Endpoint& local, const Endpoint& remote, Bytes payload,
                             uint8_t dscp) = 0;
  // An IP packet to be routed as if it had arrived (staged packets; ICMP of the gateway's own).
  virtual bool send_ip(Bytes packet) = 0;
  // An Ethernet frame without its source address and FCS: the port fills in its own MAC.
  virtual bool send_frame(PortId port, const MacAddress& destination, uint16_t ether_type,
                          Bytes payload) = 0;
  // An empty packet under the tunnel's current SA; of ESP a dummy packet (RFC 4303 2.6).
  virtual bool send_keepalive(TunnelId tunnel) = 0;
  // A staged inner packet, now that the tunnel has a session.
  virtual bool send_into_tunnel(TunnelId tunnel, Bytes inner_packet) = 0;

  // --- what the workers have to say --------------------------------------------------------------
  // Delivers up to `budget` punted packets; returns how many.
  virtual size_t poll_punts(size_t budget,
                            const std::function<void(const PuntedPacket&)>& deliver) = 0;
  // Collects raised events. Urgent ones (promoted, roamed, need-session, limits) are always
  // looked at; activity (received, sent) only with `activity`, as it touches every busy tunnel.
  virtual size_t poll_events(bool activity,
                             const std::function<void(const TunnelEvents&)>& deliver) = 0;
  // Ends grace periods that are over: wipes and frees what was removed.
  virtual void poll_reclaim() = 0;

  // --- counters ----------------------------------------------------------------------------------
  [[nodiscard]] virtual std::vector<WorkerCounters> worker_counters() const = 0;
  [[nodiscard]] virtual TunnelCounters tunnel_counters(TunnelId tunnel) const = 0;
  // All zero where there is no such SA (any more).
  [[nodiscard]] virtual SaCounters inbound_sa_counters(uint32_t index) const = 0;
  [[nodiscard]] virtual SaCounters outbound_sa_counters(SaHandle sa) const = 0;
  // Drops that the control plane decides on (its own reasons), so that one list shows them all.
  [[nodiscard]] virtual DropCounters control_drops() const = 0;
  virtual void count_drop(DropReason reason, uint64_t packets = 1) = 0;
};

}  // namespace penstock
