// The arithmetic of sweeps over a billion rows and more, without the rows: statistics of some rows, taken as often as makes a billion.
#include <gtest/gtest.h>

#include <cmath>

#include "host/backend.hpp"
#include "host/evaluation.hpp"
#include "host/fixed_point.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/logistic_regression.hpp"
#include "host/passes.hpp"
#include "host/profile.hpp"
#include "host/random.hpp"
#include "host/weights.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie {
namespace {

constexpr std::int64_t kRows = 10'007;
constexpr std::int32_t kColumns = 3, kClusters = 4;

constexpr std::int64_t kBillion = 99'991;  // times kRows

WideSums times(const WideSums& sums, std::int64_t factor) {
  WideSums result(sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) result.add(i, sums.value(i) * factor);
  return result;
}

kmeans::GridMoments times(const kmeans::GridMoments& moments, std::int64_t factor) {
  return {moments.n_rows * factor, moments.weight * factor, times(moments.sums, factor), times(moments.squares, factor), moments.sample};
}

kmeans::Statistics times(const kmeans::Statistics& statistics, std::int64_t factor) {
  kmeans::Statistics result{times(statistics.center_sums, factor), statistics.weight_in_clusters, statistics.rows_in_clusters,
                            statistics.farthest};
  for (auto* counts : {&result.weight_in_clusters, &result.rows_in_clusters})
    for (std::int64_t& count : *counts) count *= factor;
  return result;
}

gaussian_mixture::Statistics times(const gaussian_mixture::Statistics& s, std::int64_t factor) {
  return {times(s.weight, factor),  times(s.first, factor),          times(s.second, factor),
          times(s.missing, factor), times(s.log_likelihood, factor), s.unlikely};
}

std::vector<std::int64_t> times(std::vector<std::int64_t> counts, std::int64_t factor) {
  for (std::int64_t& count : counts) count *= factor;
  return counts;
}

logistic_regression::Statistics times(const logistic_regression::Statistics& s, std::int64_t factor) {
  return {times(s.rows, factor),
          times(s.weight, factor),
          times(s.log_likelihood, factor),
          times(s.gradient, factor),
          times(s.curvature, factor),
          times(s.hessian, factor),
          times(s.hessian_weight, factor),
          times(s.squared_scores, factor),
          times(s.segment_gradient, factor),
          times(s.segment_curvature, factor),
          times(s.segment_squared, factor),
          s.largest};
}

template <class SweepStatistics>
requires requires(SweepStatistics s) { s.models; }
SweepStatistics times(SweepStatistics sweep, std::int64_t factor) {
  for (auto& statistics : sweep.models) statistics = times(statistics, factor);
  return sweep;
}

profile::Counts times(const profile::Counts& c, std::int64_t factor) {
  return {times(c.rows, factor),
          times(c.weight, factor),
          times(c.known_rows, factor),
          times(c.known_weight, factor),
          times(c.nonzero_weight, factor),
          c.min,
          c.max};
}

profile::MomentSums times(const profile::MomentSums& m, std::int64_t factor) { return {times(m.sums, factor), times(m.squares, factor)}; }

quantiles::Statistics times(const quantiles::Statistics& s, std::int64_t factor) { return {times(s.histogram, factor)}; }

// A pass over so many copies of the rows that it is shown.
template <class Pass, class Begin>
class Repeated final : public Pass {
 public:
  Repeated(std::unique_ptr<Pass> pass, std::int64_t factor) : pass_(std::move(pass)), factor_(factor) {}
  void begin(Begin what) override { pass_->begin(what); }
  void accumulate(const Tile& tile) override { pass_->accumulate(tile); }
  decltype(std::declval<Pass&>().finish()) finish() override { return times(pass_->finish(), factor_); }

 private:
  std::unique_ptr<Pass> pass_;
  std::int64_t factor_;
};

// Of two numbers that should be equal but for the rounding of sums.
void expect_close(const std::vector<double>& found, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(expected[i]))
      EXPECT_TRUE(std::isnan(found[i])) << i;
    else
      EXPECT_NEAR(found[i], expected[i], tolerance * std::max(1.0, std::abs(expected[i]))) << i;
  }
}

// Rows of the largest values and weights that there are.
class BillionRows : public ::testing::Test {
 protected:
  BillionRows() : data_(testing::on_grid(testing::blobs(kRows, kColumns, kClusters, 1, 5), kColumns)) {
    for (std::int64_t i = 0; i < kRows; ++i) weight_.push_back(i % 3 == 0 ? kMaxWeightSteps : static_cast<std::int32_t>(i % 1000 + 1));
    MemoryTileSource rows(data_.x, kColumns);
    ZippedSource source(rows, {.weight = weight_, .label = {}});
    moments_ = kmeans::measure_moments(context_, source, data_.grid, 1);
    model_ = {.n_clusters = kClusters, .n_columns = kColumns};
    model_.cluster_centers.assign(data_.x.begin(), data_.x.begin() + kClusters * kColumns);
    const auto pass = make_cpu_backend(context_)->kmeans_pass(data_.grid, kColumns);
    const kmeans::Model* const models[] = {&model_};
    statistics_ = reduce_tiles(context_, source, *pass, std::span<const kmeans::Model* const>(models)).models.front();
  }

