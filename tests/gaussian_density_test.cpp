// Densities that responsibilities drop need not be computed, and nothing shows that they were not.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "host/gaussian_covariance.hpp"
#include "host/gaussian_density.hpp"
#include "tests/support/grid_rows.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie::gaussian {
namespace {

// Components whose means lie `apart` and whose columns mix; `tightest` is the least of their standard deviations before they do.
struct Case {
  std::int32_t n_components, n_columns;
  double apart, tightest = 1;
  std::int64_t n_rows = 2000;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.n_components << " components, " << c.n_columns << " columns, " << c.apart << " apart, sd from " << c.tightest << ", "
             << c.n_rows << " rows";
}

struct Problem {
  Model model;
  std::vector<float> x;
  std::vector<std::int32_t> weight;  // every seventh zero
  std::vector<float> center;
};

// Rows of two components in turn, or between them, where responsibilities pass the least that counts.
Problem make_problem(const Case& c) {
  const std::size_t d = static_cast<std::size_t>(c.n_columns), k = static_cast<std::size_t>(c.n_components);
  std::mt19937 generator(29);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> share;
  Problem problem{.center = std::vector<float>(d, 0.25f)};
  Model& model = problem.model;
  model = {.n_components = c.n_components, .n_columns = c.n_columns, .weights = std::vector<double>(k, 1.0 / c.n_components)};
  for (std::size_t i = 0; i < k * d; ++i) model.means.push_back(c.apart * normal(generator));
  std::vector<double> precisions;
  for (std::size_t i = 0; i < k; ++i) {
    std::vector<double> factor(d * d);  // of the precision, lower triangular
    for (std::size_t row = 0; row < d; ++row)
      for (std::size_t column = 0; column <= row; ++column)
        factor[row * d + column] = (row == column ? 1 : 0.2 * normal(generator)) / (row == 0 ? c.tightest : 1);
    for (std::size_t row = 0; row < d; ++row)
      for (std::size_t column = 0; column < d; ++column) {
        double sum = 0;
        for (std::size_t j = 0; j <= std::min(row, column); ++j) sum += factor[row * d + j] * factor[column * d + j];
        precisions.push_back(sum);
      }
  }
  gaussian_mixture::set_precisions(model, precisions);
  for (std::int64_t row = 0; row < c.n_rows; ++row) {
    const std::size_t a = generator() % k, b = generator() % k;
    const double between = row % 3 == 0 ? share(generator) : 0;
    for (std::size_t j = 0; j < d; ++j)
      problem.x.push_back(
          static_cast<float>((1 - between) * model.means[a * d + j] + between * model.means[b * d + j] + 0.5 * normal(generator)));
    problem.weight.push_back(row % 7 == 0 ? 0 : static_cast<std::int32_t>(1 + row % 5));
  }
  return problem;
}

// Whether any density of the problem was skipped.
template <class T>
bool expect_same_bits(const Problem& problem) {
  Components<T> components(problem.model, problem.center);
  components.add_directions(problem.model);
  Stretch<T> stretch;
  Scratch<T> all, counting;
  bool skips = false;
  const std::int64_t n = static_cast<std::int64_t>(problem.weight.size()), d = problem.model.n_columns,
                     step = stretch_rows(problem.model.n_columns);
  for (std::int64_t first = 0; first < n; first += step) {
    const std::int64_t rows = std::min(step, n - first);
    pack(problem.x.data() + first * d, problem.weight.data() + first, rows, problem.center, stretch);
    log_densities(stretch, components, all);
    counting_densities(stretch, components, counting);
    const auto for_each_cell = [&](auto&& visit) {
      for (std::int64_t k = 0; k < components.n_components(); ++k)
        for (std::int64_t row = 0; row < rows; ++row) visit(static_cast<std::size_t>(k * stretch.stride + row));
    };
    for_each_cell([&](std::size_t i) {
      EXPECT_GE(counting.log_density[i], all.log_density[i]);
      skips = skips || counting.log_density[i] != all.log_density[i];
    });
    responsibilities(stretch, components.n_components(), all);
    responsibilities(stretch, components.n_components(), counting);
    for_each_cell([&](std::size_t i) { EXPECT_EQ(counting.log_density[i], all.log_density[i]); });
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      EXPECT_EQ(counting.row_likelihood[row], all.row_likelihood[row]);
      EXPECT_EQ(counting.row_certainty[row], all.row_certainty[row]);
    }
  }
  return skips;
}

