#include "tests/unit/pipeline/gateway.h"

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_ring.h>

#include <string>

#include "dataplane/wire/ecn.h"

namespace penstock::test {
namespace {

constexpr uint32_t kBuffers = 1023;

template <class T>
T must(Result<T> result) {
  if (!result.ok()) ADD_FAILURE() << result.error().text;
  return std::move(result).value();
}
void must(const Status& status) {
  if (!status.ok()) ADD_FAILURE() << status.error().text;
}

}  // namespace

void start_environment() {
  static const bool started = [] {
    std::vector<std::string> arguments = {"test",
                                          "--no-huge",
                                          "-m",
                                          "128",
                                          "--no-pci",
                                          "--no-telemetry",
                                          "--iova-mode=va",
                                          "--no-shconf",
                                          "--lcores",
                                          "0@0",
                                          "--log-level=lib.*:error"};
    std::vector<char*> argv;
    for (std::string& text : arguments) argv.push_back(text.data());
    return rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0;
  }();
  if (!started) {
    std::fprintf(stderr, "DPDK does not start\n");
    std::abort();
  }
}

void append(rte_mbuf* m, Bytes bytes) {
  char* room = rte_pktmbuf_append(m, static_cast<uint16_t>(bytes.size()));
  if (room == nullptr) std::abort();
  if (!bytes.empty()) std::memcpy(room, bytes.data(), bytes.size());
}

uint16_t Sink::transmit(uint16_t port, rte_mbuf** mbufs, uint16_t count) {
  const auto taken = static_cast<uint16_t>(std::min<size_t>(count, room));
  for (uint16_t i = 0; i < taken; ++i) {
    const rte_mbuf* m = mbufs[i];
    EXPECT_EQ(m->nb_segs, 1);
    EXPECT_EQ(m->pkt_len, m->data_len);
    const auto* data = rte_pktmbuf_mtod(m, const uint8_t*);
    frames.push_back({port, ByteVector(data, data + m->data_len), m->ol_flags});
    rte_pktmbuf_free(mbufs[i]);
  }
  return taken;
}

FaultyEngine::FaultyEngine(SaAlgorithm algorithm)
    : engine_(must(make_ipsec_mb_engine(algorithm))) {}

void FaultyEngine::open(std::span<AeadJob> jobs) {
  if (before_burst) before_burst();
  engine_->open(jobs);
}

void FaultyEngine::seal(std::span<AeadJob> jobs) {
  if (before_burst) before_burst();
  engine_->seal(jobs);
  if (failing_seal < jobs.size()) jobs[failing_seal].ok = false;
}

Gateway::Gateway(const GatewayOptions& options)
    : options_(options), tables_(std::make_unique<SharedTables>()), sinks_(options.workers) {
  start_environment();
  buffers_ = options.buffer_room > 4096 ? 255 : kBuffers;
  pool_ = rte_pktmbuf_pool_create("test", buffers_, 0, kMbufPrivateBytes, options.buffer_room,
                                  SOCKET_ID_ANY);
  if (pool_ == nullptr) std::abort();
  tables_->worker_count = options.workers;
  if (options.lending) tables_->lending = std::make_unique<LendingBoard>(options.workers);
  tables_->port_count = 2;
  tables_->fib = must(Fib::create({{kOutsideMac, options.mtu}, {kInsideMac, options.mtu}},
                                  size_t{1} << 26, defer()));
  tables_->tunnels = must(TunnelTables::create(options.tunnels, random_));
  allowed_ = must(IpPrefixTrie::create(size_t{1} << 26, defer()));
  tables_->interfaces[0].allowed_ips = allowed_.get();
  tables_->interfaces[0].mtu = static_cast<uint16_t>(options.mtu - 80);
  tables_->interfaces[0].traffic_class_mask = kTrafficClassEcnOnly;
  tables_->listeners[Be16(kListenPort).raw()] = 1;
  const auto set_port = [this](uint16_t port, PortRole role, const MacAddress& mac, bool plain) {
    PortRuntime& runtime = tables_->ports[port];
    runtime.role = role;
    runtime.plain_forward = plain;
    runtime.mtu = options_.mtu;
    std::memcpy(&runtime.mac48, mac.bytes.data(), 6);
  };
  set_port(kOutside, PortRole::kOutside, kOutsideMac, false);
  set_port(kInside, PortRole::kInside, kInsideMac, true);
  make_rings();
  make_routes();
  for (uint16_t worker = 0; worker < options.workers; ++worker) {
    AeadEngines::All engines;
    for (size_t i = 0; i < kSaAlgorithmCount; ++i) {
      engines[i] = std::make_unique<FaultyEngine>(static_cast<SaAlgorithm>(i));
    }
    engines_.push_back(std::make_unique<AeadEngines>(std::move(engines)));
    PipelineConfig config;
    config.worker = worker;
    config.pool = pool_;
    config.icmp_errors_per_second = options.icmp_errors_per_second;
    config.hash_seed = random_.u64();
    config.reassembly = options.reassembly;
    config.random = &random_;
    pipelines_.push_back(
        std::make_unique<Pipeline>(config, *tables_, *engines_[worker], sinks_[worker]));
  }
  set_time(now_ns_);
}

void Gateway::make_rings() {
  for (uint16_t worker = 0; worker < options_.workers; ++worker) {
    WorkerRings& rings = tables_->rings[worker];
    const auto make = [&](const std::string& name, unsigned flags) {
      return rte_ring_create((name + std::to_string(worker)).c_str(), options_.ring_size,
                             SOCKET_ID_ANY, flags);
    };
    for (size_t i = 0; i < kPuntClasses; ++i) {
      rings.punt[i] = make("punt" + std::to_string(i) + "_", RING_F_SP_ENQ | RING_F_SC_DEQ);
    }
    rings.hand_over = make("hand", RING_F_SC_DEQ);
    rings.inject = make("inject", RING_F_SP_ENQ | RING_F_SC_DEQ);
  }
}

void Gateway::make_routes() {
  using Kind = NextHop::Kind;
  fib().set_interface_mtu(InterfaceId{0}, static_cast<uint16_t>(options_.mtu - 80));
  route("198.51.100.1/32", {Kind::kLocal, PortId{0}, {}, {}});
  route("2001:db8:51::1/128", {Kind::kLocal, PortId{0}, {}, {}});
  route("192.0.2.1/32", {Kind::kLocal, PortId{1}, {}, {}});
  route("2001:db8:2::1/128", {Kind::kLocal, PortId{1}, {}, {}});
  route("10.0.0.1/32", {Kind::kLocal, {}, InterfaceId{0}, {}});
  route("fd00::1/128", {Kind::kLocal, {}, InterfaceId{0}, {}});
  route("198.51.100.0/24", {Kind::kConnected, PortId{0}, {}, {}});
  route("2001:db8:51::/64", {Kind::kConnected, PortId{0}, {}, {}});
  route("192.0.2.0/24", {Kind::kConnected, PortId{1}, {}, {}});
  route("2001:db8:2::/64", {Kind::kConnected, PortId{1}, {}, {}});
  route("100.64.0.0/16", {Kind::kGateway, PortId{0}, {}, ip("198.51.100.254")});
  route("2001:db8:64::/48", {Kind::kGateway, PortId{0}, {}, ip("2001:db8:51::fe")});
  route("10.0.0.0/8", {Kind::kTunnel, {}, InterfaceId{0}, {}});
  route("fd00::/16", {Kind::kTunnel, {}, InterfaceId{0}, {}});
  must(fib().set_neighbour(PortId{0}, ip("198.51.100.254"), kRouterMac));
  must(fib().set_neighbour(PortId{0}, ip("2001:db8:51::fe"), kRouterMac));
  must(fib().set_neighbour(PortId{1}, ip("192.0.2.10"), kHostMac));
  must(fib().set_neighbour(PortId{1}, ip("2001:db8:2::10"), kHostMac));
}

// Whatever a test did, every buffer is back in the pool at the end.
Gateway::~Gateway() {
  pipelines_.clear();
  for (WorkerRings& rings : tables_->rings) {
    std::vector<rte_ring*> all(rings.punt.begin(), rings.punt.end());
    all.push_back(rings.hand_over);
    all.push_back(rings.inject);
    for (rte_ring* ring : all) {
      void* item = nullptr;
      while (ring != nullptr && rte_ring_dequeue(ring, &item) == 0) {
        rte_pktmbuf_free(static_cast<rte_mbuf*>(item));
      }
      rte_ring_free(ring);
    }
  }
  EXPECT_EQ(buffers_missing(), 0U) << "buffers were lost";
  while (!deferred_.empty()) grace();
  rte_mempool_free(pool_);
}

size_t Gateway::buffers_missing() const { return buffers_ - rte_mempool_avail_count(pool_); }

Defer Gateway::defer() {
  if (options_.defer) return options_.defer;
  return [this](std::function<void()> fn) { deferred_.push_back(std::move(fn)); };
}

void Gateway::grace() {
  auto due = std::exchange(deferred_, {});
  for (auto& fn : due) fn();
}

Peer Gateway::add_peer(bool over_v6, const SaOptions& options) {
  Peer peer;
  const uint32_t number = peers_++ % 250 + 1;
  peer.tunnel = must(tunnels().add_tunnel({InterfaceId{0}}));
  peer.inner4 = Ipv4Address::from_host(0x0a000100 + number);
  Ipv6Address inner6 = ip("fd00::1:0").v6();
  inner6.bytes[15] = static_cast<uint8_t>(number);
  peer.inner6 = inner6;
  Ipv6Address outer6 = ip("2001:db8:64::").v6();
  outer6.bytes[15] = static_cast<uint8_t>(number);
  peer.endpoint.port = 40'000;
  if (over_v6) {
    peer.endpoint.address = outer6;
  } else {
    peer.endpoint.address = Ipv4Address::from_host(0x64400000 + number);
  }
  uint8_t header[kMaxOuterHeader];
  const Endpoint ours{ip(over_v6 ? "2001:db8:51::1" : "198.51.100.1"), kListenPort};
  EXPECT_TRUE(build_outer_header(ours, peer.endpoint, header));
  tunnels().set_header(peer.tunnel, header);
  must(allowed_->set(IpPrefix::host(peer.inner4), peer.tunnel.value + 1));
  must(allowed_->set(IpPrefix::host(peer.inner6), peer.tunnel.value + 1));
  add_session(peer, options);
  return peer;
}

void Gateway::add_session(Peer& peer, const SaOptions& options) {
  random_.fill(peer.to_us.mutable_bytes());
  random_.fill(peer.from_us.mutable_bytes());
  peer.peer_index = random_.u32();
  peer.counter = 0;
  OutboundSaSpec out;
  out.tunnel = peer.tunnel;
  out.peer_index = peer.peer_index;
  out.keys.cipher_key = peer.from_us;
  out.expires_at_ns = options.expires_at_ns;
  out.first_sequence = options.first_sequence;
  out.rekey_sequence = options.rekey_sequence;
  out.sequence_limit = options.sequence_limit;
  peer.outbound = must(tunnels().install_outbound(out));
  if (options.current) tunnels().set_current_outbound(peer.tunnel, peer.outbound);
  InboundSaSpec in;
  in.tunnel = peer.tunnel;
  in.index = peer.index = must(tunnels().reserve_inbound_index());
  in.keys.cipher_key = peer.to_us;
  in.expires_at_ns = options.expires_at_ns;
  if (!options.current) in.promotes = peer.outbound;
  in.expected_source = peer.endpoint;
  in.owner = WorkerId{options.owner};
  must(tunnels().install_inbound(in));
}

void Gateway::remove_session(const Peer& peer) {
  tunnels().remove_inbound(peer.index, defer());
  tunnels().remove_outbound(peer.outbound, defer());
}

rte_mbuf* Gateway::buffer_with(Bytes bytes) {
  rte_mbuf* m = rte_pktmbuf_alloc(pool_);
  if (m == nullptr) std::abort();
  append(m, bytes);
  return m;
}

void Gateway::receive(uint16_t port, const std::vector<ByteVector>& frames, uint16_t worker) {
  for (size_t at = 0; at < frames.size(); at += kMaxVector) {
    rte_mbuf* mbufs[kMaxVector];
    uint16_t count = 0;
    for (size_t i = at; i < frames.size() && count < kMaxVector; ++i) {
      mbufs[count++] = buffer_with(frames[i]);
    }
    pipelines_[worker]->receive(port, mbufs, count);
    pipelines_[worker]->finish_turn();
  }
}

void Gateway::receive_split(uint16_t port, const ByteVector& frame, size_t first_bytes) {
  rte_mbuf* head = buffer_with(Bytes(frame).first(first_bytes));
  EXPECT_EQ(rte_pktmbuf_chain(head, buffer_with(Bytes(frame).subspan(first_bytes))), 0);
  pipelines_[0]->receive(port, &head, 1);
  pipelines_[0]->finish_turn();
}

void Gateway::run_hand_over(uint16_t worker) {
  void* items[kMaxVector];
  unsigned count = 0;
  while ((count = rte_ring_sc_dequeue_burst(tables_->rings[worker].hand_over, items, kMaxVector,
                                            nullptr)) > 0) {
    pipelines_[worker]->receive_handed_over(reinterpret_cast<rte_mbuf**>(items),
                                            static_cast<uint16_t>(count));
    pipelines_[worker]->finish_turn();
  }
}

void Gateway::inject(RingMeta meta, Bytes bytes, uint16_t worker) {
  rte_mbuf* m = buffer_with(bytes);
  ring_meta(m) = meta;
  pipelines_[worker]->inject(&m, 1);
  pipelines_[worker]->finish_turn();
}

void Gateway::inject_into_tunnel(const Peer& peer, Bytes inner) {
  RingMeta meta;
  meta.inject = inner.empty() ? RingMeta::Inject::kKeepalive : RingMeta::Inject::kTunnelPacket;
  meta.tunnel = peer.tunnel.value;
  meta.tunnel_generation = tunnels().tunnel_generation(peer.tunnel.value);
  inject(meta, inner);
}

void Gateway::inject_keepalive(const Peer& peer) { inject_into_tunnel(peer, {}); }

std::vector<Punt> Gateway::punts(PuntClass kind, uint16_t worker) {
  std::vector<Punt> list;
  void* item = nullptr;
  while (rte_ring_dequeue(tables_->rings[worker].punt[static_cast<size_t>(kind)], &item) == 0) {
    auto* m = static_cast<rte_mbuf*>(item);
    ByteVector bytes(m->pkt_len);
    const void* data = rte_pktmbuf_read(m, 0, m->pkt_len, bytes.data());
    if (data != bytes.data()) std::memcpy(bytes.data(), data, bytes.size());
    list.push_back({ring_meta(m), std::move(bytes)});
    rte_pktmbuf_free(m);
  }
  return list;
}

std::vector<TunnelEvents> Gateway::events(bool activity) {
  std::vector<TunnelEvents> list;
  tunnels().poll_events(activity, [&](const TunnelEvents& one) { list.push_back(one); });
  return list;
}

uint64_t Gateway::drops(DropReason reason) const {
  uint64_t sum = 0;
  for (const auto& pipeline : pipelines_) {
    sum += pipeline->counters().drops[static_cast<size_t>(reason)].get();
  }
  return sum;
}

uint64_t Gateway::all_drops() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < kDropReasonCount; ++i) sum += drops(static_cast<DropReason>(i));
  return sum;
}

void Gateway::set_time(Nanoseconds now_ns) {
  now_ns_ = now_ns;
  for (const auto& pipeline : pipelines_) pipeline->set_time(now_ns);
}

void Gateway::route(const char* text, const NextHop& next_hop) {
  must(fib().set_route(prefix(text), next_hop));
}

void Gateway::allow(const char* text, const Peer& peer) {
  must(allowed_->set(prefix(text), peer.tunnel.value + 1));
}

}  // namespace penstock::test
