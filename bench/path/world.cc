#include "bench/path/world.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ring.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "bench/path/addresses.h"
#include "dataplane/wire/ecn.h"
#include "dataplane/wire/esp.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kPoolBuffers = 10'240;
constexpr uint16_t kBufferRoom = 2176;
constexpr unsigned kRingRoom = 1024;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "bench: %s\n", what);
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result.ok()) fail(result.error().text.c_str());
  return std::move(result).value();
}
void must(Status status) {
  if (!status.ok()) fail(status.error().text.c_str());
}

size_t resident_bytes() {
  long pages = 0, resident = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r"); file != nullptr) {
    if (std::fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return static_cast<size_t>(resident) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// DPDK's names are of the process, in which there may be several worlds.
std::string unique_name(const char* what) {
  static unsigned number = 0;
  return what + std::to_string(number++);
}

}  // namespace

void start_environment() {
  const auto attempt = [](std::vector<std::string> arguments) {
    static std::vector<std::string> kept;
    kept = std::move(arguments);
    std::vector<char*> argv;
    for (std::string& text : kept) argv.push_back(text.data());
    return rte_eal_init(static_cast<int>(kept.size()), argv.data()) >= 0;
  };
  const std::vector<std::string> common = {
      "bench",    "--no-pci", "--no-telemetry",         "--iova-mode=va",
      "--lcores", "0@0",      "--log-level=lib.*:error"};
  const bool hugepages = std::getenv("PENSTOCK_BENCH_NO_HUGE") == nullptr;
  std::vector<std::string> arguments = common;
  if (hugepages) {
    arguments.emplace_back("--in-memory");
  } else {
    arguments.insert(arguments.end(), {"--no-huge", "-m", "256"});
  }
  if (!attempt(arguments)) fail("DPDK does not start (are 128 hugepages of 2 MiB reserved?)");
}

uint16_t Sink::transmit(uint16_t port, rte_mbuf** buffers, uint16_t count) {
  if (full[port]) return 0;
  if (into != nullptr) {
    void* const* items = reinterpret_cast<void**>(buffers);
    count = static_cast<uint16_t>(rte_ring_sp_enqueue_burst(into, items, count, nullptr));
  }
  frames[port] += count;
  return count;
}

World::World(const WorldOptions& options, Defer defer)
    : options_(options), defer_(std::move(defer)), tables_(std::make_unique<SharedTables>()) {
  const uint32_t room = options.peers + options.spare_peers;
  pool_ = rte_pktmbuf_pool_create(unique_name("pool").c_str(), kPoolBuffers, 0, kMbufPrivateBytes,
                                  kBufferRoom, SOCKET_ID_ANY);
  if (pool_ == nullptr) fail("no memory for buffers");
  tables_->worker_count = options.workers;
  tables_->port_count = 2;
  tables_->fib =
      must(Fib::create({{kOutsideMac, 1500}, {kInsideMac, 1500}}, size_t{1} << 28, defer_));
  tables_->tunnels = must(TunnelTables::create(room, random_));
  allowed_ = must(IpPrefixTrie::create(size_t{1} << 28, defer_));
  policies_ = std::make_unique<PolicyTable>(defer_);
  if (!is_esp()) {
    tables_->interfaces[0].allowed_ips = allowed_.get();
    tables_->interfaces[0].traffic_class_mask = kTrafficClassEcnOnly;
    tables_->listeners[Be16(kListenPort).raw()] = 1;
  } else {
    const uint32_t interface = options.route_based ? 0 : kPolicyInterface.value;
    tables_->interfaces[interface].policies = policies_.get();
    tables_->interfaces[interface].protocol = TunnelProtocol::kEsp;
    tables_->listeners[Be16(kIkePort).raw()] = kListenerIke;
    tables_->listeners[Be16(kIkeNatTraversalPort).raw()] = kListenerNatTraversal;
    tables_->accept_esp = true;
  }
  tables_->interfaces[0].mtu = 1420;
  set_ports();
  set_routes();
  random_.fill(peer_keys_.cipher_key.mutable_bytes());
  random_.fill(peer_keys_.auth_key.mutable_bytes());
  must(expand_key(options.algorithm, peer_keys_, peer_key_.bytes));
  peers_.resize(room);
  add_peers();
  for (uint16_t i = 0; i < options.workers; ++i) add_worker(i);
}

void World::add_peers() {
  const auto start = std::chrono::steady_clock::now();
  const size_t before = resident_bytes();
  for (uint32_t i = 0; i < options_.peers; ++i) add_peer(i);
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  microseconds_per_peer_ = took.count() / options_.peers;
  resident_bytes_per_peer_ = static_cast<double>(resident_bytes() - before) / options_.peers;
}

void World::add_worker(uint16_t number) {
  auto worker = std::make_unique<Worker>();
  const auto make_ring = [&](const char* name) {
    rte_ring* ring = rte_ring_create(unique_name(name).c_str(), kRingRoom, SOCKET_ID_ANY, 0);
    if (ring == nullptr) fail("no memory for rings");
    return worker->rings.emplace_back(ring);
  };
  WorkerRings& rings = tables_->rings[number];
  rings.punt.fill(make_ring("punt"));
  rings.inject = make_ring("inject");
  rings.hand_over = make_ring("hand_over");
  worker->engines = std::make_unique<AeadEngines>(must(AeadEngines::create()));
  worker->peer_engines = std::make_unique<AeadEngines>(must(AeadEngines::create()));
  PipelineConfig config;
  config.worker = number;
  config.pool = pool_;
  config.random = &random_;
  worker->pipeline = std::make_unique<Pipeline>(config, *tables_, *worker->engines, worker->sink);
  worker->pipeline->set_time(1);
  workers_.push_back(std::move(worker));
}

void World::set_ports() {
  const auto set_port = [this](uint16_t port, PortRole role, const MacAddress& mac, bool plain) {
    tables_->ports[port].role = role;
    tables_->ports[port].plain_forward = plain;
    std::memcpy(&tables_->ports[port].mac48, mac.bytes.data(), 6);
  };
  set_port(kOutsidePort, PortRole::kOutside, kOutsideMac, false);
  set_port(kInsidePort, PortRole::kInside, kInsideMac, true);
}

void World::set_routes() {
  Fib& fib = *tables_->fib;
  fib.set_interface_mtu(InterfaceId{0}, 1420);
  using Kind = NextHop::Kind;
  const auto route = [&fib](const char* prefix, const NextHop& next_hop) {
    must(fib.set_route(*IpPrefix::parse(prefix), next_hop));
  };
  const NextHop router{Kind::kGateway, PortId{0}, {}, *IpAddress::parse("198.51.100.254")};
  route("198.51.100.1/32", {Kind::kLocal, PortId{0}, {}, {}});
  route("198.51.100.0/24", {Kind::kConnected, PortId{0}, {}, {}});
  route("192.0.2.1/32", {Kind::kLocal, PortId{1}, {}, {}});
  route("192.0.2.0/24", {Kind::kConnected, PortId{1}, {}, {}});
  route("100.64.0.0/10", router);
  if (!is_esp() || options_.route_based) {
    route("10.0.0.0/8", {Kind::kTunnel, {}, InterfaceId{0}, {}});
  } else {
    route("0.0.0.0/0", router);  // what the policies take is not asked for its route
  }
  must(fib.set_neighbour(PortId{0}, *IpAddress::parse("198.51.100.254"), kRouterMac));
  for (uint32_t i = 0; i < kHosts; ++i) must(fib.set_neighbour(PortId{1}, host(i), kHostMac));
}

World::~World() {
  for (const auto& worker : workers_) {
    worker->pipeline.reset();
    for (rte_ring* ring : worker->rings) rte_ring_free(ring);
  }
  rte_mempool_free(pool_);
}

void World::add_peer(uint32_t number) {
  TunnelTables& tunnels = *tables_->tunnels;
  TunnelSpec spec;
  spec.protocol = options_.protocol;
  if (!is_esp() || options_.route_based) spec.interface = InterfaceId{0};
  const TunnelId tunnel = must(tunnels.add_tunnel(spec));
  peers_[number] = PeerKeys{};
  peers_[number].tunnel = tunnel;
  Endpoint local{*IpAddress::parse(kOurOutside), kListenPort};
  Endpoint remote = peer_endpoint(number);
  if (is_esp()) local.port = remote.port = kIkeNatTraversalPort;
  uint8_t header[kMaxOuterHeader];
  build_outer_header(local, remote, header,
                     !is_esp() || options_.in_udp ? Encapsulation::kUdp : Encapsulation::kNone);
  tunnels.set_header(tunnel, header);
  if (is_esp()) {
    PolicySpec policy;
    policy.selectors.local.first = *IpAddress::parse("192.0.2.0");
    policy.selectors.local.last = *IpAddress::parse("192.0.2.255");
    policy.selectors.remote.first = policy.selectors.remote.last = peer_inner(number);
    policy.tunnel = tunnel;
    must(tunnels.set_selectors(tunnel, {&policy.selectors, 1}, defer_));
    install_sas(number);
    must(policies_->add(PolicyId{number}, policy));
  } else {
    install_sas(number);
    must(allowed_->set(IpPrefix::host(peer_inner(number)), tunnel.value + 1));
  }
}

void World::install_sas(uint32_t number) {
  TunnelTables& tunnels = *tables_->tunnels;
  PeerKeys& peer = peers_[number];
  OutboundSaSpec out;
  out.tunnel = peer.tunnel;
  out.peer_index = 0x10000 + number;
  random_.fill(out.keys.cipher_key.mutable_bytes());
  random_.fill(out.keys.auth_key.mutable_bytes());
  out.algorithm = options_.algorithm;
  out.owner = owner_of(number);
  if (!is_esp()) {
    out.rekey_sequence = uint64_t{1} << 60;
    out.sequence_limit = UINT64_MAX - 8192;
  }
  peer.outbound = must(tunnels.install_outbound(out));
  InboundSaSpec in;
  in.tunnel = peer.tunnel;
  in.index = must(tunnels.reserve_inbound_index());
  in.algorithm = options_.algorithm;
  in.keys = peer_keys_;
  in.expected_source = peer_endpoint(number);
  if (is_esp()) in.expected_source.port = options_.in_udp ? kIkeNatTraversalPort : uint16_t{0};
  in.owner = owner_of(number);
  must(tunnels.install_inbound(in));
  peer.receiver_index = in.index;
  peer.next_counter = is_esp() ? 1 : 0;
  tunnels.set_current_outbound(peer.tunnel, peer.outbound);
}

void World::rekey_peer(uint32_t number) {
  const PeerKeys before = peers_[number];
  install_sas(number);
  tables_->tunnels->remove_outbound(before.outbound, defer_);
  tables_->tunnels->remove_inbound(before.receiver_index, defer_);
}

void World::remove_peer(uint32_t number) {
  if (is_esp()) {
    policies_->remove(PolicyId{number});
  } else {
    allowed_->remove(IpPrefix::host(peer_inner(number)));
  }
  tables_->tunnels->remove_tunnel(peers_[number].tunnel, defer_);
}

// Of all workers.
uint64_t World::drops() const {
  uint64_t sum = 0;
  for (const auto& worker : workers_) {
    const PipelineCounters& counters = worker->pipeline->counters();
    for (const Counter& counter : counters.drops) sum += counter.get();
    sum += counters.punts.get();
  }
  return sum;
}

void World::explain_drops() const {
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    uint64_t count = 0;
    for (const auto& worker : workers_) count += worker->pipeline->counters().drops[i].get();
    if (count > 0) {
      std::fprintf(stderr, "bench: dropped %llu: %s\n", static_cast<unsigned long long>(count),
                   std::string(kDropReasonTexts[i].text).c_str());
    }
  }
}

}  // namespace penstock::bench