  // One step, and then the inertia about where it led.
  kmeans::Model settled(std::int64_t factor) {
    kmeans::Model model = model_;
    const kmeans::Statistics statistics = times(statistics_, factor);
    const kmeans::GridMoments moments = times(moments_, factor);
    kmeans::update(context_, model, statistics, data_.grid, moments, {.n_clusters = kClusters});
    model.converged = true;
    kmeans::update(context_, model, statistics, data_.grid, moments, {.n_clusters = kClusters});
    return model;
  }

  Context context_{{.threads = 1}};
  testing::GridRows data_;
  std::vector<std::int32_t> weight_;
  kmeans::GridMoments moments_;
  kmeans::Model model_;
  kmeans::Statistics statistics_;
};

TEST_F(BillionRows, HaveTheCentersOfOneShareAndItsInertiaAsOften) {
  const kmeans::Model once = settled(1), exactly = settled(1 << 17), nearly = settled(kBillion);
  ASSERT_GT(once.inertia, 0);
  EXPECT_EQ(exactly.cluster_centers, once.cluster_centers);  // a power of two scales every rounding along
  EXPECT_EQ(exactly.inertia, std::ldexp(once.inertia, 17));
  EXPECT_NEAR(nearly.inertia, once.inertia * kBillion, 1e-14 * nearly.inertia);
  for (std::size_t i = 0; i < once.cluster_centers.size(); ++i) EXPECT_FLOAT_EQ(nearly.cluster_centers[i], once.cluster_centers[i]);
}

TEST_F(BillionRows, HaveTheMixtureOfOneShare) {
  using gaussian_mixture::CovarianceType;
  for (const auto type : {CovarianceType::full, CovarianceType::tied, CovarianceType::diag, CovarianceType::spherical}) {
    const auto fitted = [&](std::int64_t factor) {
      MemoryTileSource rows(data_.x, kColumns);
      ZippedSource source(rows, {.weight = weight_, .label = {}});
      const kmeans::GridMoments moments = times(moments_, factor);
      Repeated<gaussian_mixture::Pass, std::span<const gaussian_mixture::Model* const>> pass(
          gaussian_mixture::make_cpu_pass(context_, data_.grid, moments), factor);
      const gaussian_mixture::Params params{.n_components = kClusters, .covariance_type = type, .max_iter = 5, .tol = 0};
      return gaussian_mixture::fit(context_, source, data_.grid, moments, std::span(&params, 1), pass).best.front();
    };
    // Blocks are rounded to quanta 2^-100 of the largest sum, five iterations condition what differs.
    constexpr double kRounding = 1e-10;
    const gaussian_mixture::Model once = fitted(1), billion = fitted(kBillion);
    expect_close(billion.weights, once.weights, kRounding);
    expect_close(billion.means, once.means, kRounding);
    expect_close(billion.covariances, once.covariances, kRounding);
    expect_close(billion.lower_bound, once.lower_bound, kRounding);
    EXPECT_NEAR(billion.log_likelihood / once.log_likelihood, kBillion, kRounding * kBillion);
    EXPECT_NEAR(billion.row_weight / once.row_weight, kBillion, kRounding * kBillion);
  }
}

TEST_F(BillionRows, HaveTheRegressionOfOneShareAndItsErrorsByTheRoot) {
  std::vector<std::int8_t> outcome;
  for (std::int64_t i = 0; i < kRows; ++i) {
    const double noise = static_cast<double>(mix64(static_cast<std::uint64_t>(i)) >> 40) * 0x1p-23 - 1;
    outcome.push_back(data_.x[static_cast<std::size_t>(i * kColumns)] + 3 * noise > 0 ? 1 : 0);
  }
  const auto fitted = [&](std::int64_t factor) {
    MemoryTileSource rows(data_.x, kColumns);
    ZippedSource source(rows, {.weight = weight_, .label = {}, .target = outcome, .n_targets = 1});
    const kmeans::GridMoments moments = times(moments_, factor);
    Repeated<logistic_regression::Pass, std::span<const logistic_regression::Model* const>> pass(
        logistic_regression::make_cpu_pass(context_, data_.grid, moments), factor);
    const logistic_regression::Params params{.penalty = logistic_regression::Penalty::none, .tol = 1e-12};
    return logistic_regression::fit(context_, source, data_.grid, moments, std::span(&params, 1), pass).models.front();
  };
  const logistic_regression::Model once = fitted(1), billion = fitted(kBillion);
  ASSERT_TRUE(once.converged && billion.converged);
  constexpr double kRounding = 1e-9;
  expect_close(billion.coefficients, once.coefficients, kRounding);
  EXPECT_NEAR(billion.log_likelihood / once.log_likelihood, kBillion, kRounding * kBillion);
  EXPECT_NEAR(billion.null_log_likelihood / once.null_log_likelihood, kBillion, kRounding * kBillion);
  for (int y = 0; y < 2; ++y) EXPECT_EQ(billion.rows[y], once.rows[y] * kBillion);
  for (std::size_t i = 0; i <= kColumns; ++i) {
    const auto a = wald(once.estimates, i), b = wald(billion.estimates, i);
    EXPECT_NEAR(a.std_err / b.std_err, std::sqrt(kBillion), 1e-6 * std::sqrt(kBillion));
    EXPECT_NEAR(b.z / a.z, std::sqrt(kBillion), 1e-6 * std::sqrt(kBillion));
  }
}

