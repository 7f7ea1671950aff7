// AnnData as our importer and anndata write it; files of anndata itself are read in foreign_file_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/error.hpp"
#include "tests/support/feature_files.hpp"

namespace coterie::io {
namespace {

using testing::copy_type;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchFolder;
using testing::write_dataset;
using testing::write_texts;

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

}  // namespace
}  // namespace coterie::io
