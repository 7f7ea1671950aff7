// What a device may do to every pass, predictor and sort at every call: fail once, be lost from then on, or run out of memory. Always
// the error is one of ours, nothing leaks, and what is still found has the same bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "cuda/emulated/emulator.hpp"
#include "host/error.hpp"
#include "host/profile_sweeps.hpp"
#include "tests/support/labelled_rows.hpp"
#include "tests/support/mixtures.hpp"
#include "tests/support/outcomes.hpp"
#include "tests/support/scored_columns.hpp"

namespace coterie {
namespace {

using ::testing::HasSubstr;

template <class T>
void add(std::string& bytes, const std::vector<T>& values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}
template <class T>
void add(std::string& bytes, std::span<const T> values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}
void add(std::string& bytes, const WideSums& sums) {
  for (std::size_t i = 0; i < sums.size(); ++i) add(bytes, std::vector<int128>{sums.value(i)});
}

// Everything that a run on a new backend finds, as bytes.
using Job = std::string (*)(std::int64_t gpu_memory);  // 0: all of it

template <std::int64_t kRows, std::int32_t kColumns, std::int32_t kClusters>
std::string kmeans_job(std::int64_t gpu_memory) {
  const testing::GridRows rows = testing::on_grid(testing::blobs(kRows, kColumns, 4, 1, 3), kColumns);
  Context context({.threads = 1});
  MemoryTileSource source(rows.x, kColumns);
  const kmeans::GridMoments moments = kmeans::measure_moments(context, source, rows.grid, kClusters);
  const auto backend = testing::make_backend(context, gpu_memory);
  const auto staged = backend->stage(source);
  const auto pass = backend->kmeans_pass(rows.grid, kColumns);
  const kmeans::Params params[] = {{.n_clusters = kClusters, .n_init = 2, .max_iter = 2}};
  const kmeans::Model model = kmeans::fit(context, *staged, rows.grid, moments, params, *pass).best.front();
  const auto predictor = backend->kmeans_predictor();
  std::string bytes;
  add(bytes, model.cluster_centers);
  add(bytes, std::vector<double>{model.inertia});
  map_tiles(context, *staged, *predictor, model, [&](std::int64_t, const kmeans::Assignment& tile) {
    add(bytes, tile.label);
    add(bytes, tile.second);
    add(bytes, tile.squared_distance);
  });
  return bytes;
}

template <gaussian_mixture::CovarianceType kType>
std::string mixture_job(std::int64_t gpu_memory) {
  gaussian_mixture::Problem problem = gaussian_mixture::blobs_problem(60, 2, 2, 1);
  problem.params.front().covariance_type = kType;
  problem.params.front().max_iter = 2;
  const gaussian_mixture::Outcome outcome = gaussian_mixture::run(problem, {.gpu_memory = gpu_memory});
  std::string bytes;
  for (const auto* values : {&outcome.fit.best.front().weights, &outcome.fit.best.front().means, &outcome.fit.best.front().covariances})
    add(bytes, *values);
  add(bytes, outcome.rows.label);
  for (const auto* values : {&outcome.rows.probability, &outcome.rows.log_likelihood, &outcome.rows.probabilities}) add(bytes, *values);
  return bytes;
}

std::string regression_job(std::int64_t gpu_memory) {
  logistic_regression::Problem problem = logistic_regression::drawn_problem(120, 3, -1);
  Context context({.threads = 1});
  const auto backend = testing::make_backend(context, gpu_memory);
  const logistic_regression::Model model = run_on(*backend, context, problem, kBlockRows).models.front();
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns);
  const auto staged = backend->stage(rows);
  const auto predictor = backend->logistic_regression_predictor(2);
  const logistic_regression::Model* const models[] = {&model};
  std::string bytes;
  add(bytes, model.coefficients);
  map_tiles(context, *staged, *predictor, std::span<const logistic_regression::Model* const>(models),
            [&](std::int64_t, const logistic_regression::Prediction& scores) {
              add(bytes, scores.log_odds);
              add(bytes, scores.probability);
              add(bytes, scores.reason);
            });
  return bytes;
}

std::string profile_job(std::int64_t gpu_memory) {
  const auto rows = testing::awkward_rows<float>(70, testing::RowWeights::steps);
  Context context({.threads = 1});
  MemoryTileSource source(std::span<const float>(rows.x), rows.n_columns);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const auto backend = testing::make_backend(context, gpu_memory);
  const auto staged = backend->stage(labelled);
  profile::Passes passes = backend->profile_passes();
  const profile::Findings findings = profile::sweep_columns(context, *staged, {rows.n_segments, 0, rows.n_columns}, passes);
  std::string bytes;
  add(bytes, findings.counts.known_weight);
  add(bytes, findings.search.prefixes);
  add(bytes, findings.search.ranks);
  add(bytes, findings.sums.sums);
  add(bytes, findings.sums.squares);
  return bytes;
}

std::string ranked_scores_job(std::int64_t gpu_memory) {
  testing::ScoredColumns columns;
  for (int row = 0; row < 200; ++row) {
    columns.score.push_back(row * 37 % 50);
    columns.outcome.push_back(static_cast<std::int8_t>(row % 3 == 0));
    columns.weight.push_back(row % 5);
    columns.label.push_back(row % 4 - 1);
  }
  Context context({.threads = 1});
  const auto backend = testing::make_backend(context, gpu_memory);
  std::string bytes;
  for (const RankedScores& ranked : backend->rank_scores(columns.rows(), 3))
    for (const TiedScore& group : ranked.groups)
      add(bytes, std::vector<double>{group.score, static_cast<double>(group.positive_weight), static_cast<double>(group.negative_weight)});
  add(bytes, backend->percentile_cuts(columns.score));
  return bytes;
}

struct Tally {
  int reported = 0, survived = 0;
};

// Runs the job once for every call that it makes, which fails.
Tally fail_every_call(Job job, emulated::cudaError_t error, bool sticky) {
  const std::string expected = job(0);
  Tally tally;
  for (std::int64_t nth = 1;; ++nth) {
    emulated::FreshEmulator device;
    device->fail_call(nth, error, sticky);
    try {
      EXPECT_TRUE(job(0) == expected) << "call " << nth;
      ++tally.survived;
    } catch (const DeviceError& failure) {
      EXPECT_THAT(failure.what(), HasSubstr(emulated::cudaGetErrorName(error)));
      EXPECT_THAT(failure.what(), HasSubstr("--device cpu"));
      ++tally.reported;
    }
    EXPECT_EQ(device->memory_used, 0u) << "call " << nth;
    if (device->calls < nth) return tally;
  }
}

struct NamedJob {
  const char* name;
  Job job;
  int least_calls;
};
void PrintTo(const NamedJob& job, std::ostream* out) { *out << job.name; }

class DeviceFaults : public ::testing::TestWithParam<NamedJob> {};

TEST_P(DeviceFaults, AreReportedWhereverTheyOccur) {
  const Tally tally = fail_every_call(GetParam().job, emulated::cudaErrorLaunchFailure, false);
  EXPECT_GE(tally.reported, GetParam().least_calls);
  EXPECT_EQ(tally.survived, 1);  // where no call was left to fail
}

TEST_P(DeviceFaults, ThatStayAreReportedOnceAndEndNothingElse) {
  const Tally tally = fail_every_call(GetParam().job, emulated::cudaErrorLaunchFailure, true);
  EXPECT_GE(tally.reported, GetParam().least_calls);
  EXPECT_EQ(tally.survived, 1);
}

// Sweeps begin anew without resident rows; what comes before them, streams and what a pass keeps for life, is a handful of calls.
TEST_P(DeviceFaults, OfMemoryMoveNoBit) {
  const Tally tally = fail_every_call(GetParam().job, emulated::cudaErrorMemoryAllocation, false);
  EXPECT_GE(tally.survived + tally.reported, GetParam().least_calls);
  EXPECT_GE(tally.survived, 30);
}

// From all the memory that the job takes down to an eighth: the bits are the same or the budget is named, and no byte more is taken.
TEST_P(DeviceFaults, OfBudgetsMoveNoBitAndTakeNoMore) {
  emulated::FreshEmulator device;
  const std::string expected = GetParam().job(0);
  const std::size_t all = device->most_memory_used;
  int survived = 0;
  for (std::size_t eighths = 8; eighths > 0; --eighths) {
    const std::size_t budget = all * eighths / 8;
    device->most_memory_used = 0;
    try {
      EXPECT_TRUE(GetParam().job(static_cast<std::int64_t>(budget)) == expected) << budget;
      ++survived;
    } catch (const OutOfDeviceMemory& refusal) {
      EXPECT_THAT(refusal.what(), HasSubstr("The budget of GPU memory is too small"));
    }
    EXPECT_LE(device->most_memory_used, budget);
    EXPECT_EQ(device->memory_used, 0u);
  }
  EXPECT_GE(survived, 1);
}

using gaussian_mixture::CovarianceType;
INSTANTIATE_TEST_SUITE_P(Jobs, DeviceFaults,
                         ::testing::Values(NamedJob{"kmeans", kmeans_job<90, 3, 2>, 60},
                                           NamedJob{"wide_kmeans", kmeans_job<40, 130, 20>, 60},
                                           NamedJob{"full_mixture", mixture_job<CovarianceType::full>, 60},
                                           NamedJob{"tied_mixture", mixture_job<CovarianceType::tied>, 60},
                                           NamedJob{"diagonal_mixture", mixture_job<CovarianceType::diag>, 60},
                                           NamedJob{"regression", regression_job, 100}, NamedJob{"profile", profile_job, 50},
                                           NamedJob{"ranked_scores", ranked_scores_job, 15}),
                         [](const auto& job) { return std::string(job.param.name); });

// Rows have stayed on the device, and then somebody else takes the rest of its memory.
class DeviceShortOfMemory : public ::testing::Test {
 protected:
  static constexpr std::int32_t kColumns = 40, kComponents = 8;
  const testing::GridRows rows_ = testing::on_grid(testing::blobs(3 * kBlockRows + 7, kColumns, 2, 1, 3), kColumns);
  Context context_{{.threads = 1, .memory_bytes = std::int64_t{1} << 30}};
  emulated::FreshEmulator device_;
  std::unique_ptr<Backend> backend_ = testing::make_backend(context_);
  MemoryTileSource source_{rows_.x, kColumns, 2 * kBlockRows};
  std::unique_ptr<TileSource> staged_ = backend_->stage(source_);

