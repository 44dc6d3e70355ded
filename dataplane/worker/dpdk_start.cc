// Bringing the dataplane up and down: memory, ports, rings, workers.
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/prctl.h>

#include <algorithm>
#include <bit>

#include "dataplane/worker/dpdk_dataplane.h"
#include "gateway/base/log.h"

namespace penstock {
namespace {

constexpr uint32_t kHandOverPackets = 1024;
constexpr uint32_t kTailRoomBytes = 96;  // padding and tag, twice, and slack for the cipher
constexpr uint32_t kVlanBytes = 4;
constexpr size_t kTrieCapacityBytes = size_t{1} << 30;  // of address space

uint16_t worker_count(const DataplaneConfig& config) {
  return static_cast<uint16_t>(config.eal.worker_cpus.size());
}

uint16_t largest_mtu(const DataplaneConfig& config) {
  uint16_t mtu = 1500;
  for (const DataplanePort& port : config.ports) mtu = std::max(mtu, port.device.mtu);
  return mtu;
}

// Room of a buffer: DPDK's head room holds the headers of a tunnel in front of the packet. Some
// drivers want more room for a frame than the MTU says.
uint16_t buffer_room(const DataplaneConfig& config, uint32_t largest_frame_room) {
  const uint32_t frame = RTE_ETHER_HDR_LEN + kVlanBytes + largest_mtu(config);
  const uint32_t room = RTE_PKTMBUF_HEADROOM + std::max(frame, largest_frame_room) + kTailRoomBytes;
  const uint32_t rounded = (std::max(room, config.buffer_bytes) + 63) & ~63U;
  return static_cast<uint16_t>(std::clamp<uint32_t>(rounded, RTE_MBUF_DEFAULT_BUF_SIZE, 65'472));
}

// Every place where a packet can be at the same time.
uint32_t buffers_needed(const DataplaneConfig& config) {
  if (config.pool_buffers != 0) return config.pool_buffers;
  const uint16_t workers = worker_count(config);
  uint32_t buffers = 0;
  for (const DataplanePort& port : config.ports) {
    const uint32_t rx = port.device.rx_queues != 0 ? port.device.rx_queues : workers;
    const uint32_t tx = port.device.tx_queues != 0 ? port.device.tx_queues : workers;
    buffers += rx * port.device.rx_descriptors + tx * port.device.tx_descriptors;
    buffers += workers * 256;  // that wait for the transmit queue
  }
  buffers += workers * (config.punt_queue_packets * static_cast<uint32_t>(kPuntClasses) +
                        kHandOverPackets + kMaxVector * 6);
  if (config.spread && workers > 1) {
    buffers += workers * static_cast<uint32_t>(most_batches_in_flight(workers) * kBatchPackets);
  }
  buffers += config.inject_queue_packets;
  buffers += (workers + 1) * config.pool_cache * 2;
  return buffers;
}

Result<rte_ring*> make_ring(const std::string& name, uint32_t packets, unsigned flags) {
  rte_ring* ring = rte_ring_create(name.c_str(), std::bit_ceil(packets), SOCKET_ID_ANY, flags);
  if (ring == nullptr) return errorf("no memory for queue %s", name.c_str());
  return ring;
}

void drain(rte_ring* ring) {
  void* item = nullptr;
  while (ring != nullptr && rte_ring_dequeue(ring, &item) == 0) {
    rte_pktmbuf_free(static_cast<rte_mbuf*>(item));
  }
}

int run_worker(void* worker) {
  // Sleeps of microseconds shall not be rounded up to the default slack of 50.
  (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  static_cast<Worker*>(worker)->run();
  return 0;
}

}  // namespace

DpdkDataplane::DpdkDataplane(const DataplaneConfig& config, RandomSource& random)
    : config_(config), random_(random), tables_(std::make_unique<SharedTables>()) {}

Result<std::unique_ptr<DpdkDataplane>> DpdkDataplane::create(const DataplaneConfig& config,
                                                             RandomSource& random) {
  if (config.ports.size() > kMaxPorts) return errorf("more than %zu ports", kMaxPorts);
  if (worker_count(config) > std::tuple_size_v<decltype(SharedTables::rings)>) {
    return errorf("more than 64 workers");
  }
  DataplaneConfig complete = config;
  uint32_t largest_frame_room = 0;
  for (size_t i = 0; i < config.ports.size(); ++i) {
    PENSTOCK_TRY(const DeviceName device,
                 parse_device(config.ports[i].device, static_cast<unsigned>(i), 1));
    if (device.pci) complete.eal.pci_devices.push_back(device.devargs());
    largest_frame_room = std::max(largest_frame_room, device.frame_room_bytes);
  }
  const uint16_t room = buffer_room(config, largest_frame_room);
  // Buffers, plus what DPDK itself and the queues take.
  complete.eal.needed_mb =
      static_cast<uint32_t>((uint64_t{buffers_needed(config)} * (room + 320) >> 20) + 64);
  PENSTOCK_CHECK(start_eal(complete.eal));
  std::unique_ptr<DpdkDataplane> dataplane(new DpdkDataplane(complete, random));
  dataplane->buffer_room_ = room;
  PENSTOCK_CHECK(dataplane->open_ports());
  PENSTOCK_CHECK(dataplane->make_tables());
  PENSTOCK_CHECK(dataplane->make_rings());
  PENSTOCK_CHECK(dataplane->make_workers());
  return dataplane;
}

DpdkDataplane::~DpdkDataplane() {
  stop();
  workers_.clear();
  for (WorkerRings& rings : tables_->rings) {
    for (rte_ring* ring : rings.punt) drain(ring);
    drain(rings.inject);
    drain(rings.hand_over);
    for (rte_ring* ring : rings.punt) rte_ring_free(ring);
    rte_ring_free(rings.inject);
    rte_ring_free(rings.hand_over);
  }
  if (reclaimer_ != nullptr) reclaimer_->drain();  // wipes what was removed
  interfaces_ = {};
  if (reclaimer_ != nullptr) reclaimer_->drain();
  ports_.clear();
}

// The pool of a NUMA node, made at its first port. Each could hold the packets of all ports.
Result<rte_mempool*> DpdkDataplane::pool_of(int node) {
  const auto found = pools_.find(node);
  if (found != pools_.end()) return found->second;
  const std::string name = "packets" + std::to_string(node);
  rte_mempool* pool =
      rte_pktmbuf_pool_create(name.c_str(), buffers_needed(config_), config_.pool_cache,
                              kMbufPrivateBytes, buffer_room_, node);
  if (pool == nullptr) {
    return errorf(
        "no memory for %u packet buffers of %u bytes on NUMA node %d: reserve more hugepages "
        "there, "
        "or set pool.buffers",
        buffers_needed(config_), buffer_room_, node);
  }
  pools_[node] = pool;
  if (pool_ == nullptr) pool_ = pool;
  return pool;
}

Status DpdkDataplane::open_ports() {
  const uint16_t workers = worker_count(config_);
  for (size_t i = 0; i < config_.ports.size(); ++i) {
    PENSTOCK_TRY(auto port, Port::open(config_.ports[i].device, static_cast<unsigned>(i), workers));
    for (const auto& other : ports_) {
      if (other->dpdk_port() == port->dpdk_port()) {
        return errorf("port %s: device %s is the one of port %s", port->config().name.c_str(),
                      port->config().device.c_str(), other->config().name.c_str());
      }
    }
    PENSTOCK_TRY(rte_mempool * pool, pool_of(port->numa_node()));
    PENSTOCK_CHECK(port->configure(pool));
    ports_.push_back(std::move(port));
  }
  return {};
}

Status DpdkDataplane::make_tables() {
  tables_->worker_count = worker_count(config_);
  if (config_.spread && tables_->worker_count > 1) {
    tables_->lending = std::make_unique<LendingBoard>(tables_->worker_count);
  }
  tables_->port_count = static_cast<uint16_t>(ports_.size());
  PENSTOCK_TRY(reclaimer_, Reclaimer::create(tables_->worker_count));
  std::vector<FibPort> fib_ports;
  for (size_t i = 0; i < ports_.size(); ++i) {
    fib_ports.push_back({ports_[i]->mac(), ports_[i]->mtu()});
    PortRuntime& runtime = tables_->ports[i];
    runtime.role = config_.ports[i].role;
    runtime.source_check = config_.ports[i].source_check;
    runtime.plain_forward = config_.ports[i].plain_forward;
    runtime.transmit_udp_checksum = ports_[i]->transmit_udp_checksum();
    runtime.mtu = ports_[i]->mtu();
    std::memcpy(&runtime.mac48, ports_[i]->mac().bytes.data(), 6);
  }
  PENSTOCK_TRY(tables_->fib, Fib::create(std::move(fib_ports), kTrieCapacityBytes, deferrer()));
  PENSTOCK_TRY(tables_->tunnels, TunnelTables::create(config_.max_tunnels, random_));
  if (!tables_->tunnels->locked()) {
    log_warning("key tables could not be locked in memory (RLIMIT_MEMLOCK)");
  }
  endpoints_.resize(tables_->tunnels->max_tunnels());
  return {};
}

Status DpdkDataplane::make_rings() {
  for (uint16_t worker = 0; worker < tables_->worker_count; ++worker) {
    WorkerRings& rings = tables_->rings[worker];
    const std::string suffix = std::to_string(worker);
    for (size_t kind = 0; kind < kPuntClasses; ++kind) {
      PENSTOCK_TRY(rings.punt[kind],
                   make_ring("punt" + suffix + "_" + std::to_string(kind),
                             config_.punt_queue_packets, RING_F_SP_ENQ | RING_F_SC_DEQ));
    }
    PENSTOCK_TRY(rings.inject, make_ring("inject" + suffix, config_.inject_queue_packets,
                                         RING_F_SP_ENQ | RING_F_SC_DEQ));
    PENSTOCK_TRY(rings.hand_over, make_ring("hand" + suffix, kHandOverPackets, RING_F_SC_DEQ));
  }
  return {};
}

Status DpdkDataplane::make_workers() {
  const uint16_t count = tables_->worker_count;
  transmit_locks_ = std::make_unique<std::atomic_flag[]>(ports_.size() * count);
  for (uint16_t id = 0; id < count; ++id) {
    std::vector<WorkerPort> ports;
    for (size_t i = 0; i < ports_.size(); ++i) {
      WorkerPort port;
      port.port = static_cast<uint16_t>(i);
      port.dpdk_port = ports_[i]->dpdk_port();
      for (uint16_t queue = id; queue < ports_[i]->rx_queues(); queue += count) {
        port.rx_queues.push_back(queue);
      }
      port.tx_queue = id % ports_[i]->tx_queues();
      if (ports_[i]->tx_queues() < count) {
        port.tx_lock = &transmit_locks_[i * count + port.tx_queue];
      }
      ports.push_back(std::move(port));
    }
    PENSTOCK_TRY(auto engines, AeadEngines::create());
    if (id == 0) {
      log_info("cipher engine: %s",
               engines.of(SaAlgorithm::kChacha20Poly1305).description().c_str());
    }
    PipelineConfig pipeline;
    pipeline.worker = id;
    pipeline.pool = pool_;
    pipeline.icmp_errors_per_second = config_.icmp_errors_per_second;
    pipeline.hash_seed = random_.u64();
    pipeline.reassembly = config_.reassembly;
    pipeline.random = &random_;
    const WorkerOptions options{id, id + 1U, std::min<uint16_t>(config_.burst, kMaxVector),
                                config_.sleep_when_idle};
    workers_.push_back(std::make_unique<Worker>(options, std::move(ports), pipeline, *tables_,
                                                std::move(engines), *reclaimer_));
  }
  return {};
}

Status DpdkDataplane::start() {
  for (const auto& port : ports_) PENSTOCK_CHECK(port->start());
  (void)poll_links();
  for (const auto& worker : workers_) {
    const unsigned lcore = worker->options().lcore;
    if (rte_eal_remote_launch(run_worker, worker.get(), lcore) != 0) {
      return errorf("worker %u does not start on lcore %u", worker->options().id, lcore);
    }
  }
  running_ = true;
  return {};
}

void DpdkDataplane::stop() {
  if (running_) {
    for (const auto& worker : workers_) worker->stop();
    for (const auto& worker : workers_) rte_eal_wait_lcore(worker->options().lcore);
  }
  running_ = false;
  for (const auto& port : ports_) port->stop();
}

bool DpdkDataplane::poll_links() {
  bool changed = false;
  for (size_t i = 0; i < ports_.size(); ++i) {
    const bool up = ports_[i]->link().link_status == RTE_ETH_LINK_UP;
    changed |= tables_->ports[i].link_up.exchange(up, std::memory_order_relaxed) != up;
  }
  return changed;
}

std::vector<PortInfo> DpdkDataplane::ports() const {
  std::vector<PortInfo> list;
  for (size_t i = 0; i < ports_.size(); ++i) {
    PortInfo info;
    info.id = PortId{static_cast<uint32_t>(i)};
    info.role = config_.ports[i].role;
    ports_[i]->describe(info);
    // As the workers know it: whoever acts on a link that is up may send at once.
    info.link_up = tables_->ports[i].link_up.load(std::memory_order_relaxed);
    list.push_back(std::move(info));
  }
  return list;
}

}  // namespace penstock
