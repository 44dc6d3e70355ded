// Sequence numbers of inbound ESP: the high half of an extended number, and the window that refuses
// packets seen before, of a size chosen at run time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace penstock {

inline constexpr uint32_t kEspMinimumWindow = 64;  // packets
inline constexpr uint32_t kEspMaximumWindow = 16'384;

// The whole number of a packet that carries `low` (RFC 4303 appendix A2.2): the first number at or
// above the window's left edge that ends in `low`. So up to 2^32 less the window may be lost in a
// row.
constexpr uint64_t infer_esn(uint32_t low, uint64_t top, uint32_t window_packets) {
  const uint64_t left = top < window_packets ? 0 : top - window_packets + 1;
  const uint64_t candidate = (left & ~uint64_t{UINT32_MAX}) | low;
  return candidate < left ? candidate + (uint64_t{1} << 32) : candidate;
}

// A window of 64 to 16,384 packets, a power of two; 0: everything is new. It has a ring of twice as
// many bits (RFC 6479: so that moving on clears whole words), which the caller keeps. Owned by one
// worker: nothing here is atomic. All zero is a fresh window; the caller refuses number 0, which is
// never sent (RFC 4303 3.3.3).
//
// As in ReplayWindow a packet passes twice: check() before decryption changes nothing, commit()
// after it records the number.
class EspReplay {
 public:
  static constexpr size_t words_for(uint32_t window_packets) { return window_packets / 32; }
  static constexpr uint32_t round_up(uint32_t window_packets) {
    if (window_packets == 0) return 0;
    return std::bit_ceil(std::clamp(window_packets, kEspMinimumWindow, kEspMaximumWindow));
  }

  // Zeroed memory for words_for() words.
  void use(uint64_t* words) { words_ = words; }
  [[nodiscard]] const uint64_t* words() const { return words_; }
  [[nodiscard]] uint64_t top() const { return top_; }

  [[nodiscard]] bool check(uint64_t sequence, uint32_t window_packets) const {
    if (sequence > top_) return true;
    if (top_ - sequence >= window_packets) return window_packets == 0;
    return (words_[word_of(sequence, window_packets)] & bit_of(sequence)) == 0;
  }

  // Fetches what commit() will write. Inline by force: of a function that only fetches, gcc 12
  // finds that it has no effect, and leaves calls out.
  [[gnu::always_inline]] void prefetch(uint64_t sequence, uint32_t window_packets) const {
    if (window_packets == 0) [[unlikely]]  // then there is no word
      return;
    __builtin_prefetch(&words_[word_of(sequence, window_packets)], 1);
  }

  enum class Verdict : uint8_t { kRefused, kNew, kNewest };
  Verdict commit(uint64_t sequence, uint32_t window_packets) {
    if (window_packets == 0) [[unlikely]]
      return commit_unchecked(sequence);
    const size_t word = word_of(sequence, window_packets);
    const uint64_t bit = bit_of(sequence);
    if (sequence > top_) [[likely]] {
      if (sequence / 64 != top_ / 64) clear_words_up_to(sequence, window_packets);
      top_ = sequence;
      words_[word] |= bit;
      return Verdict::kNewest;
    }
    if (top_ - sequence >= window_packets || (words_[word] & bit) != 0) return Verdict::kRefused;
    words_[word] |= bit;
    return Verdict::kNew;
  }

 private:
  static size_t word_of(uint64_t sequence, uint32_t window_packets) {
    return sequence / 64 & (words_for(window_packets) - 1);
  }
  static uint64_t bit_of(uint64_t sequence) { return uint64_t{1} << (sequence % 64); }

  Verdict commit_unchecked(uint64_t sequence) {
    if (sequence <= top_) return Verdict::kNew;
    top_ = sequence;
    return Verdict::kNewest;
  }

  void clear_words_up_to(uint64_t sequence, uint32_t window_packets) {
    const uint64_t words = words_for(window_packets);
    const uint64_t moved = std::min(sequence / 64 - top_ / 64, words);
    for (uint64_t i = 1; i <= moved; ++i) words_[(top_ / 64 + i) & (words - 1)] = 0;
  }

  uint64_t top_ = 0;  // the highest number recorded
  uint64_t* words_ = nullptr;
};
static_assert(sizeof(EspReplay) == 16);

}  // namespace penstock
