#include "io/feature_file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <random>

#include "host/error.hpp"
#include "tests/support/files.hpp"
#include "tests/support/hdf5_fixture.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using testing::copy_type;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::new_file;
using ::testing::Not;
using testing::read_file;
using testing::ScratchFolder;
using testing::write_dataset;
using testing::write_file;
using testing::write_texts;

hdf5::Datatype float32() { return copy_type(H5T_IEEE_F32LE); }
hdf5::Datatype int64() { return copy_type(H5T_STD_I64LE); }

std::vector<float> count_up(std::size_t n) {
  std::vector<float> cells(n);
  for (std::size_t i = 0; i < n; ++i) cells[i] = static_cast<float>(i);
  return cells;
}

void write_plain_matrix(hid_t file, const std::string& path = "/X", hsize_t rows = 4, hsize_t columns = 3) {
  write_dataset(file, path, float32(), {rows, columns}, count_up(rows * columns));
}

// Makes a file by calling fill(file id) and returns its path.
template <class Fill>
std::filesystem::path make_file(const ScratchFolder& folder, const Fill& fill) {
  auto path = folder / "in.h5";
  hdf5::File file = new_file(path);
  fill(file.id());
  file.close();
  return path;
}

// Opening must throw E with a message that names the file and holds `part`.
template <class E>
void expect_refused(const std::filesystem::path& path, const std::string& part, const FeatureFileOptions& options = {}) {
  const std::string message = message_of<E>([&] { FeatureFile::open(path, options); });
  EXPECT_THAT(message, HasSubstr(path.filename().string()));
  EXPECT_THAT(message, HasSubstr(part));
}

std::vector<std::string> names_of(const FeatureFile& file) {
  std::vector<std::string> names;
  for (const FeatureColumn& column : file.columns()) names.push_back(column.name);
  return names;
}

std::vector<std::string> obs_of(const FeatureFile& file) {
  std::vector<std::string> names;
  for (const ObsColumn& column : file.obs()) names.push_back(column.name);
  return names;
}

// What lies at the path

TEST(FeatureFileRefuses, MissingFileAndNamesItsNeighbours) {
  const ScratchFolder folder;
  write_file(folder / "other.h5ad", "x");
  expect_refused<InputError>(folder / "absent.h5ad", "no such file. The folder holds other.h5ad");
}

TEST(FeatureFileRefuses, EmptyFile) {
  const ScratchFolder folder;
  write_file(folder / "a.h5", "");
  expect_refused<InputError>(folder / "a.h5", "empty");
}

TEST(FeatureFileRefuses, WhatIsNoRegularFileWithoutWaiting) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "folder.h5");
  ASSERT_EQ(mkfifo((folder / "pipe.h5").c_str(), 0600), 0);
  expect_refused<InputError>(folder / "folder.h5", "a folder, not a regular file");
  expect_refused<InputError>(folder / "pipe.h5", "a pipe, not a regular file");
  expect_refused<InputError>("/dev/null", "a device, not a regular file");
}

TEST(FeatureFileRefuses, SymbolicLinksInACircle) {
  const ScratchFolder folder;
  std::filesystem::create_symlink(folder / "b.h5", folder / "a.h5");
  std::filesystem::create_symlink(folder / "a.h5", folder / "b.h5");
  expect_refused<InputError>(folder / "a.h5", "cannot be opened");
}

