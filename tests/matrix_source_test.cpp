#include "io/matrix_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
#include <random>

#include "host/error.hpp"
#include "tests/support/hdf5_fixture.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using testing::copy_type;
using testing::creation_list;
using ::testing::HasSubstr;
using testing::message_of;
using testing::new_file;
using testing::ScratchFolder;
using testing::StorageOptions;
using testing::write_dataset;

constexpr hsize_t kRows = 3 * kBlockRows + 77;  // three whole blocks and a bit
constexpr hsize_t kColumns = 5;

std::vector<double> small_integers() {  // (kRows, kColumns) 0 ... 120: exact in every element type
  std::vector<double> cells(kRows * kColumns);
  for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = static_cast<double>((i * 2654435761u >> 7) % 121);
  return cells;
}

void write_matrix(const std::filesystem::path& path, const hdf5::Datatype& type, const std::vector<double>& cells,
                  const StorageOptions& options = {}, hsize_t user_block = 0) {
  hdf5::File file = new_file(path, user_block);
  write_dataset(file.id(), "X", type, {cells.size() / kColumns, kColumns}, cells, options);
  file.close();
}

std::unique_ptr<MatrixSource> open_source(Context& context, const std::filesystem::path& path, std::int64_t tile_rows = 0) {
  const auto file = InputFile::open(path);
  return std::make_unique<MatrixSource>(context, file, inspect_matrix(*file, "/X"), tile_rows);
}

Context::Options memory_of(std::int64_t bytes, Communicator* communicator = nullptr) {
  return {.threads = 1, .memory_bytes = bytes, .seed = 0, .progress = {}, .communicator = communicator};
}

// One sweep; checks that tiles follow each other and start at whole blocks.
std::vector<double> sweep(TileSource& source) {
  std::vector<double> cells;
  std::int64_t expected_row = source.first_row();
  source.rewind();
  while (const Tile* tile = source.next()) {
    EXPECT_EQ(tile->first_row, expected_row);
    EXPECT_EQ(tile->first_row % kBlockRows, 0);
    EXPECT_EQ(tile->x == nullptr, source.is_wide());
    expected_row += tile->n_rows;
    visit_cells(*tile, [&](const auto* x) { cells.insert(cells.end(), x, x + std::int64_t{tile->n_rows} * tile->n_columns); });
  }
  EXPECT_EQ(expected_row, source.first_row() + source.n_rows());
  return cells;
}

struct NamedType {
  const char* name;
  hdf5::Datatype type;
  bool wide;
};

std::vector<NamedType> element_types() {
  std::vector<NamedType> types;
  types.push_back({"float16", testing::half_type(), false});
  types.push_back({"float32", copy_type(H5T_IEEE_F32LE), false});
  types.push_back({"float32 big-endian", copy_type(H5T_IEEE_F32BE), false});
  types.push_back({"float64", copy_type(H5T_IEEE_F64LE), true});
  types.push_back({"float64 big-endian", copy_type(H5T_IEEE_F64BE), true});
  types.push_back({"int8", copy_type(H5T_STD_I8LE), false});
  types.push_back({"uint8", copy_type(H5T_STD_U8LE), false});
  types.push_back({"int16 big-endian", copy_type(H5T_STD_I16BE), false});
  types.push_back({"uint16", copy_type(H5T_STD_U16LE), false});
  types.push_back({"int32", copy_type(H5T_STD_I32LE), true});
  types.push_back({"uint32", copy_type(H5T_STD_U32LE), true});
  types.push_back({"int64", copy_type(H5T_STD_I64LE), true});
  types.push_back({"uint64 big-endian", copy_type(H5T_STD_U64BE), true});
  return types;
}