void expect_same_bits(const Case& c, bool skips) {
  SCOPED_TRACE(::testing::Message() << c);
  const Problem problem = make_problem(c);
  EXPECT_EQ(expect_same_bits<float>(problem), skips);
  EXPECT_EQ(expect_same_bits<double>(problem), skips);
}

TEST(GaussianDensity, SkipsFarComponentsUnseen) {
  testing::for_each_instruction_set([] {
    for (const std::int32_t d : {16, 17, 31, 64, 130}) expect_same_bits({.n_components = 9, .n_columns = d, .apart = 4}, true);
    expect_same_bits({.n_components = 23, .n_columns = 24, .apart = 3, .tightest = 0.05}, true);
    expect_same_bits({.n_components = 8, .n_columns = 20, .apart = 100}, true);
  });
}

TEST(GaussianDensity, ComputesEveryComponentWhereFewAreFar) {
  testing::for_each_instruction_set([] {
    for (const std::int32_t d : {1, 3, 4, 5, 17, 64}) expect_same_bits({.n_components = 9, .n_columns = d, .apart = 0.3}, false);
    for (const std::int32_t k : {1, 2}) expect_same_bits({.n_components = k, .n_columns = 32, .apart = 4}, false);
    for (const std::int64_t n : {1, 3, 5}) expect_same_bits({.n_components = 9, .n_columns = 32, .apart = 4, .n_rows = n}, false);
  });
}

// What float32 cannot bound: the loss to rounding would be as large as the bound.
TEST(GaussianDensity, ComputesEveryComponentThatRoundingHides) {
  const Problem problem = make_problem({.n_components = 9, .n_columns = 32, .apart = 4, .tightest = 1e-6});
  EXPECT_FALSE(expect_same_bits<float>(problem));
  EXPECT_TRUE(expect_same_bits<double>(problem));
}

// Of two components whose log densities differ by all that counts, and by what no longer does.
template <class T>
void expect_responsibilities(double tolerance) {
  constexpr std::size_t kRows = 4096;
  const double most = -static_cast<double>(kLogLeastResponsibility<T>);
  Stretch<T> stretch{.n_rows = kRows, .stride = kRows, .weight = LineVector<T>(kRows, T{1})};
  Scratch<T> scratch{
      .log_density = LineVector<T>(2 * kRows, T{-3}), .row_likelihood = LineVector<T>(kRows), .row_certainty = LineVector<T>(kRows)};
  std::vector<double> less;
  for (std::size_t row = 0; row < kRows; ++row) {
    scratch.log_density[kRows + row] = static_cast<T>(-3 - 1.01 * most * static_cast<double>(row) / (kRows - 1));
    less.push_back(static_cast<double>(scratch.log_density[row]) - static_cast<double>(scratch.log_density[kRows + row]));
  }
  responsibilities(stretch, 2, scratch);
  for (std::size_t row = 0; row < kRows; ++row) {
    const double ratio = less[row] <= most ? std::exp(-less[row]) : 0;
    EXPECT_NEAR(static_cast<double>(scratch.log_density[kRows + row]), ratio / (1 + ratio), tolerance * ratio) << "at " << -less[row];
    EXPECT_NEAR(static_cast<double>(scratch.log_density[row]), 1 / (1 + ratio), tolerance);
  }
}

TEST(GaussianResponsibilities, AreSharesToTheLastPlaces) {
  testing::for_each_instruction_set([] {
    expect_responsibilities<float>(0x1p-21);
    expect_responsibilities<double>(0x1p-49);
  });
}

}  // namespace
}  // namespace coterie::gaussian
