// A sweep of k-means over rows that no memory holds, stage by stage and as a whole: the bytes of the file, its cells (fetched, inflated,
// converted), clustering rows, labels and sums. Every stage uses all threads, so what a whole sweep costs beyond the longest of the disk
// and the processor time of the rest, shared by the threads, is what does not overlap: whole/bound is 1 where all of it does. `cold`: the
// file is dropped from the page cache before every reading. Cells are of several element types, one after the other or in chunks, without
// filters or with gzip and shuffle. Checks that the sums are those of the rows in memory.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "host/backend.hpp"
#include "host/error.hpp"
#include "host/passes.hpp"
#include "host/random.hpp"
#include "host/transform.hpp"
#include "io/hdf5.hpp"
#include "io/matrix_source.hpp"
#include "tests/support/scratch_folder.hpp"
#include "tests/support/transformed_rows.hpp"

namespace coterie {
namespace {

constexpr std::int32_t kColumns = 32, kClusters = 8;
constexpr std::int64_t kRows = 3'500'000;
constexpr int kThreads = 2, kRepeats = 3;

// Counts, many of them zero, and amounts: whole numbers that every element type holds.
float make_cell(std::int64_t row, std::int32_t column) {
  const auto index = static_cast<std::uint64_t>(row) * kColumns + static_cast<std::uint64_t>(column);
  const double size = -std::log(1 - random_uniform(1, Purpose::synth_value, index)) * (1 + static_cast<double>(row % 5));
  return static_cast<float>(column % 2 == 0 ? std::floor(size) : std::min(30'000.0, std::round(100 * std::exp(size / 3))));
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

enum ElementType { kFloat32, kBigEndian, kInt16, kInt32 };
enum Layout { kContiguous, kChunks, kGzip };
constexpr const char* kElementNames[] = {"float32", "float32 big-endian", "int16", "int32"};
constexpr const char* kLayoutNames[] = {"contiguous", "chunks", "gzip and shuffle"};

struct Storage {
  ElementType type;
  Layout layout;
  auto operator<=>(const Storage&) const = default;
};

hid_t stored_type(ElementType type) {
  const io::hdf5::Lock lock;
  switch (type) {
    case kFloat32: return H5T_IEEE_F32LE;
    case kBigEndian: return H5T_IEEE_F32BE;
    case kInt16: return H5T_STD_I16LE;
    case kInt32: return H5T_STD_I32LE;
  }
  throw InternalError("no such element type");
}

// X alone, in chunks of about 1 MiB where there are any.
void write_file(const std::filesystem::path& path, const Storage& storage) {
  using namespace io::hdf5;
  constexpr hsize_t kShape[] = {kRows, kColumns}, kChunk[] = {2 * kBlockRows, kColumns};
  const hid_t type = stored_type(storage.type);
  File file = create_file(path, H5F_ACC_TRUNC, property_list(PropertyClass::file_creation), property_list(PropertyClass::file_access));
  const PropertyList creation = property_list(PropertyClass::dataset_creation);
  {
    const Lock lock;
    if (storage.layout != kContiguous) H5Pset_chunk(creation.id(), 2, kChunk);
    if (storage.layout == kGzip && (H5Pset_shuffle(creation.id()) < 0 || H5Pset_deflate(creation.id(), 1) < 0))
      throw InternalError("the library has no gzip");
  }
  Dataset dataset = create_dataset(file.id(), "X", Datatype(H5Tcopy(type)), simple_space(kShape), creation);
  write(dataset, native_type<float>(), {}, {}, cells().data());
  dataset.close();
  file.close();
}

struct Time {
  double wall, processor;  // seconds; processor: of all threads
};

double median_of(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

// Medians of kRepeats, each after `before`, which is not timed.
Time time_of(const std::function<void()>& before, const std::function<void()>& work) {
  std::vector<double> wall, processor;
  for (int i = 0; i < kRepeats; ++i) {
    before();
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t used = std::clock();
    work();
    processor.push_back(static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC);
    wall.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return {median_of(wall), median_of(processor)};
}

class StoredFile {
 public:
  // The last one asked for is kept: together they are large.
  static const StoredFile& of(const Storage& storage) {
    static std::optional<std::pair<Storage, StoredFile>> last;
    if (!last || last->first != storage) last.emplace(std::piecewise_construct, std::tuple(storage), std::tuple(storage));
    return last->second;
  }
  explicit StoredFile(const Storage& storage) : path_(folder_ / "customers.h5") { write_file(path_, storage); }
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
  const Storage storage{static_cast<ElementType>(state.range(0)), static_cast<Layout>(state.range(1))};
  const StoredFile& stored = StoredFile::of(storage);
  const bool cold = state.range(2) != 0;
  state.SetLabel(std::string(kElementNames[storage.type]) + ", " + kLayoutNames[storage.layout] + (cold ? ", cold" : ", warm"));
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

  const Time bytes = time_of(forget, [&] { stored.read_bytes(); });
  const Time decode = time_of([] {}, [&] { consume(matrix); });
  const Time prepare = time_of([] {}, [&] { consume(*from_memory); });
  kmeans::Statistics expected, found;
  const Time compute = time_of([] {}, [&] { expected = first_sweep(context, resident, job); });
  double whole = 0;
  for (auto _ : state) {
    const double seconds = time_of(forget, [&] { found = first_sweep(context, *from_file, job); }).wall;
    if (!are_equal(found, expected)) state.SkipWithError("the sums are not those of the rows in memory");
    state.SetIterationTime(seconds);
    whole += seconds / static_cast<double>(state.max_iterations);
  }
  const double disk = cold ? bytes.wall : 0;  // from the page cache, bytes are part of what cells take
  state.counters["bytes_ms"] = 1e3 * bytes.wall;
  state.counters["cells_ms"] = 1e3 * decode.wall;
  state.counters["transform_ms"] = 1e3 * prepare.wall;
  state.counters["sweep_ms"] = 1e3 * compute.wall;
  state.counters["whole/sum"] = whole / (disk + decode.wall + prepare.wall + compute.wall);
  state.counters["whole/bound"] = whole / std::max(disk, (decode.processor + prepare.processor + compute.processor) / kThreads);
  state.counters["rows"] = kRows;
  state.counters["columns"] = kColumns;
  state.counters["workers"] = kThreads;
  state.counters["GB/s"] = 4e-9 * kRows * kColumns / whole;
}

BENCHMARK(streaming_sweep)
    ->ArgNames({"type", "layout", "cold"})
    ->ArgsProduct({{kFloat32}, {kContiguous, kChunks, kGzip}, {0, 1}})
    ->ArgsProduct({{kBigEndian, kInt16, kInt32}, {kContiguous, kChunks}, {0}})
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace coterie