std::vector<std::pair<const char*, StorageOptions>> storages() {
  return {{"contiguous", {}},
          {"chunks of whole rows", {.chunk = {1000, kColumns}}},
          {"chunks of single columns", {.chunk = {900, 1}}},
          {"chunks wider than the matrix", {.chunk = {5000, 8}}},
          {"one chunk", {.chunk = {kRows, kColumns}, .gzip = true}},
          {"gzip and shuffle", {.chunk = {700, 3}, .gzip = true, .shuffle = true}},
          {"fletcher32", {.chunk = {4096, kColumns}, .fletcher32 = true}},
          {"all filters", {.chunk = {999, 2}, .gzip = true, .shuffle = true, .fletcher32 = true}},
          {"checksum first", {.chunk = {999, 2}, .gzip = true, .shuffle = true, .checksum_first = true}},
          {"edges without filters", {.chunk = {999, 2}, .gzip = true, .shuffle = true, .edges_unfiltered = true}}};
}

TEST(MatrixSource, SameCellsFromEveryElementTypeAndStorage) {
  const ScratchFolder folder;
  const std::vector<double> expected = small_integers();
  Context context(memory_of(64 << 20));
  for (const NamedType& element : element_types())
    for (const auto& [name, storage] : storages()) {
      SCOPED_TRACE(std::string(element.name) + ", " + name);
      write_matrix(folder / "a.h5", element.type, expected, storage);
      const auto source = open_source(context, folder / "a.h5");
      EXPECT_EQ(source->is_wide(), element.wide);
      EXPECT_EQ(sweep(*source), expected);
    }
}

// Only what it must goes through H5Dread, one thread at a time under the library's lock.
TEST(MatrixSource, ReadsContiguousCellsAndChunksOfEveryElementTypeItself) {
  const ScratchFolder folder;
  const std::vector<double> cells = small_integers();
  Context context(memory_of(64 << 20));
  for (const NamedType& element : element_types())
    for (const auto& [name, storage] : storages()) {
      SCOPED_TRACE(std::string(element.name) + ", " + name);
      write_matrix(folder / "a.h5", element.type, cells, storage);
      const auto file = InputFile::open(folder / "a.h5");
      const StoredMatrix matrix = inspect_matrix(*file, "/X");
      const hdf5::Dataset dataset = hdf5::open_dataset(file->id(), "/X");
      EXPECT_EQ(matrix.offset >= 0, storage.chunk.empty());
      EXPECT_EQ(ChunkReader::make(context, dataset) != nullptr, !storage.chunk.empty() && !storage.edges_unfiltered);
    }
}

TEST(MatrixSource, BoolsAreZeroAndOne) {
  const ScratchFolder folder;
  const std::vector<std::int8_t> flags = {0, 1, 1, 0, 1, 0};
  hdf5::File file = new_file(folder / "a.h5");
  hdf5::Dataset dataset =
      hdf5::create_dataset(file.id(), "X", hdf5::bool_type(), hdf5::simple_space(std::vector<hsize_t>{3, 2}), creation_list({}));
  hdf5::write(dataset, hdf5::bool_type(), {}, {}, flags.data());
  dataset.close();
  file.close();
  Context context(memory_of(64 << 20));
  const auto source = open_source(context, folder / "a.h5");
  EXPECT_FALSE(source->is_wide());
  EXPECT_EQ(sweep(*source), std::vector<double>(flags.begin(), flags.end()));
}

TEST(MatrixSource, KeepsEveryBitOfSpecialValues) {
  const ScratchFolder folder;
  const double nan = std::nan(""), inf = INFINITY;
  const std::vector<double> cells = {nan, inf, -inf, -0.0, 5e-324, 1e300, 0.1, 1.0 / 3, -1e-310, 1};
  for (const StorageOptions& storage : {StorageOptions{}, StorageOptions{.chunk = {1, kColumns}, .gzip = true}}) {
    write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F64LE), cells, storage);
    Context context(memory_of(64 << 20));
    const std::vector<double> got = sweep(*open_source(context, folder / "a.h5"));
    EXPECT_EQ(std::memcmp(got.data(), cells.data(), cells.size() * sizeof(double)), 0);
  }
}

