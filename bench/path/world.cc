#include "bench/path/world.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ring.h>

#include <cstdio>
#include <cstdlib>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ecn.h"
#include "dataplane/wire/esp.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/udp.h"
#include "dataplane/wire/wireguard.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kPoolBuffers = 10'240;
constexpr uint16_t kBufferRoom = 2176;
const MacAddress kOutsideMac{{2, 0, 0, 0, 0, 1}};
const MacAddress kInsideMac{{2, 0, 0, 0, 0, 2}};
const MacAddress kRouterMac{{2, 0, 0, 0, 0, 3}};
const MacAddress kHostMac{{2, 0, 0, 0, 0, 4}};

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

Ipv4Address peer_inner(uint32_t peer) { return Ipv4Address::from_host(0x0a000000U + 256 + peer); }
Endpoint peer_endpoint(uint32_t peer) {
  return {Ipv4Address::from_host(0x64400000U + peer), 51820};
}
constexpr const char* kOurOutside = "198.51.100.1";
constexpr const char* kHost = "192.0.2.10";

void write_ipv4(uint8_t* at, const Ipv4Address& source, const Ipv4Address& destination,
                uint16_t total, uint8_t protocol) {
  Ipv4Header ip{};
  ip.version_length = kIpv4PlainVersionLength;
  ip.total_length = Be16(total);
  ip.ttl = 64;
  ip.protocol = protocol;
  ip.source = source;
  ip.destination = destination;
  set_plain_header_checksum(ip);
  std::memcpy(at, &ip, sizeof ip);
}

uint8_t* frame_start(rte_mbuf* m, uint16_t bytes) {
  m->data_off = RTE_PKTMBUF_HEADROOM;
  m->data_len = bytes;
  m->pkt_len = bytes;
  m->nb_segs = 1;
  m->next = nullptr;
  return rte_pktmbuf_mtod(m, uint8_t*);
}

