#include "bench/load/profile.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "gateway/base/text.h"

namespace penstock::load {
namespace {

constexpr uint16_t kLargest = 9000;

struct Unit {
  char letter;
  double factor;
};
constexpr Unit kUnits[] = {{'G', 1e9}, {'M', 1e6}, {'k', 1e3}};

std::string with_unit(double value, const char* unit) {
  for (const Unit& one : kUnits) {
    if (value < one.factor * 0.9995) continue;
    char text[48];
    std::snprintf(text, sizeof text, "%.3g %c%s", value / one.factor, one.letter, unit);
    return text;
  }
  char text[48];
  std::snprintf(text, sizeof text, "%.3g %s", value, unit);
  return text;
}

}  // namespace

std::string_view name_of(Protocol protocol) {
  constexpr std::string_view kNames[] = {"wireguard", "esp", "clear"};
  return kNames[static_cast<size_t>(protocol)];
}
std::string_view name_of(Direction direction) {
  return direction == Direction::kUp ? "up" : direction == Direction::kDown ? "down" : "both";
}
std::string_view name_of(Order order) { return order == Order::kRandom ? "random" : "round-robin"; }
std::string_view name_of(Mode mode) {
  constexpr std::string_view kNames[] = {"search", "rate", "soak", "connect"};
  return kNames[static_cast<size_t>(mode)];
}

double SizeMix::mean_bytes() const {
  return std::accumulate(sizes.begin(), sizes.end(), 0.0) / static_cast<double>(sizes.size());
}
uint16_t SizeMix::largest_bytes() const { return *std::max_element(sizes.begin(), sizes.end()); }

Result<SizeMix> parse_size_mix(std::string_view text, uint16_t smallest_bytes) {
  SizeMix mix;
  mix.name = text;
  if (equal_ignoring_case(text, "imix")) {
    mix.name = "imix";
    mix.sizes = {64, 570, 64, 64, 570, 64, 1420, 64, 570, 64, 570, 64};
    for (uint16_t& size : mix.sizes) size = std::max(size, smallest_bytes);
    return mix;
  }
  const auto size = parse_unsigned(text, kLargest);
  if (!size || *size < smallest_bytes) {
    return errorf("'%s': a size is %u to %u bytes of the inner packet, or imix",
                  std::string(text).c_str(), smallest_bytes, kLargest);
  }
  mix.sizes = {static_cast<uint16_t>(*size)};
  return mix;
}

Result<Rate> parse_rate(std::string_view text) {
  const Error refused = errorf(
      "'%s': a rate is a number with k, M or G and the unit pps (packets) or bps (bits of inner "
      "packets) per second, such as 500kpps or 2.5Gbps",
      std::string(text).c_str());
  Rate rate;
  if (text.size() < 4) return refused;
  const std::string_view unit = text.substr(text.size() - 3);
  if (unit != "pps" && unit != "bps") return refused;
  rate.bits = unit == "bps";
  text.remove_suffix(3);
  double factor = 1;
  for (const Unit& one : kUnits) {
    if (text.back() != one.letter) continue;
    factor = one.factor;
    text.remove_suffix(1);
    break;
  }
  const std::string digits(text);
  if (digits.empty() || digits.find_first_not_of("0123456789.") != std::string::npos) {
    return refused;
  }
  char* end = nullptr;
  rate.value = std::strtod(digits.c_str(), &end) * factor;
  if (*end != '\0' || !(rate.value > 0)) return refused;
  return rate;
}

std::string format_packet_rate(double packets_per_second) {
  return with_unit(packets_per_second, "pps");
}
std::string format_bit_rate(double bits_per_second) { return with_unit(bits_per_second, "bit/s"); }

std::string format_time(double nanoseconds) {
  char text[48];
  if (nanoseconds < 1e3) {
    std::snprintf(text, sizeof text, "%.0f ns", nanoseconds);
  } else if (nanoseconds < 1e6) {
    std::snprintf(text, sizeof text, "%.3g us", nanoseconds / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.4g ms", nanoseconds / 1e6);
  }
  return text;
}

}  // namespace penstock::load