TEST(MatrixSource, ReadsChunksThatGzipCouldNotShrink) {
  const ScratchFolder folder;
  std::mt19937_64 random(1);
  std::vector<double> noise(kRows * kColumns);
  for (double& cell : noise) cell = std::bit_cast<double>((random() >> 12) | 0x3ff0000000000000ULL);  // random mantissas
  write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F64LE), noise, {.chunk = {1000, kColumns}, .gzip = true});
  Context context(memory_of(64 << 20));
  EXPECT_EQ(sweep(*open_source(context, folder / "a.h5")), noise);
}

TEST(MatrixSource, IgnoresTileRowsMemoryThreadsAndSweeps) {
  const ScratchFolder folder;
  const std::vector<double> expected = small_integers();
  for (const auto& [name, storage] : storages()) {
    SCOPED_TRACE(name);
    write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), expected, storage);
    for (const std::int64_t memory : {std::int64_t{2} << 20, std::int64_t{1} << 30})
      for (const std::int64_t tile_rows : {std::int64_t{0}, std::int64_t{1}, 2 * kBlockRows, 100 * kBlockRows}) {
        Context context({.threads = tile_rows == 1 ? 3 : 1, .memory_bytes = memory, .seed = 0, .progress = {}, .communicator = nullptr});
        const auto source = open_source(context, folder / "a.h5", tile_rows);
        EXPECT_EQ(sweep(*source), expected);
        EXPECT_EQ(sweep(*source), expected);
        source->rewind();
        source->next();  // left in the middle
        EXPECT_EQ(sweep(*source), expected);
      }
  }
}

TEST(MatrixSource, ReadsBehindAUserBlock) {
  const ScratchFolder folder;
  const std::vector<double> expected = small_integers();
  write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), expected, {}, 2048);
  Context context(memory_of(64 << 20));
  EXPECT_EQ(sweep(*open_source(context, folder / "a.h5")), expected);
}

// A communicator that only knows which rank it is.
class RankOnly final : public Communicator {
 public:
  RankOnly(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(std::span<std::int64_t>, Merge) override {}
  void all_reduce(std::span<double>, Merge) override {}
  std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte>) override { return {}; }

 private:
  int rank_, size_;
};

TEST(MatrixSource, RanksShareTheRowsInWholeBlocks) {
  const ScratchFolder folder;
  const std::vector<double> expected = small_integers();
  write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), expected, {.chunk = {700, 3}, .gzip = true});
  for (const int size : {1, 2, 3, 4, 7}) {  // 7: more ranks than blocks
    std::vector<double> all;
    for (int rank = 0; rank < size; ++rank) {
      RankOnly communicator(rank, size);
      Context context(memory_of(64 << 20, &communicator));
      const auto source = open_source(context, folder / "a.h5");
      const std::vector<double> part = sweep(*source);
      all.insert(all.end(), part.begin(), part.end());
    }
    EXPECT_EQ(all, expected) << size << " ranks";
  }
}

// A filter that only counts how often HDF5 decodes a chunk.
int decoded_chunks = 0;
constexpr H5Z_filter_t kCountingFilter = 511;  // the last of the numbers set aside for tests
std::size_t count_decoding(unsigned flags, std::size_t, const unsigned*, std::size_t n_bytes, std::size_t*, void**) {
  if ((flags & H5Z_FLAG_REVERSE) != 0) ++decoded_chunks;
  return n_bytes;
}

