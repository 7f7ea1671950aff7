#include "host/logistic_regression.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <tuple>

#include "host/error.hpp"
#include "tests/support/logistic_reference.hpp"

namespace coterie::logistic_regression {
namespace {

TEST(LogisticRegressionFit, MatchesReference) {
  expect_matches_reference(mixed_problem());
  expect_matches_reference(mixed_problem(5000, 9));
  expect_matches_reference(mixed_problem(400, 1));
}

// More rows than a step needs: first steps and Hessians come from a sample of the blocks, the maximum does not.
TEST(LogisticRegressionFit, MatchesReferenceWithStepsFromSomeBlocks) {
  Problem problem = drawn_problem(150'000, 3, -2);
  problem.params = {{.penalty = Penalty::none, .tol = kTight}, {.penalty = Penalty::l2, .C = 1e6, .tol = kTight, .inference = false}};
  const Fit fit = run(problem);
  EXPECT_GT(fit.models[0].rows[1], 1000);
  const reference::LogisticFit expected = reference::fit_logistic(as_reference(problem, problem.params[0]), 8);
  expect_same_fit(fit.models[0], expected);
  EXPECT_NEAR(fit.models[1].log_likelihood, expected.log_likelihood, 1e-6);  // what so small a ridge moves
  EXPECT_TRUE(fit.models[1].estimates.covariance.empty());
  EXPECT_EQ(wald(fit.models[1].estimates, 0).value, fit.models[1].coefficients[0]);
}

class CountingPass final : public Pass {
 public:
  explicit CountingPass(Pass& pass) : pass_(pass) {}
  void begin(std::span<const Model* const> models) override {
    for (const Model* model : models) ++(model->search.hessian_every > 0 ? with_hessian : without_hessian);
    pass_.begin(models);
  }
  void accumulate(const Tile& tile) override { pass_.accumulate(tile); }
  SweepStatistics finish() override { return pass_.finish(); }
  std::int32_t with_hessian = 0, without_hessian = 0;

 private:
  Pass& pass_;
};

// Of wide rows a Hessian costs more than a step with an earlier one, corrected by what the gradient did, leaves to do.
TEST(LogisticRegressionFit, MatchesReferenceWithHessiansOfEarlierSweeps) {
  constexpr double kTol = 1e-12;  // a step by an earlier Hessian leaves more than one by a new Hessian
  Problem problem = weighted_problem(3000, 20);
  problem.params = {{.penalty = Penalty::none, .tol = kTol}, {.target = 1, .C = 0.1, .tol = kTol}};
  Context context({.threads = 2});
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns);
  ZippedSource source(rows, problem.side_columns());
  const GridMoments moments = kmeans::measure_moments(context, source, problem.grid(), 1);
  const auto backend = testing::make_backend(context);
  const auto staged = backend->stage(source);
  const auto pass = backend->logistic_regression_pass(problem.grid(), moments);
  CountingPass counting(*pass);
  const Fit fitted = fit(context, *staged, problem.grid(), moments, problem.params, counting);
  EXPECT_GE(counting.without_hessian, 4);
  EXPECT_LE(counting.with_hessian, 2 * 5);  // that of the last sweep, too
  for (std::size_t m = 0; m < 2; ++m)
    expect_same_fit(fitted.models[m], reference::fit_logistic(as_reference(problem, problem.params[m]), 25));
}

// A fit may end a step early where steps are sure to have become short: never farther from the maximum than it was asked for.
TEST(LogisticRegressionFit, EndsWithinTheToleranceOfTheMaximum) {
  const std::int64_t many = testing::size_for<std::int64_t>(150'000, 900);
  for (const auto& [n, d, intercept] : {std::tuple{std::int64_t{700}, 5, -1.0}, {many, 5, -1.0}, {3'000, 20, -3.5}, {many, 20, -3.5}}) {
    SCOPED_TRACE(::testing::Message() << n << " rows of " << d << " columns");
    Problem problem = drawn_problem(n, d, intercept);
    problem.params = {{.tol = kTight}};
    const Model maximum = fit_one(problem);
    for (const double tol : {1e-2, 1e-6}) {
      problem.params = {{.tol = tol}};
      const Model model = fit_one(problem);
      EXPECT_TRUE(model.converged);
      EXPECT_LE(model.n_iter, maximum.n_iter);
      for (std::size_t i = 0; i <= static_cast<std::size_t>(d); ++i)
        EXPECT_NEAR(model.estimates.values[i], maximum.estimates.values[i], std::sqrt(tol) * wald(maximum.estimates, i).std_err);
    }
  }
}

TEST(LogisticRegressionFit, WeightTwoIsARowTwice) {
  Problem weighted = drawn_problem(2000, 3, 0.5);
  Problem twice{.rows = weighted.rows, .target = weighted.target};
  std::vector<double> weights;
  for (std::size_t i = 0; i < 2000; ++i) {
    weights.push_back(i % 3 == 0 ? 2 : 1);
    if (i % 3 != 0) continue;
    for (std::size_t j = 0; j < 3; ++j) twice.rows.x.push_back(weighted.rows.x[i * 3 + j]);
    twice.target.push_back(weighted.target[i]);
    ++twice.rows.n_rows;
  }
  weighted.weights = quantise_weights(weights);
  weighted.params.front().tol = twice.params.front().tol = kTight;
  const Model a = fit_one(weighted), b = fit_one(twice);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(a.estimates.values[i], b.estimates.values[i], kRounding);
    EXPECT_NEAR(wald(a.estimates, i, true).std_err, wald(b.estimates, i, true).std_err, kRounding);
  }
}

TEST(LogisticRegressionFit, RowsThatDoNotCountChangeNothing) {
  Problem problem = drawn_problem(3000, 3, 0, 8);
  problem.fold.assign(3000, 0);
  for (std::size_t i = 0; i < 3000; i += 4) problem.fold[i] = -1;
  Problem unknown = problem, flipped = problem;
  for (std::size_t i = 0; i < 3000; i += 4) {
    unknown.target[i] = -1;
    flipped.target[i] = static_cast<std::int8_t>(1 - flipped.target[i]);
  }
  Problem left_out = problem;
  for (std::size_t i = 0; i < 3000; i += 4) left_out.fold[i] = 2;
  left_out.params.front().left_out_fold = 2;
  const std::vector<double> expected = fit_one(problem).estimates.values;
  EXPECT_EQ(fit_one(unknown).estimates.values, expected);
  EXPECT_EQ(fit_one(flipped).estimates.values, expected);
  EXPECT_EQ(fit_one(left_out).estimates.values, expected);
  EXPECT_EQ(fit_one(problem).rows[0] + fit_one(problem).rows[1], 2250);
}

TEST(LogisticRegressionFit, ColumnsInAnotherOrderGiveTheSameCoefficients) {
  Problem problem = drawn_problem(2500, 4, -0.5);
  problem.params.front().tol = kTight;
  Problem permuted = problem;
  const std::size_t order[] = {2, 0, 3, 1};
  for (std::size_t i = 0; i < 2500; ++i)
    for (std::size_t j = 0; j < 4; ++j) permuted.rows.x[i * 4 + j] = problem.rows.x[i * 4 + order[j]];
  for (std::size_t j = 0; j < 4; ++j) permuted.rows.grid.steps[j] = problem.rows.grid.steps[order[j]];
  const Model a = fit_one(problem), b = fit_one(permuted);
  for (std::size_t j = 0; j < 4; ++j) EXPECT_NEAR(b.coefficients[j], a.coefficients[order[j]], kRounding);
}

TEST(LogisticRegressionFit, ATinyRidgeIsNoPenalty) {
  Problem problem = drawn_problem(2500, 3, 0.3);
  problem.params = {{.penalty = Penalty::none, .tol = kTight}, {.penalty = Penalty::l2, .C = 1e9, .tol = kTight}};
  const Fit fit = run(problem);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(fit.models[0].estimates.values[i], fit.models[1].estimates.values[i],
                kParameters * wald(fit.models[0].estimates, i).std_err);
}

// Columns in units 2^k larger have the same bits, and coefficients 2^k smaller.
TEST(LogisticRegressionFit, IgnoresUnitsOfColumns) {
  Problem problem = drawn_problem(2500, 3, 0.3);
  problem.params = {{.penalty = Penalty::none}};
  Problem scaled = problem;
  const int exponents[] = {60, -70, 7};
  for (std::size_t i = 0; i < scaled.rows.x.size(); ++i) scaled.rows.x[i] = std::ldexp(scaled.rows.x[i], exponents[i % 3]);
  for (std::size_t j = 0; j < 3; ++j) scaled.rows.grid.steps[j] = std::ldexp(scaled.rows.grid.steps[j], exponents[j]);
  const Model a = fit_one(problem), b = fit_one(scaled);
  EXPECT_EQ(a.log_likelihood, b.log_likelihood);
  for (std::size_t j = 0; j < 3; ++j) {
    EXPECT_EQ(b.coefficients[j], std::ldexp(a.coefficients[j], -exponents[j]));
    EXPECT_EQ(wald(b.estimates, j).z, wald(a.estimates, j).z);
  }
}

// R drops what earlier columns and the intercept determine.
TEST(LogisticRegressionFit, AliasedColumnsAreDroppedAndNamed) {
  for (const std::int32_t d : {3, 18}) {  // of wide rows, Hessians of earlier sweeps are gone on with
    SCOPED_TRACE(d);
    const Problem base = drawn_problem(2000, d, 0);
    Problem aliased = base;
    std::vector<double> x;
    for (std::size_t i = 0; i < 2000; ++i) {
      const float* const row = base.rows.x.data() + i * static_cast<std::size_t>(d);
      const double first = static_cast<double>(row[0]), second = static_cast<double>(row[1]);
      x.insert(x.end(), {first, 7.0, second, first / 4 + second / 2});
      x.insert(x.end(), row + 2, row + d);
    }
    aliased.rows = testing::on_grid(x, d + 2);
    aliased.params.front().penalty = Penalty::none;
    Problem plain = base;
    plain.params.front().penalty = Penalty::none;
    const Model model = fit_one(aliased), expected = fit_one(plain);
    ASSERT_EQ(model.aliased, (std::vector<std::int32_t>{1, 3}));
    EXPECT_EQ(model.n_parameters(), d + 1);
    EXPECT_EQ(model.coefficients[1], 0);
    EXPECT_TRUE(std::isnan(wald(model.estimates, 3).std_err));
    EXPECT_NEAR(model.log_likelihood, expected.log_likelihood, kRounding * -expected.log_likelihood);
    EXPECT_NEAR(model.coefficients[4], expected.coefficients[2], 1e-5);  // the sum of two columns was rounded to its grid
    std::vector<std::string> names{"a", "seven", "b", "sum"};
    names.resize(static_cast<std::size_t>(d) + 2, "c");
    EXPECT_NE(warnings_about(model, names).front().find("'seven', 'sum'"), std::string::npos);
  }
}

TEST(LogisticRegressionFit, CompleteSeparationIsNamed) {
  for (const std::int32_t d : {3, 18}) {
    Problem problem = drawn_problem(600, d, 0);
    problem.params.front().penalty = Penalty::none;
    for (std::size_t i = 0; i < 600; ++i) problem.target[i] = problem.rows.x[i * static_cast<std::size_t>(d) + 1] > 1 ? 1 : 0;
    const Model model = fit_one(problem);
    EXPECT_EQ(std::count(model.separating.begin(), model.separating.end(), 1), 1);
    EXPECT_NEAR(model.log_likelihood, 0, 1e-6);
    problem.params.front().penalty = Penalty::l2;
    EXPECT_TRUE(fit_one(problem).separating.empty());
  }
}

TEST(LogisticRegressionFit, SaysWhyThereIsNoFit) {
  Problem problem = drawn_problem(300, 2, 0, 4, 3);
  for (std::size_t i = 0; i < 300; ++i) {
    problem.target[i * 3] = -1;
    problem.target[i * 3 + 1] = 1;
  }
  problem.params = {{.target = 0}, {.target = 1}, {.target = 2}};
  const Fit fit = run(problem);
  EXPECT_THROW(require_fit(fit.models[0], "bought"), ContentsError);
  EXPECT_THROW(require_fit(fit.models[1], "bought"), ContentsError);
  require_fit(fit.models[2], "bought");
  EXPECT_TRUE(fit.models[2].converged);
  EXPECT_THROW(seed(problem.grid(), GridMoments{}, {.C = 0}), ArgumentError);
}

TEST(LogisticRegressionEstimates, InRawUnitsUndoesShiftAndScale) {
  const Problem problem = drawn_problem(2000, 2, 0.2);
  const Model model = fit_one(problem);
  Transform transform{.kind = TransformKind::zscore,
                      .columns = {{.source = 0, .center = 10, .scale = 4}, {.source = 1, .center = -3, .scale = 0.5}},
                      .names = {"a", "b"}};
  const Estimates raw = in_raw_units(model.estimates, transform).value();
  EXPECT_DOUBLE_EQ(raw.values[0], model.coefficients[0] / 4);
  EXPECT_DOUBLE_EQ(raw.values[1], model.coefficients[1] * 2);
  const double x[] = {13.5, -2};  // log-odds of a row are the same in both units
  const double eta = model.intercept() + model.coefficients[0] * (x[0] - 10) / 4 + model.coefficients[1] * (x[1] + 3) / 0.5;
  EXPECT_NEAR(raw.values[2] + raw.values[0] * x[0] + raw.values[1] * x[1], eta, kRounding);
  EXPECT_NEAR(wald(raw, 0).z, wald(model.estimates, 0).z, kRounding);
  transform.columns[1].log1p = true;
  EXPECT_FALSE(in_raw_units(model.estimates, transform).has_value());
}

}  // namespace
}  // namespace coterie::logistic_regression
