#include "io/external_sort.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <tuple>

#include "host/error.hpp"
#include "host/random.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/csv_files.hpp"

namespace coterie::io {
namespace {

using coterie::testing::message_of;
using coterie::testing::passes_in_child;
using coterie::testing::ScratchFolder;
using ::testing::HasSubstr;

constexpr std::size_t kRecordBytes = 21;  // no multiple of anything
using Record = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::uint8_t>;

struct Bench {
  explicit Bench(std::int64_t budget = std::int64_t{1} << 30) : context({.memory_bytes = budget, .progress = {}}) {}
  ExternalSort sort(std::int64_t memory) {
    return ExternalSort(context, {folder.path(), {"a test", "or test less"}, kRecordBytes, memory});
  }
  ScratchFolder folder;
  Context context;
};

// Few groups of each half of the key, so that every word decides somewhere.
SortKey key_of(std::int64_t row) {
  const std::uint64_t bits = mix64(static_cast<std::uint64_t>(row));
  return {{bits % 3, bits / 3 % 5 == 0 ? ~std::uint64_t{0} : bits / 3 % 5}, row};
}

void fill(ExternalSort& sort, std::int64_t n_rows) {
  for (std::int64_t i = 0; i < n_rows; ++i) {
    const std::int64_t row = n_rows - 1 - i;
    std::memset(sort.add(key_of(row)), static_cast<int>(row % 251), kRecordBytes);
  }
  sort.finish();
}

std::vector<Record> all(ExternalSort& sort) {
  std::vector<Record> records;
  SortKey key;
  while (const std::byte* record = sort.next(key)) {
    EXPECT_TRUE(std::all_of(record, record + kRecordBytes, [&](std::byte b) { return b == record[0]; }));
    records.emplace_back(key.group.high, key.group.low, key.row, static_cast<std::uint8_t>(record[0]));
  }
  EXPECT_EQ(sort.next(key), nullptr);  // and stays there
  return records;
}

std::vector<Record> expected(std::int64_t n_rows) {
  std::vector<Record> records;
  for (std::int64_t row = 0; row < n_rows; ++row) {
    const SortKey key = key_of(row);
    records.emplace_back(key.group.high, key.group.low, row, static_cast<std::uint8_t>(row % 251));
  }
  std::sort(records.begin(), records.end());
  return records;
}

TEST(ExternalSort, IgnoresMemory) {
  for (const std::int64_t n_rows : {0, 1, 2, 4999})
    for (const std::int64_t memory : {4 << 10, 33 << 10, 1 << 20}) {  // 65 runs, 8 runs, and one
      Bench bench;
      ExternalSort sort = bench.sort(memory);
      fill(sort, n_rows);
      EXPECT_EQ(all(sort), expected(n_rows)) << n_rows << " rows in " << memory;
    }
}

TEST(ExternalSort, HoldsWhatItReserves) {
  Bench bench(1 << 20);
  ExternalSort sort = bench.sort(1 << 18);
  EXPECT_EQ(bench.context.memory().available(), (1 << 20) - (1 << 18));
  fill(sort, 100'000);
  EXPECT_LE(bench.context.memory().available(), (1 << 20) - (1 << 17));
  EXPECT_GE(bench.context.memory().available(), (1 << 20) - (1 << 18));
  EXPECT_THROW(bench.sort(1 << 20), ResourceError);
}

TEST(ExternalSort, RefusesMoreRunsThanMemoryHoldsRecords) {
  Bench bench(4 << 10);
  ExternalSort sort = bench.sort(128);  // buffers of two records
  EXPECT_THROW(fill(sort, 1000), ResourceError);
}

TEST(ExternalSort, NoFileHasAName) {
  Bench bench;
  ExternalSort sort = bench.sort(4 << 10);
  fill(sort, 1000);
  EXPECT_GT(sort.file_bytes(), 1000 * static_cast<std::int64_t>(kRecordBytes));
  EXPECT_TRUE(std::filesystem::is_empty(bench.folder.path()));
}

TEST(ExternalSort, StopsOnRequest) {
  Bench bench;
  ExternalSort sort = bench.sort(4 << 10), merging = bench.sort(4 << 10);
  fill(merging, 5000);
  bench.context.cancel(SIGINT);
  EXPECT_THROW(fill(sort, 5000), Cancelled);
  EXPECT_THROW(all(merging), Cancelled);
}

TEST(ExternalSort, AFullDiskIsAnOutputError) {
  EXPECT_TRUE(passes_in_child([] {
    Bench bench;
    ExternalSort sort = bench.sort(4 << 10);
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{20'000, 20'000};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_THAT(message_of<OutputError>([&] { fill(sort, 5000); }), HasSubstr("or test less"));
  }));
}

TEST(ExternalSort, AFolderThatTakesNoFileIsAnOutputError) {
  Bench bench;
  EXPECT_THROW(ExternalSort(bench.context, {bench.folder / "gone", {"a test", ""}, kRecordBytes, 4 << 10}), OutputError);
}

}  // namespace
}  // namespace coterie::io
