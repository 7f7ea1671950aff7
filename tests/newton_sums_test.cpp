#include "host/newton_sums.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "host/elementary.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie::newton {
namespace {

struct Rows {
  Stretch stretch;
  RowTerms terms;
};

double cell(const Stretch& stretch, std::size_t row, std::size_t column) {
  return static_cast<double>(stretch.cells[row * static_cast<std::size_t>(stretch.width) + column]);
}

// Rows 0 .. n-1 of d columns, packed about 0.5 with a scale of 2; weights 0 .. n_weights-1 in turn.
Rows make_rows(std::int64_t n, std::int32_t d, std::int64_t n_weights = 4) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(n * d));
  for (float& value : x) value = normal(generator);
  Rows rows;
  const std::vector<float> center(static_cast<std::size_t>(d), 0.5f), scale(static_cast<std::size_t>(d), 2.0f);
  pack(x.data(), n, center, scale, rows.stretch);
  rows.terms.resize(rows.stretch.capacity);
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    rows.terms.weight[i] = static_cast<double>(static_cast<std::int64_t>(i) % n_weights);
    rows.terms.outcome[i] = i % 3 == 0 ? 1 : 0;
    rows.terms.log_odds[i] = 10 * static_cast<double>(normal(generator));
  }
  for (std::size_t j = 0; j < static_cast<std::size_t>(d); ++j)
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
      EXPECT_EQ(cell(rows.stretch, i, j), static_cast<double>((x[i * static_cast<std::size_t>(d) + j] - 0.5f) * 2));
  return rows;
}

TEST(NewtonSums, TermsOfRowsHaveTheSameBitsOnEveryInstructionSet) {
  testing::for_each_instruction_set([] {
    Rows rows = make_rows(101, 3);
    rows.terms.log_odds[0] = -800;
    rows.terms.log_odds[1] = 0;
    const Likelihood likelihood = fill_residuals(rows.stretch, rows.terms);
    double log_likelihood = 0;
    for (std::size_t i = 0; i < 101; ++i) {
      const double eta = rows.terms.log_odds[i], w = rows.terms.weight[i], size = magnitude(eta);
      const bool yes = rows.terms.outcome[i] > 0, expected = (eta > 0) == yes;
      const double e = coterie::exp(-size), q = 1 / (1 + e), r = (yes ? 1 : -1) * (expected ? e * q : q);
      EXPECT_EQ(rows.terms.residual[i], w * r);
      EXPECT_EQ(rows.terms.curvature[i], w * (e * q * q));
      EXPECT_EQ(rows.terms.squared[i], w * r * r);
      log_likelihood -= w * ((expected ? 0 : size) + coterie::log1p(e));
    }
    EXPECT_NEAR(likelihood.log_likelihood, log_likelihood, 1e-13 * std::abs(log_likelihood));
    EXPECT_LT(likelihood.largest, 800);  // the row weighs nothing
  });
}

// Of 900 rows, more than one product holds; at zero every factor is 2, far from it every one is 1 to a dozen digits.
TEST(NewtonSums, UnitWeightsShareALogarithm) {
  testing::for_each_instruction_set([] {
    for (const double size : {0.0, 1.0, 30.0}) {
      Rows rows = make_rows(900, 2, 2);
      double log_likelihood = 0;
      for (std::size_t i = 0; i < 900; ++i) {
        double& eta = rows.terms.log_odds[i];
        eta *= size / 10;
        const double toward = rows.terms.outcome[i] > 0 ? eta : -eta;
        log_likelihood -= rows.terms.weight[i] * (std::max(-toward, 0.0) + coterie::log1p(coterie::exp(-magnitude(eta))));
      }
      EXPECT_NEAR(fill_residuals(rows.stretch, rows.terms).log_likelihood, log_likelihood, 1e-13 * std::abs(log_likelihood)) << size;
    }
  });
}

TEST(NewtonSums, LogarithmsHaveTheBitsOfElementary) {
  testing::for_each_instruction_set([] {
    for (int i = 0; i < 2000; ++i) {
      Rows rows = make_rows(1, 1);
      rows.terms.weight[0] = 2;  // rows of weight 1 share a logarithm
      rows.terms.outcome[0] = 1;
      rows.terms.log_odds[0] = i * 0.02;
      EXPECT_EQ(fill_residuals(rows.stretch, rows.terms).log_likelihood, -2 * coterie::log1p(coterie::exp(-i * 0.02)));
    }
  });
}

