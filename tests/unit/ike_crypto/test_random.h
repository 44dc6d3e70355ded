// Random bytes that are the same in every run.
#pragma once

#include "gateway/base/random.h"

namespace penstock::ike {

class TestRandom final : public RandomSource {
 public:
  explicit TestRandom(uint64_t seed = 1) : state_(seed) {}
  void fill(MutableBytes out) override {
    for (uint8_t& byte : out) {  // splitmix64
      state_ += 0x9e3779b97f4a7c15;
      uint64_t z = state_;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      byte = static_cast<uint8_t>(z >> 56);
    }
  }

 private:
  uint64_t state_;
};

}  // namespace penstock::ike
