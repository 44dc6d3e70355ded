// ESP's replay window and extended sequence numbers, against slow models.
#include "dataplane/sa/esp_replay.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace penstock {
namespace {

class Window {
 public:
  explicit Window(uint32_t packets)
      : packets_(EspReplay::round_up(packets)), words_(EspReplay::words_for(packets_) + 1) {
    replay_.use(words_.data());
  }
  bool check(uint64_t sequence) const { return replay_.check(sequence, packets_); }
  EspReplay::Verdict commit(uint64_t sequence) { return replay_.commit(sequence, packets_); }
  bool take(uint64_t sequence) {
    const bool promised = check(sequence);
    const bool taken = commit(sequence) != EspReplay::Verdict::kRefused;
    EXPECT_EQ(promised, taken) << sequence;
    return taken;
  }
  [[nodiscard]] uint32_t packets() const { return packets_; }
  [[nodiscard]] uint64_t top() const { return replay_.top(); }
  [[nodiscard]] bool overran() const { return words_.back() != 0; }

 private:
  uint32_t packets_;
  std::vector<uint64_t> words_;
  EspReplay replay_;
};

// RFC 4303 3.4.3 as it is told.
class Model {
 public:
  explicit Model(uint64_t packets) : packets_(packets) {}
  bool take(uint64_t sequence) {
    if (sequence + packets_ <= top_) return false;
    if (!seen_.insert(sequence).second) return false;
    top_ = std::max(top_, sequence);
    while (!seen_.empty() && *seen_.begin() + packets_ <= top_) seen_.erase(seen_.begin());
    return true;
  }

 private:
  uint64_t packets_, top_ = 0;
  std::set<uint64_t> seen_;
};

TEST(EspReplay, sizes_are_rounded_up_to_powers_of_two_within_bounds) {
  EXPECT_EQ(EspReplay::round_up(0), 0U);
  EXPECT_EQ(EspReplay::round_up(1), 64U);
  EXPECT_EQ(EspReplay::round_up(32), 64U);
  EXPECT_EQ(EspReplay::round_up(65), 128U);
  EXPECT_EQ(EspReplay::round_up(1024), 1024U);
  EXPECT_EQ(EspReplay::round_up(16'384), 16'384U);
  EXPECT_EQ(EspReplay::round_up(UINT32_MAX), 16'384U);
}

TEST(EspReplay, every_size_agrees_with_the_model_on_random_walks) {
  for (uint32_t packets = 64; packets <= 16'384; packets *= 2) {
    std::mt19937_64 random(packets);
    Window window(packets);
    Model model(packets);
    uint64_t near = 1;
    for (int i = 0; i < 60'000; ++i) {
      const uint64_t kind = random() % 100;
      if (kind < 50) {
        ++near;
      } else if (kind < 52) {
        near += random() % (3 * packets);
      } else if (kind == 52 && i % 16 == 0) {
        near += random() % (uint64_t{1} << 33);
      }
      const uint64_t back = kind < 70 ? 0 : random() % (packets + packets / 4);
      const uint64_t sequence = near > back ? near - back : 1;
      ASSERT_EQ(window.take(sequence), model.take(sequence)) << packets << ' ' << sequence;
    }
    EXPECT_FALSE(window.overran());
  }
}

TEST(EspReplay, edges_are_exact) {
  for (uint32_t packets = 64; packets <= 16'384; packets *= 2) {
    Window window(packets);
    EXPECT_EQ(window.commit(uint64_t{10} * packets), EspReplay::Verdict::kNewest);
    EXPECT_FALSE(window.take(uint64_t{9} * packets));
    EXPECT_EQ(window.commit(uint64_t{9} * packets + 1), EspReplay::Verdict::kNew);
    EXPECT_EQ(window.commit(uint64_t{9} * packets + 1), EspReplay::Verdict::kRefused);
    EXPECT_EQ(window.commit(uint64_t{10} * packets), EspReplay::Verdict::kRefused);
    // All of a window, once each, then nothing of it again.
    Window full(packets);
    for (uint64_t sequence = packets; sequence >= 1; --sequence) EXPECT_TRUE(full.take(sequence));
    for (uint64_t sequence = packets; sequence >= 1; --sequence) EXPECT_FALSE(full.take(sequence));
  }
}

TEST(EspReplay, leap_forgets_everything_before) {
  Window window(1024);
  for (uint64_t sequence = 1; sequence <= 5000; ++sequence) EXPECT_TRUE(window.take(sequence));
  const uint64_t far = 5000 + (uint64_t{1} << 40);
  EXPECT_TRUE(window.take(far));
  for (uint64_t back = 1; back < 1024; ++back) EXPECT_TRUE(window.take(far - back));
  EXPECT_FALSE(window.take(far - 1024));
}

TEST(EspReplay, without_a_window_the_top_is_still_known) {
  Window window(0);
  EXPECT_EQ(window.commit(9), EspReplay::Verdict::kNewest);
  EXPECT_EQ(window.commit(9), EspReplay::Verdict::kNew);
  EXPECT_EQ(window.commit(2), EspReplay::Verdict::kNew);
  EXPECT_TRUE(window.check(1));
  EXPECT_EQ(window.top(), 9U);
}

// RFC 4303 appendix A2.2, cases A and B, as it is told. Where the high half would fall below 0 it
// stays 0: such a packet may be the first of an SA whose beginning was lost.
uint64_t infer_by_the_book(uint32_t low, uint64_t top, uint32_t window) {
  const auto top_low = static_cast<uint32_t>(top);
  const auto top_high = static_cast<uint32_t>(top >> 32);
  const auto bottom = static_cast<uint32_t>(top_low - window + 1);
  uint64_t high = top_high;
  if (top_low >= window - 1) {  // case A: the window is within one round
    if (low < bottom) ++high;
  } else if (low >= bottom && high > 0) {  // case B: it begins in the round before
    --high;
  }
  return high << 32 | low;
}

TEST(EspEsn, inference_is_that_of_the_rfc) {
  std::mt19937_64 random(8);
  for (uint32_t window = 64; window <= 16'384; window *= 2) {
    std::vector<uint64_t> tops = {0, 1, window - 2, window - 1, window, UINT32_MAX};
    for (uint64_t high : {1ULL, 2ULL, 0x7fff'ffffULL, 0xffff'fffeULL}) {
      for (int64_t low : {0L, 1L, int64_t{window} - 2, int64_t{window} - 1, int64_t{window}, -1L}) {
        tops.push_back((high << 32) + static_cast<uint64_t>(low));
      }
    }
    for (const uint64_t top : tops) {
      for (int i = 0; i < 2000; ++i) {
        const uint64_t near = top + random() % (4 * window) - 2 * window;
        const auto low = static_cast<uint32_t>(i % 2 == 0 ? near : random());
        if (top < window - 1 && low >= UINT32_MAX - window) continue;  // below 0: see above
        ASSERT_EQ(infer_esn(low, top, window), infer_by_the_book(low, top, window))
            << std::hex << low << ' ' << top << ' ' << window;
      }
    }
  }
}

TEST(EspEsn, every_number_from_the_window_to_one_round_later_is_found) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 200'000; ++i) {
    const uint32_t window = 64U << random() % 9;
    const uint64_t top = random() >> (1 + random() % 60);
    const uint64_t left = top < window ? 0 : top - window + 1;
    const uint64_t real = left + random() % (uint64_t{1} << 32);
    ASSERT_EQ(infer_esn(static_cast<uint32_t>(real), top, window), real);
  }
}

}  // namespace
}  // namespace penstock