TEST(FeatureFileRefuses, UnreadableFile) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) { write_plain_matrix(file); });
  std::filesystem::permissions(folder.path(), std::filesystem::perms::all);
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  const pid_t child = fork();  // as somebody who may not read it; root may read everything
  if (child == 0) {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
    try {
      FeatureFile::open(path);
    } catch (const InputError& error) {
      _exit(std::string(error.what()).find("Permission denied") != std::string::npos ? 0 : 3);
    }
    _exit(4);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(FeatureFileRefuses, OtherFormatsByTheirFirstBytes) {
  using namespace std::string_literals;
  const std::vector<std::pair<std::string, std::string>> files = {
      {"id,a,b\n1,2,3\n", "CSV or another text table. To convert it: coterie import"},
      {"id\ta\tb\n1\t2\t3\n", "CSV or another text table"},
      {"once upon a time\n", "a text file"},
      {"\x1f\x8b\x08\x00\x00\x00"s, "gzip file. To convert it: coterie import"},
      {"PK\x03\x04____"s, "zip archive"},
      {"PAR1____PAR1", "Parquet file. To convert it: python3 -c 'import pandas"},
      {"SQLite format 3\0____"s, "SQLite database"},
      {"\x0e\x03\x13\x01____"s, "HDF4 file"},
      {"\x93NUMPY\x01\x00"s, "NumPy"},
      {"\x89HDF\r\n"s, "cut off"},
      {"\x00\x01\x02\x03"s, "unknown format"}};
  const ScratchFolder folder;
  for (const auto& [bytes, part] : files) {
    write_file(folder / "a.h5", bytes);
    expect_refused<InputError>(folder / "a.h5", part);
  }
}

TEST(FeatureFileRefuses, EveryTruncation) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) { write_plain_matrix(file, "/X", 50, 3); });
  const std::string bytes = read_file(path);
  for (std::size_t size = 1; size < bytes.size(); size += 13) {
    write_file(folder / "cut.h5", bytes.substr(0, size));
    expect_refused<InputError>(folder / "cut.h5", size < 8 ? "cut off" : "truncated");
  }
  write_file(folder / "cut.h5", bytes.substr(0, bytes.size() - 1));
  expect_refused<InputError>(folder / "cut.h5", "it has " + std::to_string(bytes.size() - 1) + " bytes of " + std::to_string(bytes.size()));
}

TEST(FeatureFileRefuses, FileThatAWriterHasLocked) {
  const ScratchFolder folder;
  const auto path = folder / "in.h5";
  const pid_t child = fork();
  if (child == 0) {
    hdf5::File file = new_file(path);
    write_plain_matrix(file.id());
    hdf5::flush(file);
    write_file(folder / "ready", "");
    pause();
    _exit(0);
  }
  while (!std::filesystem::exists(folder / "ready")) usleep(1000);
  expect_refused<InputError>(path, "another program has the file open for writing");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(FeatureFileRefuses, FileThatItsWriterDidNotClose) {
  const ScratchFolder folder;
  const auto path = folder / "in.h5";
  const pid_t child = fork();
  if (child == 0) {
    hdf5::PropertyList access = hdf5::property_list(hdf5::PropertyClass::file_access);
    H5Pset_libver_bounds(access.id(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hdf5::File file = hdf5::create_file(path, H5F_ACC_TRUNC, hdf5::property_list(hdf5::PropertyClass::file_creation), access);
    write_plain_matrix(file.id());
    hdf5::flush(file);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  expect_refused<InputError>(path, "h5clear");
}

// The matrix

TEST(FeatureFileRefuses, AbsentMatrixAndListsTheCandidates) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file, "/one", 4, 3);
    write_plain_matrix(file, "/two", 5, 2);
    write_texts(file, "/words", {"a", "b"});
    hdf5::create_group(file, "/group");
  });
  for (const char* x : {"/absent", "/group", "/group/absent"}) {
    expect_refused<InputError>(path, "/one (4, 3) float32; /two (5, 2) float32", {.x = x, .ids = "", .names = ""});
    expect_refused<InputError>(path, x, {.x = x, .ids = "", .names = ""});
  }
  expect_refused<InputError>(path, "several datasets could be the matrix of customers and features: /one (4, 3) float32; /two");
}

TEST(FeatureFileRefuses, FileWithoutAMatrix) {
  const ScratchFolder folder;
  expect_refused<InputError>(make_file(folder, [](hid_t) {}), "holds no two-dimensional dataset");
  const auto path = make_file(folder, [](hid_t file) {
    write_texts(file, "/a", {"a", "b"});
    write_texts(file, "/b", {"a", "b"});
  });
  expect_refused<InputError>(path, "/a (2) text; /b (2) text");
}

