// Where mixtures start.
#include "host/error.hpp"
#include "tests/support/mixture_laws.hpp"

namespace coterie::gaussian_mixture {
namespace {

using testing::size_for;

// Short runs over a sample of all rows are those of as many random restarts with few iterations.
TEST(GaussianMixtureInit, ShortRunsStartFromTheLikeliestOfRandomStarts) {
  bool choice_matters = false;  // the first start is not always the best
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem = blobs_problem(size_for(1500, 300), 3, 6, 2);
    problem.params.front() = {.n_components = 6, .covariance_type = type, .n_init = kShortStarts, .max_iter = kShortIterations, .tol = 0};
    problem.params.front().init = Init::random;
    const Model expected = fit_one(problem);
    problem.params.front().n_init = 1;
    choice_matters = choice_matters || fit_one(problem).log_likelihood < expected.log_likelihood;
    Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30, .seed = problem.seed});
    MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns);
    const kmeans::GridMoments moments = kmeans::measure_moments(context, rows, problem.grid(), 6);
    problem.params.front().init = Init::short_em;
    const std::vector<Model> starts = seed(context, problem.grid(), moments, problem.params.front());
    ASSERT_EQ(starts.size(), 1u);
    EXPECT_EQ(starts.front().n_iter, 0);
    EXPECT_TRUE(starts.front().lower_bound.empty());
    expect_near(starts.front().weights, expected.weights, kRounding);
    expect_near(starts.front().means, expected.means, kRounding);
    expect_near(starts.front().covariances, expected.covariances, kRounding);
  }
  EXPECT_TRUE(choice_matters);
}

TEST(GaussianMixtureInit, EveryRestartHasShortRunsOfItsOwn) {
  Problem problem = blobs_problem(size_for(1500, 300), 3, 6, 2);
  problem.params.front() = {.n_components = 6, .n_init = 2, .init = Init::short_em};
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30, .seed = problem.seed});
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns);
  const kmeans::GridMoments moments = kmeans::measure_moments(context, rows, problem.grid(), 6);
  const std::vector<Model> starts = seed(context, problem.grid(), moments, problem.params.front());
  ASSERT_EQ(starts.size(), 2u);
  EXPECT_NE(starts[0].means, starts[1].means);
  EXPECT_EQ(starts[1].restart, 1);
}

TEST(GaussianMixtureInit, ShortRunsIgnoreThreadsTilesAndCompany) {
  Problem problem = blobs_problem(size_for(std::int64_t{10007}, kBlockRows + 11), 3, 4, 2);
  problem.params = {{.n_components = 4, .max_iter = 3, .init = Init::short_em}};
  const Model expected = run(problem, {.threads = 1}).fit.best.front();
  Problem in_company = problem;
  in_company.params.push_back({.n_components = 7, .max_iter = 2});
  const Model other = run(in_company, {.threads = 3, .tile_rows = kBlockRows}).fit.best.front();
  EXPECT_EQ(other.means, expected.means);
  EXPECT_EQ(other.lower_bound, expected.lower_bound);
}

TEST(GaussianMixtureInit, RefusesWhatCannotBeFitted) {
  const auto refuses = [](auto&& change) {
    Problem problem = blobs_problem(50, 2, 2, 1);
    change(problem.params.front());
    EXPECT_THROW(run(problem), ArgumentError);
  };
  refuses([](Params& p) { p.n_components = 51; });
  refuses([](Params& p) { p.n_components = 0; });
  refuses([](Params& p) { p.n_init = 0; });
  refuses([](Params& p) { p.tol = -1; });
  refuses([](Params& p) { p.reg_covar = std::nan(""); });
  refuses([](Params& p) { p.means_init = {1, 2, 3}; });
  refuses([](Params& p) { p.weights_init = {0.5, 0.6}; });
  refuses([](Params& p) { p.weights_init = {1.5, -0.5}; });
  refuses([](Params& p) { p.means_init = {1, 2, 3, std::nan("")}; });
  refuses([](Params& p) { p.precisions_init = {1, 2, 2, 1, 1, 0, 0, 1}; });
  refuses([](Params& p) { p.precisions_init = {1, 0.5, 0, 1, 1, 0, 0, 1}; });
  refuses([](Params& p) {
    p.covariance_type = CovarianceType::diag;
    p.precisions_init = {1, 1, 0, 1};
  });
}

}  // namespace
}  // namespace coterie::gaussian_mixture
