// float32 log-densities beside double ones: the predicted error holds, and it is not so careful that it forbids float32
// where float32 is good.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "host/gaussian_covariance.hpp"
#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture_quanta.hpp"
#include "host/passes.hpp"
#include "tests/support/grid_rows.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/mixture_laws.hpp"

namespace coterie::gaussian {
namespace {

constexpr std::size_t kRows = 1024;  // a multiple of every stretch

// Rows of three components whose standard deviation in the first column is `tightness` and whose last two columns are
// `sd_apart` from collinear.
struct Case {
  CovarianceType type;
  std::int32_t n_columns;
  double tightness;
  double sd_apart;
};

struct Problem {
  testing::GridRows rows;
  Model model;
  std::vector<float> center;
};

Problem make_problem(const Case& c) {
  const std::size_t d = static_cast<std::size_t>(c.n_columns);
  std::mt19937 generator(17);
  std::normal_distribution<double> normal;
  Problem problem;
  Model& model = problem.model;
  model = {.covariance_type = c.type, .n_components = 3, .n_columns = c.n_columns, .weights = {0.5, 0.3, 0.2}};
  for (std::size_t i = 0; i < 3 * d; ++i) model.means.push_back(2 * normal(generator));
  const bool correlated = c.type == CovarianceType::full || c.type == CovarianceType::tied;
  std::vector<double> values;
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t j = 0; j < d; ++j) {
      const double sd = j == 0 || c.type == CovarianceType::spherical ? c.tightness : 1;
      values.push_back(model.means[row % 3 * d + j] + sd * normal(generator));
    }
    if (correlated)
      values.back() =
          model.means[row % 3 * d + d - 1] + values[values.size() - 2] - model.means[row % 3 * d + d - 2] + c.sd_apart * normal(generator);
  }
  std::vector<double> precision(d * d);
  for (std::size_t j = 0; j < d; ++j) precision[j * d + j] = j == 0 ? std::pow(c.tightness, -2) : 1;
  if (correlated) {  // the last column is the one before plus noise: its part of the precision is [[1 + a, -a], [-a, a]]
    const double a = std::pow(c.sd_apart, -2);
    precision[(d - 2) * d + d - 2] += a;
    precision[(d - 2) * d + d - 1] = precision[(d - 1) * d + d - 2] = -a;
    precision[(d - 1) * d + d - 1] = a;
  }
  std::vector<double> precisions;
  switch (c.type) {
    case CovarianceType::full:
      for (int k = 0; k < 3; ++k) precisions.insert(precisions.end(), precision.begin(), precision.end());
      break;
    case CovarianceType::tied: precisions = precision; break;
    case CovarianceType::diag:
      for (std::size_t i = 0; i < 3 * d; ++i) precisions.push_back(precision[i % d * d + i % d]);
      break;
    case CovarianceType::spherical: precisions.assign(3, std::pow(c.tightness, -2)); break;
  }
  gaussian_mixture::set_precisions(model, precisions);
  problem.rows = testing::on_grid(values, c.n_columns);
  problem.center.assign(d, 0.0f);
  return problem;
}

// Calls visit(stretch, scratch) for the rows of a problem, with their likelihoods and responsibilities.
template <class T, class Visit>
void for_stretches(const Problem& problem, Visit&& visit) {
  const Components<T> components(problem.model, problem.center);
  Stretch<T> stretch;
  Scratch<T> scratch;
  const std::size_t d = problem.center.size(), step = static_cast<std::size_t>(stretch_rows(problem.model.n_columns));
  for (std::size_t row = 0; row < kRows; row += step) {
    pack(problem.rows.x.data() + row * d, nullptr, static_cast<std::int64_t>(step), problem.center, stretch);
    log_densities(stretch, components, scratch);
    responsibilities(stretch, components.n_components(), scratch);
    visit(stretch, scratch);
  }
}

template <class T>
std::vector<double> likelihoods(const Problem& problem) {
  std::vector<double> result;
  for_stretches<T>(problem, [&](const Stretch<T>& stretch, const Scratch<T>& scratch) {
    result.insert(result.end(), scratch.row_likelihood.begin(), scratch.row_likelihood.begin() + stretch.n_rows);
  });
  return result;
}

double measured_error(const Problem& problem) {
  const std::vector<double> narrow = likelihoods<float>(problem), exact = likelihoods<double>(problem);
  double square = 0;
  for (std::size_t i = 0; i < kRows; ++i) square += (narrow[i] - exact[i]) * (narrow[i] - exact[i]);
  return std::sqrt(square / kRows);
}

