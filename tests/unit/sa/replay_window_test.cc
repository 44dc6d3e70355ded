// ReplayWindow against the definition: a set of everything seen, and a window below the highest.
#include "dataplane/sa/replay_window.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <type_traits>
#include <vector>

namespace penstock {
namespace {

// The slow reference.
class Model {
 public:
  explicit Model(uint64_t window) : window_(window) {}
  [[nodiscard]] bool check(uint64_t sequence) const {
    if (sequence > top_) return true;
    return top_ - sequence < window_ && seen_.count(sequence) == 0;
  }
  bool commit(uint64_t sequence) {
    if (!check(sequence)) return false;
    seen_.insert(sequence);
    top_ = std::max(top_, sequence);
    return true;
  }
  [[nodiscard]] uint64_t top() const { return top_; }

 private:
  uint64_t window_;
  uint64_t top_ = 0;
  std::set<uint64_t> seen_;
};

static_assert(std::is_trivially_copyable_v<ReplayWindow<>>);
static_assert(ReplayWindow<>::kWindow >= 8192);
static_assert(sizeof(ReplayWindow<8192>) == 8192 / 8 + 8 + 8);
static_assert(sizeof(ReplayWindow<64>) == 24);

TEST(ReplayWindow, first_packet_zero_accepted_once) {
  ReplayWindow<> window;
  EXPECT_TRUE(window.check(0));
  EXPECT_TRUE(window.commit(0));
  EXPECT_FALSE(window.check(0));
  EXPECT_FALSE(window.commit(0));
  EXPECT_TRUE(window.commit(1));
}

TEST(ReplayWindow, check_changes_nothing) {
  ReplayWindow<> window;
  ASSERT_TRUE(window.commit(5));
  EXPECT_TRUE(window.check(1'000'000));
  EXPECT_EQ(window.top(), 5U);
  EXPECT_TRUE(window.check(4));
  EXPECT_TRUE(window.commit(4));
}

TEST(ReplayWindow, same_packet_twice_in_a_checked_burst_commits_once) {
  ReplayWindow<> window;
  EXPECT_TRUE(window.check(7));
  EXPECT_TRUE(window.check(7));
  EXPECT_TRUE(window.commit(7));
  EXPECT_FALSE(window.commit(7));
}

template <size_t kPackets>
void expect_exact_edges(uint64_t base) {
  ReplayWindow<kPackets> window;
  ASSERT_TRUE(window.commit(base + kPackets));
  EXPECT_TRUE(window.check(base + 1)) << "the oldest in the window";
  EXPECT_FALSE(window.check(base)) << "one older";
  EXPECT_FALSE(window.commit(base));
  // Every place of the window is usable, each once.
  for (uint64_t s = base + 1; s < base + kPackets; ++s) ASSERT_TRUE(window.commit(s)) << s;
  for (uint64_t s = base + kPackets; s > base; --s) ASSERT_FALSE(window.commit(s)) << s;
}

TEST(ReplayWindow, edges_are_exact_at_any_alignment) {
  for (uint64_t base :
       std::vector<uint64_t>{0ULL, 1ULL, 62ULL, 63ULL, 64ULL, 65ULL, 8191ULL, 8256ULL, 1ULL << 32,
                             UINT64_MAX - 8192, UINT64_MAX - 8192 - 63}) {
    expect_exact_edges<8192>(base);
    expect_exact_edges<64>(base);
    expect_exact_edges<128>(base);
  }
}

TEST(ReplayWindow, jump_of_any_size_forgets_what_left) {
  for (uint64_t jump :
       {1ULL, 63ULL, 64ULL, 8191ULL, 8192ULL, 8255ULL, 8256ULL, 8257ULL, 16512ULL, 1ULL << 40}) {
    ReplayWindow<> window;
    for (uint64_t s = 0; s < 8256; ++s) ASSERT_TRUE(window.commit(s));
    const uint64_t top = 8255 + jump;
    ASSERT_TRUE(window.commit(top));
    for (uint64_t s = top - 8191; s < top; ++s) ASSERT_EQ(window.check(s), s > 8255) << jump;
  }
}

TEST(ReplayWindow, highest_sequence_accepted_once) {
  ReplayWindow<> window;
  EXPECT_TRUE(window.commit(UINT64_MAX - 1));
  EXPECT_TRUE(window.commit(UINT64_MAX));
  EXPECT_FALSE(window.commit(UINT64_MAX));
  EXPECT_FALSE(window.commit(UINT64_MAX - 1));
  EXPECT_TRUE(window.commit(UINT64_MAX - 8191));
  EXPECT_FALSE(window.commit(UINT64_MAX - 8192));
  EXPECT_FALSE(window.commit(0)) << "nothing wraps";
}

// A sequence number as a network might deliver it: mostly new or a little late, sometimes
// repeated, at an edge of the window, or far away.
uint64_t next_sequence(std::mt19937_64& random, uint64_t top, uint64_t window) {
  const auto back = [top](uint64_t by) { return top >= by ? top - by : 0; };
  const auto ahead = [top](uint64_t by) { return UINT64_MAX - top >= by ? top + by : UINT64_MAX; };
  switch (random() % 10) {
    case 0:
    case 1:
    case 2:
    case 3:
      return ahead(1);
    case 4:
      return back(random() % 8);
    case 5:
      return back(random() % (window + 66));
    case 6:
      return ahead(random() % (2 * window));
    case 7:
      return back(window - 1 + random() % 3);
    case 8:
      return ahead(random() % 130);
    default:
      return random() % 200 == 0 ? ahead(random() % (1ULL << 33)) : back(random() % 64);
  }
}

template <size_t kPackets>
void expect_same_as_model(uint64_t start, uint64_t window_packets, uint64_t seed) {
  std::mt19937_64 random(seed);
  auto window = std::make_unique<ReplayWindow<kPackets>>();
  Model model(window_packets);
  if (start != 0) {
    ASSERT_TRUE(window->commit(start, window_packets));
    ASSERT_TRUE(model.commit(start));
  }
  for (int i = 0; i < 40'000; ++i) {
    const uint64_t sequence = next_sequence(random, model.top(), window_packets);
    window->prefetch(sequence);
    ASSERT_EQ(window->check(sequence, window_packets), model.check(sequence)) << sequence;
    if (random() % 16 == 0) continue;  // its tag was bad
    ASSERT_EQ(window->commit(sequence, window_packets), model.commit(sequence)) << sequence;
    ASSERT_EQ(window->top(), model.top());
  }
}

TEST(ReplayWindow, random_traffic_same_as_model) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (uint64_t start : {uint64_t{0}, uint64_t{1} << 32, UINT64_MAX - 300'000}) {
      expect_same_as_model<8192>(start, 8192, seed);
      expect_same_as_model<64>(start, 64, seed);
      expect_same_as_model<16384>(start, 64, seed);
      expect_same_as_model<16384>(start, 1000, seed);
      expect_same_as_model<16384>(start, 16384, seed);
    }
  }
}

}  // namespace
}  // namespace penstock
