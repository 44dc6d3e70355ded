// One kind of handshake, measured in batches beside what its primitives alone take.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/handshake/stage.h"

namespace penstock::bench {

inline constexpr size_t kBatch = 256;  // handshakes under way at a time

class Scenario {
 public:
  virtual ~Scenario() = default;
  // kBatch handshakes from the first message to the last answer: only what the responder does.
  // False in `ok`: not all of them came to their end.
  virtual PhaseTimes batch(Stage& stage, bool& ok) = 0;
  // The primitives that the responder cannot do without, once, by the libraries' own functions.
  virtual void primitives() = 0;
  // Heap bytes of each session that was there before; 0: there was none.
  [[nodiscard]] virtual double bytes_per_sa() const { return 0; }
};

struct ScenarioFactory {
  std::string name;
  std::function<std::unique_ptr<Scenario>()> make;
};
std::vector<ScenarioFactory> wireguard_scenarios();
std::vector<ScenarioFactory> ike_scenarios();

}  // namespace penstock::bench
