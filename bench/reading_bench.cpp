// A sweep of k-means over rows that no memory holds, stage by stage and as a whole: the bytes of the file, its cells (fetched, inflated,
// converted), clustering rows, labels and sums. Every stage uses all threads, so what a whole sweep costs beyond the longest of the disk
// and the processor time of the rest, shared by the threads, is what does not overlap. `cold`: the file is dropped from the page cache
// before every reading. Checks that the sums are those of the rows in memory.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "host/backend.hpp"
#include "host/error.hpp"
#include "host/passes.hpp"
#include "host/random.hpp"
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
  const auto index = static_cast<std::uint64_t>(row) * kColumns + static_cast<std::uint64_t>(column);
  const double size = -std::log(1 - random_uniform(1, Purpose::synth_value, index)) * (1 + static_cast<double>(row % 5));
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

// Median of kRepeats, each after `before`, which is not timed.
double seconds_of(const std::function<void()>& before, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < kRepeats; ++i) {
    before();
    const auto start = std::chrono::steady_clock::now();
    work();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRepeats / 2, seconds.end());
  return seconds[kRepeats / 2];
}

class StoredFile {
 public:
  static const StoredFile& of(bool compressed) {
    static const StoredFile plain(false), zipped(true);
    return compressed ? zipped : plain;
  }
  const std::filesystem::path& path() const { return path_; }

  bool is_on_disk() const {  // or else in memory, which nothing can forget
    struct statfs system;
    return statfs(path_.c_str(), &system) == 0 && system.f_type != TMPFS_MAGIC;
  }
  void forget() const {  // by the page cache
    const int file = open(path_.c_str(), O_RDONLY);
    const bool done = file >= 0 && fdatasync(file) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0;
    close(file);
    if (!done) throw InternalError("the page cache does not forget a file");
  }
  void read_bytes() const {
    static std::vector<char> bytes(std::size_t{4} << 20);
    const int file = open(path_.c_str(), O_RDONLY);
    while (read(file, bytes.data(), bytes.size()) > 0) benchmark::DoNotOptimize(bytes.data());
    close(file);
  }

 private:
  explicit StoredFile(bool compressed) : path_(folder_ / "customers.h5ad") { write_file(path_, compressed); }

  testing::ScratchFolder folder_;
  std::filesystem::path path_;
};

// What every layout is measured on.
struct Job {
  MemoryTileSource raw{cells(), kColumns};
  Transform transform;
  std::vector<float> rows;  // (kRows, kColumns) transformed
  kmeans::Model model{.n_clusters = kClusters, .n_columns = kColumns};

  static Job& get() {
    static Job job;
    return job;
  }

 private:
  Job() {
    Context context(options(std::int64_t{6} << 30));
    transform = testing::survey_and_choose(context, raw, {}).transform;
    rows = testing::rows_of(*transformed(context, raw, transform));
    for (std::size_t k = 0; k < kClusters; ++k) {
      const auto center = std::span(rows).subspan(k * 7919 * kColumns, kColumns);
      model.cluster_centers.insert(model.cluster_centers.end(), center.begin(), center.end());
    }
  }
};

void consume(TileSource& source) {
  source.rewind();
  while (const Tile* tile = source.next()) benchmark::DoNotOptimize(tile->n_rows);
}

// The first sweep of a fit: a pass that has seen these centers before would read no row.
kmeans::Statistics first_sweep(Context& context, TileSource& source, const Job& job) {
  const auto pass = make_cpu_backend(context)->kmeans_pass({.steps = job.transform.steps()}, kColumns);
  const kmeans::Model* const models[] = {&job.model};
  return reduce_tiles(context, source, *pass, std::span<const kmeans::Model* const>(models)).models.front();
}

bool are_equal(const kmeans::Statistics& a, const kmeans::Statistics& b) {
  for (std::size_t i = 0; i < a.center_sums.size(); ++i)
    if (a.center_sums.value(i) != b.center_sums.value(i)) return false;
  return a.rows_in_clusters == b.rows_in_clusters;
}

void streaming_sweep(benchmark::State& state) {
  const StoredFile& stored = StoredFile::of(state.range(0) != 0);
  const bool cold = state.range(1) != 0;
  if (cold && !stored.is_on_disk()) return state.SkipWithError("temporary files lie in memory; set TMPDIR to a folder on a disk");
  Job& job = Job::get();
  Context context(options(std::int64_t{512} << 20));
  MemoryTileSource resident(job.rows, kColumns);
  const auto file = io::InputFile::open(stored.path());
  io::MatrixSource matrix(context, file, io::inspect_matrix(*file, "/X"));
  const auto from_memory = transformed(context, job.raw, job.transform), from_file = transformed(context, matrix, job.transform);
  const auto forget = [&] {
    if (cold) stored.forget();
  };

  const double bytes = seconds_of(forget, [&] { stored.read_bytes(); });
  const double decode = seconds_of([] {}, [&] { consume(matrix); });
  const double prepare = seconds_of([] {}, [&] { consume(*from_memory); });
  kmeans::Statistics expected, found;
  const double compute = seconds_of([] {}, [&] { expected = first_sweep(context, resident, job); });
  double whole = 0;
  for (auto _ : state) {
    const double seconds = seconds_of(forget, [&] { found = first_sweep(context, *from_file, job); });
    if (!are_equal(found, expected)) state.SkipWithError("the sums are not those of the rows in memory");
    state.SetIterationTime(seconds);
    whole += seconds / static_cast<double>(state.max_iterations);
  }
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
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace coterie
