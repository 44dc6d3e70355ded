// The sliding window that refuses packets seen before, as RFC 6479: a ring of 64-bit words of which
// one more exists than the window needs, so that moving on clears whole words and shifts nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace penstock {

// Owned by one worker: nothing here is atomic. All zero bytes are a fresh window, in which every
// sequence number is new: 0 too (WireGuard counts from 0; ESP from 1, where the caller refuses 0).
//
// A packet passes twice (RFC 4303 3.4.3, WireGuard paper 5.4.6):
//  - check() before decryption refuses old and repeated numbers before any cipher work is spent on
//    them. It changes nothing, since the number is not authenticated yet: a forged packet must not
//    move the window.
//  - commit() after the tag was found good records the number. It decides again, because the burst
//    that was checked together may hold the same packet twice; exactly one of them gets true.
//
// kWindowPackets is the room, a multiple of 64. A smaller window is a run-time argument (ESP: 64 to
// 16,384 packets, RFC 4303 3.4.3); left out, it is a constant.
template <size_t kWindowPackets = 8192>
class ReplayWindow {
 public:
  static_assert(kWindowPackets >= 64 && kWindowPackets % 64 == 0);
  static constexpr size_t kWindow = kWindowPackets;
  static constexpr size_t kWords = kWindowPackets / 64 + 1;

  // Would commit(sequence) succeed now? Requires window_packets <= kWindow.
  [[nodiscard]] bool check(uint64_t sequence, uint64_t window_packets = kWindow) const {
    if (sequence > top_) return true;
    if (top_ - sequence >= window_packets) return false;
    return (words_[word_of(sequence)] & bit_of(sequence)) == 0;
  }

  // Records an authenticated packet; false: it is too old or was recorded before.
  [[nodiscard]] bool commit(uint64_t sequence, uint64_t window_packets = kWindow) {
    const size_t word = word_of(sequence);
    if (sequence > top_) {
      clear_words_up_to(sequence);
      top_ = sequence;
    } else if (top_ - sequence >= window_packets) {
      return false;
    }
    const uint64_t bit = bit_of(sequence);
    if ((words_[word] & bit) != 0) return false;
    words_[word] |= bit;
    return true;
  }

  // The highest sequence number recorded; 0 also before the first.
  [[nodiscard]] uint64_t top() const { return top_; }

  // Fetches what check() and commit() will touch. Inline by force: of a function that only fetches,
  // gcc 12 finds that it has no effect, and leaves calls out.
  [[gnu::always_inline]] void prefetch(uint64_t sequence) const {
    __builtin_prefetch(&top_, 1);
    __builtin_prefetch(&words_[word_of(sequence)], 1);
  }

 private:
  static size_t word_of(uint64_t sequence) { return static_cast<size_t>(sequence / 64 % kWords); }
  static uint64_t bit_of(uint64_t sequence) { return uint64_t{1} << (sequence % 64); }

  // The words after the one of top_ up to that of `sequence` hold numbers that left the window.
  void clear_words_up_to(uint64_t sequence) {
    uint64_t moved = std::min<uint64_t>(sequence / 64 - top_ / 64, kWords);
    if (moved == 0) return;
    size_t word = word_of(top_);
    for (; moved != 0; --moved) {
      if (++word == kWords) word = 0;
      words_[word] = 0;
    }
  }

  uint64_t top_ = 0;
  uint64_t words_[kWords] = {};
};

}  // namespace penstock
