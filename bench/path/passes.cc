#include "bench/path/passes.h"

#include <rte_cycles.h>

#include <algorithm>

namespace penstock::bench {
namespace {

// Simple IMIX: 7 × 64, 4 × 570, 1 × 1420 (the largest that fits the tunnel).
uint16_t imix_bytes(size_t i) {
  const size_t at = i % 12;
  return at < 7 ? 64 : at < 11 ? 570 : 1420;
}

}  // namespace

Buffers::Buffers(World& world, const Load& load, uint16_t worker)
    : load_(load),
      worker_(worker),
      workers_(world.options().workers),
      peers_(world.options().peers / workers_),
      items_(load.buffers) {
  for (size_t i = 0; i < items_.size(); ++i) {
    items_[i].mbuf = rte_pktmbuf_alloc(world.pool());
    items_[i].inner_bytes = load.bytes != 0 ? load.bytes : imix_bytes(i);
    items_[i].host = static_cast<uint16_t>(random_() % load.hosts);
  }
  draw_peers();
  if (load.bytes == 0) std::shuffle(items_.begin(), items_.end(), random_);
}

Buffers::~Buffers() {
  for (const Item& item : items_) rte_pktmbuf_free(item.mbuf);
}

void Buffers::draw_peers() {
  for (Item& item : items_) {
    const uint32_t drawn = peers_ == 1 ? 0 : static_cast<uint32_t>(random_() % peers_);
    item.peer = drawn * workers_ + worker_;
  }
}

double run_path(World& world, Buffers& buffers) {
  std::vector<Item>& items = buffers.items();
  for (Item& item : items) {
    if (buffers.load().inbound) {
      write_tunnel_frame(world, item);
    } else {
      write_clear_frame(world, item);
    }
  }
  if (buffers.load().inbound) seal_frames(world, items, buffers.worker());
  const uint16_t port = buffers.load().inbound ? kOutsidePort : kInsidePort;
  Pipeline& pipeline = world.pipeline(buffers.worker());
  uint64_t cycles = 0;
  for (size_t first = 0; first < items.size(); first += kBurst) {
    rte_mbuf* frames[kBurst];
    for (size_t i = 0; i < kBurst; ++i) frames[i] = items[first + i].mbuf;
    const uint64_t start = rte_rdtsc_precise();
    pipeline.receive(port, frames, kBurst);
    pipeline.finish_turn();
    cycles += rte_rdtsc_precise() - start;
  }
  return static_cast<double>(cycles) / static_cast<double>(items.size());
}

double run_cipher(Buffers& buffers, RawCipher& cipher) {
  const std::vector<Item>& items = buffers.items();
  cipher.choose_keys(items);
  uint64_t cycles = 0;
  for (size_t first = 0; first < items.size(); first += kBurst) {
    const uint64_t start = rte_rdtsc_precise();
    cipher.run(items, first);
    cycles += rte_rdtsc_precise() - start;
  }
  return static_cast<double>(cycles) / static_cast<double>(items.size());
}

double percentile(std::vector<double>& values, double of) {
  if (values.empty()) return 0;
  const auto at =
      std::min(values.size() - 1, static_cast<size_t>(static_cast<double>(values.size()) * of));
  std::nth_element(values.begin(), values.begin() + static_cast<long>(at), values.end());
  return values[at];
}

}  // namespace penstock::bench
