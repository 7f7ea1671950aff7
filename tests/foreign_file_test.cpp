// Input files as anndata, pandas, PyTables and h5py write them (tests/support/make_inputs.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <memory>

#include "host/error.hpp"
#include "io/feature_file.hpp"
#include "tests/support/hdf5_fixture.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsNan;
using testing::message_of;

class ForeignFile : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<testing::ScratchFolder>();
    const std::string command =
        "/usr/bin/python3 '" + (testing::source_dir() / "tests/support/make_inputs.py").string() + "' '" + folder_->path().string() + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static std::unique_ptr<FeatureFile> open(const std::string& name) { return FeatureFile::open(*folder_ / name); }

  static std::unique_ptr<testing::ScratchFolder> folder_;
};
std::unique_ptr<testing::ScratchFolder> ForeignFile::folder_;

void expect_matrix(const FeatureFile& file, bool wide) {
  Context context({});
  const auto tiles = file.tiles(context);
  EXPECT_EQ(tiles->is_wide(), wide);
  tiles->rewind();
  const Tile* tile = tiles->next();
  ASSERT_NE(tile, nullptr);
  ASSERT_EQ(tile->n_rows, 6);
  ASSERT_EQ(tile->n_columns, 3);
  visit_cells(*tile, [](const auto* x) {
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 3; ++j) EXPECT_EQ(x[i * 3 + j], 10 * i + j);
  });
}

