// Mixtures on a device beside the CPU: the same sums but for rounding. The laws of every backend are in
// gaussian_mixture_test.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "host/error.hpp"
#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture_quanta.hpp"
#include "tests/support/mixtures.hpp"

#ifdef COTERIE_EMULATED
#include "cuda/emulated/emulator.hpp"
#include "tests/support/second_sweep.hpp"
#endif

namespace coterie::gaussian_mixture {
namespace {

constexpr CovarianceType kTypes[] = {CovarianceType::full, CovarianceType::tied, CovarianceType::diag, CovarianceType::spherical};

// Sums of up to 10^4 doubles of relative error 2^-53, and densities whose squares are some hundreds.
constexpr double kDouble = 1e-11;

// A square of n_columns terms about 1 has n_columns^(3/2) roundings of 2^-24 in it; logarithms err by as much, and so do
// responsibilities and their sums, relative to the largest. Eightfold, for the rows that lie far out.
double float_tolerance(std::int32_t n_columns) { return 8 * 0x1p-24 * std::pow(n_columns + 8, 1.5); }

// Sums that would be zero but for rounding: 2^-24 of the largest that the grid and the weights allow, 2^100 quanta.
constexpr double kNothing = 0x1p76;

struct Case {
  CovarianceType type;
  std::int64_t n_rows;
  std::int32_t n_columns, n_components;
  bool weighted = false;
  double offset = 0;  // of the means from the center: beyond 32 deviations pivots are not the center
  std::int64_t tile_rows = kBlockRows;
  std::int64_t gpu_memory = 0;
  std::int32_t lost_components = 0;
};

void PrintTo(const Case& c, std::ostream* out) {
  constexpr const char* kNames[] = {"full", "tied", "diag", "spherical"};
  *out << kNames[static_cast<int>(c.type)] << " " << c.n_rows << "x" << c.n_columns << ", k=" << c.n_components
       << (c.weighted ? ", weighted" : "");
}

Problem problem_of(const Case& c) {
  auto values = testing::blobs(c.n_rows, c.n_columns, c.n_components, 2, 5);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i / static_cast<std::size_t>(c.n_columns) % 2 == 0) values[i] += c.offset;
  Problem problem{.rows = testing::on_grid(values, c.n_columns),
                  .weights = {},
                  .params = {{.n_components = c.n_components, .covariance_type = c.type, .max_iter = 2, .tol = 0}}};
  std::vector<double> weights;
  for (std::int64_t i = 0; c.weighted && i < c.n_rows; ++i) weights.push_back(i % 11 == 0 ? 0 : static_cast<double>(i * 7919 % 1000) / 37);
  if (c.weighted) problem.weights = quantise_weights(weights);
  return problem;
}

// Sums of one sweep by kind, in quanta, and what the predictor says.
struct Result {
  std::vector<std::vector<int128>> sums;
  std::vector<std::int64_t> unlikely;
  Rows rows;
};

std::vector<int128> values_of(const WideSums& sums) {
  std::vector<int128> values;
  for (std::size_t i = 0; i < sums.size(); ++i) values.push_back(sums.value(i));
  return values;
}

// The start models of the problem after `change`, in one sweep; a first sweep is thrown away.
using Change = std::function<void(Model&, const Grid&, const GridMoments&)>;
Result sweep(Backend& backend, Context& context, const Case& c, const Change& change) {
  const Problem problem = problem_of(c);
  MemoryTileSource rows(problem.rows.x, c.n_columns, c.tile_rows);
  ZippedSource source(rows, {.weight = problem.weights.steps, .label = {}});
  const Grid grid = problem.grid();
  const GridMoments moments = kmeans::measure_moments(context, source, grid, c.n_components);
  std::vector<Model> models = seed(context, grid, moments, problem.params.front());
  models.push_back(models.front());
  models.front().lost_components = c.lost_components;
  models.back().final_parameters = true;
  change(models.front(), grid, moments);
  const Model* const pointers[] = {&models.front(), &models.back()};
  const auto staged = backend.stage(source);
  const auto pass = backend.gaussian_mixture_pass(grid, moments);
  (void)reduce_tiles(context, *staged, *pass, std::span<const Model* const>(pointers));
  SweepStatistics statistics = reduce_tiles(context, *staged, *pass, std::span<const Model* const>(pointers));
  Result result;
  for (Statistics& of_model : statistics.models) {
    for (const WideSums* sums : {&of_model.weight, &of_model.first, &of_model.second, &of_model.log_likelihood})
      result.sums.push_back(values_of(*sums));
    of_model.unlikely.sort();
    for (std::int64_t i = 0; i < of_model.unlikely.size(); ++i) {
      result.unlikely.push_back(of_model.unlikely.row(i));
      const auto row = of_model.unlikely.values(i);
      EXPECT_TRUE(std::equal(row.begin(), row.end(), problem.rows.x.begin() + of_model.unlikely.row(i) * c.n_columns));
    }
  }
  result.rows = predict(context, *staged, backend, models.front());
  return result;
}

void in_double(Model& model, const Grid&, const GridMoments&) { model.sweep_tolerance = 0; }
// Whatever is cheapest: products on tensor cores, tied in float32.
void in_float(Model& model, const Grid&, const GridMoments&) { model.sweep_tolerance = 1; }
// In float32 without those products, which err more.
void in_plain_float(Model& model, const Grid& grid, const GridMoments& moments) {
  const std::vector<float> center = center_of(grid, moments);
  model.sweep_tolerance = (gaussian::float_error(model, grid, center) + gaussian::product_error(model, grid, center)) / 2;
}

Context::Options options() { return {.threads = 1, .memory_bytes = std::int64_t{1} << 30, .seed = 1, .progress = {}}; }

Result on_device(const Case& c, const Change& change) {
  Context context(options());
  const auto backend = testing::make_backend(context, c.gpu_memory);
  return sweep(*backend, context, c, change);
}
Result on_cpu(const Case& c, const Change& change) {
  Context context(options());
  const auto backend = make_cpu_backend(context);
  return sweep(*backend, context, c, change);
}

double difference(int128 a, int128 b) { return static_cast<double>(a > b ? a - b : b - a); }

// Sums of one kind are held to the largest of them; `nothing` quanta are none.
void expect_close(const Result& a, const Result& b, double tolerance, double nothing) {
  ASSERT_EQ(a.sums.size(), b.sums.size());
  for (std::size_t kind = 0; kind < a.sums.size(); ++kind) {
    ASSERT_EQ(a.sums[kind].size(), b.sums[kind].size());
    int128 largest = 1;
    for (const int128 sum : b.sums[kind]) largest = std::max(largest, sum < 0 ? -sum : sum);
    for (std::size_t i = 0; i < a.sums[kind].size(); ++i)
      EXPECT_LE(difference(a.sums[kind][i], b.sums[kind][i]), tolerance * static_cast<double>(largest) + nothing) << kind << ", " << i;
  }
  EXPECT_EQ(a.unlikely, b.unlikely);
}

void expect_close(const Rows& a, const Rows& b) {
  ASSERT_EQ(a.label.size(), b.label.size());
  EXPECT_EQ(a.label, b.label);
  for (std::size_t i = 0; i < a.label.size(); ++i) {
    EXPECT_NEAR(a.probability[i], b.probability[i], kDouble);
    EXPECT_NEAR(a.entropy[i], b.entropy[i], kDouble);
    EXPECT_NEAR(a.log_likelihood[i], b.log_likelihood[i], kDouble * std::max(1.0, std::abs(b.log_likelihood[i])));
  }
  for (std::size_t i = 0; i < a.probabilities.size(); ++i) EXPECT_NEAR(a.probabilities[i], b.probabilities[i], kDouble);
}

class GaussianMixtureOnDevice : public ::testing::TestWithParam<Case> {};

TEST_P(GaussianMixtureOnDevice, HasTheSumsOfTheCpuInDouble) {
  const Result device = on_device(GetParam(), in_double), cpu = on_cpu(GetParam(), in_double);
  expect_close(device, cpu, kDouble, 1);
  expect_close(device.rows, cpu.rows);
}

TEST_P(GaussianMixtureOnDevice, HasTheSumsOfTheCpuInFloat) {
  expect_close(on_device(GetParam(), in_float), on_cpu(GetParam(), in_float), float_tolerance(GetParam().n_columns), kNothing);
}

std::vector<Case> shapes() {
  std::vector<Case> cases;
  for (const CovarianceType type : kTypes) {
    cases.push_back({type, 4, 1, 1});
    cases.push_back({type, 129, 1, 3});
    cases.push_back({type, 600, 8, 2, true});
    cases.push_back({type, 300, 33, 9});
    cases.push_back({type, 500, 5, 17, true, 200});
    cases.push_back({type, 400, 3, 4, true, 0, kBlockRows, 0, 3});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Shapes, GaussianMixtureOnDevice, ::testing::ValuesIn(shapes()));
// 90 columns have more tiles of their outer products than a block has threads; 300 components over 80 columns have sums
// beyond shared memory; 1200 columns leave four rows per strip.
INSTANTIATE_TEST_SUITE_P(BeyondOneBlock, GaussianMixtureOnDevice,
                         ::testing::Values(Case{CovarianceType::full, 200, 90, 2}, Case{CovarianceType::tied, 150, 90, 2},
                                           Case{CovarianceType::diag, 320, 80, 300}, Case{CovarianceType::spherical, 320, 80, 300},
                                           Case{CovarianceType::diag, 12, 1200, 2}));

// Whole covariances on tensor cores: strips of 256, 128, 64 and 32 rows; rows in registers and, beyond 64 columns, in memory; several
// chunks of factors and several rounds of squares; rows of members copied by 4, 8 and 16 bytes, and more of them than one copy takes.
INSTANTIATE_TEST_SUITE_P(Whitened, GaussianMixtureOnDevice,
                         ::testing::Values(Case{CovarianceType::full, 700, 64, 3}, Case{CovarianceType::full, 290, 18, 70},
                                           Case{CovarianceType::full, 600, 7, 81}, Case{CovarianceType::full, 330, 4, 210, true},
                                           Case{CovarianceType::full, 420, 2, 401}, Case{CovarianceType::full, 300, 130, 2}));

// Where squares are expanded, warps share the sums by 32 components and 16 columns: all eight pieces, some that do not exist,
// several rows of them at a time; rows copied by 4, 8 and 16 bytes; one strip in memory and two.
class GaussianMixtureExpanded : public ::testing::TestWithParam<Case> {};

TEST_P(GaussianMixtureExpanded, HasTheSumsOfTheCpu) {
  expect_close(on_device(GetParam(), in_float), on_cpu(GetParam(), in_float), float_tolerance(GetParam().n_columns), kNothing);
}

std::vector<Case> pieces() {
  std::vector<Case> cases;
  for (const CovarianceType type : {CovarianceType::diag, CovarianceType::spherical}) {
    cases.push_back({type, 700, 64, 64});
    cases.push_back({type, 300, 41, 50, true});
    cases.push_back({type, 260, 100, 20});
    cases.push_back({type, kBlockRows + 130, 6, 33});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Shapes, GaussianMixtureExpanded, ::testing::ValuesIn(pieces()));

TEST(GaussianMixtureProducts, AreLeftOutWhereTheyErrTooMuch) {
  for (const Case& c : {Case{CovarianceType::full, 600, 8, 2, true}, Case{CovarianceType::full, 300, 33, 9},
                        Case{CovarianceType::diag, 300, 33, 9}, Case{CovarianceType::spherical, 300, 33, 9}}) {
    const Result float32 = on_device(c, in_plain_float);
    expect_close(float32, on_cpu(c, in_plain_float), float_tolerance(c.n_columns), kNothing);
    EXPECT_NE(float32.sums, on_device(c, in_float).sums);
  }
}

class GaussianMixtureProductsOf : public ::testing::TestWithParam<CovarianceType> {};

// Also where means lie far from the center.
TEST_P(GaussianMixtureProductsOf, MoveTheLikelihoodByLessThanPredicted) {
  for (const double offset : {0.0, 20.0, 100.0}) {
    const Case c{.type = GetParam(), .n_rows = 640, .n_columns = 20, .n_components = 3, .offset = offset};
    double predicted = 0, quantum = 0;  // of the sum of log-likelihoods
    const Result products = on_device(c, [&](Model& model, const Grid& grid, const GridMoments& moments) {
      model.sweep_tolerance = 1;
      predicted = gaussian::product_error(model, grid, center_of(grid, moments));
      quantum = Quanta(model, grid, moments).log_likelihood();
    });
    const Result exact = on_device(c, in_double);
    const auto log_likelihood = [](const Result& result) { return result.sums[3][0]; };
    EXPECT_FALSE(log_likelihood(products) == log_likelihood(exact));
    EXPECT_LT(difference(log_likelihood(products), log_likelihood(exact)) * quantum / static_cast<double>(c.n_rows), predicted);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GaussianMixtureProductsOf,
                         ::testing::Values(CovarianceType::full, CovarianceType::diag, CovarianceType::spherical));

bool same_bits(const Result& a, const Result& b) {
  return a.sums == b.sums && a.unlikely == b.unlikely && a.rows.label == b.rows.label && a.rows.probability == b.rows.probability &&
         a.rows.log_likelihood == b.rows.log_likelihood && a.rows.probabilities == b.rows.probabilities;
}

class GaussianMixtureOnDeviceBits : public ::testing::TestWithParam<CovarianceType> {
 protected:
  static Case rows_of_blocks() {
    return {.type = GetParam(), .n_rows = 3 * kBlockRows + 11, .n_columns = 3, .n_components = 3, .weighted = true, .lost_components = 2};
  }
};

TEST_P(GaussianMixtureOnDeviceBits, IgnoreTileRows) {
  Case c = rows_of_blocks();
  const Result expected = on_device(c, in_float);
  for (const std::int64_t blocks : {2, 100}) {
    c.tile_rows = blocks * kBlockRows;
    EXPECT_TRUE(same_bits(on_device(c, in_float), expected)) << blocks;
  }
}

TEST_P(GaussianMixtureOnDeviceBits, IgnoreGpuMemory) {
  Case c = rows_of_blocks();
  const Result expected = on_device(c, in_float);
  c.gpu_memory = 640000;  // two tiles of one block of rows, and one running block
  EXPECT_TRUE(same_bits(on_device(c, in_float), expected));
}

#ifdef COTERIE_EMULATED

TEST_P(GaussianMixtureOnDeviceBits, IgnoreTheOrderOfThreadsAndBlocks) {
  const Case c{.type = GetParam(), .n_rows = kBlockRows + 300, .n_columns = 5, .n_components = 4, .weighted = true};
  const Result expected = on_device(c, in_float);
  for (const std::uint64_t seed : {1, 2}) {
    emulated::FreshEmulator device;
    device->seed = seed;
    EXPECT_TRUE(same_bits(on_device(c, in_float), expected)) << seed;
  }
}

#endif

INSTANTIATE_TEST_SUITE_P(Types, GaussianMixtureOnDeviceBits, ::testing::ValuesIn(kTypes));

#ifdef COTERIE_EMULATED

TEST(GaussianMixtureOnDeviceSweep, AllocatesNothingInsideAndDoesNotWait) {
  for (const CovarianceType type : kTypes) {
    for (const Change& change : {Change(in_double), Change(in_float)}) {
      const Case c{.type = type, .n_rows = 300, .n_columns = 5, .n_components = 3, .weighted = true};
      SCOPED_TRACE(::testing::PrintToString(c));
      const Problem problem = problem_of(c);
      Context context(options());
      const auto backend = testing::make_backend(context);
      MemoryTileSource rows(problem.rows.x, c.n_columns);
      ZippedSource source(rows, {.weight = problem.weights.steps, .label = {}});
      const Grid grid = problem.grid();
      const GridMoments moments = kmeans::measure_moments(context, source, grid, c.n_components);
      std::vector<Model> models = seed(context, grid, moments, problem.params.front());
      change(models.front(), grid, moments);
      const Model* const pointers[] = {&models.front()};
      const auto staged = backend->stage(source);
      testing::expect_no_stop_inside_a_sweep(*staged, *backend->gaussian_mixture_pass(grid, moments),
                                             std::span<const Model* const>(pointers));
    }
  }
}

#endif

TEST(GaussianMixtureOnDeviceMemory, RefusesWhatFitsIntoNoBlock) {
  Context context(options());
  const auto backend = testing::make_backend(context);
  constexpr std::size_t d = 30000;
  const Grid grid{.steps = std::vector<double>(d, 1)};
  const GridMoments moments{.n_rows = 1, .weight = 1, .sums = WideSums(d), .squares = WideSums(d), .sample = {}};
  Model model{.covariance_type = CovarianceType::diag, .n_components = 1, .n_columns = d, .weights = {1}};
  model.means.assign(d, 0);
  model.covariances.assign(d, 1);
  model.precisions_cholesky.assign(d, 1);
  model.final_parameters = true;
  const Model* const models[] = {&model};
  const auto pass = backend->gaussian_mixture_pass(grid, moments);
  EXPECT_THROW(pass->begin(models), ResourceError);
}

}  // namespace
}  // namespace coterie::gaussian_mixture
