// Where random bytes come from. Injected, so that a recorded run replays to the same bytes.
#pragma once

#include <cstdint>

#include "gateway/base/bytes.h"

namespace penstock {

class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual void fill(MutableBytes out) = 0;

  uint32_t u32() { return integer<uint32_t>(); }
  uint64_t u64() { return integer<uint64_t>(); }
  // Uniform in [0, bound); bound > 0. The bias of 64 random bits is below 2^-32.
  uint32_t below(uint32_t bound) {
    __extension__ typedef unsigned __int128 Wide;
    return static_cast<uint32_t>((static_cast<Wide>(u64()) * bound) >> 64);
  }

 private:
  template <class T>
  T integer() {
    uint8_t bytes[sizeof(T)];
    fill(bytes);
    return load_unaligned<T>(bytes);
  }
};

// The kernel's generator, getrandom(2). Aborts if the kernel refuses: going on with predictable
// keys would be worse. Any thread.
class SystemRandom final : public RandomSource {
 public:
  void fill(MutableBytes out) override;
};

}  // namespace penstock