std::string type_name(CovarianceType type) {
  constexpr const char* kNames[] = {"full", "tied", "diag", "spherical"};
  return kNames[static_cast<int>(type)];
}

class GaussianRounding : public ::testing::TestWithParam<CovarianceType> {};

TEST_P(GaussianRounding, StaysBelowThePrediction) {
  testing::for_each_instruction_set([&] {
    for (const std::int32_t d : {2, 8, 64, 128})
      for (const double tightness : {1.0, 0.03, 0.001})
        for (const double sd_apart : {1.0, 0.03, 0.001}) {
          SCOPED_TRACE(::testing::Message() << d << " columns, " << tightness << ", " << sd_apart);
          const Problem problem = make_problem({GetParam(), d, tightness, sd_apart});
          EXPECT_LT(measured_error(problem), float_error(problem.model, problem.rows.grid, problem.center));
        }
  });
}

// Half a percent of the default tolerance of a fit for well-scaled rows.
TEST_P(GaussianRounding, AllowsFloatForWellScaledRows) {
  for (const std::int32_t d : {2, 16, 64}) {
    const Problem problem = make_problem({GetParam(), d, 1, 1});
    EXPECT_LT(float_error(problem.model, problem.rows.grid, problem.center), 1e-3 / 20);
  }
}

TEST_P(GaussianRounding, ForbidsFloatBeyondItsRange) {
  Problem problem = make_problem({GetParam(), 3, 1, 1});
  problem.rows.grid.steps[1] = 0x1p30;
  EXPECT_TRUE(std::isinf(float_error(problem.model, problem.rows.grid, problem.center)));
}

// What w r of every row and component comes to, (kRows, n_components).
template <class T>
std::vector<double> responsibilities_of(const Problem& problem) {
  std::vector<double> result;
  for_stretches<T>(problem, [&](const Stretch<T>& stretch, const Scratch<T>& scratch) {
    for (std::int64_t i = 0; i < stretch.n_rows; ++i)
      for (std::int64_t k = 0; k < problem.model.n_components; ++k)
        result.push_back(static_cast<double>(scratch.log_density[static_cast<std::size_t>(k * stretch.stride + i)]));
  });
  return result;
}

// Responsibilities that are zero are below 1e-9 in truth; all others are those of the reference, and the sum over the components
// stays 1. `rounding`: of a log-density, and so of a responsibility, relative.
template <class T>
void expect_drops_only_the_least(const Problem& problem, double least, double rounding) {
  const std::size_t k = static_cast<std::size_t>(problem.model.n_components);
  const reference::Expectation expected =
      reference::expect(problem.rows.x, std::vector<double>(kRows, 1.0), gaussian_mixture::as_reference(problem.model));
  const std::vector<double> r = responsibilities_of<T>(problem);
  std::int64_t dropped = 0, small = 0;
  for (std::size_t row = 0; row < kRows; ++row) {
    double sum = 0;
    for (std::size_t c = 0; c < k; ++c) {
      const double truth = expected.responsibility[row * k + c], found = r[row * k + c];
      sum += found;
      dropped += found == 0;
      small += found > 0 && found < 1e-6;
      if (found == 0)
        ASSERT_LT(truth, least * (1 + rounding));
      else
        ASSERT_NEAR(found, truth, truth * rounding + least * static_cast<double>(k));  // the others' share of what was dropped
    }
    ASSERT_NEAR(sum, 1, static_cast<double>(k) * std::numeric_limits<T>::epsilon());
  }
  EXPECT_GT(dropped, 0);
  EXPECT_GT(small, 0);
}

TEST_P(GaussianRounding, DropsOnlyResponsibilitiesBelowOneInABillion) {
  static_assert(0x1p-30 < 1e-9);
  testing::for_each_instruction_set([&] {
    const Problem problem = make_problem({GetParam(), 8, 1, 1});
    expect_drops_only_the_least<float>(problem, 0x1p-30, 1e-3);
    expect_drops_only_the_least<double>(problem, 0x1p-60, 1e-10);
  });
}

