#include "controlplane/driver/compute_pool.h"

#include <gtest/gtest.h>

#include <future>
#include <numeric>

#include "controlplane/driver/placement.h"

namespace penstock {
namespace {

class ComputePoolTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
  }
  std::unique_ptr<EventLoop> loop_;
};

TEST_F(ComputePoolTest, results_one_thread_arrive_in_order_on_control_thread) {
  ComputePool pool(*loop_, {});
  const auto control = std::this_thread::get_id();
  std::vector<int> results;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pool.submit([&, i]() -> EventLoop::Task {
      EXPECT_NE(std::this_thread::get_id(), control);
      return [&, i] {
        EXPECT_EQ(std::this_thread::get_id(), control);
        results.push_back(i);
        if (results.size() == 100) loop_->stop();
      };
    }));
  }
  loop_->run();
  std::vector<int> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(results, expected);
}

TEST_F(ComputePoolTest, submit_queue_full_is_refused_and_rest_still_runs) {
  ComputePoolOptions options;
  options.queue_limit = 4;
  ComputePool pool(*loop_, options);
  std::promise<void> started, release;
  int done = 0;
  const auto finish = [&] {
    if (++done == 5) loop_->stop();
  };
  ASSERT_TRUE(pool.submit([&]() -> EventLoop::Task {
    started.set_value();
    release.get_future().wait();
    return finish;
  }));
  started.get_future().wait();  // so the queue itself is empty
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(pool.submit([&]() -> EventLoop::Task { return finish; }));
  }
  EXPECT_FALSE(pool.submit([&]() -> EventLoop::Task { return finish; }));
  EXPECT_EQ(pool.waiting(), 4U);
  release.set_value();
  loop_->run();
  EXPECT_EQ(done, 5);
}

TEST_F(ComputePoolTest, destruction_with_waiting_jobs_discards_them) {
  auto owned = std::make_shared<int>(7);
  const std::weak_ptr<int> watch = owned;
  {
    ComputePool pool(*loop_, {});
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(pool.submit([owned]() -> EventLoop::Task { return [] {}; }));
    }
    owned.reset();
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Placement, cpus_beside_workers_leaves_them_out_unless_nothing_is_left) {
  EXPECT_EQ(cpus_beside({0, 1, 2, 3}, {1, 2}), (std::vector<unsigned>{0, 3}));
  EXPECT_EQ(cpus_beside({0, 1}, {0, 1}), (std::vector<unsigned>{0, 1}));
  EXPECT_FALSE(allowed_cpus().empty());
}

}  // namespace
}  // namespace penstock
