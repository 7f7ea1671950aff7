// A sweep of k-means over rows that no memory holds, stage by stage and as a whole: the bytes of the file, its cells (fetched, inflated,
// converted), clustering rows, labels and sums. Every stage uses all threads, so what a whole sweep costs beyond the longest of the disk
// and the processor time of the rest, shared by the threads, is what does not overlap. `cold`: the file is dropped from the page cache
// before every reading. Checks that no row is lost.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "host/backend.hpp"
#include "host/passes.hpp"
#include "host/transform.hpp"
#include "io/feature_writer.hpp"
#include "io/matrix_source.hpp"
#include "tests/support/scratch_folder.hpp"
#include "tests/support/transformed_rows.hpp"

namespace coterie {
namespace {

constexpr std::int32_t kColumns = 32, kClusters = 8;
constexpr std::int64_t kRows = 3'500'000, kTileRows = 16 * kBlockRows;
constexpr int kThreads = 2, kRepeats = 3;

// Counts, many of them zero, and amounts in cents.
float make_cell(std::int64_t row, std::int32_t column) {
  auto bits = (static_cast<std::uint64_t>(row) * kColumns + static_cast<std::uint64_t>(column) + 1) * 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 29)) * 0xbf58476d1ce4e5b9u;
  const double uniform = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
  const double size = -std::log(uniform) * (1 + static_cast<double>(row % 5));
  return static_cast<float>(column % 2 == 0 ? std::floor(size) : std::round(100 * std::exp(size / 3)) / 100);
}

const std::vector<float>& cells() {
  static const std::vector<float> made = [] {
    std::vector<float> x(static_cast<std::size_t>(kRows * kColumns));
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = make_cell(static_cast<std::int64_t>(i / kColumns), static_cast<std::int32_t>(i % kColumns));
    return x;
  }();
  return made;
}

Context::Options options(std::int64_t memory) { return {.threads = kThreads, .memory_bytes = memory, .seed = 1}; }

void write_file(const std::filesystem::path& path, bool compressed) {
  Context context(options(std::int64_t{1} << 30));
  io::FeatureFileLayout layout{.n_rows = kRows, .columns = {}, .obs = {{.name = "id", .type = io::CellType::int64}}, .roles = {}};
  for (std::int32_t j = 0; j < kColumns; ++j) layout.columns.push_back({.name = std::string("f").append(std::to_string(j))});
  layout.compressed = compressed;
  io::AtomicOutput output({.path = path, .overwrite = true, .estimated_bytes = io::estimated_bytes(layout)});
  io::FeatureWriter writer(output, layout, &context);
  for (std::int64_t row = 0; row < kRows; row += kTileRows) {
    const std::int64_t n = std::min(kTileRows, kRows - row);
    std::vector<std::int64_t> id(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) id[static_cast<std::size_t>(i)] = row + i;
    writer.write(row, std::span(cells()).subspan(static_cast<std::size_t>(row * kColumns), static_cast<std::size_t>(n * kColumns)),
                 std::vector<io::Cells>{id});
  }
  writer.commit();
}

double seconds_of(const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRepeats / 2, seconds.end());
  return seconds[kRepeats / 2];
}

class StoredFile {
 public:
  explicit StoredFile(bool compressed) : path_(folder_ / "customers.h5ad") { write_file(path_, compressed); }
  const std::filesystem::path& path() const { return path_; }

  void forget() const {  // by the page cache
    const int file = open(path_.c_str(), O_RDONLY);
    fdatasync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
  void read_bytes() const {
    static std::vector<char> bytes(std::size_t{4} << 20);
    const int file = open(path_.c_str(), O_RDONLY);
    while (read(file, bytes.data(), bytes.size()) > 0) benchmark::DoNotOptimize(bytes.data());
    close(file);
  }

 private:
  testing::ScratchFolder folder_;
  std::filesystem::path path_;
};

void consume(TileSource& source) {
  source.rewind();
  while (const Tile* tile = source.next()) benchmark::DoNotOptimize(tile->n_rows);
}

kmeans::Model start_of(std::span<const float> rows) {
  kmeans::Model model{.n_clusters = kClusters, .n_columns = kColumns};
  for (std::size_t k = 0; k < kClusters; ++k) {
    const auto center = rows.subspan(k * 7919 * kColumns, kColumns);
    model.cluster_centers.insert(model.cluster_centers.end(), center.begin(), center.end());
  }
  return model;
}

// Rows that a sweep of k-means has counted.
std::int64_t sweep(Context& context, TileSource& source, kmeans::Pass& pass, const kmeans::Model& model) {
  const kmeans::Model* const models[] = {&model};
  const kmeans::SweepStatistics statistics = reduce_tiles(context, source, pass, std::span<const kmeans::Model* const>(models));
  std::int64_t rows = 0;
  for (const std::int64_t of_cluster : statistics.models.front().rows_in_clusters) rows += of_cluster;
  return rows;
}

void streaming_sweep(benchmark::State& state) {
  const bool compressed = state.range(0) != 0, cold = state.range(1) != 0;
  const StoredFile stored(compressed);
  Context roomy(options(std::int64_t{6} << 30)), context(options(std::int64_t{512} << 20));
  MemoryTileSource raw(cells(), kColumns);
  const Transform transform = testing::survey_and_choose(roomy, raw, {}).transform;
  const std::vector<float> rows = testing::rows_of(*transformed(roomy, raw, transform));
  MemoryTileSource resident(rows, kColumns);
  const kmeans::Model model = start_of(rows);
  const auto pass = make_cpu_backend(context)->kmeans_pass({.steps = transform.steps()}, kColumns);
  const auto file = io::InputFile::open(stored.path());
  io::MatrixSource matrix(context, file, io::inspect_matrix(*file, "/X"));
  const auto from_memory = transformed(context, raw, transform), from_file = transformed(context, matrix, transform);
  const auto forget = [&] {
    if (cold) stored.forget();
  };

  const double bytes = seconds_of([&] { forget(), stored.read_bytes(); }), decode = seconds_of([&] { consume(matrix); });
  const double prepare = seconds_of([&] { consume(*from_memory); });
  const double compute = seconds_of([&] { (void)sweep(context, resident, *pass, model); });
  double whole = 0;
  for (auto _ : state) {
    state.PauseTiming();
    forget();
    state.ResumeTiming();
    whole -= static_cast<double>(std::chrono::steady_clock::now().time_since_epoch().count()) * 1e-9;
    if (sweep(context, *from_file, *pass, model) != kRows) state.SkipWithError("rows are missing");
    whole += static_cast<double>(std::chrono::steady_clock::now().time_since_epoch().count()) * 1e-9;
  }
  whole /= static_cast<double>(state.iterations());
  state.counters["bytes_ms"] = 1e3 * bytes;
  state.counters["cells_ms"] = 1e3 * decode;
  state.counters["transform_ms"] = 1e3 * prepare;
  state.counters["sweep_ms"] = 1e3 * compute;
  state.counters["whole/sum"] = whole / ((cold ? bytes : 0) + decode + prepare + compute);
  state.counters["whole/max"] = whole / std::max({bytes, decode, prepare, compute});
  state.counters["GB/s"] = 4e-9 * kRows * kColumns / whole;
}

BENCHMARK(streaming_sweep)
    ->ArgNames({"compressed", "cold"})
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace coterie
