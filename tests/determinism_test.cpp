// One digest for everything a run may be asked for beside its data: threads, tiles, memory, instruction set, layout of
// the file. The pipeline is the whole one, from an HDF5 file through the transform to labels, centers and inertia.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <array>
#include <filesystem>
#include <map>
#include <random>

#include "host/kmeans.hpp"
#include "host/passes.hpp"
#include "host/transform.hpp"
#include "host/weights.hpp"
#include "io/feature_file.hpp"
#include "io/hdf5.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie {
namespace {

constexpr std::int64_t kRows = 21'000;  // six blocks, the last one partial
constexpr std::int32_t kColumns = 6;

// Blobs, a heavy tail for log1p, counts with many ones, a flag, a share with missing cells, an offset.
std::vector<float> make_rows(bool with_missing) {
  std::mt19937 generator(17);
  std::normal_distribution<double> normal;
  std::vector<float> x;
  for (std::int64_t i = 0; i < kRows; ++i) {
    const double persona = static_cast<double>(generator() % 4);
    x.push_back(static_cast<float>(persona * 3 + normal(generator)));
    x.push_back(static_cast<float>(std::exp(2 + persona / 2 + 1.5 * normal(generator))));
    x.push_back(generator() % 3 == 0 ? 1.0f : static_cast<float>(1 + generator() % 40));
    x.push_back(static_cast<float>(generator() % 2));
    x.push_back(with_missing && generator() % 10 == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(normal(generator)));
    x.push_back(static_cast<float>(1e6 + 100 * persona + normal(generator)));
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

std::filesystem::path write_rows(const std::filesystem::path& folder, Layout layout, bool with_missing) {
  const auto path = folder / ("rows" + std::to_string(static_cast<int>(layout)) + (with_missing ? "m" : "") + ".h5");
  const std::vector<float> x = make_rows(with_missing);
  const hsize_t shape[2] = {kRows, kColumns};
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
};

// The digest of `cluster --json`: int32 labels, float32 centers in clustering units, float64 inertia.
class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  template <class T>
  void add(std::span<const T> values) {
    EVP_DigestUpdate(context_.get(), values.data(), values.size_bytes());
  }
  std::string hex() {
    std::array<unsigned char, 32> bytes{};
    EVP_DigestFinal_ex(context_.get(), bytes.data(), nullptr);
    std::string text;
    for (const unsigned char byte : bytes) text += "0123456789abcdef"[byte >> 4], text += "0123456789abcdef"[byte & 15];
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string run(const std::filesystem::path& path, TransformKind kind, const Setting& setting) {
  Context context({.threads = setting.threads, .memory_bytes = setting.memory, .seed = 3});
  const auto file = io::FeatureFile::open(path);
  const auto raw = file->tiles(context);
  const std::vector<RawColumn> columns(kColumns, RawColumn{.name = "column"});
  const ChosenTransform chosen = choose_transform(context, *raw, survey_columns(context, *raw, columns), columns, {.kind = kind});
  const auto rows = transformed(context, *raw, chosen.transform);
  std::vector<double> w(kRows);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = 0.25 * static_cast<double>(i % 13);
  const Weights weights = quantise_weights(w);
  ZippedSource source(*rows, {.weight = weights.steps});
  const kmeans::Grid grid{.steps = chosen.transform.steps(), .weight_step = weights.step};
  const kmeans::GridMoments moments = kmeans::measure_moments(context, source, grid, 5);
  const std::vector<kmeans::Params> params = {{.n_clusters = 5, .n_init = 3}};
  const auto pass = kmeans::make_cpu_pass(context, grid, source.n_columns());
  const kmeans::Fit fit = kmeans::fit(context, source, grid, moments, params, *pass);
  const auto predictor = kmeans::make_cpu_predictor(context);
  Digest digest;
  map_tiles(context, source, *predictor, fit.best.front(), [&](std::int64_t, const kmeans::Assignment& tile) { digest.add(tile.label); });
  digest.add(std::span<const float>(fit.best.front().cluster_centers));
  digest.add(std::span<const double>(&fit.best.front().inertia, 1));
  return digest.hex();
}

struct Matrix {
  std::vector<int> threads;
  std::vector<std::int64_t> memory;
  std::vector<Layout> layouts;
  std::vector<TransformKind> kinds;
  int least_combinations;
};

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

// A tight budget streams and transforms every sweep, a middling one keeps rows in memory, a large one takes larger tiles.
void expect_one_digest_per_transform(const Matrix& matrix) {
  const testing::ScratchFolder folder;
  int combinations = 0;
  for (const TransformKind kind : matrix.kinds) {
    std::string expected;
    for (const Layout layout : matrix.layouts) {
      const auto path = write_rows(folder.path(), layout, kind != TransformKind::none);
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

}  // namespace
}  // namespace coterie