void write_ethernet(uint8_t* at, const MacAddress& destination) {
  EthernetHeader ethernet{};
  ethernet.destination = destination;
  ethernet.source = kRouterMac;
  ethernet.ether_type = Be16(kEtherTypeIpv4);
  std::memcpy(at, &ethernet, sizeof ethernet);
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

uint16_t Sink::transmit(uint16_t port, rte_mbuf**, uint16_t count) {
  frames[port] += count;
  return count;
}

World::World(const WorldOptions& options)
    : options_(options), tables_(std::make_unique<SharedTables>()) {
  const auto now = [](std::function<void()> fn) { fn(); };
  pool_ = rte_pktmbuf_pool_create("bench", kPoolBuffers, 0, kMbufPrivateBytes, kBufferRoom,
                                  SOCKET_ID_ANY);
  if (pool_ == nullptr) fail("no memory for buffers");
  tables_->worker_count = 1;
  tables_->port_count = 2;
  tables_->fib = must(Fib::create({{kOutsideMac, 1500}, {kInsideMac, 1500}}, size_t{1} << 28, now));
  tables_->tunnels = must(TunnelTables::create(options.peers, random_));
  allowed_ = must(IpPrefixTrie::create(size_t{1} << 28, now));
  policies_ = std::make_unique<PolicyTable>(now);
  if (options.protocol == TunnelProtocol::kWireguard) {
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

  if (options.protocol == TunnelProtocol::kEsp) {
    random_.fill(peer_keys_.cipher_key.mutable_bytes());
    random_.fill(peer_keys_.auth_key.mutable_bytes());
    must(expand_key(options.algorithm, peer_keys_, peer_key_.bytes));
  }
  for (uint32_t i = 0; i < options.peers; ++i) {
    if (options.protocol == TunnelProtocol::kWireguard) {
      add_wireguard_peer(i);
    } else {
      add_esp_peer(i);
    }
  }
  engines_ = std::make_unique<AeadEngines>(must(AeadEngines::create()));
  peer_engines_ = std::make_unique<AeadEngines>(must(AeadEngines::create()));
  PipelineConfig config;
  config.pool = pool_;
  config.random = &random_;
  pipeline_ = std::make_unique<Pipeline>(config, *tables_, *engines_, sink_);
  pipeline_->set_time(1);
}

void World::set_ports() {
  const auto set_port = [this](uint16_t port, PortRole role, const MacAddress& mac, bool plain) {
    tables_->ports[port].role = role;
    tables_->ports[port].plain_forward = plain;
    std::memcpy(&tables_->ports[port].mac48, mac.bytes.data(), 6);
  };
  set_port(kOutsidePort, PortRole::kOutside, kOutsideMac, false);
  set_port(kInsidePort, PortRole::kInside, kInsideMac, true);
  ring_ = rte_ring_create("bench", 256, SOCKET_ID_ANY, 0);
  tables_->rings[0].punt.fill(ring_);
  tables_->rings[0].inject = tables_->rings[0].hand_over = ring_;
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
  if (options_.protocol == TunnelProtocol::kWireguard || options_.route_based) {
    route("10.0.0.0/8", {Kind::kTunnel, {}, InterfaceId{0}, {}});
  } else {
    route("0.0.0.0/0", router);  // what the policies take is not asked for its route
  }
  must(fib.set_neighbour(PortId{0}, *IpAddress::parse("198.51.100.254"), kRouterMac));
  must(fib.set_neighbour(PortId{1}, *IpAddress::parse(kHost), kHostMac));
}

World::~World() {
  pipeline_.reset();
  rte_ring_free(ring_);
  rte_mempool_free(pool_);
}

void World::add_wireguard_peer(uint32_t number) {
  TunnelTables& tunnels = *tables_->tunnels;
  const TunnelId tunnel = must(tunnels.add_tunnel({InterfaceId{0}}));
  uint8_t header[kMaxOuterHeader];
  build_outer_header({*IpAddress::parse(kOurOutside), kListenPort}, peer_endpoint(number), header);
  tunnels.set_header(tunnel, header);
  OutboundSaSpec out;
  out.tunnel = tunnel;
  out.peer_index = number + 1;
  random_.fill(out.keys.cipher_key.mutable_bytes());
  out.rekey_sequence = uint64_t{1} << 60;
  out.sequence_limit = UINT64_MAX - 8192;
  const SaHandle handle = must(tunnels.install_outbound(out));
  tunnels.set_current_outbound(tunnel, handle);
  InboundSaSpec in;
  in.tunnel = tunnel;
  in.index = must(tunnels.reserve_inbound_index());
  random_.fill(in.keys.cipher_key.mutable_bytes());
  in.expected_source = peer_endpoint(number);
  in.owner = WorkerId{0};
  must(tunnels.install_inbound(in));
  must(allowed_->set(IpPrefix::host(peer_inner(number)), tunnel.value + 1));
  peers_.push_back({in.index, handle.slot, 0});
}

void World::add_esp_peer(uint32_t number) {
  TunnelTables& tunnels = *tables_->tunnels;
  TunnelSpec spec;
  if (options_.route_based) spec.interface = InterfaceId{0};
  spec.protocol = TunnelProtocol::kEsp;
  const TunnelId tunnel = must(tunnels.add_tunnel(spec));
  Endpoint remote = peer_endpoint(number);
  remote.port = kIkeNatTraversalPort;
  uint8_t header[kMaxOuterHeader];
  build_outer_header({*IpAddress::parse(kOurOutside), kIkeNatTraversalPort}, remote, header,
                     options_.in_udp ? Encapsulation::kUdp : Encapsulation::kNone);
  tunnels.set_header(tunnel, header);
  PolicySpec policy;
  policy.selectors.local.first = *IpAddress::parse("192.0.2.0");
  policy.selectors.local.last = *IpAddress::parse("192.0.2.255");
  policy.selectors.remote.first = policy.selectors.remote.last = peer_inner(number);
  policy.tunnel = tunnel;
  must(policies_->add(PolicyId{number}, policy));
  must(tunnels.set_selectors(tunnel, {&policy.selectors, 1},
                             [](const std::function<void()>& fn) { fn(); }));
  OutboundSaSpec out;
  out.tunnel = tunnel;
  out.peer_index = 0x10000 + number;
  out.algorithm = options_.algorithm;
  random_.fill(out.keys.cipher_key.mutable_bytes());
  random_.fill(out.keys.auth_key.mutable_bytes());
  out.owner = WorkerId{0};
  const SaHandle handle = must(tunnels.install_outbound(out));
  tunnels.set_current_outbound(tunnel, handle);
  InboundSaSpec in;
  in.tunnel = tunnel;
  in.index = must(tunnels.reserve_inbound_index());
  in.algorithm = options_.algorithm;
  in.keys = peer_keys_;
  in.expected_source = options_.in_udp ? remote : Endpoint{remote.address, 0};
  in.owner = WorkerId{0};
  must(tunnels.install_inbound(in));
  peers_.push_back({in.index, handle.slot, 1});
}

uint64_t World::drops() const {
  uint64_t sum = 0;
  for (const Counter& counter : pipeline_->counters().drops) sum += counter.get();
  return sum + pipeline_->counters().punts.get();
}

void World::explain_drops() const {
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    const uint64_t count = pipeline_->counters().drops[i].get();
    if (count > 0) {
      std::fprintf(stderr, "bench: dropped %llu: %s\n", static_cast<unsigned long long>(count),
                   std::string(kDropReasonTexts[i].text).c_str());
    }
  }
}

void write_clear_frame(World&, Item& item) {
  uint8_t* at =
      frame_start(item.mbuf, static_cast<uint16_t>(item.inner_bytes + sizeof(EthernetHeader)));
  write_ethernet(at, kInsideMac);
  write_ipv4(at + sizeof(EthernetHeader), *Ipv4Address::parse(kHost), peer_inner(item.peer),
             item.inner_bytes, kProtocolUdp);
}

namespace {

void write_outer(const World& world, const Item& item, uint8_t* at, uint16_t message) {
  const WorldOptions& options = world.options();
  const bool wireguard = options.protocol == TunnelProtocol::kWireguard;
  const bool in_udp = wireguard || options.in_udp;
  const Endpoint from = peer_endpoint(item.peer);
  const auto udp_bytes = static_cast<uint16_t>(message + sizeof(UdpHeader));
  const auto total = static_cast<uint16_t>((in_udp ? udp_bytes : message) + sizeof(Ipv4Header));
  write_ethernet(at, kOutsideMac);
  write_ipv4(at + sizeof(EthernetHeader), from.address.v4(), *Ipv4Address::parse(kOurOutside),
             total, in_udp ? kProtocolUdp : kProtocolEsp);
  if (!in_udp) return;
  UdpHeader udp{};
  udp.source_port = Be16(wireguard ? from.port : kIkeNatTraversalPort);
  udp.destination_port = Be16(wireguard ? kListenPort : kIkeNatTraversalPort);
  udp.length = Be16(udp_bytes);
  std::memcpy(at + sizeof(EthernetHeader) + sizeof(Ipv4Header), &udp, sizeof udp);
}

void write_wireguard_header(PeerKeys& peer, uint8_t* at) {
  WireguardDataHeader header{};
  header.type = kWireguardData;
  header.receiver = Le32(peer.receiver_index);
  header.counter = Le64(peer.next_counter++);
  std::memcpy(at, &header, sizeof header);
}

// Header, IV and trailer; the explicit IV of an AEAD is the sequence number.
void write_esp_header(PeerKeys& peer, const Item& item, const WorldOptions& options, uint8_t* at) {
  const uint64_t sequence = peer.next_counter++;
  const EspHeader header{Be32(peer.receiver_index), Be32(static_cast<uint32_t>(sequence))};
  std::memcpy(at, &header, sizeof header);
  std::memset(at + sizeof header, 0, iv_bytes(options));
  store_unaligned(at + sizeof header, Be64(sequence));
  uint8_t* end = at + sizeof header + iv_bytes(options) + payload_bytes(options, item);
  const uint32_t padding = payload_bytes(options, item) - item.inner_bytes - 2;
  for (uint32_t i = 0; i < padding; ++i)
    end[-2 - static_cast<int>(padding) + static_cast<int>(i)] = static_cast<uint8_t>(i + 1);
  end[-2] = static_cast<uint8_t>(padding);
  end[-1] = kProtocolIpv4;
}

}  // namespace

void write_tunnel_frame(World& world, Item& item) {
  const WorldOptions& options = world.options();
  PeerKeys& peer = world.peers()[item.peer];
  const bool wireguard = options.protocol == TunnelProtocol::kWireguard;
  const size_t before = payload_offset(options, true);
  const size_t header =
      wireguard ? sizeof(WireguardDataHeader) : sizeof(EspHeader) + iv_bytes(options);
  const auto message = static_cast<uint16_t>(header + payload_bytes(options, item) + kAeadTagBytes);
  uint8_t* at = frame_start(item.mbuf, static_cast<uint16_t>(before - header + message));
  write_outer(world, item, at, message);
  write_ipv4(at + before, peer_inner(item.peer), *Ipv4Address::parse(kHost), item.inner_bytes,
             kProtocolUdp);
  if (wireguard) {
    write_wireguard_header(peer, at + before - header);
  } else {
    write_esp_header(peer, item, options, at + before - header);
  }
}

void seal_frames(World& world, std::vector<Item>& items) {
  const WorldOptions& options = world.options();
  const bool wireguard = options.protocol == TunnelProtocol::kWireguard;
  AeadJob jobs[kBurst];
  for (size_t first = 0; first < items.size(); first += kBurst) {
    const size_t count = std::min<size_t>(kBurst, items.size() - first);
    for (size_t i = 0; i < count; ++i) {
      const Item& item = items[first + i];
      AeadJob& job = jobs[i];
      job = AeadJob{};
      job.data = rte_pktmbuf_mtod_offset(item.mbuf, uint8_t*, payload_offset(options, true));
      job.length = payload_bytes(options, item);
      job.tag = job.data + job.length;
      std::memcpy(job.nonce + 4, job.data - 8, 8);  // behind a salt of zeros
      if (wireguard) {
        job.key =
            world.tables().tunnels->inbound_slot_of(world.peers()[item.peer].receiver_index).key;
      } else {
        job.key = world.peer_key();
        job.aad = job.data - iv_bytes(options) - sizeof(EspHeader);
        job.aad_length = static_cast<uint32_t>(sizeof(EspHeader) +
                                               (is_cbc(options.algorithm) ? iv_bytes(options) : 0));
      }
    }
    world.peer_engine().seal({jobs, count});
  }
}

uint32_t iv_bytes(const WorldOptions& options) {
  return options.protocol == TunnelProtocol::kEsp ? esp_shape_of(options.algorithm).iv_bytes : 0;
}

size_t payload_offset(const WorldOptions& options, bool inbound) {
  if (!inbound) return sizeof(EthernetHeader);
  const size_t outer = sizeof(EthernetHeader) + sizeof(Ipv4Header);
  if (options.protocol == TunnelProtocol::kWireguard) {
    return outer + sizeof(UdpHeader) + sizeof(WireguardDataHeader);
  }
  return outer + (options.in_udp ? sizeof(UdpHeader) : 0) + sizeof(EspHeader) + iv_bytes(options);
}

uint32_t payload_bytes(const WorldOptions& options, const Item& item) {
  if (options.protocol == TunnelProtocol::kWireguard) return (item.inner_bytes + 15U) & ~15U;
  const uint32_t mask = esp_shape_of(options.algorithm).alignment - 1U;
  return (item.inner_bytes + 2U + mask) & ~mask;
}

}  // namespace penstock::bench
