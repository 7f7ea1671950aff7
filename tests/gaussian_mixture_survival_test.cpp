// Rows on which the likelihood of a mixture has no maximum, or components lose their rows.
#include <numeric>
#include <random>

#include "tests/support/mixture_laws.hpp"

namespace coterie::gaussian_mixture {
namespace {

using testing::size_for;

// A third of the rows are one point, in a column of whole numbers another third.
TEST(GaussianMixtureFit, SurvivesPointMasses) {
  constexpr std::size_t n = size_for(3000, 240);
  std::vector<double> values = testing::blobs(n, 2, 3, 2, 41);
  for (std::size_t i = 0; i < n / 3; ++i) values[2 * i] = 0.6931;
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(values, 2),
                    .weights = {},
                    .params = {{.n_components = 4, .covariance_type = type, .n_init = 3, .max_iter = 300, .reg_covar = 0}}};
    const Outcome outcome = run(problem);
    const Model& model = outcome.fit.best.front();
    EXPECT_TRUE(std::isfinite(model.log_likelihood));
    expect_never_falls(model);
    EXPECT_EQ(outcome.fit.warnings.empty(), model.at_floor.empty() && model.converged && model.too_light.empty());
  }
}

TEST(GaussianMixtureFit, HoldsUpAPointMassAndSaysSo) {
  constexpr std::size_t n = size_for(2000, 400);
  std::vector<double> values = testing::blobs(n, 2, 1, 1, 42);
  for (std::size_t i = 0; i < n; ++i) values[i] = 7;  // the first half of the rows
  for (const double reg_covar : {0.0, 1e-4}) {        // the second one alone lifts the variance above the floor
    Problem problem{.rows = testing::on_grid(values, 2), .weights = {}, .params = {{.n_components = 2, .reg_covar = reg_covar}}};
    const Outcome outcome = run(problem);
    const Model& model = outcome.fit.best.front();
    ASSERT_EQ(model.at_floor.size(), 1u);
    const std::size_t point = static_cast<std::size_t>(model.at_floor.front());
    EXPECT_NEAR(model.weights[point], 0.5, 1e-6);
    EXPECT_NEAR(model.means[point * 2], 7, 1e-6);
    ASSERT_FALSE(outcome.fit.warnings.empty());
    EXPECT_NE(outcome.fit.warnings.front().find("covariance floor"), std::string::npos);
  }
}

TEST(GaussianMixtureFit, SurvivesCollinearAndConstantColumns) {
  constexpr std::size_t n = size_for(4000, 400);
  const auto blobs = testing::blobs(n, 2, 3, 4, 43);
  std::vector<double> values;
  for (std::size_t i = 0; i < n; ++i)
    values.insert(values.end(), {blobs[2 * i], blobs[2 * i + 1], blobs[2 * i] - 2 * blobs[2 * i + 1], 5.0});
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(values, 4),
                    .weights = {},
                    .params = {{.n_components = 3, .covariance_type = type, .n_init = 2, .reg_covar = 0}}};
    const Outcome outcome = run(problem);
    EXPECT_TRUE(std::isfinite(outcome.fit.best.front().log_likelihood));
    EXPECT_TRUE(outcome.fit.best.front().converged);
    expect_never_falls(outcome.fit.best.front());
    if (type == CovarianceType::full || type == CovarianceType::tied) {
      EXPECT_EQ(outcome.fit.best.front().at_floor.size(), 3u);
    }
  }
}

// A component far from every row has no rows at all after the first iteration; it starts over once.
TEST(GaussianMixtureFit, ALostComponentStartsOver) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem = blobs_problem(size_for(6000, 600), 2, 2, 6);
    problem.params.front() = {.n_components = 3, .covariance_type = type, .reg_covar = 0};
    reference::Mixture start = plain_start(problem);
    start.means[1] = {1e4, 1e4};
    start_from(start, problem.params.front());
    const Outcome outcome = run(problem);
    const Model& model = outcome.fit.best.front();
    ASSERT_EQ(model.reseedings.size(), 1u);
    EXPECT_TRUE(model.converged);
    EXPECT_GT(model.weights.back(), 0);
    expect_never_falls(model);
    EXPECT_NE(outcome.fit.warnings.front().find("started over"), std::string::npos);
  }
}

