#include "io/feature_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "host/error.hpp"
#include "tests/support/files.hpp"
#include "tests/support/sample_features.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using coterie::testing::feature_cell;
using coterie::testing::read_file;
using coterie::testing::sample_layout;
using coterie::testing::ScratchFolder;
using coterie::testing::write_sample_features;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

void write_features(const std::filesystem::path& path, const FeatureFileLayout& layout, std::int64_t tile, Context* context = nullptr) {
  AtomicOutput output({.path = path, .estimated_bytes = estimated_bytes(layout)});
  FeatureWriter writer(output, layout, context);
  write_sample_features(writer, layout, tile);
  writer.commit();
}

TEST(FeatureWriter, OurReaderReadsBackEverything) {
  const ScratchFolder folder;
  Context context({.threads = 2});
  for (const bool is_wide : {false, true})
    for (const bool compressed : {false, true}) {
      const auto path = folder / (std::string("f") + (is_wide ? "w" : "n") + (compressed ? "c" : "p"));
      const FeatureFileLayout layout = sample_layout({.is_wide = is_wide, .compressed = compressed});
      write_features(path, layout, 30'000);
      const auto file = FeatureFile::open(path);
      ASSERT_EQ(file->n_rows(), layout.n_rows);
      const auto tiles = file->tiles(context);
      EXPECT_EQ(tiles->is_wide(), is_wide);
      tiles->rewind();
      std::int64_t rows = 0;
      while (const Tile* tile = tiles->next()) {
        visit_cells(*tile, [&](const auto* x) {
          for (std::int64_t row = 0; row < tile->n_rows; ++row)
            for (std::int64_t column = 0; column < tile->n_columns; ++column)
              ASSERT_EQ(static_cast<double>(x[row * tile->n_columns + column]), feature_cell(tile->first_row + row, column, is_wide));
        });
        rows += tile->n_rows;
      }
      EXPECT_EQ(rows, layout.n_rows);
    }
}

TEST(FeatureWriter, NamesRolesAndColumnsComeBack) {
  const ScratchFolder folder;
  const FeatureFileLayout layout = sample_layout({.integer_ids = false});
  write_features(folder / "f", layout, 50'000);
  const auto file = FeatureFile::open(folder / "f");
  EXPECT_EQ(file->id_name(), "customer_id");
  EXPECT_FALSE(file->has_integer_ids());
  EXPECT_THAT(std::get<std::vector<std::string>>(file->ids(3, 2)), ElementsAre("k3",
                                                                               "kunde-\xc3\xbc"
                                                                               "4"));
  ASSERT_EQ(file->columns().size(), layout.columns.size());
  for (std::size_t i = 0; i < layout.columns.size(); ++i) {
    EXPECT_EQ(file->columns()[i].name, layout.columns[i].name);
    EXPECT_EQ(file->columns()[i].role, layout.columns[i].role);
    EXPECT_EQ(file->columns()[i].layer, layout.columns[i].layer);
    EXPECT_EQ(file->columns()[i].weight, layout.columns[i].weight);
    EXPECT_EQ(file->columns()[i].onehot_of, layout.columns[i].onehot_of);
  }
  EXPECT_EQ(file->roles().weight, "weight");
  EXPECT_THAT(file->roles().outcomes, ElementsAre("churned"));
  EXPECT_EQ(file->roles().value, "revenue");
  EXPECT_EQ(file->roles().treatment, "plan");
  EXPECT_THAT(file->roles().dates, ElementsAre("churned", "revenue"));
  const std::vector<double> churned = file->numbers("churned"), revenue = file->numbers("revenue");
  EXPECT_EQ(churned[5], 1);
  EXPECT_EQ(churned[6], 0);
  EXPECT_EQ(revenue[10], 10.0 / 3);
  const Categories plan = file->categories("plan");
  EXPECT_THAT(plan.levels, ElementsAre("basic", "gold"));
  EXPECT_THAT(std::vector(plan.codes.begin(), plan.codes.begin() + 3), ElementsAre(0, 1, -1));
}

TEST(FeatureWriter, IntegerIdsStayIntegers) {
  const ScratchFolder folder;
  write_features(folder / "f", sample_layout({}), 50'000);
  const auto file = FeatureFile::open(folder / "f");
  EXPECT_EQ(file->id_name(), "customer_id");
  EXPECT_TRUE(file->has_integer_ids());
  EXPECT_THAT(std::get<std::vector<std::int64_t>>(file->ids(0, 3)), ElementsAre(-3, -2, -1));
}

TEST(FeatureWriter, BytesIgnoreTileRowsAndThreadCount) {
  const ScratchFolder folder;
  Context context({.threads = 3});
  for (const bool compressed : {false, true}) {
    const FeatureFileLayout layout = sample_layout({.compressed = compressed});
    const auto name = [&](const char* rest) { return folder / (std::to_string(compressed) + rest); };
    write_features(name("a"), layout, 1000);
    write_features(name("b"), layout, layout.n_rows);
    write_features(name("c"), layout, 77'777, &context);
    EXPECT_EQ(read_file(name("a")), read_file(name("b")));
    EXPECT_EQ(read_file(name("a")), read_file(name("c")));
  }
}

TEST(FeatureWriter, RefusesLayoutsWithoutIdsFeaturesOrRows) {
  const ScratchFolder folder;
  const auto refuses = [&](const FeatureFileLayout& layout, const char* what) {
    AtomicOutput output({.path = folder / "f"});
    EXPECT_THAT([&] { FeatureWriter(output, layout); }, ThrowsMessage<ArgumentError>(HasSubstr(what)));
  };
  FeatureFileLayout layout = sample_layout({});
  layout.n_rows = 0;
  refuses(layout, "at least one row");
  layout = sample_layout({});
  layout.obs.clear();
  refuses(layout, "needs ids");
  layout = sample_layout({});
  layout.columns.push_back(layout.columns.front());
  refuses(layout, "not unique");
  layout.columns.clear();
  refuses(layout, "at least one feature");
}

TEST(FeatureWriter, ForecastsItsSize) {
  const ScratchFolder folder;
  const FeatureFileLayout layout = sample_layout({});
  write_features(folder / "f", layout, 50'000);
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(folder / "f"));
  EXPECT_GE(estimated_bytes(layout), size);
  EXPECT_LE(estimated_bytes(layout), 3 * size);
}

}  // namespace
}  // namespace coterie::io
