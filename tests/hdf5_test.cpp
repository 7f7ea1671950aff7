#include "io/hdf5.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "host/error.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io::hdf5 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

File new_file(const std::filesystem::path& path) {
  return create_file(path, H5F_ACC_TRUNC, property_list(PropertyClass::file_creation), property_list(PropertyClass::file_access));
}
File old_file(const std::filesystem::path& path) { return open_file(path, property_list(PropertyClass::file_access)); }

// One dataset "X" of 3 x 2 float32: 0, 1, ... 5.
void write_small_matrix(const std::filesystem::path& path) {
  File file = new_file(path);
  const hsize_t shape[] = {3, 2};
  Dataset x = create_dataset(file.id(), "X", native_type<float>(), simple_space(shape), property_list(PropertyClass::dataset_creation));
  const float cells[] = {0, 1, 2, 3, 4, 5};
  write(x, native_type<float>(), {}, {}, cells);
  x.close();
  file.close();
}

// Flips bits of a byte of the header of an object, counted from the header's first byte.
void flip(const std::filesystem::path& path, const char* object, std::int64_t byte, int bits) {
  H5O_info_t info{};
  {
    const File file = old_file(path);
    const Lock lock;
    ASSERT_GE(H5Oget_info_by_name(file.id(), object, &info, H5P_DEFAULT), 0);
  }
  std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(info.addr) + byte);
  const int before = stream.get();
  stream.seekp(static_cast<std::streamoff>(info.addr) + byte);
  stream.put(static_cast<char>(before ^ bits));
}

template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Hdf5, CellsComeBackInTheAskedType) {
  const testing::ScratchFolder folder;
  write_small_matrix(folder / "a.h5");
  const File file = old_file(folder / "a.h5");
  const Dataset x = open_dataset(file.id(), "/X");
  EXPECT_THAT(shape_of(x), ElementsAre(3, 2));
  EXPECT_THAT(read_all<double>(x), ElementsAre(0, 1, 2, 3, 4, 5));
  std::int16_t rows[4];
  read_rows(x, 1, 2, rows);
  EXPECT_THAT(rows, ElementsAre(2, 3, 4, 5));
}

TEST(Hdf5, AttributesComeBack) {
  const testing::ScratchFolder folder;
  const std::vector<std::string> names = {"Größe", "", "b"};
  File file = new_file(folder / "a.h5");
  write_string_attribute(file.id(), "text", "Größe");
  write_strings_attribute(file.id(), "texts", names);
  write_strings_attribute(file.id(), "none", {});
  write_integer_attribute(file.id(), "number", -(std::int64_t{1} << 60));
  write_bool_attribute(file.id(), "flag", true);
  file.close();
  const File again = old_file(folder / "a.h5");
  EXPECT_EQ(read_string_attribute(again.id(), "text"), "Größe");
  EXPECT_EQ(read_strings_attribute(again.id(), "texts"), names);
  EXPECT_TRUE(read_strings_attribute(again.id(), "none").empty());
  EXPECT_EQ(read_integer_attribute(again.id(), "number"), -(std::int64_t{1} << 60));
  EXPECT_TRUE(has_attribute(again.id(), "flag"));
  EXPECT_FALSE(has_attribute(again.id(), "absent"));
}

TEST(Hdf5, EmptyListOfNumbersIsAnEmptyListOfTexts) {
  const testing::ScratchFolder folder;
  const File file = new_file(folder / "a.h5");
  for (const auto& [name, n] : {std::pair{"none", hsize_t{0}}, {"one", hsize_t{1}}}) {
    const Lock lock;
    const Attribute attribute(H5Acreate2(file.id(), name, H5T_NATIVE_DOUBLE, simple_space({&n, 1}).id(), H5P_DEFAULT, H5P_DEFAULT));
    ASSERT_TRUE(attribute);
  }
  EXPECT_TRUE(read_strings_attribute(file.id(), "none").empty());
  EXPECT_THAT(message_of<InputError>([&] { read_strings_attribute(file.id(), "one"); }), HasSubstr("'one' is not text"));
}

