// What is sent: protocols, directions, sizes, rates. Plain values that options, plan, traffic and
// report share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/result.h"

namespace penstock::load {

// In clear there is no tunnel: the gateway forwards inner packets between its ports as they are.
enum class Protocol : uint8_t { kWireguard, kEsp, kClear };
// Up: peers' packets, sealed on the outside port, clear on the inside port. Down: the other way.
enum class Direction : uint8_t { kUp, kDown, kBoth };
enum class Order : uint8_t { kRoundRobin, kRandom };
enum class Mode : uint8_t { kSearch, kRate, kSoak, kConnect };

std::string_view name_of(Protocol protocol);
std::string_view name_of(Direction direction);
std::string_view name_of(Order order);
std::string_view name_of(Mode mode);

// Sizes of inner IP packets in bytes, sent in this order again and again.
struct SizeMix {
  std::string name;  // "1420", "imix"
  std::vector<uint16_t> sizes;
  [[nodiscard]] double mean_bytes() const;
  [[nodiscard]] uint16_t largest_bytes() const;
};
// "64" to "9000", or "imix": 7 x 64, 4 x 570, 1 x 1420, mixed, of which none is below
// `smallest_bytes`.
Result<SizeMix> parse_size_mix(std::string_view text, uint16_t smallest_bytes);

// Of packets (pps) or of the bits of inner packets (bps), per direction.
struct Rate {
  double value = 0;
  bool bits = false;
  [[nodiscard]] double packets_per_second(const SizeMix& mix) const {
    return bits ? value / (8 * mix.mean_bytes()) : value;
  }
};
// "1.5Mpps", "10Gbps", "500kpps".
Result<Rate> parse_rate(std::string_view text);

// "1.52 Mpps", "10.3 Gbit/s": three significant digits.
std::string format_packet_rate(double packets_per_second);
std::string format_bit_rate(double bits_per_second);
std::string format_time(double nanoseconds);

}  // namespace penstock::load