  // With all memory, and with what the rows take. `sink` adds what a prediction holds, each kind to a string.
  template <class Predictor, class Model, class Sink>
  void expect_same_predictions(Predictor& predictor, Predictor& another, const Model& model, Sink&& sink) {
    std::array<std::string, 3> expected, found;  // results of one kind side by side, whatever the tiles
    map_tiles(context_, *staged_, predictor, model, [&](std::int64_t, const auto& rows) { sink(expected, rows); });
    const std::int64_t copied = device_->copied_to_device;
    const std::size_t all = std::exchange(device_->memory_bytes, device_->memory_used);
    map_tiles(context_, *staged_, another, model, [&](std::int64_t, const auto& rows) { sink(found, rows); });
    device_->memory_bytes = all;
    EXPECT_GE(device_->copied_to_device - copied, std::ssize(rows_.x) * 4) << "rows still stay";
    EXPECT_TRUE(found == expected);
  }
};

TEST_F(DeviceShortOfMemory, GivesUpRowsForSegments) {
  const kmeans::Model model{.n_clusters = 3, .n_columns = kColumns, .cluster_centers = {rows_.x.begin(), rows_.x.begin() + 3 * kColumns}};
  expect_same_predictions(*backend_->kmeans_predictor(), *backend_->kmeans_predictor(), model,
                          [](std::array<std::string, 3>& bytes, const kmeans::Assignment& rows) {
                            add(bytes[0], rows.label);
                            add(bytes[1], rows.squared_distance);
                          });
}

TEST_F(DeviceShortOfMemory, GivesUpRowsForComponents) {
  gaussian_mixture::Model model{.covariance_type = CovarianceType::spherical, .n_components = kComponents, .n_columns = kColumns};
  model.weights.assign(kComponents, 1.0 / kComponents);
  model.means.assign(rows_.x.begin(), rows_.x.begin() + kComponents * kColumns);
  model.covariances.assign(kComponents, 1);
  model.precisions_cholesky.assign(kComponents, 1);
  expect_same_predictions(*backend_->gaussian_mixture_predictor(true), *backend_->gaussian_mixture_predictor(true), model,
                          [](std::array<std::string, 3>& bytes, const gaussian_mixture::Prediction& rows) {
                            add(bytes[0], rows.label);
                            add(bytes[1], rows.log_likelihood);
                            add(bytes[2], rows.probabilities);
                          });
}

TEST_F(DeviceShortOfMemory, GivesUpRowsForScores) {
  logistic_regression::Model model;
  model.n_columns = kColumns;
  model.center.assign(kColumns, 0.5);
  model.coefficients.assign(kColumns, 0.25);
  const logistic_regression::Model* const models[] = {&model};
  expect_same_predictions(*backend_->logistic_regression_predictor(2), *backend_->logistic_regression_predictor(2),
                          std::span<const logistic_regression::Model* const>(models),
                          [](std::array<std::string, 3>& bytes, const logistic_regression::Prediction& rows) {
                            add(bytes[0], rows.log_odds);
                            add(bytes[1], rows.reason);
                          });
}

// All rows are one tile on the device, its results come in slices.
TEST_F(DeviceShortOfMemory, PredictsInSlices) {
  const auto small = testing::make_backend(context_, std::int64_t{4} << 20);  // a sixteenth holds no two blocks
  const auto staged = small->stage(source_);
  const auto predictor = small->gaussian_mixture_predictor(true);
  gaussian_mixture::Model model{.covariance_type = CovarianceType::spherical, .n_components = 2, .n_columns = kColumns};
  model.weights.assign(2, 0.5);
  model.means.assign(rows_.x.begin(), rows_.x.begin() + 2 * kColumns);
  model.covariances.assign(2, 1);
  model.precisions_cholesky.assign(2, 1);
  const std::int64_t before = static_cast<std::int64_t>(device_->memory_used);
  std::vector<std::int64_t> first_rows;
  for (int sweep = 0; sweep < 2; ++sweep)
    map_tiles(context_, *staged, *predictor, model, [&](std::int64_t first_row, const auto&) { first_rows.push_back(first_row); });
  const std::vector<std::int64_t> once = {0, kBlockRows, 2 * kBlockRows, 3 * kBlockRows};
  EXPECT_THAT(std::vector(first_rows.begin(), first_rows.begin() + 4), ::testing::ElementsAreArray(once));
  EXPECT_THAT(std::vector(first_rows.begin() + 4, first_rows.end()), ::testing::ElementsAreArray(once));
  const std::int64_t results = kBlockRows * (2 * 4 + (3 + 2) * 8), rows = rows_.n_rows * (kColumns * 4 + 8);
  EXPECT_LT(static_cast<std::int64_t>(device_->memory_used) - before, rows + results + 100'000);
}

}  // namespace
}  // namespace coterie