// Twelve rows of ten columns: no two of four components can have the eleven rows that full covariances need. A component that starts
// over may have rows, so nothing says that it had lost them.
TEST(GaussianMixtureFit, SurvivesComponentsOfFewerRowsThanTheyNeed) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem = blobs_problem(12, 10, 4, 3);
    problem.params.front() = {.n_components = 4, .covariance_type = type};
    const Outcome outcome = run(problem);
    const Model& model = outcome.fit.best.front();
    EXPECT_TRUE(std::isfinite(model.log_likelihood) && std::isfinite(model.bic) && std::isfinite(model.icl));
    for (const std::vector<double>* values : {&model.weights, &model.means, &model.covariances, &model.precisions_cholesky})
      for (const double value : *values) EXPECT_TRUE(std::isfinite(value));
    EXPECT_NEAR(std::accumulate(model.weights.begin(), model.weights.end(), 0.0), 1, kRounding);
    const double needed = type == CovarianceType::full ? 11 : type == CovarianceType::tied ? 1 : 2;
    std::vector<std::int32_t> light;
    for (std::int32_t k = 0; k < 4; ++k)
      if (12 * model.weights[static_cast<std::size_t>(k)] < needed - kRounding) light.push_back(k);
    EXPECT_EQ(model.too_light, light);
    std::string said;
    for (const std::string& warning : outcome.fit.warnings) said += warning + '\n';
    EXPECT_EQ(said.find("lost"), std::string::npos) << said;
    EXPECT_EQ(
        said.find("has fewer rows than its covariance needs; ask for fewer components or a simpler covariance type") != std::string::npos,
        !light.empty())
        << said;
    for (const Reseeding& reseeding : model.reseedings)
      EXPECT_NE(
          said.find("component " + std::to_string(reseeding.component) + " had fewer rows than its covariance needs after iteration " +
                    std::to_string(reseeding.iteration) + " and started over from an unlikely row"),
          std::string::npos)
          << said;
    if (type == CovarianceType::full) {
      EXPECT_GE(light.size(), 3u);
      EXPECT_GE(model.reseedings.size(), 3u);
    }
  }
}

TEST(GaussianMixtureFit, SurvivesMoreComponentsThanDistinctRows) {
  std::vector<double> values;
  for (int i = 0; i < size_for(300, 60); ++i) values.insert(values.end(), {static_cast<double>(i % 3), static_cast<double>(i % 3 == 1)});
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(values, 2),
                    .weights = {},
                    .params = {{.n_components = 6, .covariance_type = type, .n_init = 2, .reg_covar = 0}}};
    const Outcome outcome = run(problem);
    EXPECT_TRUE(std::isfinite(outcome.fit.best.front().log_likelihood));
    EXPECT_FALSE(outcome.fit.warnings.empty());
  }
}

TEST(GaussianMixtureFit, FindsComponentsWhoseVariancesDifferAMillionfold) {
  std::mt19937 generator(9);
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (int i = 0; i < size_for(8000, 2000); ++i) {
    const bool tight = i % 2 == 0;
    values.insert(values.end(),
                  {tight ? 3 + 1e-3 * normal(generator) : normal(generator), tight ? 1e-3 * normal(generator) : normal(generator)});
  }
  for (const CovarianceType type : {CovarianceType::full, CovarianceType::diag, CovarianceType::spherical}) {
    Problem problem{.rows = testing::on_grid(values, 2),
                    .weights = {},
                    .params = {{.n_components = 2, .covariance_type = type, .n_init = 3, .reg_covar = 0, .covariance_floor = 1e-9}}};
    const Model model = fit_one(problem);
    EXPECT_TRUE(model.at_floor.empty());
    const std::vector<double> covariances = matrices(model);
    const std::size_t tight = covariances[0] < covariances[4] ? 0 : 1;
    EXPECT_NEAR(covariances[tight * 4], 1e-6, 1e-7);  // 4000 rows tell a variance to 2 %
    EXPECT_NEAR(covariances[(1 - tight) * 4], 1, 0.1);
    expect_never_falls(model);
  }
}

}  // namespace
}  // namespace coterie::gaussian_mixture