TEST(NewtonSums, MatchSumsOverRows) {
  constexpr double kDouble = 1e-13, kFloat = 1e-5;  // some 100 terms
  testing::for_each_instruction_set([] {
    for (const std::int32_t d : {1, 5, 8, 17, 40}) {
      Rows rows = make_rows(77, d);
      const std::size_t n = static_cast<std::size_t>(d) + 1;
      std::vector<double> parameters(static_cast<std::size_t>(rows.stretch.width)), gradient(n), triangle(n * (n + 1) / 2),
          narrow(triangle.size());
      for (std::size_t j = 0; j < n; ++j) parameters[j] = 0.1 * static_cast<double>(j) - 0.2;
      const std::vector<double> before = rows.terms.log_odds;
      const double* const of_parameters[] = {parameters.data(), parameters.data(), parameters.data()};
      RowTerms second = rows.terms, third = rows.terms;
      RowTerms* const of_rows[] = {&rows.terms, &second, &third};
      add_log_odds(rows.stretch, of_parameters, of_rows);
      fill_residuals(rows.stretch, rows.terms);
      const double* const terms[] = {rows.terms.residual.data()};
      double* const sums[] = {gradient.data()};
      add_weighted_rows(rows.stretch, terms, sums);
      std::vector<float> float_scratch;
      std::vector<double> double_scratch;
      add_gram(rows.stretch, rows.terms.curvature.data(), double_scratch, triangle.data());
      add_gram(rows.stretch, rows.terms.curvature.data(), float_scratch, narrow.data());
      std::size_t at = 0;
      for (std::size_t i = 0; i < n; ++i) {
        double expected = 0, size = 0;
        for (std::size_t row = 0; row < 77; ++row) {
          expected += rows.terms.residual[row] * cell(rows.stretch, row, i);
          size += std::abs(rows.terms.residual[row] * cell(rows.stretch, row, i));
        }
        EXPECT_NEAR(gradient[i], expected, kDouble * size);
        for (std::size_t j = 0; j <= i; ++j, ++at) {
          double square = 0, magnitude_sum = 0;
          for (std::size_t row = 0; row < 77; ++row) {
            square += rows.terms.curvature[row] * cell(rows.stretch, row, i) * cell(rows.stretch, row, j);
            magnitude_sum += rows.terms.curvature[row] * std::abs(cell(rows.stretch, row, i) * cell(rows.stretch, row, j));
          }
          EXPECT_NEAR(triangle[at], square, kDouble * magnitude_sum);
          EXPECT_NEAR(narrow[at], square, kFloat * magnitude_sum);
        }
      }
      for (std::size_t row = 0; row < 77; ++row) {
        double eta = before[row];
        for (std::size_t j = 0; j < n; ++j) eta += parameters[j] * cell(rows.stretch, row, j);
        EXPECT_NEAR(third.log_odds[row], eta, kDouble * 100);
      }
    }
  });
}

// A stretch that is full, then one that is shorter: what the first left behind must not count. Four models, columns for several turns.
TEST(NewtonSums, FullStretchesLeaveNothingToTheNext) {
  testing::for_each_instruction_set([] {
    constexpr std::int32_t kColumns = 150;
    Rows rows = make_rows(stretch_rows(kColumns), kColumns);
    const std::size_t n = kColumns + 1, width = static_cast<std::size_t>(rows.stretch.width);
    std::vector<float> scratch;
    std::vector<double> ignored(n * (n + 1) / 2);
    fill_residuals(rows.stretch, rows.terms);
    add_gram(rows.stretch, rows.terms.curvature.data(), scratch, ignored.data());
    const std::vector<float> x(5 * kColumns, 2.5f), center(kColumns, 0.5f), scale(kColumns, 0.5f);  // cells of 1
    pack(x.data(), 5, center, scale, rows.stretch);
    for (std::size_t row = 0; row < 5; ++row)
      for (std::size_t j = 0; j < width; ++j) ASSERT_EQ(cell(rows.stretch, row, j), j < n ? 1 : 0);

    std::vector<RowTerms> terms(kModels, rows.terms);
    std::vector<double> parameters(width), triangle(ignored.size()), length(static_cast<std::size_t>(rows.stretch.capacity));
    std::vector<std::vector<double>> gradients(kModels, std::vector<double>(n));
    std::fill_n(parameters.begin(), n, 0.25);
    std::vector<const double*> of_parameters, of_terms;
    std::vector<double*> of_gradients;
    std::vector<RowTerms*> of_rows;
    for (std::size_t m = 0; m < kModels; ++m) {
      std::fill(terms[m].log_odds.begin(), terms[m].log_odds.end(), static_cast<double>(m));
      std::fill(terms[m].residual.begin(), terms[m].residual.end(), static_cast<double>(m + 1));
      of_parameters.push_back(parameters.data());
      of_terms.push_back(terms[m].residual.data());
      of_gradients.push_back(gradients[m].data());
      of_rows.push_back(&terms[m]);
    }
    for (std::size_t count = 1; count <= kModels; ++count) {
      add_log_odds(rows.stretch, std::span(of_parameters).first(count), std::span(of_rows).first(count));
      add_weighted_rows(rows.stretch, std::span(of_terms).first(count), std::span(of_gradients).first(count));
    }
    for (std::size_t m = 0; m < kModels; ++m) {
      const double times = static_cast<double>(kModels - m), term = static_cast<double>(m + 1);
      for (std::size_t row = 0; row < 5; ++row)
        EXPECT_EQ(terms[m].log_odds[row], static_cast<double>(m) + times * 0.25 * static_cast<double>(n));
      for (const double sum : gradients[m]) EXPECT_EQ(sum, times * 5 * term);
    }
    std::fill(terms[0].curvature.begin(), terms[0].curvature.end(), 0.5);
    add_gram(rows.stretch, terms[0].curvature.data(), scratch, triangle.data());
    for (const double sum : triangle) ASSERT_EQ(sum, 2.5);
    const std::vector<double> factor(n * n, 0.5);  // above the diagonal, too: not to be read
    squared_lengths(rows.stretch, factor.data(), length.data());
    double expected = 0;
    for (std::size_t i = 1; i <= n; ++i) expected += 0.25 * static_cast<double>(i * i);
    EXPECT_EQ(length[4], expected);
  });
}

}  // namespace
}  // namespace coterie::newton