TEST(FeatureFileRefuses, OtherRanksAndEmptyMatrices) {
  const ScratchFolder folder;
  for (const std::vector<hsize_t>& shape : std::vector<std::vector<hsize_t>>{{}, {6}, {3, 2, 1}}) {
    const auto path = make_file(folder, [&](hid_t file) { write_dataset(file, "/X", float32(), shape, count_up(6)); });
    expect_refused<ContentsError>(path, "dataset '/X': its shape is (");
  }
  for (const std::vector<hsize_t>& shape : std::vector<std::vector<hsize_t>>{{0, 3}, {3, 0}}) {
    const auto path = make_file(folder, [&](hid_t file) { write_dataset<float>(file, "/X", float32(), shape, {}); });
    expect_refused<ContentsError>(path, "dataset '/X': it is empty");
  }
}

hdf5::Datatype complex_type() {
  hdf5::Datatype type(H5Tcreate(H5T_COMPOUND, 16));
  H5Tinsert(type.id(), "r", 0, H5T_IEEE_F64LE);
  H5Tinsert(type.id(), "i", 8, H5T_IEEE_F64LE);
  return type;
}

hdf5::Datatype enumeration() {
  hdf5::Datatype type(H5Tenum_create(H5T_STD_I8LE));
  const std::int8_t low = 0, high = 1;
  H5Tenum_insert(type.id(), "LOW", &low);
  H5Tenum_insert(type.id(), "HIGH", &high);
  return type;
}

hdf5::Datatype brain_float() {  // bfloat16: the upper half of a float32
  hdf5::Datatype type = copy_type(H5T_IEEE_F32LE);
  H5Tset_fields(type.id(), 15, 7, 8, 0, 7);
  H5Tset_size(type.id(), 2);
  return type;
}

TEST(FeatureFileRefuses, CellsThatAreNoNumbersByTheirType) {
  const hdf5::Lock lock;
  std::vector<std::pair<hdf5::Datatype, std::string>> types;
  types.emplace_back(hdf5::string_type(), "text");
  types.emplace_back(hdf5::fixed_string_type(8), "text");
  types.emplace_back(complex_type(), "complex numbers");
  types.emplace_back(enumeration(), "an enumeration");
  types.emplace_back(brain_float(), "16-bit floating point of an unusual layout");
  types.emplace_back(copy_type(H5T_NATIVE_LDOUBLE), "128-bit floating point of an unusual layout");
  types.emplace_back(copy_type(H5T_STD_REF_OBJ), "object references");
  types.emplace_back(copy_type(H5T_STD_B8LE), "a bit field");
  types.emplace_back(hdf5::Datatype(H5Tcreate(H5T_OPAQUE, 4)), "opaque bytes");
  types.emplace_back(hdf5::Datatype(H5Tvlen_create(H5T_NATIVE_FLOAT)), "lists of varying length");
  const ScratchFolder folder;
  for (const auto& [type, name] : types) {
    const auto path = make_file(folder, [&, &cells = type](hid_t file) { write_dataset<float>(file, "/X", cells, {4, 3}, {}); });
    expect_refused<ContentsError>(path, "dataset '/X': it holds " + name);
  }
}

TEST(FeatureFileRefuses, RowsThatWereNeverWritten) {
  const ScratchFolder folder;
  expect_refused<ContentsError>(make_file(folder,
                                          [](hid_t file) {
                                            write_dataset<float>(file, "/X", float32(), {40, 3}, {});
                                          }),
                                "dataset '/X': rows 0 to 39 were never written");
  const auto path = make_file(folder, [](hid_t file) {
    const hdf5::Dataset dataset = hdf5::create_dataset(file, "/X", float32(), hdf5::simple_space(std::vector<hsize_t>{40, 3}),
                                                       testing::creation_list({.chunk = {10, 3}}));
    for (const std::int64_t row : {0, 30}) {
      const hdf5::Dataspace rows = hdf5::space_of(dataset);
      hdf5::select_rows(rows, row, 10);
      hdf5::write(dataset, float32(), hdf5::simple_space(std::vector<hsize_t>{10, 3}), rows, count_up(30).data());
    }
  });
  expect_refused<ContentsError>(path, "dataset '/X': rows 10 to 19 were never written (the first of 2 chunks)");
}

