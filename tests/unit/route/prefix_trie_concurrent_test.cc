// Readers look up while prefixes come and go below a covering prefix that stays. Build with
// -Db_sanitize=thread to have the memory order checked too.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "dataplane/route/prefix_trie.h"

namespace penstock {
namespace {

constexpr uint32_t kCover = 1'000'000;
constexpr size_t kReaders = 2;

// Quiescent-state reclamation: a deferred function runs once every reader has passed between two
// lookups since it was deferred.
class Grace {
 public:
  void quiescent(size_t reader) { passes_[reader].fetch_add(1, std::memory_order_acq_rel); }
  TrieDefer defer() {
    return [this](std::function<void()> fn) { waiting_.push_back({snapshot(), std::move(fn)}); };
  }
  void run_ended() {
    const auto now = snapshot();
    while (!waiting_.empty()) {
      for (size_t i = 0; i < kReaders; ++i) {
        if (now[i] == waiting_.front().since[i]) return;
      }
      waiting_.front().fn();
      waiting_.pop_front();
    }
  }

 private:
  using Passes = std::array<uint64_t, kReaders>;
  struct Waiting {
    Passes since;
    std::function<void()> fn;
  };
  Passes snapshot() const {
    Passes passes;
    for (size_t i = 0; i < kReaders; ++i) passes[i] = passes_[i].load(std::memory_order_acquire);
    return passes;
  }
  std::array<std::atomic<uint64_t>, kReaders> passes_{};
  std::deque<Waiting> waiting_;
};

// 256 networks, each seen through one probe address, and prefixes of all lengths on its path: the
// value says network and length, so a reader can tell a right answer from a stray one.
template <size_t kBytes>
std::array<uint8_t, kBytes> probe(uint32_t network) {
  std::array<uint8_t, kBytes> address{};
  address[0] = 10;
  for (size_t i = 1; i < kBytes; ++i) {
    address[i] = static_cast<uint8_t>(network * 7 >> (kBytes == 4 ? (3 - i) * 3 : i % 5));
  }
  address[kBytes - 1] = static_cast<uint8_t>(network);
  return address;
}

template <size_t kBytes>
bool plausible(uint32_t value, uint32_t network) {
  if (value == kCover) return true;
  const uint32_t owner = value >> 8;
  const uint32_t length = value & 0xff;
  if (owner >= 256 || length <= 8 || length > kBytes * 8) return false;
  const auto mine = probe<kBytes>(network);
  const auto its = probe<kBytes>(owner);
  for (uint32_t bit = 0; bit < length; ++bit) {
    if (((mine[bit / 8] ^ its[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

template <size_t kBytes>
void read_until(const PrefixTrie<kBytes>& trie, Grace& grace, size_t reader,
                const std::atomic<bool>& stop, std::atomic<uint64_t>& bad,
                std::atomic<uint64_t>& below_cover) {
  uint64_t mine_bad = 0;
  uint64_t mine_below = 0;
  std::array<std::array<uint8_t, kBytes>, 64> addresses;
  std::array<const uint8_t*, 64> pointers;
  std::array<uint32_t, 64> values;
  for (uint32_t turn = 0; !stop.load(std::memory_order_relaxed); ++turn) {
    for (uint32_t i = 0; i < 64; ++i) {
      addresses[i] = probe<kBytes>(turn * 64 % 256 + i);
      pointers[i] = addresses[i].data();
      values[i] = turn % 2 == 0 ? trie.lookup(pointers[i]) : 0;
    }
    if (turn % 2 == 1) trie.reader().lookup_batch(pointers.data(), 64, values.data());
    for (uint32_t i = 0; i < 64; ++i) {
      if (!plausible<kBytes>(values[i], turn * 64 % 256 + i)) ++mine_bad;
      if (values[i] != kCover) ++mine_below;
    }
    grace.quiescent(reader);
  }
  bad += mine_bad;
  below_cover += mine_below;
}

template <size_t kBytes>
void change_under_readers() {
  Grace grace;
  auto created = PrefixTrie<kBytes>::create(size_t{64} << 20, grace.defer());
  ASSERT_TRUE(created.ok());
  PrefixTrie<kBytes>& trie = **created;
  const uint8_t cover[kBytes] = {10};
  ASSERT_TRUE(trie.set(cover, 8, kCover).ok());

  std::atomic<bool> stop = false;
  std::atomic<uint64_t> bad = 0;
  std::atomic<uint64_t> below_cover = 0;
  std::vector<std::thread> readers;
  for (size_t reader = 0; reader < kReaders; ++reader) {
    readers.emplace_back(
        [&, reader] { read_until<kBytes>(trie, grace, reader, stop, bad, below_cover); });
  }
  std::mt19937 random(1);
  const auto change = [&](bool add) {
    const uint32_t network = random() % 256;
    const uint32_t length = 9 + static_cast<uint32_t>(random() % (kBytes * 8 - 8));
    const auto address = probe<kBytes>(network);
    if (add) {
      EXPECT_TRUE(trie.set(address.data(), length, network << 8 | length).ok());
    } else {
      trie.remove(address.data(), length);
    }
    grace.run_ended();
  };
  // Grow and shrink again, so that nodes are made, split, merged and collapsed under the readers.
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 4000; ++i) change(random() % 8 != 0);
    for (int i = 0; i < 30'000; ++i) change(random() % 32 == 0);
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(bad.load(), 0U);
  EXPECT_GT(below_cover.load(), 0U);
}

TEST(PrefixTrieConcurrent, ipv4_covering_prefix_never_disappears) { change_under_readers<4>(); }
TEST(PrefixTrieConcurrent, ipv6_covering_prefix_never_disappears) { change_under_readers<16>(); }

}  // namespace
}  // namespace penstock