// Three components of which the second is nearly a point, far from the center.
Problem make_mixed_problem(CovarianceType type) {
  constexpr std::size_t d = 6;
  constexpr double kTight = 1e-3;
  std::mt19937 generator(19);
  std::normal_distribution<double> normal;
  std::vector<double> values, precisions;
  Problem problem;
  problem.model = {.covariance_type = type, .n_components = 3, .n_columns = d, .weights = {0.5, 0.3, 0.2}};
  for (std::size_t i = 0; i < 3 * d; ++i) problem.model.means.push_back(i / d == 1 ? 7.3 : normal(generator));
  for (std::size_t i = 0; i < kRows * d; ++i)
    values.push_back(problem.model.means[i % (3 * d)] + (i / d % 3 == 1 ? kTight : 1) * normal(generator));
  for (std::size_t k = 0; k < 3; ++k) {
    const double precision = k == 1 ? 1 / (kTight * kTight) : 1;
    const std::size_t rows = type == CovarianceType::full ? d : 1, columns = type == CovarianceType::spherical ? 1 : d;
    for (std::size_t i = 0; i < rows * columns; ++i) precisions.push_back(rows == 1 || i / d == i % d ? precision : 0);
  }
  gaussian_mixture::set_precisions(problem.model, precisions);
  problem.rows = testing::on_grid(values, d);
  problem.center.assign(d, 0.0f);
  return problem;
}

// The model after one iteration.
Model iterate(const Problem& problem, double tolerance) {
  Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 28, .seed = 1});
  MemoryTileSource source(std::span(problem.rows.x), problem.model.n_columns);
  const kmeans::GridMoments moments = kmeans::measure_moments(context, source, problem.rows.grid, 3);
  const auto pass = gaussian_mixture::make_cpu_pass(context, problem.rows.grid, moments);
  Model model = problem.model;
  model.sweep_tolerance = tolerance;
  const Model* const models[] = {&model};
  const auto statistics = reduce_tiles(context, source, *pass, std::span<const Model* const>(models));
  gaussian_mixture::update(model, statistics.models.front(), problem.rows.grid, moments,
                           {.n_components = 3, .covariance_type = model.covariance_type, .reg_covar = 0});
  return model;
}

// A sweep in two precisions is as good as it promises, and the tight component moves as it does in double.
TEST(GaussianParts, OneTightComponentLeavesTheOthersInFloat) {
  constexpr double kTolerance = 1e-3 / 20;
  for (const CovarianceType type : {CovarianceType::full, CovarianceType::diag, CovarianceType::spherical}) {
    SCOPED_TRACE(type_name(type));
    Problem problem = make_mixed_problem(type);
    problem.model.sweep_tolerance = kTolerance;
    const Parts parts = parts_of(problem.model, problem.rows.grid, problem.center);
    EXPECT_EQ(parts.narrow, (std::vector<std::int32_t>{0, 2}));
    EXPECT_EQ(parts.wide, (std::vector<std::int32_t>{1}));
    testing::for_each_instruction_set([&] {
      const Model mixed = iterate(problem, kTolerance), precise = iterate(problem, 0);
      EXPECT_NE(mixed.lower_bound, precise.lower_bound);
      EXPECT_NEAR(mixed.lower_bound.front(), precise.lower_bound.front(), kTolerance);
      for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(mixed.weights[k], precise.weights[k], kTolerance);
      for (std::size_t i = 0; i < mixed.means.size(); ++i) EXPECT_NEAR(mixed.means[i], precise.means[i], kTolerance);
      const std::size_t cells = mixed.covariances.size() / 3;
      for (std::size_t i = cells; i < 2 * cells; ++i) EXPECT_NEAR(mixed.covariances[i], precise.covariances[i], 1e-15);
    });
  }
}

// Columns are what tied components share, so none of them is narrow alone; a log density that float32 cannot hold keeps all in double;
// and a component without rows does not bring the others to float32.
TEST(GaussianParts, AllAreWideWhereOneWouldSpoilTheOthers) {
  Problem problem = make_mixed_problem(CovarianceType::diag);
  problem.model.sweep_tolerance = 1e-3 / 20;
  problem.model.lower_bound = {1e4};
  EXPECT_EQ(parts_of(problem.model, problem.rows.grid, problem.center).wide, all_of(problem.model));
  problem = make_mixed_problem(CovarianceType::diag);
  problem.model.sweep_tolerance = 1e-3 / 20;
  problem.model.weights = {0, 1, 0};
  EXPECT_EQ(parts_of(problem.model, problem.rows.grid, problem.center).wide, all_of(problem.model));
  problem = make_problem({CovarianceType::tied, 8, 1e-3, 1e-3});
  problem.model.sweep_tolerance = float_error(problem.model, problem.rows.grid, problem.center);
  EXPECT_EQ(parts_of(problem.model, problem.rows.grid, problem.center).wide, all_of(problem.model));
}

INSTANTIATE_TEST_SUITE_P(Types, GaussianRounding,
                         ::testing::Values(CovarianceType::full, CovarianceType::tied, CovarianceType::diag, CovarianceType::spherical),
                         [](const auto& type) { return type_name(type.param); });

}  // namespace
}  // namespace coterie::gaussian
