// The dataplane on DPDK: ports, workers and tables behind the contract of dataplane/api.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "dataplane/api/dataplane.h"
#include "dataplane/device/port_config.h"
#include "dataplane/pipeline/tables.h"
#include "dataplane/worker/eal.h"
#include "dataplane/worker/port.h"
#include "dataplane/worker/reclaim.h"
#include "dataplane/worker/worker.h"
#include "gateway/base/random.h"

namespace penstock {

struct DataplanePort {
  PortConfig device;
  PortRole role = PortRole::kInside;
  SourceCheck source_check = SourceCheck::kLoose;
  bool plain_forward = true;
};

struct DataplaneConfig {
  EalConfig eal;  // its worker lcores make the workers
  std::vector<DataplanePort> ports;
  bool sleep_when_idle = true;
  bool spread = true;  // idle workers cipher for busy ones
  uint16_t burst = 32;
  uint32_t max_tunnels = 1U << 16;
  uint32_t punt_queue_packets = 1024;  // per worker and class
  uint32_t inject_queue_packets = 4096;
  uint32_t icmp_errors_per_second = 200;  // per worker
  uint32_t pool_buffers = 0;              // 0: by formula
  uint32_t pool_cache = 256;              // per lcore
  uint32_t buffer_bytes = 0;              // room of a buffer; 0: from the largest MTU
  uint32_t max_routes = 1U << 18;         // of each family
  ReassemblyLimits reassembly;
};

// Everything but the counters is called on the control thread.
class DpdkDataplane final : public Dataplane {
 public:
  // Starts EAL (once per process), opens the ports and makes the tables; no packet moves yet. On
  // error nothing stays open and the sentence says what to change.
  static Result<std::unique_ptr<DpdkDataplane>> create(const DataplaneConfig& config,
                                                       RandomSource& random);
  ~DpdkDataplane() override;

  // Starts ports and workers: after routes, addresses and interfaces are set, so that no packet
  // meets half a configuration.
  Status start();
  // Stops workers, then ports. Idempotent.
  void stop();
  // Reads the link state of all ports; true where one changed.
  bool poll_links();

  std::vector<PortInfo> ports() const override;
  Status set_route(const IpPrefix& prefix, const NextHop& next_hop) override;
  void remove_route(const IpPrefix& prefix) override;
  std::vector<RouteInfo> routes() const override;
  Status set_neighbour(PortId port, const IpAddress& address, const MacAddress& mac) override;
  void remove_neighbour(PortId port, const IpAddress& address) override;
  std::optional<IpAddress> source_address_for(const IpAddress& remote) const override;
  Result<InterfaceId> add_interface(const InterfaceSpec& spec) override;
  Status update_interface(InterfaceId interface, const InterfaceSpec& spec) override;
  void remove_interface(InterfaceId interface) override;
  Status set_allowed_ip(InterfaceId interface, const IpPrefix& prefix, TunnelId tunnel) override;
  void remove_allowed_ip(InterfaceId interface, const IpPrefix& prefix) override;
  Result<PolicyId> add_policy(const PolicySpec& spec) override;
  void remove_policy(PolicyId policy) override;
  void listen_ike(bool listen) override;
  Result<TunnelId> add_tunnel(const TunnelSpec& spec) override;
  void remove_tunnel(TunnelId tunnel) override;
  void set_tunnel_endpoint(TunnelId tunnel, const Endpoint& remote, const IpAddress& local,
                           Encapsulation encapsulation) override;
  Status set_tunnel_selectors(TunnelId tunnel, std::span<const SelectorPair> selectors) override;
  Result<uint32_t> reserve_inbound_index() override;
  void release_inbound_index(uint32_t index) override;
  Status install_inbound_sa(const InboundSaSpec& spec) override;
  void remove_inbound_sa(uint32_t index) override;
  Result<SaHandle> install_outbound_sa(const OutboundSaSpec& spec) override;
  void set_current_outbound(TunnelId tunnel, SaHandle sa) override;
  SaHandle current_outbound(TunnelId tunnel) const override;
  void remove_outbound_sa(SaHandle sa) override;
  bool send_datagram(const Endpoint& local, const Endpoint& remote, Bytes payload,
                     uint8_t dscp) override;
  bool send_ip(Bytes packet) override;
  bool send_frame(PortId port, const MacAddress& destination, uint16_t ether_type,
                  Bytes payload) override;
  bool send_keepalive(TunnelId tunnel) override;
  bool send_into_tunnel(TunnelId tunnel, Bytes inner_packet) override;
  size_t poll_punts(size_t budget,
                    const std::function<void(const PuntedPacket&)>& deliver) override;
  size_t poll_events(bool activity,
                     const std::function<void(const TunnelEvents&)>& deliver) override;
  void poll_reclaim() override;
  std::vector<WorkerCounters> worker_counters() const override;
  TunnelCounters tunnel_counters(TunnelId tunnel) const override;
  SaCounters inbound_sa_counters(uint32_t index) const override;
  SaCounters outbound_sa_counters(SaHandle sa) const override;
  DropCounters control_drops() const override;
  void count_drop(DropReason reason, uint64_t packets) override;

 private:
  struct Interface {
    bool used = false;
    InterfaceSpec spec;
    std::unique_ptr<IpPrefixTrie> allowed_ips;  // WireGuard
    std::unique_ptr<PolicyTable> policies;      // ESP, from the first policy on
  };
  struct TunnelEndpoint {
    bool known = false;
    Endpoint remote;
    IpAddress local;  // unspecified: by route
    Encapsulation encapsulation = Encapsulation::kUdp;
  };

  DpdkDataplane(const DataplaneConfig& config, RandomSource& random);
  Result<rte_mempool*> pool_of(int node);
  Status open_ports();
  Status make_rings();
  Status make_tables();
  Status make_workers();
  [[nodiscard]] Defer deferrer();
  [[nodiscard]] IpAddress source_for(const IpAddress& remote) const;
  void write_header(TunnelId tunnel);
  void retire(Interface& interface);
  void retry_headers();
  rte_mbuf* make_buffer(Bytes content);
  bool inject(rte_mbuf* buffer);
  bool inject_ip(Bytes packet, RingMeta::Inject kind);
  bool send_fragments(Bytes packet, uint16_t mtu);
  bool inject_into_tunnel(TunnelId tunnel, Bytes inner, RingMeta::Inject kind);
  void deliver_punt(rte_mbuf* buffer, const std::function<void(const PuntedPacket&)>& deliver);
  [[nodiscard]] bool punt_is_current(const RingMeta& meta) const;

  const DataplaneConfig config_;
  RandomSource& random_;
  std::unique_ptr<Reclaimer> reclaimer_;
  std::unique_ptr<SharedTables> tables_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::unique_ptr<std::atomic_flag[]> transmit_locks_;
  std::map<int, rte_mempool*> pools_;  // by NUMA node
  uint16_t buffer_room_ = 0;           // of every pool
  rte_mempool* pool_ = nullptr;        // of the first port, for what the control plane makes
  std::vector<std::unique_ptr<Worker>> workers_;
  std::array<Interface, kMaxInterfaces + 1> interfaces_;  // the last is kPolicyInterface
  std::unordered_map<uint32_t, uint32_t> policies_;       // interface by policy
  uint32_t next_policy_ = 0;
  std::vector<TunnelEndpoint> endpoints_;  // by tunnel
  std::set<uint32_t> headerless_;          // tunnels with an endpoint that no route leads to yet
  DropCounters control_drops_{};
  ByteVector long_punt_;  // a punted packet of several buffers, while it is delivered
  bool running_ = false;
};

}  // namespace penstock
