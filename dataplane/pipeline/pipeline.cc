#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/lending.h"
#include "dataplane/pipeline/transmit.h"

#include <rte_mbuf.h>

namespace penstock {

namespace {

constexpr uint64_t kUnknownSpiIntervalNs = 100'000'000;  // ten punts a second and worker
constexpr uint32_t kUnknownSpiBurst = 10;

}  // namespace

Pipeline::Pipeline(const PipelineConfig& config, SharedTables& tables, const AeadEngines& engines,
                   Transmitter& transmitter)
    : tables_(tables),
      tunnels_(*tables.tunnels),
      fib_(*tables.fib),
      engines_(engines),
      engine_(engines.of(SaAlgorithm::kChacha20Poly1305)),
      transmitter_(transmitter),
      config_(config),
      only_worker_(tables.worker_count == 1),
      next_identification_(static_cast<uint16_t>(config.hash_seed)),
      cbc_ivs_(*config.random),
      unknown_spi_bucket_(kUnknownSpiIntervalNs, kUnknownSpiBurst),
      icmp_bucket_(1'000'000'000 / std::max(config.icmp_errors_per_second, 1U),
                   std::max(config.icmp_errors_per_second / 10, 1U)),
      reassembler_(config.reassembly, config.hash_seed) {
  if (tables.lending != nullptr) {
    lender_ = std::make_unique<Lender>(*tables.lending, config.worker);
  }
}

Pipeline::~Pipeline() {
  discard_batches();
  for (TransmitQueue& queue : transmit_queues_) {
    if (queue.count > 0) rte_pktmbuf_free_bulk(queue.frames, queue.count);
  }
  free_now();
}

void Pipeline::receive(uint16_t port, rte_mbuf* const* frames, uint16_t count) {
  if (queues_batches_) [[unlikely]]
    make_room();
  classify(port, frames, count);  // → inbound_, esp_inbound_, clear_
  wireguard_inbound();            // → clear_
  esp_inbound();                  // → clear_
  forward(clear_);                // → outbound_, esp_outbound_, transmit queues, originated_
  wireguard_outbound();           // → transmit queues
  esp_outbound();                 // → transmit queues
  run_originated();               // what the gateway has to say about them
}

void Pipeline::receive_handed_over(rte_mbuf* const* frames, uint16_t count) {
  if (queues_batches_) [[unlikely]]
    make_room();
  Packet packets[kMaxVector];
  for (uint16_t i = 0; i < count; ++i) {
    const RingMeta& meta = ring_meta(frames[i]);
    if (meta.hand_over == RingMeta::HandOver::kIntoTunnel) {
      packets[i].mbuf = frames[i];
      receive_into_tunnel(packets[i]);
    } else {
      // Classified again from the frame: between the workers anything may have changed.
      classify_frame(meta.port, frames[i]);
    }
  }
  wireguard_inbound();
  esp_inbound();
  forward(clear_);
  wireguard_outbound();
  esp_outbound();
  run_originated();
}

void Pipeline::inject(rte_mbuf* const* buffers, uint16_t count) {
  if (queues_batches_) [[unlikely]]
    make_room();
  Packet packets[kMaxVector];
  counters_.injects.add(count);
  for (uint16_t i = 0; i < count; ++i) {
    rte_mbuf* buffer = buffers[i];
    const RingMeta& meta = ring_meta(buffer);
    if (meta.inject == RingMeta::Inject::kFrame) {
      enqueue(meta.port, buffer);
      continue;
    }
    Packet& packet = packets[i];
    packet.mbuf = buffer;
    packet.ip = rte_pktmbuf_mtod(buffer, uint8_t*);
    packet.length = buffer->data_len;
    packet.origin = Origin::kOwn;
    packet.family = packet.length > 0 ? packet.ip[0] >> 4 : uint8_t{0};
    packet.past_policies = meta.inject == RingMeta::Inject::kDatagram;
    if (meta.inject == RingMeta::Inject::kIp || packet.past_policies) {
      originate(packet);
      if (originated_.full()) run_originated();
      continue;
    }
    if (meta.tunnel_generation != tunnels_.tunnel_generation(meta.tunnel)) {
      drop(buffer, DropReason::kTunnelNoPeer);
      continue;
    }
    packet.interface = meta.interface;
    packet.tunnel = meta.tunnel;
    into_tunnel(packet);
  }
  wireguard_outbound();
  esp_outbound();
  run_originated();
}

}  // namespace penstock
