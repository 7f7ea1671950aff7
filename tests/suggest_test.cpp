#include "tools/suggest.hpp"

#include <gtest/gtest.h>

namespace coterie::tools {
namespace {

TEST(EditDistance, CountsEachKindOfSlipOnce) {
  EXPECT_EQ(edit_distance("cluster", "cluster"), 0u);
  EXPECT_EQ(edit_distance("cluster", "clster"), 1u);
  EXPECT_EQ(edit_distance("cluster", "clustter"), 1u);
  EXPECT_EQ(edit_distance("cluster", "clastar"), 2u);
  EXPECT_EQ(edit_distance("cluster", "clutser"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
}

TEST(Nearest, FindsTheWordThatWasMeant) {
  const std::vector<std::string> options{"--seed", "--n-init", "--n-clusters"};
  EXPECT_EQ(nearest("--n-cluster", options), "--n-clusters");
  EXPECT_EQ(nearest("--nclusters", options), "--n-clusters");
}

TEST(Nearest, SaysNothingWhenNothingIsNear) { EXPECT_EQ(nearest("--colour", {"--seed", "--n-clusters"}), ""); }

}  // namespace
}  // namespace coterie::tools