TEST(MatrixSource, DecodesEachChunkOncePerSweep) {
  const hdf5::Lock lock;  // also prepares the library
  const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, kCountingFilter, 1, 1, "count", nullptr, nullptr, count_decoding};
  ASSERT_GE(H5Zregister(&filter), 0);
  const ScratchFolder folder;
  const std::vector<double> expected = small_integers();
  for (const std::vector<hsize_t>& chunk :
       std::vector<std::vector<hsize_t>>{{700, 1}, {4096, 5}, {3000, 2}, {kRows, 1}, {kRows, 5}, {100, 4}}) {
    write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), expected, {.chunk = chunk, .filter = kCountingFilter});
    const int n_chunks = static_cast<int>(((kRows + chunk[0] - 1) / chunk[0]) * ((kColumns + chunk[1] - 1) / chunk[1]));
    Context context(memory_of(64 << 20));
    for (const std::int64_t tile_rows : {kBlockRows, 2 * kBlockRows}) {
      const auto file = InputFile::open(folder / "a.h5");
      MatrixReader reader(context, file, inspect_matrix(*file, "/X"));
      std::vector<float> cells(static_cast<std::size_t>(tile_rows) * kColumns);
      decoded_chunks = 0;
      for (std::int64_t row = 0; row < static_cast<std::int64_t>(kRows); row += tile_rows)
        reader.read(row, std::min<std::int64_t>(tile_rows, kRows - row), cells.data());
      EXPECT_EQ(decoded_chunks, n_chunks) << "chunks of " << chunk[0] << " x " << chunk[1] << ", tiles of " << tile_rows;
    }
  }
}

TEST(MatrixSource, KeepsDecodedRowsWhereTheyTakeAnEighthOfTheMemory) {
  const ScratchFolder folder;
  const std::vector<double> expected = small_integers();
  for (const auto& [memory, gzip] : {std::pair(64 << 20, true), std::pair(64 << 20, false), std::pair(1 << 20, true)}) {
    write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), expected, {.chunk = {999, kColumns}, .gzip = gzip});
    Context context(memory_of(memory));
    const auto source = open_source(context, folder / "a.h5", kBlockRows);
    EXPECT_EQ(sweep(*source), expected);
    source->rewind();
    const_cast<float*>(source->next()->x)[0] = -1;  // what is read again has it no more
    EXPECT_EQ(sweep(*source).front(), gzip && memory == 64 << 20 ? -1 : expected.front());
  }
}

TEST(MatrixSource, RefusesChunksThatDoNotFitTheMemory) {
  const ScratchFolder folder;
  hdf5::File file = new_file(folder / "a.h5");
  const std::vector<float> cells(std::size_t{200000} * 5, 1.0f);
  write_dataset(file.id(), "X", copy_type(H5T_IEEE_F32LE), {200000, 5}, cells, {.chunk = {200000, 5}, .gzip = true});
  file.close();
  Context context(memory_of(8 << 20));  // the one chunk takes 3.8 MiB, three times over
  const std::string message = message_of<ResourceError>([&] { open_source(context, folder / "a.h5"); });
  EXPECT_THAT(message, HasSubstr("'/X'"));
  EXPECT_THAT(message, HasSubstr("11.44 MiB needed"));
}

TEST(MatrixSource, GivesItsMemoryBack) {
  const ScratchFolder folder;
  write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), small_integers(), {.chunk = {700, 3}, .gzip = true});
  Context context(memory_of(64 << 20));
  {
    const auto source = open_source(context, folder / "a.h5", kBlockRows);
    const std::int64_t buffers = 2 * kBlockRows * kColumns * 4, chunks = std::int64_t{2} * 700 * 3 * 4;
    EXPECT_LT(context.memory().available(), (64 << 20) - buffers - chunks);
    source->rewind();
    source->next();
  }
  EXPECT_EQ(context.memory().available(), 64 << 20);
}

TEST(MatrixSource, RefusesIntegersThatFloat64WouldRound) {
  const ScratchFolder folder;
  Context context(memory_of(64 << 20));
  const std::int64_t exact = std::int64_t{1} << 53;
  const auto write_int64 = [&](std::int64_t cell) {
    hdf5::File file = new_file(folder / "a.h5");
    write_dataset<std::int64_t>(file.id(), "X", copy_type(H5T_STD_I64LE), {3, 2}, {1, 2, 3, cell, exact + 1, 6});
    file.close();
  };
  for (const std::int64_t good : {exact, -exact}) {
    write_int64(good);
    EXPECT_THAT(message_of<ContentsError>([&] { sweep(*open_source(context, folder / "a.h5")); }), HasSubstr("row 2, column 0")) << good;
  }
  for (const std::int64_t bad : {exact + 1, -exact - 1, INT64_MAX, INT64_MIN}) {
    write_int64(bad);
    const std::string message = message_of<ContentsError>([&] { sweep(*open_source(context, folder / "a.h5")); });
    EXPECT_THAT(message, HasSubstr("row 1, column 1")) << bad;
    EXPECT_THAT(message, ::testing::Not(HasSubstr(std::to_string(bad)))) << "a cell must not be shown";
  }
}