TEST(FeatureFileRefuses, ShapesThatAreFarLargerThanTheFile) {
  const ScratchFolder folder;
  for (const hsize_t rows : {hsize_t{1} << 38, hsize_t{1} << 55})
    for (const testing::StorageOptions& storage : {testing::StorageOptions{}, testing::StorageOptions{.chunk = {1000, 8}, .gzip = true}}) {
      const auto path = make_file(folder, [&](hid_t file) { write_dataset<float>(file, "/X", float32(), {rows, 8}, {}, storage); });
      EXPECT_LT(std::filesystem::file_size(path), 10000U);
      const std::string message = message_of<ContentsError>([&] { FeatureFile::open(path); });
      EXPECT_THAT(message, ::testing::AnyOf(HasSubstr("never written"), HasSubstr("too large")));
    }
}

// Files that lead elsewhere

TEST(FeatureFileRefuses, BytesOfOtherFiles) {
  const ScratchFolder folder;
  hdf5::File other = new_file(folder / "other.h5");
  write_plain_matrix(other.id());
  other.close();
  write_file(folder / "secret", std::string(1000, 's'));
  const auto linked = make_file(folder, [&](hid_t file) {
    ASSERT_GE(H5Lcreate_external((folder / "other.h5").c_str(), "/X", file, "X", H5P_DEFAULT, H5P_DEFAULT), 0);
  });
  expect_refused<PolicyError>(linked, "external link");
  expect_refused<PolicyError>(linked, "external link", {.x = "/X", .ids = "", .names = ""});
  const auto external = make_file(folder, [&](hid_t file) {
    const hdf5::PropertyList list = testing::creation_list({});
    H5Pset_external(list.id(), (folder / "secret").c_str(), 0, 48);
    hdf5::create_dataset(file, "/X", float32(), hdf5::simple_space(std::vector<hsize_t>{4, 3}), list);
  });
  expect_refused<PolicyError>(external, "dataset '/X': its data lie in another file");
  const auto composed = make_file(folder, [&](hid_t file) {
    const hdf5::PropertyList list = testing::creation_list({});
    const hdf5::Dataspace space = hdf5::simple_space(std::vector<hsize_t>{4, 3});
    ASSERT_GE(H5Pset_virtual(list.id(), space.id(), (folder / "other.h5").c_str(), "/X", space.id()), 0);
    hdf5::create_dataset(file, "/X", float32(), space, list);
  });
  expect_refused<PolicyError>(composed, "dataset '/X': this is a virtual dataset");
}

TEST(FeatureFileRefuses, IdsInOtherFiles) {
  const ScratchFolder folder;
  write_file(folder / "secret", std::string(1000, 's'));
  const auto path = make_file(folder, [&](hid_t file) {
    write_plain_matrix(file);
    const hdf5::PropertyList list = testing::creation_list({});
    H5Pset_external(list.id(), (folder / "secret").c_str(), 0, 32);
    hdf5::create_dataset(file, "/ids", hdf5::fixed_string_type(8), hdf5::simple_space(std::vector<hsize_t>{4}), list);
  });
  expect_refused<PolicyError>(path, "dataset '/ids'");
}

TEST(FeatureFile, OtherPartsOfAFileMayLeadElsewhere) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    ASSERT_GE(H5Lcreate_external("absent.h5", "/X", file, "elsewhere", H5P_DEFAULT, H5P_DEFAULT), 0);
    ASSERT_GE(H5Lcreate_soft("/nowhere", file, "dangling", H5P_DEFAULT, H5P_DEFAULT), 0);
  });
  EXPECT_EQ(FeatureFile::open(path)->n_rows(), 4);
}

// Plain files

