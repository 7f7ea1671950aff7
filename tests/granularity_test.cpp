#include "tools/granularity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coterie::tools {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Tried {
  std::int32_t n_clusters;
  double explained;
  bool is_anecdotal = false;  // its smallest segment holds 1 % of the customers
};

Choice choose(const std::vector<Tried>& tried) {
  std::vector<kmeans::Model> models;
  std::vector<kmeans::Quality> qualities;
  for (const Tried& each : tried) {
    const auto k = static_cast<std::size_t>(each.n_clusters);
    kmeans::Model model{.n_clusters = each.n_clusters};
    model.cluster_weights.assign(k, 99.0 / static_cast<double>(k - 1));
    model.cluster_weights[0] = each.is_anecdotal ? 1 : 5;
    model.cluster_sizes.assign(k, 5);
    models.push_back(model);
    qualities.push_back({.explained = each.explained});
  }
  return compare_kmeans(models, qualities).choice;
}

TEST(ChoiceOfSegments, FollowsTheSharpestFallOfTheReturn) {
  const Choice choice = choose({{2, 0.3}, {3, 0.6}, {4, 0.62}, {5, 0.65}});
  EXPECT_EQ(choice.index, 1u);
  EXPECT_THAT(choice.reason, HasSubstr("3 segments: the return on a further segment falls most sharply here, by a factor of 7.7, and the "
                                       "smallest segment holds at least 2 % of the customers."));
}

TEST(ChoiceOfSegments, OfOneNumberSaysSo) {
  EXPECT_EQ(choose({{5, 0.5}}).reason,
            "5 segments: the only number that was tried, and its smallest segment holds at least 2 % of the customers.");
  EXPECT_EQ(choose({{5, 0.5, true}}).reason,
            "5 segments: the only number that was tried, and its smallest segment holds less than 2 % of the customers.");
}

TEST(ChoiceOfSegments, OfOneNumberWithoutAnAnecdoteSaysSo) {
  for (const std::size_t eligible : {0u, 1u, 2u}) {
    std::vector<Tried> tried = {{2, 0.3, true}, {3, 0.6, true}, {4, 0.7, true}};
    tried[eligible].is_anecdotal = false;
    const Choice choice = choose(tried);
    EXPECT_EQ(choice.index, eligible);
    EXPECT_THAT(choice.reason,
                HasSubstr(" segments: the only number that was tried whose smallest segment holds at least 2 % of the customers."));
  }
}

TEST(ChoiceOfSegments, AmongAnecdotesIsTheSmallestNumber) {
  const Choice choice = choose({{2, 0.3, true}, {3, 0.6, true}, {4, 0.7, true}});
  EXPECT_EQ(choice.index, 0u);
  EXPECT_EQ(choice.reason, "2 segments: every number that was tried leaves a segment of less than 2 % of the customers.");
}

TEST(ChoiceOfSegments, DoesNotCallASharpFallTheSharpest) {
  const Choice choice = choose({{2, 0.3}, {3, 0.6, true}, {4, 0.62}, {5, 0.63}, {6, 0.65}});
  EXPECT_EQ(choice.index, 2u);
  EXPECT_THAT(choice.reason,
              HasSubstr("falls most sharply here, by a factor of 1.5, of the numbers whose smallest segment holds at least 2 %"));
}

TEST(ChoiceOfSegments, SaysWhereTheReturnFallsNowhere) {
  const Choice choice = choose({{2, 0.1}, {3, 0.2}, {4, 0.5}});
  EXPECT_THAT(choice.reason, HasSubstr("2 segments: the return on a further segment nowhere falls by a factor of 1.05"));
}

TEST(ChoiceOfSegments, SaysWhereTheReturnVanishes) {
  const Choice choice = choose({{2, 0.5}, {3, 1}, {4, 1}});
  EXPECT_THAT(choice.reason, HasSubstr("3 segments: the return on a further segment vanishes here, and"));
}

gaussian_mixture::Model mixture(double icl, bool is_anecdotal, bool is_at_floor) {
  gaussian_mixture::Model model;
  model.n_components = 2;
  model.n_columns = 1;
  model.icl = model.bic = icl;
  model.weights = is_anecdotal ? std::vector{0.99, 0.01} : std::vector{0.5, 0.5};
  if (is_at_floor) model.at_floor = {0};
  return model;
}

std::string reason(const std::vector<gaussian_mixture::Model>& models) { return compare_mixtures(models).choice.reason; }

TEST(ChoiceOfMixtures, NamesTheFaultsThatTheModelsHave) {
  constexpr bool kAnecdotal = true, kAtFloor = true;
  const auto good = mixture(3, false, false), floor = mixture(2, false, kAtFloor), small = mixture(1, kAnecdotal, false),
             both = mixture(0, kAnecdotal, kAtFloor);
  EXPECT_THAT(reason({good, floor, small, both}),
              HasSubstr("among models off the covariance floor whose smallest segment holds at least 2 %"));
  EXPECT_THAT(reason({floor, small, both}),
              HasSubstr("; it rests on the covariance floor, as every model does whose smallest segment holds at least 2 %"));
  EXPECT_THAT(reason({small, both}), HasSubstr("; every model leaves a segment of less than 2 % of the customers. BIC agrees."));
  EXPECT_THAT(reason({both, both}), HasSubstr("less than 2 % of the customers and rests on the covariance floor. BIC agrees."));
}

TEST(ChoiceOfMixtures, OfOneModelComparesNothing) {
  for (const bool is_anecdotal : {false, true})
    for (const bool is_at_floor : {false, true}) {
      const std::string text = reason({mixture(0, is_anecdotal, is_at_floor)});
      EXPECT_THAT(text, HasSubstr("2 segments with full covariances: the only model that was tried"));
      for (const char* comparison : {"least", "among", "every", "BIC"}) EXPECT_THAT(text, Not(HasSubstr(comparison)));
      EXPECT_EQ(text.find("less than 2 %") != std::string::npos, is_anecdotal);
      EXPECT_EQ(text.find("covariance floor") != std::string::npos, is_at_floor);
    }
}

}  // namespace
}  // namespace coterie::tools