void expect_customers(const FeatureFile& file) {
  EXPECT_EQ(file.id_name(), "customer");
  EXPECT_THAT(std::get<1>(file.ids(0, 6)), ElementsAre("Müller", "b", "c", "d", "e", "f"));
  EXPECT_THAT(file.numbers("spend"), ElementsAre(1.5, IsNan(), 3, 4, 5, 6));
  EXPECT_THAT(file.numbers("visits"), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(file.numbers("member"), ElementsAre(1, 0, 1, 1, 0, 0));
  EXPECT_THAT(file.numbers("grade"), ElementsAre(3, 1, 3, 1, 2, 2));
  EXPECT_THAT(file.numbers("children"), ElementsAre(0, IsNan(), 2, 1, 0, IsNan()));
  EXPECT_THAT(file.numbers("newsletter"), ElementsAre(1, IsNan(), 0, 1, 1, 0));
  const Categories region = file.categories("region"), member = file.categories("member"), grade = file.categories("grade");
  EXPECT_THAT(region.levels, ElementsAre("south", "north"));  // the order of the file
  EXPECT_THAT(region.codes, ElementsAre(0, -1, 1, 0, 1, 0));
  EXPECT_THAT(member.levels, ElementsAre("False", "True"));
  EXPECT_THAT(member.codes, ElementsAre(1, 0, 1, 1, 0, 0));
  EXPECT_THAT(grade.levels, ElementsAre("1", "2", "3"));
  EXPECT_THAT(file.categories("newsletter").codes, ElementsAre(1, -1, 0, 1, 1, 0));
  EXPECT_THAT(message_of<ContentsError>([&] { file.numbers("region"); }), HasSubstr("'/obs/region/categories': the column holds text"));
}

TEST_F(ForeignFile, AnnDataIsReadWhateverItsStorage) {
  for (const char* name : {"plain.h5ad", "wide.h5ad", "gzip.h5ad"}) {
    SCOPED_TRACE(name);
    const auto file = open(name);
    expect_matrix(*file, name == std::string("wide.h5ad"));
    expect_customers(*file);
    EXPECT_EQ(file->columns()[0].name, "größe");
    EXPECT_EQ(file->columns()[1].role, Role::profile);
    EXPECT_EQ(file->columns()[1].weight, 2.0);
    EXPECT_EQ(file->columns()[2].weight, std::nullopt);
  }
}

TEST_F(ForeignFile, NullableTextHasMissingRows) {
  const Categories city = open("nullable_text.h5ad")->categories("city");
  EXPECT_THAT(city.levels, ElementsAre("Bern", "Oslo", "Rom"));
  EXPECT_THAT(city.codes, ElementsAre(2, -1, 1, 2, 0, 2));
}

TEST_F(ForeignFile, LevelsThatAreAskedForAreTold) {
  EXPECT_THAT(open("nullable_text.h5ad")->level_codes("city", {"Rom", "Paris"}), ElementsAre(0, -1, 2, 0, 2, 0));
  for (const char* name : {"plain.h5ad", "older.h5ad"}) {
    const auto file = open(name);
    EXPECT_THAT(file->level_codes("region", {"north"}), ElementsAre(1, -1, 0, 1, 0, 1));
    EXPECT_EQ(file->few_categories("region", 1), std::nullopt);
    EXPECT_THAT(file->few_categories("region", 2)->codes, ElementsAre(0, -1, 1, 0, 1, 0));
  }
  EXPECT_THAT(message_of<ContentsError>([&] { open("plain.h5ad")->level_codes("spend", {"1.5"}); }), HasSubstr("text is wanted"));
}

TEST_F(ForeignFile, OlderAnnDataIsRead) {
  const auto file = open("older.h5ad");
  expect_matrix(*file, false);
  EXPECT_TRUE(file->obs()[0].is_category);
  EXPECT_THAT(file->categories("region").levels, ElementsAre("south", "north"));
  EXPECT_THAT(file->categories("region").codes, ElementsAre(0, -1, 1, 0, 1, 0));
}

TEST_F(ForeignFile, PlainFilesAreReadWithAllTheirFilters) {
  const auto file = open("h5py.h5");
  expect_matrix(*file, true);
  EXPECT_EQ(file->columns()[0].name, "größe");
  EXPECT_EQ(file->id_name(), "customer_id");
  EXPECT_THAT(std::get<0>(file->ids(4, 2)), ElementsAre(104, 105));
  EXPECT_THAT(file->categories("region").levels, ElementsAre("north", "south"));
}

TEST_F(ForeignFile, FiltersThatAreMissingAreNamed) {
  const std::string message = message_of<InputError>([&] { open("lzf.h5"); });
  EXPECT_THAT(message, HasSubstr("lzf.h5', dataset '/X': it is stored with filter 32000 (LZF)"));
  EXPECT_THAT(message, HasSubstr("compression='gzip'"));
}

TEST_F(ForeignFile, LayoutsThatAreNotReadComeWithAConverter) {
  const std::vector<std::array<const char*, 3>> files = {{"sparse.h5ad", "'/X' is sparse", "toarray"},
                                                         {"records.h5ad", "table of records", "read_h5ad"},
                                                         {"store.h5", "HDFStore", "read_hdf"},
                                                         {"store_table.h5", "HDFStore", "read_hdf"},
                                                         {"records.h5", "table of records", "pandas.DataFrame"},
                                                         {"mudata.h5mu", "MuData", "mudata.read"},
                                                         {"vaex.hdf5", "vaex", "export_csv"},
                                                         {"matlab.mat", "MATLAB", "[:].T"},
                                                         {"genes.h5", "10x", "read_10x_h5"}};
  for (const auto& file : files) {
    const std::string message = message_of<InputError>([&] { open(file[0]); });
    for (const char* part : file) EXPECT_THAT(message, HasSubstr(part));
  }
}

// The converters are shell commands, and they do what they say.
TEST_F(ForeignFile, ConvertersWork) {
  for (const char* name : {"sparse.h5ad", "matlab.mat"}) {
    const std::string message = message_of<InputError>([&] { open(name); });
    const std::string command = message.substr(message.find("python3 -c ") + 7);
    ASSERT_EQ(
        std::system(
            ("cd '" + folder_->path().string() + "' && rm -f out.h5ad out.h5 && /usr/bin/python3" + command + " 2>/dev/null").c_str()),
        0);
    expect_matrix(*open(name == std::string("sparse.h5ad") ? "out.h5ad" : "out.h5"), name == std::string("matlab.mat"));
  }
}

}  // namespace
}  // namespace coterie::io
