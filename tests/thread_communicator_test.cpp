#include "tests/support/thread_communicator.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace coterie::testing {
namespace {

TEST(ThreadCommunicator, MergesEveryKindOfField) {
  run_ranks(3, [](Communicator& communicator) {
    const std::int64_t rank = communicator.rank();
    std::array<std::int64_t, 2> sums{rank, 10 * rank};
    communicator.all_reduce(std::span<std::int64_t>(sums), Merge::sum);
    EXPECT_EQ(sums, (std::array<std::int64_t, 2>{3, 30}));
    std::array<double, 1> smallest{static_cast<double>(5 - rank)}, largest = smallest;
    communicator.all_reduce(std::span<double>(smallest), Merge::min);
    communicator.all_reduce(std::span<double>(largest), Merge::max);
    EXPECT_EQ(smallest[0], 3.0);
    EXPECT_EQ(largest[0], 5.0);
  });
}

TEST(ThreadCommunicator, GathersInRankOrder) {
  run_ranks(4, [](Communicator& communicator) {
    for (int round = 0; round < 100; ++round) {
      const std::vector<std::byte> mine(static_cast<std::size_t>(communicator.rank()), std::byte(round));
      const auto all = communicator.all_gather(mine);
      ASSERT_EQ(all.size(), 4u);
      for (std::size_t rank = 0; rank < 4; ++rank) EXPECT_EQ(all[rank], std::vector<std::byte>(rank, std::byte(round)));
    }
  });
}

TEST(ThreadCommunicator, FailureOfOneRankReachesTheCallerAndReleasesTheOthers) {
  const auto run = [] {
    run_ranks(3, [](Communicator& communicator) {
      if (communicator.rank() == 1) throw ContentsError("row 7 is bad");
      std::array<std::int64_t, 1> values{1};
      communicator.all_reduce(std::span<std::int64_t>(values), Merge::sum);
    });
  };
  EXPECT_THROW(run(), ContentsError);
}

}  // namespace
}  // namespace coterie::testing