TEST(Hdf5, DamagedObjectIsNotTakenForAnAbsentOne) {
  const testing::ScratchFolder folder;
  const PropertyList access = property_list(PropertyClass::file_access);
  {
    const Lock lock;
    H5Pset_libver_bounds(access.id(), H5F_LIBVER_V110, H5F_LIBVER_V110);  // whose headers have checksums
  }
  File file = create_file(folder / "a.h5", H5F_ACC_TRUNC, property_list(PropertyClass::file_creation), access);
  create_group(create_group(file.id(), "uns").id(), "run");
  file.close();
  flip(folder / "a.h5", "/uns/run", 12, 1);
  const File again = old_file(folder / "a.h5");
  const auto expected = ::testing::AllOf(HasSubstr("a.h5"), HasSubstr("'/uns/run'"), HasSubstr("damaged"), HasSubstr("checksum"));
  EXPECT_THAT(message_of<InputError>([&] { exists(again.id(), "/uns/run"); }), expected);
  EXPECT_THAT(message_of<InputError>([&] { exists(again.id(), "/uns/run/tool"); }), expected);
  EXPECT_THAT(message_of<InputError>([&] { is_dataset(again.id(), "/uns/run"); }), expected);
  EXPECT_FALSE(exists(again.id(), "/uns/other"));
}

TEST(Hdf5, ObjectOfAnUnknownVersionNamesTheWayToRewriteIt) {
  const testing::ScratchFolder folder;
  write_small_matrix(folder / "a.h5");
  flip(folder / "a.h5", "X", 0, 8);
  const File file = old_file(folder / "a.h5");
  for (const auto& touch : {+[](hid_t id) { exists(id, "/X"); }, +[](hid_t id) { open_dataset(id, "/X"); }})
    EXPECT_THAT(message_of<InputError>([&] { touch(file.id()); }),
                ::testing::AllOf(HasSubstr("'/X'"), HasSubstr("version"), HasSubstr("newer HDF5"), HasSubstr("h5repack")));
}

TEST(Hdf5, FailureWhileReadingIsAnInputErrorThatNamesFileAndObject) {
  const testing::ScratchFolder folder;
  write_small_matrix(folder / "a.h5");
  const File file = old_file(folder / "a.h5");
  const std::string message = message_of<InputError>([&] { open_dataset(file.id(), "/Y"); });
  EXPECT_THAT(message, HasSubstr("a.h5"));
  EXPECT_THAT(message, HasSubstr("/Y"));
}

TEST(Hdf5, FailureWhileWritingIsAnOutputError) {
  const testing::ScratchFolder folder;
  File file = new_file(folder / "a.h5");
  create_group(file.id(), "obs");
  EXPECT_THAT(message_of<OutputError>([&] { create_group(file.id(), "obs"); }), HasSubstr("a.h5"));
}

TEST(Hdf5, ExternalLinksAreRefused) {
  const testing::ScratchFolder folder;
  write_small_matrix(folder / "other.h5");
  File file = new_file(folder / "a.h5");
  {
    const Lock lock;
    ASSERT_GE(H5Lcreate_external((folder / "other.h5").c_str(), "/X", file.id(), "X", H5P_DEFAULT, H5P_DEFAULT), 0);
    ASSERT_GE(H5Lcreate_soft("/X", file.id(), "soft", H5P_DEFAULT, H5P_DEFAULT), 0);
  }
  for (const char* path : {"X", "soft"})
    EXPECT_THAT(message_of<PolicyError>([&] { open_dataset(file.id(), path); }), HasSubstr("external link")) << path;
}

TEST(Hdf5, ExistenceIsAskedComponentByComponent) {
  const testing::ScratchFolder folder;
  File file = new_file(folder / "a.h5");
  create_group(create_group(file.id(), "uns").id(), "run");
  EXPECT_TRUE(exists(file.id(), "/uns/run"));
  EXPECT_TRUE(is_group(file.id(), "/uns/run"));
  EXPECT_FALSE(is_dataset(file.id(), "/uns/run"));
  EXPECT_FALSE(exists(file.id(), "/obs/run"));
  create_dataset(file.id(), "X", native_type<float>(), scalar_space(), property_list(PropertyClass::dataset_creation));
  EXPECT_FALSE(exists(file.id(), "/X/indptr"));
  EXPECT_TRUE(is_dataset(file.id(), "/X/"));
  EXPECT_THAT(children(file.id()), ElementsAre("X", "uns"));
}

}  // namespace
}  // namespace coterie::io::hdf5