TEST_F(BillionRows, HaveTheProfileOfOneShare) {
  std::vector<std::int32_t> label;
  for (std::int64_t i = 0; i < kRows; ++i) label.push_back(static_cast<std::int32_t>(i % 5) - 1);
  const auto measured = [&](std::int64_t factor) {
    MemoryTileSource rows(data_.x, kColumns);
    ZippedSource source(rows, {.weight = weight_, .label = label});
    profile::Passes passes = profile::make_cpu_passes(context_);
    passes.counts = std::make_unique<Repeated<profile::CountsPass, const SegmentScope&>>(std::move(passes.counts), factor);
    passes.moments = std::make_unique<Repeated<profile::MomentsPass, const profile::Frame&>>(std::move(passes.moments), factor);
    passes.quantiles = std::make_unique<Repeated<quantiles::Pass, const quantiles::Search&>>(std::move(passes.quantiles), factor);
    return profile::measure(context_, source, 4, 1, passes);
  };
  const profile::Profile once = measured(1), billion = measured(kBillion);
  for (std::size_t row = 0; row < once.n_rows.size(); ++row) EXPECT_EQ(billion.n_rows[row], once.n_rows[row] * kBillion);
  for (const auto table :
       {&profile::Profile::p10, &profile::Profile::median, &profile::Profile::p90, &profile::Profile::min, &profile::Profile::max})
    EXPECT_EQ((billion.*table).values, (once.*table).values);
  constexpr double kRounding = 1e-12;
  for (const auto table :
       {&profile::Profile::mean, &profile::Profile::share_nonzero, &profile::Profile::missing_share, &profile::Profile::index})
    expect_close((billion.*table).values, (once.*table).values, kRounding);
  for (std::size_t i = 0; i < once.std.values.size(); ++i) {  // n - 1 of n rows
    const auto n = static_cast<double>(once.n_rows[i / kColumns]), all = n * kBillion;
    EXPECT_NEAR(billion.std.values[i], once.std.values[i] * std::sqrt((n - 1) / n * all / (all - 1)), kRounding);
  }
}

TEST_F(BillionRows, AreRankedAsOneShare) {
  std::vector<double> score;
  std::vector<std::int8_t> outcome;
  for (std::int64_t i = 0; i < kRows; ++i) {
    const double x = std::round(8 * data_.x[static_cast<std::size_t>(i * kColumns)]) / 8;  // many ties
    score.push_back(x);
    outcome.push_back(x + data_.x[static_cast<std::size_t>(i * kColumns) + 1] > 0 ? 1 : 0);
  }
  RankedScores ranked = std::move(rank_scores(context_, {.score = score, .outcome = outcome, .weight = weight_, .label = {}}).front());
  const evaluation::Evaluation once = evaluation::evaluate(context_, ranked, {});
  for (TiedScore& group : ranked.groups)
    for (auto count : {&TiedScore::positive_rows, &TiedScore::negative_rows, &TiedScore::positive_weight, &TiedScore::negative_weight})
      group.*count *= kBillion;
  const evaluation::Evaluation billion = evaluation::evaluate(context_, ranked, {});
  EXPECT_EQ(billion.n_rows, once.n_rows * kBillion);
  EXPECT_EQ(billion.positive_rows, once.positive_rows * kBillion);
  EXPECT_GT(once.auc, 0.6);
  using evaluation::Evaluation;
  for (const auto measure :
       {&Evaluation::base_rate, &Evaluation::mean_probability, &Evaluation::auc, &Evaluation::average_precision, &Evaluation::ks,
        &Evaluation::log_loss, &Evaluation::brier, &Evaluation::reliability, &Evaluation::resolution, &Evaluation::calibration_error})
    EXPECT_NEAR(billion.*measure, once.*measure, 1e-12);
  EXPECT_NEAR(once.auc_variance / billion.auc_variance, kBillion, 1e-3 * kBillion);  // n - 1 in place of n
  ASSERT_EQ(billion.tenths.size(), once.tenths.size());
  for (std::size_t i = 0; i < once.tenths.size(); ++i) EXPECT_EQ(billion.tenths[i].n_rows, once.tenths[i].n_rows * kBillion);
}

// What is cut off a sum of 10^10 rows must not add up to anything beside the row of the least weight.
TEST_F(BillionRows, CountForManyQuanta) { EXPECT_GT(1 / weight_quantum(times(moments_, 1 << 20)), 0x1p40); }

}  // namespace
}  // namespace coterie
