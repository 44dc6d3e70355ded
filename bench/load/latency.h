// Times as a histogram of fixed size: 64 steps an octave, so a percentile is right within 1.6 %.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace penstock::load {

// Any unit: the caller's ticks. One thread.
class LatencyHistogram {
 public:
  void add(uint64_t ticks) {
    ++counts_[slot_of(ticks)];
    ++count_;
    sum_ += static_cast<double>(ticks);
    largest_ = std::max(largest_, ticks);
    smallest_ = std::min(smallest_, ticks);
  }
  void clear() { *this = LatencyHistogram(); }

  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] uint64_t largest() const { return largest_; }
  [[nodiscard]] uint64_t smallest() const { return count_ == 0 ? 0 : smallest_; }
  [[nodiscard]] double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  // The value that `fraction` of all values do not exceed; 0 without values.
  [[nodiscard]] double percentile(double fraction) const {
    const double wanted = fraction * static_cast<double>(count_);
    uint64_t seen = 0;
    for (size_t slot = 0; slot < counts_.size(); ++slot) {
      seen += counts_[slot];
      if (seen == 0 || static_cast<double>(seen) < wanted) continue;
      return std::min(middle_of(slot), static_cast<double>(largest_));
    }
    return static_cast<double>(largest_);
  }

 private:
  static constexpr unsigned kStepBits = 6;
  static constexpr unsigned kOctaves = 42;  // up to 2^48 ticks; what is longer counts as that
  static constexpr size_t kSlots = size_t{kOctaves + 1} << kStepBits;

  static size_t slot_of(uint64_t ticks) {
    if (ticks < uint64_t{1} << kStepBits) return ticks;
    const auto octave = static_cast<unsigned>(std::bit_width(ticks)) - kStepBits;  // from 1
    const size_t step = (ticks >> (octave - 1)) & ((uint64_t{1} << kStepBits) - 1);
    return std::min((size_t{octave} << kStepBits) + step, kSlots - 1);
  }
  static double middle_of(size_t slot) {
    if (slot < size_t{1} << kStepBits) return static_cast<double>(slot);
    const auto octave = static_cast<unsigned>(slot >> kStepBits);
    const uint64_t step = slot & ((uint64_t{1} << kStepBits) - 1);
    const uint64_t from = ((uint64_t{1} << kStepBits) + step) << (octave - 1);
    return static_cast<double>(from) + static_cast<double>(uint64_t{1} << (octave - 1)) / 2;
  }

  std::array<uint64_t, kSlots> counts_{};
  uint64_t count_ = 0, largest_ = 0, smallest_ = UINT64_MAX;
  double sum_ = 0;
};

}  // namespace penstock::load
