// Small feature files for tests that open them: made by a function, refused with a message.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "io/feature_file.hpp"
#include "tests/support/files.hpp"
#include "tests/support/hdf5_fixture.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {

inline hdf5::Datatype float32() { return testing::copy_type(H5T_IEEE_F32LE); }
inline hdf5::Datatype int64() { return testing::copy_type(H5T_STD_I64LE); }

inline std::vector<float> count_up(std::size_t n) {
  std::vector<float> cells(n);
  for (std::size_t i = 0; i < n; ++i) cells[i] = static_cast<float>(i);
  return cells;
}

inline void write_plain_matrix(hid_t file, const std::string& path = "/X", hsize_t rows = 4, hsize_t columns = 3) {
  testing::write_dataset(file, path, float32(), {rows, columns}, count_up(rows * columns));
}

// Makes a file by calling fill(file id) and returns its path.
template <class Fill>
std::filesystem::path make_file(const testing::ScratchFolder& folder, const Fill& fill) {
  auto path = folder / "in.h5";
  hdf5::File file = testing::new_file(path);
  fill(file.id());
  file.close();
  return path;
}

// Opening must throw E with a message that names the file and holds `part`.
template <class E>
void expect_refused(const std::filesystem::path& path, const std::string& part, const FeatureFileOptions& options = {}) {
  const std::string message = testing::message_of<E>([&] { FeatureFile::open(path, options); });
  EXPECT_THAT(message, ::testing::HasSubstr(path.filename().string()));
  EXPECT_THAT(message, ::testing::HasSubstr(part));
}

inline std::vector<std::string> names_of(const FeatureFile& file) {
  std::vector<std::string> names;
  for (const FeatureColumn& column : file.columns()) names.push_back(column.name);
  return names;
}

inline std::vector<std::string> obs_of(const FeatureFile& file) {
  std::vector<std::string> names;
  for (const ObsColumn& column : file.obs()) names.push_back(column.name);
  return names;
}

inline void write_frame(hid_t file, const std::string& path, const std::vector<std::string>& index,
                        const std::vector<std::string>& columns) {
  const hdf5::Group group = hdf5::create_group(file, path);
  hdf5::write_string_attribute(group.id(), "_index", "name");
  hdf5::write_strings_attribute(group.id(), "column-order", columns);
  testing::write_texts(file, path + "/name", index);
}

inline void write_anndata(hid_t file) {
  hdf5::write_string_attribute(file, "encoding-type", "anndata");
  write_plain_matrix(file);
  write_frame(file, "/obs", {"p", "q", "r", "s"}, {"spend", "bought"});
  testing::write_dataset<double>(file, "/obs/spend", testing::copy_type(H5T_IEEE_F64LE), {4}, {1.5, 2, 0, 7});
  testing::write_dataset<std::int8_t>(file, "/obs/bought", testing::copy_type(H5T_STD_I8LE), {4}, {0, 1, 1, 0});
  write_frame(file, "/var", {"a", "b", "c"}, {"role", "layer", "weight", "onehot_of"});
  testing::write_texts(file, "/var/role", {"active", "profile", "ignore"});
  testing::write_texts(file, "/var/layer", {"money", "", "time"});
  testing::write_texts(file, "/var/onehot_of", {"", "region", ""});
  testing::write_dataset<double>(file, "/var/weight", testing::copy_type(H5T_IEEE_F64LE), {3}, {2, NAN, 0});
}

inline void write_roles(hid_t file, const std::string& weight, const std::vector<std::string>& outcomes) {
  for (const char* group : {"/uns", "/uns/coterie", "/uns/coterie/roles"}) hdf5::create_group(file, group);
  testing::write_texts(file, "/uns/coterie/roles/weight", {weight}, true);
  testing::write_texts(file, "/uns/coterie/roles/value", {""}, true);
  testing::write_texts(file, "/uns/coterie/roles/id", {"customer"}, true);
  testing::write_texts(file, "/uns/coterie/roles/outcomes", outcomes);
}

}  // namespace coterie::io
