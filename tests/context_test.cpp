// What a context promises about workers, on which all scratch of passes and readers relies.
#include "host/context.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace coterie {
namespace {

class ContextWorkers : public ::testing::TestWithParam<int> {};

// As a sweep and the reading ahead of its source do.
TEST_P(ContextWorkers, AreNumberedBelowThreadsAndNeverSharedByTwoCallers) {
  Context context({.threads = GetParam(), .memory_bytes = std::int64_t{1} << 20});
  std::vector<std::atomic<int>> running(64);
  std::atomic<int> largest = 0, shared = 0;
  std::atomic<std::int64_t> done = 0;
  const auto call = [&] {
    for (int i = 0; i < 50; ++i)
      context.parallel_for(16, [&](std::int64_t, int worker) {
        const std::size_t at = static_cast<std::size_t>(worker);
        if (worker > largest) largest = worker;
        if (running[at]++ != 0) ++shared;
        std::this_thread::sleep_for(std::chrono::microseconds(20));
        --running[at];
        ++done;
      });
  };
  std::thread reader(call);
  call();
  reader.join();
  EXPECT_LT(largest, GetParam());
  EXPECT_EQ(shared, 0);
  EXPECT_EQ(done, 2 * 50 * 16);
}

TEST_P(ContextWorkers, HandOnTheFirstFailureAndGoOn) {
  Context context({.threads = GetParam(), .memory_bytes = std::int64_t{1} << 20});
  EXPECT_THROW(context.parallel_for(8, [](std::int64_t, int) { throw std::runtime_error("a task failed"); }), std::runtime_error);
  std::atomic<int> done = 0;
  context.parallel_for(8, [&](std::int64_t, int) { ++done; });
  EXPECT_EQ(done, 8);
}

TEST_P(ContextWorkers, HandOnTheFailureOfTheFirstTaskThatFails) {
  Context context({.threads = GetParam(), .memory_bytes = std::int64_t{1} << 20});
  for (int repeat = 0; repeat < 200; ++repeat) {
    int failed = -1;
    try {
      context.parallel_for(64, [](std::int64_t task, int) {
        if (task % 8 == 5) throw static_cast<int>(task);
      });
    } catch (int task) {
      failed = task;
    }
    ASSERT_EQ(failed, 5);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ContextWorkers, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace coterie
