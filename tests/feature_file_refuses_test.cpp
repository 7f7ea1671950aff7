// What is refused before a cell is read: by the path, by the matrix, by where its bytes lie.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "host/error.hpp"
#include "tests/support/feature_files.hpp"

namespace coterie::io {
namespace {

using testing::copy_type;
using ::testing::HasSubstr;
using testing::message_of;
using testing::new_file;
using testing::read_file;
using testing::ScratchFolder;
using testing::write_dataset;
using testing::write_file;
using testing::write_texts;

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

}  // namespace
}  // namespace coterie::io
