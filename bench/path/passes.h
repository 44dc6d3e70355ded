// What the benchmarks of the path do over and over: all buffers once through a worker, or through
// the cipher alone.
#pragma once

#include <random>
#include <vector>

#include "bench/path/raw_cipher.h"
#include "bench/path/world.h"

namespace penstock::bench {

struct Load {
  bool inbound = false;
  uint16_t bytes = 64;  // of the inner packet; 0: IMIX
  size_t buffers = 256;
  uint32_t hosts = 1;  // inside, of which each packet has a random one; at most kHosts
};

// Buffers of a world, and the peers whose packets they hold: of one worker, or of any.
class Buffers {
 public:
  Buffers(World& world, const Load& load, uint16_t worker = 0);
  ~Buffers();
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  // Gives each buffer to a random peer of the worker.
  void draw_peers();
  [[nodiscard]] std::vector<Item>& items() { return items_; }
  [[nodiscard]] const Load& load() const { return load_; }
  [[nodiscard]] uint16_t worker() const { return worker_; }

 private:
  const Load load_;
  const uint16_t worker_;
  const uint16_t workers_;
  const uint32_t peers_;  // of the worker
  std::mt19937 random_{4711};
  std::vector<Item> items_;
};

// TSC cycles a packet, frames being made outside the measured time.
double run_path(World& world, Buffers& buffers);
double run_cipher(Buffers& buffers, RawCipher& cipher);

// The value below which the part `of` of them lies; reorders them. 0 where there is none.
double percentile(std::vector<double>& values, double of);

}  // namespace penstock::bench