TEST(FeatureFile, FindsMatrixNamesIdsAndListsOfPlainFiles) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file, "/train", 4, 3);
    write_plain_matrix(file, "/test", 9, 3);
    write_texts(file, "/feature_names", {"a", "b", "c"});
    write_dataset<std::int64_t>(file, "/ids", int64(), {4}, {11, 12, 13, 14});
    write_dataset<float>(file, "/churned", float32(), {4}, {0, 1, 1, NAN});
    write_texts(file, "/region", {"north", "south", "north", "east"});
    write_texts(file, "/notes", {"of another length"});
  });
  const auto file = FeatureFile::open(path);
  EXPECT_EQ(file->path(), path);
  EXPECT_EQ(file->n_rows(), 4);
  EXPECT_THAT(names_of(*file), ElementsAre("a", "b", "c"));
  EXPECT_EQ(file->id_name(), "ids");
  EXPECT_TRUE(file->has_integer_ids());
  EXPECT_THAT(std::get<0>(file->ids(1, 2)), ElementsAre(12, 13));
  EXPECT_THAT(obs_of(*file), ElementsAre("churned", "region"));
  EXPECT_THAT(file->numbers("churned"), ElementsAre(0, 1, 1, ::testing::IsNan()));
  EXPECT_FALSE(file->obs()[0].is_category);
  EXPECT_TRUE(file->obs()[1].is_category);
  const Categories regions = file->categories("region");
  EXPECT_THAT(regions.levels, ElementsAre("east", "north", "south"));
  EXPECT_THAT(regions.codes, ElementsAre(1, 2, 1, 0));
  Context context({});
  const auto tiles = file->tiles(context);
  tiles->rewind();
  EXPECT_EQ(tiles->next()->x[5], 5.0f);
}

TEST(FeatureFile, MakesUpWhatAPlainFileLacks) {
  const ScratchFolder folder;
  const auto file = FeatureFile::open(make_file(folder, [](hid_t id) { write_plain_matrix(id, "/group_less"); }));
  EXPECT_THAT(names_of(*file), ElementsAre("x0", "x1", "x2"));
  EXPECT_EQ(file->id_name(), "row");
  EXPECT_TRUE(file->has_integer_ids());
  EXPECT_THAT(std::get<0>(file->ids(2, 2)), ElementsAre(2, 3));
}

TEST(FeatureFile, TakesWhatTheUserNames) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    hdf5::create_group(file, "/deep");
    write_plain_matrix(file, "/deep/matrix");
    write_plain_matrix(file, "/X", 2, 2);
    write_texts(file, "/who", {"p", "q", "r", "s"});
    write_texts(file, "/what", {"a", "b", "c"});
  });
  const auto file = FeatureFile::open(path, {.x = "/deep/matrix", .ids = "/who", .names = "/what"});
  EXPECT_EQ(file->n_rows(), 4);
  EXPECT_THAT(names_of(*file), ElementsAre("a", "b", "c"));
  EXPECT_THAT(std::get<1>(file->ids(0, 4)), ElementsAre("p", "q", "r", "s"));
  expect_refused<InputError>(path, "'/nobody'", {.x = "/deep/matrix", .ids = "/nobody", .names = ""});
  expect_refused<InputError>(path, "'/nothing'", {.x = "/deep/matrix", .ids = "", .names = "/nothing"});
  expect_refused<ContentsError>(path, "dataset '/what': 3 rows, but there are 4 customers",
                                {.x = "/deep/matrix", .ids = "/what", .names = ""});
  expect_refused<ContentsError>(path, "dataset '/who': 4 rows, but there are 3 features",
                                {.x = "/deep/matrix", .ids = "", .names = "/who"});
}

TEST(FeatureFile, NamesMayLieInAnAttributeOfTheMatrix) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    const std::vector<std::string> names = {"a", "b", "c"};
    hdf5::write_strings_attribute(hdf5::open_dataset(file, "/X").id(), "columns", names);
  });
  EXPECT_THAT(names_of(*FeatureFile::open(path)), ElementsAre("a", "b", "c"));
}

TEST(FeatureFileRefuses, NamesThatDoNotTellFeaturesApart) {
  const ScratchFolder folder;
  const auto with_names = [&](const std::vector<std::string>& names) {
    return make_file(folder, [&](hid_t file) {
      write_plain_matrix(file);
      write_texts(file, "/names", names);
    });
  };
  expect_refused<ContentsError>(with_names({"a", "b", "a"}), "features 0 and 2 (counted from 0) have the same name 'a'");
  expect_refused<ContentsError>(with_names({"a", "", "c"}), "feature 1 (counted from 0) has an empty name");
  expect_refused<ContentsError>(with_names({"a", "b\xfc", "c"}), "row 1 is not UTF-8");
}

// Ids

