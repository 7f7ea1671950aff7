// One digest for everything a run may be asked for beside its data: device, threads, tiles, memory, instruction set, layout of
// the file. The pipeline is the whole one, from an HDF5 file through the transform to labels, centers and inertia.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <map>

#include "host/kmeans.hpp"
#include "host/passes.hpp"
#include "host/random.hpp"
#include "host/random_deviates.hpp"
#include "host/transform.hpp"
#include "host/weights.hpp"
#include "io/feature_file.hpp"
#include "io/hdf5.hpp"
#include "io/sha256.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie {
namespace {

constexpr std::int64_t kRows = 21'000;    // six blocks, the last one partial
constexpr std::int64_t kFewRows = 9'000;  // three, likewise
constexpr std::int32_t kColumns = 6;

// Blobs, a heavy tail for log1p, counts with many ones, a flag, a share with missing cells, an offset; the same bits everywhere.
std::vector<float> make_rows(std::int64_t n_rows, bool with_missing) {
  std::vector<float> x;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(n_rows); ++i) {
    const auto bits = [i](std::uint64_t stream) { return random_bits(17, Purpose::synth_value, i, stream); };
    const auto normal = [&](std::uint64_t stream) { return normal_pair(bits(stream)).first; };
    const double persona = static_cast<double>(bits(0) % 4);
    x.push_back(static_cast<float>(persona * 3 + normal(1)));
    x.push_back(static_cast<float>(exp(2 + persona / 2 + 1.5 * normal(2))));
    x.push_back(bits(3) % 3 == 0 ? 1.0f : static_cast<float>(1 + bits(4) % 40));
    x.push_back(static_cast<float>(bits(5) % 2));
    x.push_back(with_missing && bits(6) % 10 == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(normal(7)));
    x.push_back(static_cast<float>(1e6 + 100 * persona + normal(8)));
  }
  return x;
}

enum class Layout { contiguous, rows_1000, rows_8192_gzip, columns };

io::hdf5::PropertyList creation_of(Layout layout) {
  io::hdf5::PropertyList creation = io::hdf5::property_list(io::hdf5::PropertyClass::dataset_creation);
  const io::hdf5::Lock lock;
  const std::map<Layout, std::array<hsize_t, 2>> chunks = {
      {Layout::rows_1000, {1000, kColumns}}, {Layout::rows_8192_gzip, {8192, kColumns}}, {Layout::columns, {5000, 1}}};
  if (layout != Layout::contiguous) io::hdf5::check(H5Pset_chunk(creation.id(), 2, chunks.at(layout).data()), creation.id(), "set chunks");
  if (layout == Layout::rows_8192_gzip) io::hdf5::check(H5Pset_shuffle(creation.id()), creation.id(), "set shuffle");
  if (layout == Layout::rows_8192_gzip) io::hdf5::check(H5Pset_deflate(creation.id(), 1), creation.id(), "set deflate");
  return creation;
}

std::filesystem::path write_rows(const std::filesystem::path& folder, Layout layout, std::int64_t n_rows, bool with_missing) {
  const auto path = folder / ("rows" + std::to_string(static_cast<int>(layout)) + (with_missing ? "m" : "") + ".h5");
  const std::vector<float> x = make_rows(n_rows, with_missing);
  const hsize_t shape[2] = {static_cast<hsize_t>(n_rows), kColumns};
  auto file = io::hdf5::create_file(path, H5F_ACC_TRUNC, io::hdf5::property_list(io::hdf5::PropertyClass::file_creation),
                                    io::hdf5::property_list(io::hdf5::PropertyClass::file_access));
  auto dataset =
      io::hdf5::create_dataset(file.id(), "X", io::hdf5::native_type<float>(), io::hdf5::simple_space(shape), creation_of(layout));
  io::hdf5::write(dataset, io::hdf5::native_type<float>(), {}, {}, x.data());
  dataset.close();
  file.close();
  return path;
}

struct Setting {
  int threads;
  std::int64_t memory;
  Layout layout;
  std::int64_t gpu_memory = 0;  // all of it
};

