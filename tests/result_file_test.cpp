#include "io/result_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/error.hpp"
#include "io/hdf5.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/files.hpp"
#include "tests/support/sample_result.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using coterie::testing::read_file;
using coterie::testing::SampleResult;
using coterie::testing::ScratchFolder;
using coterie::testing::write_file;
using coterie::testing::write_sample_result;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

void write_result(const std::filesystem::path& path, const SampleResult& sample, std::int64_t tile, Context* context = nullptr) {
  AtomicOutput output({.path = path});
  H5adWriter file(output, result_options(sample.n_rows, "customer_id", context));
  write_sample_result(file, sample, tile);
  file.commit();
}

hdf5::File open(const std::filesystem::path& path) { return hdf5::open_file(path, hdf5::property_list(hdf5::PropertyClass::file_access)); }

std::vector<float> read_margin(const std::filesystem::path& path) {  // nothing when the file is refused
  try {
    const hdf5::File file = open(path);
    return hdf5::read_all<float>(hdf5::open_dataset(file.id(), "obs/segment_margin"));
  } catch (const InputError&) {
    return {};
  }
}

TEST(ResultFile, BytesIgnoreTileRowsAndThreadCount) {
  const ScratchFolder folder;
  Context context({.threads = 3});
  for (const bool integer_ids : {true, false}) {
    const SampleResult sample{.integer_ids = integer_ids};
    const auto name = [&](const char* rest) { return folder / (std::to_string(integer_ids) + rest); };
    write_result(name("a"), sample, 4096);
    write_result(name("b"), sample, 200'000);
    write_result(name("c"), sample, 77'777, &context);
    EXPECT_EQ(read_file(name("a")), read_file(name("b")));
    EXPECT_EQ(read_file(name("a")), read_file(name("c")));
  }
}

TEST(ResultFile, RowsReadBack) {
  const ScratchFolder folder;
  const SampleResult sample;
  write_result(folder / "r", sample, 50'000);
  const hdf5::File file = open(folder / "r");
  const auto codes = hdf5::read_all<std::int32_t>(hdf5::open_dataset(file.id(), "obs/segment/codes"));
  const auto ids = hdf5::read_all<std::int64_t>(hdf5::open_dataset(file.id(), "obs/customer_id"));
  const auto distances = hdf5::read_all<float>(hdf5::open_dataset(file.id(), "obs/segment_distance"));
  ASSERT_EQ(codes.size(), static_cast<std::size_t>(sample.n_rows));
  for (std::size_t row = 0; row < codes.size(); ++row) {
    ASSERT_EQ(codes[row], static_cast<std::int32_t>(row % 3));
    ASSERT_EQ(ids[row], 1'000'000 + static_cast<std::int64_t>(row));
    ASSERT_EQ(distances[row], std::sqrt(static_cast<float>(row)));
  }
}

TEST(ResultFile, ProfilesLieFeaturesByRow) {
  const ScratchFolder folder;
  write_result(folder / "r", {.n_rows = 10}, 10);
  const hdf5::File file = open(folder / "r");
  const auto dataset = hdf5::open_dataset(file.id(), "varm/segment_mean");
  EXPECT_THAT(hdf5::shape_of(dataset), ::testing::ElementsAre(3u, 3u));
  EXPECT_THAT(hdf5::read_all<double>(dataset), ::testing::ElementsAre(2000, 2010, 2020, 2001, 2011, 2021, 2002, 2012, 2022));
  const auto population = hdf5::open_dataset(file.id(), "var/mean");
  EXPECT_THAT(hdf5::read_all<double>(population), ::testing::ElementsAre(2030, 2031, 2032));
}

// Every byte of what a result says is under a checksum or a compressor's own check: no flip goes unnoticed by a reader.
TEST(ResultFile, NoFlippedByteOfARowColumnReadsBackSilently) {
  const ScratchFolder folder;
  write_result(folder / "r", {.n_rows = 2000}, 2000);
  const std::vector<float> intact = read_margin(folder / "r");
  ASSERT_EQ(intact.size(), 2000u);
  EXPECT_TRUE(coterie::testing::passes_in_child([&] {
    std::string bytes = read_file(folder / "r");
    int refused = 0;
    for (std::size_t at = 0; at < bytes.size(); at += 101) {
      bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
      write_file(folder / "damaged", bytes);
      bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
      const std::vector<float> found = read_margin(folder / "damaged");
      if (found.empty())
        ++refused;
      else
        EXPECT_EQ(found, intact) << "byte " << at;
    }
    EXPECT_GT(refused, 10);
  }));
}

TEST(ResultFile, NothingRemembersTheTime) {
  const ScratchFolder folder;
  write_result(folder / "a", {.n_rows = 100}, 100);
  sleep(1);  // HDF5 stores whole seconds
  write_result(folder / "b", {.n_rows = 100}, 100);
  EXPECT_EQ(read_file(folder / "a"), read_file(folder / "b"));
}

TEST(ResultFile, TextThatDoesNotFitIsNamedByItsPlaceOnly) {
  const ScratchFolder folder;
  for (const std::string secret : {"longer than announced", "caf\xe9"}) {
    AtomicOutput output({.path = folder / "r"});
    H5adWriter file(output, result_options(2, "id"));
    RowStream& rows = file.open_rows({{.name = "id", .type = CellType::text, .text_bytes = 5}});
    const std::vector<std::string> ids = {"fine", secret};
    const Cells cells = std::span<const std::string>(ids);
    EXPECT_THAT(
        [&] {
          rows.write(0, {&cells, 1});
        },
        ThrowsMessage<ContentsError>(AllOf(HasSubstr("'id'"), HasSubstr("row 1"), Not(HasSubstr(secret)))));
  }
}

TEST(ResultFile, RefusesColumnNamesThatCannotBeStored) {
  const ScratchFolder folder;
  AtomicOutput output({.path = folder / "r"});
  H5adWriter file(output, result_options(1, "id"));
  EXPECT_THROW(file.open_rows({{.name = "a/b", .type = CellType::int32}}), ArgumentError);
  file.open_rows({{.name = "id", .type = CellType::int64}, {.name = "a", .type = CellType::int32}});
  EXPECT_THROW(file.open_rows({{.name = "a", .type = CellType::int32}}), ArgumentError);
  EXPECT_THROW(file.open_rows({{.name = "_index", .type = CellType::int32}}), ArgumentError);
}

TEST(ResultFile, RowsMustContinueAndColumnsMustAgree) {
  const ScratchFolder folder;
  AtomicOutput output({.path = folder / "r"});
  H5adWriter file(output, result_options(4, "id"));
  RowStream& rows = file.open_rows({{.name = "id", .type = CellType::int64}});
  const std::vector<std::int64_t> ids = {1, 2, 3};
  const std::vector<std::int32_t> narrow = {1, 2, 3};
  const Cells cells = std::span<const std::int64_t>(ids), wrong_type = std::span<const std::int32_t>(narrow);
  EXPECT_THROW(rows.write(1, {&cells, 1}), InternalError);
  EXPECT_THROW(rows.write(0, {&wrong_type, 1}), InternalError);
  rows.write(0, {&cells, 1});
  EXPECT_THROW(rows.write(3, {&cells, 1}), InternalError);
  EXPECT_THROW(file.commit(), InternalError);
}

TEST(ResultFile, HoldsNamesOfAnyLengthAndNumber) {
  const ScratchFolder folder;
  AtomicOutput output({.path = folder / "r"});
  H5adWriter file(output, result_options(1, "id"));
  RowStream& rows = file.open_rows({{.name = "id", .type = CellType::int64}});
  const std::int64_t id = 1;
  const Cells cells = std::span<const std::int64_t>(&id, 1);
  rows.write(0, {&cells, 1});
  DataFrame wide{.index_name = "k", .index = {"2"}, .columns = {}}, tall{.index_name = "feature", .index = {}, .columns = {}};
  for (int i = 0; i < 5000; ++i) wide.columns.emplace_back("column " + std::to_string(i), std::vector<double>{1.0 * i});
  for (int i = 0; i < 70'000; ++i) tall.index.push_back("feature " + std::to_string(i));
  file.write_frame("uns/wide", wide);
  file.write_frame("var", tall);
  file.write_value("uns/run/command", std::string(100'000, 'x'));
  file.commit();
  const hdf5::File read = open(folder / "r");
  EXPECT_EQ(hdf5::read_strings_attribute(hdf5::open_group(read.id(), "uns/wide").id(), "column-order").size(), 5000u);
  EXPECT_THAT(hdf5::shape_of(hdf5::open_dataset(read.id(), "var/feature")), ::testing::ElementsAre(70'000u));
}

}  // namespace
}  // namespace coterie::io