TEST(FeatureFile, ReadsTextIdsOfBothKindsInRanges) {
  const ScratchFolder folder;
  const std::vector<std::string> expected = {"Müller", "b", "", "dddddddd"};
  std::string fixed;
  for (const std::string& id : expected) fixed += id + std::string(8 - id.size(), '\0');
  for (const bool variable : {true, false}) {
    const auto path = make_file(folder, [&](hid_t file) {
      write_plain_matrix(file);
      if (variable) return write_texts(file, "/ids", expected);
      const hdf5::Dataset dataset = hdf5::create_dataset(file, "/ids", hdf5::fixed_string_type(8),
                                                         hdf5::simple_space(std::vector<hsize_t>{4}), testing::creation_list({}));
      hdf5::write(dataset, hdf5::fixed_string_type(8), {}, {}, fixed.data());
    });
    const auto file = FeatureFile::open(path);
    EXPECT_FALSE(file->has_integer_ids());
    EXPECT_EQ(file->longest_id(), 8);
    EXPECT_EQ(std::get<1>(file->ids(0, 4)), expected);
    EXPECT_THAT(std::get<1>(file->ids(1, 1)), ElementsAre("b"));
  }
}

TEST(FeatureFileRefuses, IdsThatWereNeverWritten) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    const char* texts[] = {"a", "b", nullptr, "d"};
    const hdf5::Dataset dataset =
        hdf5::create_dataset(file, "/ids", hdf5::string_type(), hdf5::simple_space(std::vector<hsize_t>{4}), testing::creation_list({}));
    hdf5::write(dataset, hdf5::string_type(), {}, {}, texts);
  });
  const auto file = FeatureFile::open(path);
  const std::string message = message_of<ContentsError>([&] { file->ids(0, 4); });
  EXPECT_THAT(message, HasSubstr("dataset '/ids': the id in row 2 (counted from 0) was never written"));
}

TEST(FeatureFileRefuses, IdsWhoseTextLiesNowhere) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    write_texts(file, "/ids", {"a", "b", "c", "d"});
  });
  const std::string sound = read_file(path);
  const std::size_t heap = sound.find("GCOL");  // 16 bytes of header, then objects: index (2 bytes), count, reserved, size at 8
  ASSERT_NE(heap, std::string::npos);
  for (const std::size_t byte : {heap, heap + 8, heap + 16, heap + 17, heap + 24, heap + 31}) {
    std::string bytes = sound;
    bytes[byte] = static_cast<char>(bytes[byte] + 100);
    write_file(path, bytes);
    const auto file = FeatureFile::open(path);
    EXPECT_THAT(message_of<InputError>([&] { file->ids(0, 4); }), HasSubstr("dataset '/ids': the text in row")) << byte - heap;
  }
}

TEST(FeatureFileRefuses, IdsThatAreNeitherWholeNumbersNorText) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    write_dataset(file, "/ids", float32(), {4}, count_up(4));
  });
  expect_refused<ContentsError>(path, "dataset '/ids': ids are whole numbers or text");
}

TEST(FeatureFileRefuses, IdsBeyondInt64) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    write_dataset<std::uint64_t>(file, "/ids", copy_type(H5T_STD_U64LE), {4}, {1, 2, (1ULL << 63) + 5, 4});
  });
  const auto file = FeatureFile::open(path);
  const std::string message = message_of<ContentsError>([&] { file->ids(0, 4); });
  EXPECT_THAT(message, HasSubstr("row 2 (counted from 0)"));
  EXPECT_THAT(message, Not(HasSubstr("9223372036854775813"))) << "an id must not be shown";
}

TEST(FeatureFile, CountsRepeatedIds) {
  const ScratchFolder folder;
  Context context({});
  const auto numbers = make_file(folder, [](hid_t file) {
    write_plain_matrix(file, "/X", 6, 1);
    write_dataset<std::int64_t>(file, "/ids", int64(), {6}, {5, 3, 5, 5, -1, 3});
  });
  EXPECT_EQ(count_duplicate_ids(*FeatureFile::open(numbers), context), 3);
  const auto texts = make_file(folder, [](hid_t file) {
    write_plain_matrix(file, "/X", 6, 1);
    write_texts(file, "/ids", {"ab", "a", "", "ba", "ab", ""});
  });
  EXPECT_EQ(count_duplicate_ids(*FeatureFile::open(texts), context), 2);
  const auto rows = make_file(folder, [](hid_t file) { write_plain_matrix(file, "/X", 200000, 1); });
  EXPECT_EQ(count_duplicate_ids(*FeatureFile::open(rows), context), 0);
}