// Changes the byte in the middle of the largest stretch the dataset takes in the file.
void damage(const std::filesystem::path& path, std::int64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const int byte = file.get();
  file.seekp(offset);
  file.put(static_cast<char>(byte ^ 0x5a));
}

std::int64_t middle_of_chunk(const std::filesystem::path& path, std::vector<hsize_t> offset) {
  const auto file = InputFile::open(path);
  const hdf5::Lock lock;
  const hdf5::Dataset dataset = hdf5::open_dataset(file->id(), "/X");
  unsigned mask = 0;
  haddr_t address = 0;
  hsize_t bytes = 0;
  EXPECT_GE(H5Dget_chunk_info_by_coord(dataset.id(), offset.data(), &mask, &address, &bytes), 0);
  return static_cast<std::int64_t>(address + bytes / 2);
}

TEST(MatrixSource, DamagedChunkIsAnInputErrorWithItsRows) {
  const ScratchFolder folder;
  for (const StorageOptions& storage :
       {StorageOptions{.chunk = {1000, kColumns}, .fletcher32 = true}, StorageOptions{.chunk = {1000, kColumns}, .gzip = true}}) {
    write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), small_integers(), storage);
    damage(folder / "a.h5", middle_of_chunk(folder / "a.h5", {5000, 0}));
    Context context(memory_of(64 << 20));
    const auto source = open_source(context, folder / "a.h5", kBlockRows);
    source->rewind();
    EXPECT_NE(source->next(), nullptr);
    const std::string message = message_of<InputError>([&] { source->next(); });
    EXPECT_THAT(message, HasSubstr("a.h5"));
    EXPECT_THAT(message, HasSubstr("'/X'"));
    EXPECT_THAT(message, HasSubstr("rows 5000 to 5999"));
  }
}

TEST(MatrixSource, NoticesThatTheFileChanges) {
  const ScratchFolder folder;
  write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), small_integers());
  Context context(memory_of(64 << 20));
  const auto source = open_source(context, folder / "a.h5");
  sweep(*source);
  std::filesystem::last_write_time(folder / "a.h5", std::filesystem::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_THAT(message_of<InputError>([&] { source->rewind(); }), HasSubstr("has changed"));
}

TEST(MatrixSource, NoticesThatTheFileBecomesShorter) {
  const ScratchFolder folder;
  for (const StorageOptions& storage : {StorageOptions{}, StorageOptions{.chunk = {1000, kColumns}, .gzip = true}}) {
    write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), small_integers(), storage);
    Context context(memory_of(1 << 20));  // too little to keep rows
    const auto source = open_source(context, folder / "a.h5", kBlockRows);
    source->rewind();
    source->next();
    std::filesystem::resize_file(folder / "a.h5", std::filesystem::file_size(folder / "a.h5") / 4);
    EXPECT_THAT(message_of<InputError>([&] {
                  while (source->next() != nullptr) {
                  }
                }),
                HasSubstr("a.h5"));
  }
}

TEST(MatrixSource, StopsOnRequest) {
  const ScratchFolder folder;
  write_matrix(folder / "a.h5", copy_type(H5T_IEEE_F32LE), small_integers());
  Context context(memory_of(64 << 20));
  const auto source = open_source(context, folder / "a.h5", kBlockRows);
  source->rewind();
  source->next();
  context.cancel(2);
  EXPECT_THROW(source->next(), Cancelled);
}

}  // namespace
}  // namespace coterie::io
