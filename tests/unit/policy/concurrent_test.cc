// Readers look up while policies and prefixes come and go around what stays. Build with
// -Db_sanitize=thread to have the memory order checked, with =address to have reclamation checked.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "dataplane/policy/policy_table.h"

namespace penstock {
namespace {

constexpr size_t kReaders = 2;

// Quiescent-state reclamation: a deferred function runs once every reader has passed between two
// look-ups since it was deferred.
class Grace {
 public:
  void quiescent(size_t reader) { passes_[reader].fetch_add(1, std::memory_order_acq_rel); }
  PolicyDefer defer() {
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
  void run_all() {
    for (; !waiting_.empty(); waiting_.pop_front()) waiting_.front().fn();
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

// 64 subnets. In each a protect policy for the whole subnet stays; below and above it come and go
// others, all of them protect or discard. So every look-up finds something, and what it finds is
// of its own subnet.
constexpr uint32_t kSubnets = 64;
constexpr uint32_t kPerSubnet = 1000;

TrafficSelector range(uint32_t first, uint32_t last) {
  TrafficSelector selector;
  selector.first = Ipv4Address::from_host(first);
  selector.last = Ipv4Address::from_host(last);
  return selector;
}

uint32_t base_of(uint32_t subnet) { return 0x0a000000U + (subnet << 8); }

TEST(PolicyTable, readers_during_changes_always_find_a_policy_of_theirs) {
  Grace grace;
  PolicyTable table(grace.defer());
  const TrafficSelector all = range(0, UINT32_MAX);
  PolicySpec spec;
  spec.priority = 500;
  for (uint32_t subnet = 0; subnet < kSubnets; ++subnet) {
    spec.selectors = {all, range(base_of(subnet), base_of(subnet) + 255)};
    spec.tunnel = TunnelId{subnet * kPerSubnet};
    ASSERT_TRUE(table.add(PolicyId{subnet * kPerSubnet}, spec).ok());
  }
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0}, looked_up{0};
  const auto read = [&](size_t reader) {
    std::mt19937 random(static_cast<uint32_t>(reader));
    uint64_t count = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      const uint32_t subnet = random() % kSubnets;
      const Ipv4Address remote = Ipv4Address::from_host(base_of(subnet) + random() % 256);
      const Ipv4Address local = Ipv4Address::from_host(random() % 4);
      const Flow flow{6, Flow::Ports::kBoth, 1, static_cast<uint16_t>(random() % 4)};
      const PolicyMatch match = table.find<4>(
          local.bytes.data(), remote.bytes.data(), [&flow] { return flow; }, PolicySender::kLocal);
      if (!match.found() || match.tunnel / kPerSubnet != subnet) wrong.fetch_add(1);
      grace.quiescent(reader);
      ++count;
    }
    looked_up.fetch_add(count);
  };
  std::vector<std::thread> readers;
  for (size_t i = 0; i < kReaders; ++i) readers.emplace_back(read, i);

  std::mt19937 random(99);
  std::vector<bool> there(kSubnets * kPerSubnet);
  for (int change = 0; change < 30'000; ++change) {
    const uint32_t subnet = random() % kSubnets;
    const uint32_t number = subnet * kPerSubnet + 1 + random() % 40;
    if (there[number]) {
      ASSERT_TRUE(table.remove(PolicyId{number}));
    } else {
      const uint32_t first = static_cast<uint32_t>(random() % 256);
      const uint32_t last = std::min<uint32_t>(255, first + random() % 64);
      spec.selectors = {random() % 3 == 0 ? range(1, 1) : all,
                        range(base_of(subnet) + first, base_of(subnet) + last)};
      spec.selectors.local.protocol = spec.selectors.remote.protocol = 6;
      spec.selectors.remote.last_port = static_cast<uint16_t>(random() % 4);
      spec.tunnel = TunnelId{number};
      spec.priority = random() % 1000;
      ASSERT_TRUE(table.add(PolicyId{number}, spec).ok());
    }
    there[number] = !there[number];
    grace.run_ended();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  grace.run_all();
  EXPECT_EQ(wrong.load(), 0U);
  EXPECT_GT(looked_up.load(), 1000U);
}

}  // namespace
}  // namespace penstock