// AnnData, as our importer and anndata write it; files of anndata itself are read in foreign_file_test.cpp

void write_frame(hid_t file, const std::string& path, const std::vector<std::string>& index, const std::vector<std::string>& columns) {
  const hdf5::Group group = hdf5::create_group(file, path);
  hdf5::write_string_attribute(group.id(), "_index", "name");
  hdf5::write_strings_attribute(group.id(), "column-order", columns);
  write_texts(file, path + "/name", index);
}

void write_anndata(hid_t file) {
  hdf5::write_string_attribute(file, "encoding-type", "anndata");
  write_plain_matrix(file);
  write_frame(file, "/obs", {"p", "q", "r", "s"}, {"spend", "bought"});
  write_dataset<double>(file, "/obs/spend", copy_type(H5T_IEEE_F64LE), {4}, {1.5, 2, 0, 7});
  write_dataset<std::int8_t>(file, "/obs/bought", copy_type(H5T_STD_I8LE), {4}, {0, 1, 1, 0});
  write_frame(file, "/var", {"a", "b", "c"}, {"role", "layer", "weight", "onehot_of"});
  write_texts(file, "/var/role", {"active", "profile", "ignore"});
  write_texts(file, "/var/layer", {"money", "", "time"});
  write_texts(file, "/var/onehot_of", {"", "region", ""});
  write_dataset<double>(file, "/var/weight", copy_type(H5T_IEEE_F64LE), {3}, {2, NAN, 0});
}

void write_roles(hid_t file, const std::string& weight, const std::vector<std::string>& outcomes) {
  for (const char* group : {"/uns", "/uns/coterie", "/uns/coterie/roles"}) hdf5::create_group(file, group);
  write_texts(file, "/uns/coterie/roles/weight", {weight}, true);
  write_texts(file, "/uns/coterie/roles/value", {""}, true);
  write_texts(file, "/uns/coterie/roles/id", {"customer"}, true);
  write_texts(file, "/uns/coterie/roles/outcomes", outcomes);
}

TEST(FeatureFile, ReadsAnnDataWithRolesAndLayers) {
  const ScratchFolder folder;
  const auto file = FeatureFile::open(make_file(folder, [](hid_t id) {
    write_anndata(id);
    write_roles(id, "spend", {"bought"});
  }));
  EXPECT_THAT(names_of(*file), ElementsAre("a", "b", "c"));
  EXPECT_EQ(file->columns()[0].role, Role::active);
  EXPECT_EQ(file->columns()[1].role, Role::profile);
  EXPECT_EQ(file->columns()[2].role, Role::ignore);
  EXPECT_EQ(file->columns()[0].layer, "money");
  EXPECT_EQ(file->columns()[0].weight, 2.0);
  EXPECT_EQ(file->columns()[1].weight, std::nullopt);
  EXPECT_EQ(file->columns()[2].weight, 0.0);
  EXPECT_EQ(file->columns()[1].onehot_of, "region");
  EXPECT_EQ(file->roles().weight, "spend");
  EXPECT_EQ(file->roles().value, "");
  EXPECT_THAT(file->roles().outcomes, ElementsAre("bought"));
  EXPECT_EQ(file->id_name(), "customer");
  EXPECT_THAT(std::get<1>(file->ids(0, 4)), ElementsAre("p", "q", "r", "s"));
  EXPECT_THAT(obs_of(*file), ElementsAre("spend", "bought"));
  EXPECT_THAT(file->categories("bought").levels, ElementsAre("0", "1"));
  EXPECT_THAT(message_of<ContentsError>([&] { file->numbers("absent"); }), HasSubstr("there are: 'spend', 'bought'"));
}