// The digest of `cluster --json`: int32 labels, float32 centers in clustering units, float64 inertia.
std::string run(const std::filesystem::path& path, TransformKind kind, const Setting& setting) {
  Context context({.threads = setting.threads, .memory_bytes = setting.memory, .seed = 3});
  const auto file = io::FeatureFile::open(path);
  const auto raw = file->tiles(context);
  const std::vector<RawColumn> columns(kColumns, RawColumn{.name = "column"});
  const ChosenTransform chosen = choose_transform(context, *raw, survey_columns(context, *raw, columns), columns, {.kind = kind});
  const auto rows = transformed(context, *raw, chosen.transform);
  if (kind == TransformKind::automatic) {
    EXPECT_TRUE(chosen.transform.columns.at(1).log1p);
  }
  std::vector<double> w(static_cast<std::size_t>(raw->n_rows()));
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = 0.25 * static_cast<double>(i % 13);
  const Weights weights = quantise_weights(w);
  ZippedSource source(*rows, {.weight = weights.steps});
  const kmeans::Grid grid{.steps = chosen.transform.steps(), .weight_step = weights.step};
  const kmeans::GridMoments moments = kmeans::measure_moments(context, source, grid, 5);
  const std::vector<kmeans::Params> params = {{.n_clusters = 5, .n_init = 3}};
  const auto backend = testing::make_backend(context, setting.gpu_memory);
  const auto staged = backend->stage(source);
  const auto pass = backend->kmeans_pass(grid, source.n_columns());
  const kmeans::Fit fit = kmeans::fit(context, *staged, grid, moments, params, *pass);
  const auto predictor = backend->kmeans_predictor();
  io::Sha256 digest;
  map_tiles(context, *staged, *predictor, fit.best.front(),
            [&](std::int64_t, const kmeans::Assignment& tile) { digest.update(std::as_bytes(tile.label)); });
  digest.update(std::as_bytes(std::span(fit.best.front().cluster_centers)));
  digest.update(std::as_bytes(std::span(&fit.best.front().inertia, 1)));
  return digest.hex();
}

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

// The same letters for every backend.
TEST(Determinism, OneFitHasThisDigestOnEveryDevice) {
  const testing::ScratchFolder folder;
  const auto path = write_rows(folder.path(), Layout::rows_8192_gzip, kFewRows, true);
  constexpr std::int64_t kTwoBlocks = 410'000;  // of a GPU, and what is computed beside them; all rows leave it no room
  for (const std::int64_t gpu_memory : {std::int64_t{0}, kTwoBlocks})
    EXPECT_EQ(run(path, TransformKind::automatic, {2, 256 * kMiB, Layout::rows_8192_gzip, gpu_memory}),
              "e25e149892589719e475f0151acfe9ae30c9675a27314f32d750de62702aa76a");
}

#if !defined(COTERIE_EMULATED) && !defined(COTERIE_TEST_CUDA)  // what is left is said of the CPU

struct Matrix {
  std::vector<int> threads;
  std::vector<std::int64_t> memory;
  std::vector<Layout> layouts;
  std::vector<TransformKind> kinds;
  int least_combinations;
};

// A tight budget streams and transforms every sweep, a middling one keeps rows in memory, a large one takes larger tiles.
void expect_one_digest_per_transform(const Matrix& matrix) {
  const testing::ScratchFolder folder;
  int combinations = 0;
  for (const TransformKind kind : matrix.kinds) {
    std::string expected;
    for (const Layout layout : matrix.layouts) {
      const auto path = write_rows(folder.path(), layout, kRows, kind != TransformKind::none);
      testing::for_each_instruction_set([&] {
        for (const int threads : matrix.threads)
          for (const std::int64_t memory : matrix.memory) {
            const std::string digest = run(path, kind, {.threads = threads, .memory = memory, .layout = layout});
            if (expected.empty()) expected = digest;
            ASSERT_EQ(digest, expected) << "transform " << static_cast<int>(kind) << ", layout " << static_cast<int>(layout) << ", threads "
                                        << threads << ", memory " << memory;
            ++combinations;
          }
      });
    }
  }
  EXPECT_GE(combinations, matrix.least_combinations);
}

constexpr int kInstructionSets = 2;  // at least: portable code and the best the processor has

TEST(Determinism, QuickSliceHasOneDigest) {
  expect_one_digest_per_transform({.threads = {1, 3},
                                   .memory = {12 * kMiB, 256 * kMiB},
                                   .layouts = {Layout::contiguous, Layout::rows_8192_gzip},
                                   .kinds = {TransformKind::automatic},
                                   .least_combinations = 8 * kInstructionSets});
}

TEST(DeterminismLong, WholeMatrixHasOneDigestPerTransform) {
  expect_one_digest_per_transform(
      {.threads = {1, 2, 5},
       .memory = {12 * kMiB, 24 * kMiB, 256 * kMiB},
       .layouts = {Layout::contiguous, Layout::rows_1000, Layout::rows_8192_gzip, Layout::columns},
       .kinds = {TransformKind::none, TransformKind::zscore, TransformKind::log1p, TransformKind::robust, TransformKind::automatic},
       .least_combinations = 180 * kInstructionSets});
}

#endif

}  // namespace
}  // namespace coterie