TEST(FeatureFileRefuses, AnnDataThatContradictsItself) {
  const ScratchFolder folder;
  const auto changed = [&](const auto& change) {
    return make_file(folder, [&](hid_t file) {
      write_anndata(file);
      change(file);
    });
  };
  const auto drop = [](hid_t file, const char* path) { ASSERT_GE(H5Ldelete(file, path, H5P_DEFAULT), 0); };
  expect_refused<ContentsError>(changed([&](hid_t file) {
                                  drop(file, "/obs/name");
                                  write_texts(file, "/obs/name", {"p", "q", "r"});
                                }),
                                "dataset '/obs/name': 3 rows, but there are 4 customers");
  expect_refused<ContentsError>(changed([&](hid_t file) {
                                  drop(file, "/obs/spend");
                                  write_dataset<double>(file, "/obs/spend", copy_type(H5T_IEEE_F64LE), {5}, {1, 2, 3, 4, 5});
                                }),
                                "dataset '/obs/spend': 5 rows, but there are 4 customers");
  expect_refused<ContentsError>(changed([&](hid_t file) {
                                  drop(file, "/var/role");
                                  write_texts(file, "/var/role", {"active", "passive", ""});
                                }),
                                "the role of feature 1 (counted from 0) is 'passive'");
  expect_refused<ContentsError>(changed([&](hid_t file) {
                                  drop(file, "/var/weight");
                                  write_dataset<double>(file, "/var/weight", copy_type(H5T_IEEE_F64LE), {3}, {1, 1, -1});
                                }),
                                "the weight of feature 2 (counted from 0) is negative");
  expect_refused<ContentsError>(changed([](hid_t file) { write_roles(file, "absent", {}); }), "names the column 'absent'");
  expect_refused<InputError>(changed([&](hid_t file) { drop(file, "/var/name"); }), "'/var/name'");
  expect_refused<InputError>(changed([&](hid_t file) { drop(file, "/X"); }), "no matrix at '/X'");
}

TEST(FeatureFileRefuses, CategoricalsWhoseCodesNameNoCategory) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_anndata(file);
    ASSERT_GE(H5Ldelete(file, "/obs/spend", H5P_DEFAULT), 0);
    hdf5::create_group(file, "/obs/spend");
    write_texts(file, "/obs/spend/categories", {"low", "high"});
    write_dataset<std::int8_t>(file, "/obs/spend/codes", copy_type(H5T_STD_I8LE), {4}, {0, -1, 1, 2});
  });
  const auto file = FeatureFile::open(path);
  EXPECT_TRUE(file->obs()[0].is_category);
  const std::string message = message_of<ContentsError>([&] { file->categories("spend"); });
  EXPECT_THAT(message, HasSubstr("dataset '/obs/spend/codes': the code in row 3 names none of the 2 categories"));
}

TEST(FeatureFile, FingerprintIsTheSha256OfTheFile) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) { write_plain_matrix(file); });
  const std::string fingerprint = FeatureFile::open(path)->fingerprint();
  const std::string listing = (folder / "sum").string();
  ASSERT_EQ(std::system(("sha256sum '" + path.string() + "' > '" + listing + "'").c_str()), 0);
  EXPECT_EQ(fingerprint, read_file(listing).substr(0, 64));
}

// Damage anywhere in a file

// Opens and reads everything, in a process of its own; returns its exit status, or a signal as 1000 + number.
int read_everything(const std::filesystem::path& path) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a hang ends as signal 14
    try {
      Context context({.threads = 1, .memory_bytes = 64 << 20, .seed = 0, .progress = {}, .communicator = nullptr});
      const auto file = FeatureFile::open(path);
      const auto tiles = file->tiles(context);
      tiles->rewind();
      while (tiles->next() != nullptr) {
      }
      file->ids(0, file->n_rows());
      for (const ObsColumn& column : file->obs()) file->categories(column.name);
    } catch (const Error&) {
      _exit(0);
    } catch (...) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(FeatureFile, SurvivesDamageAnywhere) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_anndata(file);
    write_roles(file, "spend", {"bought"});
  });
  const std::string sound = read_file(path);
  ASSERT_EQ(read_everything(path), 0);
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string bytes = sound;
    for (int n = 1 + static_cast<int>(random() % 3); n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    write_file(folder / "damaged.h5", bytes);
    EXPECT_EQ(read_everything(folder / "damaged.h5"), 0) << "mutation " << i;
  }
}

}  // namespace
}  // namespace coterie::io
