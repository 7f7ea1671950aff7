#include "io/result_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/error.hpp"
#include "tests/support/files.hpp"
#include "tests/support/sample_features.hpp"
#include "tests/support/sample_result.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using coterie::testing::SampleResult;
using coterie::testing::ScratchFolder;
using coterie::testing::write_sample_result;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class ResultReaderTest : public ::testing::TestWithParam<bool> {  // with integer ids
 protected:
  void SetUp() override {
    AtomicOutput output({.path = path});
    H5adWriter file(output, result_options(sample.n_rows, "customer_id"));
    write_sample_result(file, sample, 40'000);
    file.commit();
  }

  const ScratchFolder folder;
  const std::filesystem::path path = folder / "r.h5ad";
  const SampleResult sample{.integer_ids = GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Ids, ResultReaderTest, ::testing::Bool());

TEST_P(ResultReaderTest, KnowsTheColumns) {
  const ResultReader reader(path);
  EXPECT_EQ(reader.n_rows(), sample.n_rows);
  EXPECT_EQ(reader.id_name(), "customer_id");
  const std::vector<RowColumn> written = coterie::testing::sample_columns(sample);
  ASSERT_EQ(reader.columns().size(), written.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(reader.columns()[i].name, written[i].name);
    EXPECT_EQ(reader.columns()[i].type, written[i].type);
    EXPECT_EQ(reader.columns()[i].categories, written[i].categories);
  }
}

// What was written, written again from what is read in other ranges, gives the same bytes.
TEST_P(ResultReaderTest, RowsComeBackInAnyRanges) {
  AtomicOutput reference_output({.path = folder / "reference"});
  H5adWriter reference(reference_output, result_options(sample.n_rows, "customer_id"));
  write_sample_rows(reference.open_rows(ResultReader(path).columns()), sample, 1000);
  reference.commit();
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30});
  for (Context* const decoder : {static_cast<Context*>(nullptr), &context}) {
    const ResultReader reader(path, decoder);
    AtomicOutput output({.path = folder / "again", .overwrite = true});
    H5adWriter file(output, result_options(sample.n_rows, "customer_id"));
    RowStream& rows = file.open_rows(reader.columns());
    for (std::int64_t first = 0; first < reader.n_rows(); first += 33'333) {
      const std::int64_t n = std::min<std::int64_t>(33'333, reader.n_rows() - first);
      std::vector<ColumnCells> owned;
      for (const RowColumn& column : reader.columns()) owned.push_back(reader.rows(column, first, n));
      std::vector<Cells> cells;
      for (const ColumnCells& column : owned) cells.push_back(view(column));
      rows.write(first, cells);
    }
    file.commit();
    EXPECT_EQ(coterie::testing::read_file(folder / "again"), coterie::testing::read_file(folder / "reference"));
  }
}

TEST_P(ResultReaderTest, TablesMatricesAndValuesComeBack) {
  const ResultReader reader(path);
  const DataFrame segments = reader.frame("uns/segmentation/segments");
  EXPECT_EQ(segments.index_name, "segment");
  EXPECT_EQ(segments.index, sample.segment_names);
  EXPECT_THAT(std::get<std::vector<std::int64_t>>(*segments.find("n")), ElementsAre(7, 7, 7));
  const DataFrame outcomes = reader.frame("uns/segmentation/outcomes");
  EXPECT_THAT(std::get<std::vector<std::int64_t>>(*outcomes.find("segment_id")), ElementsAre(0, 1, 2, -1));
  EXPECT_EQ(std::get<std::vector<std::string>>(*outcomes.find("segment"))[1], sample.segment_names[1]);
  EXPECT_THAT(std::get<std::vector<double>>(*outcomes.find("rate")), ElementsAre(0.25, 0.25, 0.25, 0.25));
  EXPECT_EQ(outcomes.find("nothing"), nullptr);
  const Matrix mean = reader.matrix("varm/segment_mean");
  EXPECT_EQ(mean.n_rows, 3);
  EXPECT_EQ(mean.n_columns, 3);
  EXPECT_THAT(mean.values, ElementsAre(2000, 2010, 2020, 2001, 2011, 2021, 2002, 2012, 2022));
  EXPECT_EQ(std::get<std::string>(reader.value("uns/run/tool")), "coterie");
  EXPECT_EQ(std::get<std::string>(reader.value("uns/run/empty")), "");
  EXPECT_EQ(std::get<std::int64_t>(reader.value("uns/run/seed")), -7);
  EXPECT_EQ(std::get<double>(reader.value("uns/run/inertia")), 0.1);
  EXPECT_EQ(std::get<bool>(reader.value("uns/run/deterministic")), true);
  EXPECT_TRUE(std::get<std::vector<std::string>>(reader.value("uns/run/warnings")).empty());
  EXPECT_THAT(std::get<std::vector<double>>(reader.value("uns/run/seconds")), ElementsAre(0.5, 0.25));
  EXPECT_TRUE(reader.contains("uns/sweep"));
  EXPECT_FALSE(reader.contains("uns/propensity/churn"));
  EXPECT_THAT(reader.names("uns/run"), ElementsAre("deterministic", "empty", "inertia", "seconds", "seed", "tool", "warnings"));
}

TEST_P(ResultReaderTest, SaysWhatIsNotThere) {
  const ResultReader reader(path);
  EXPECT_THAT([&] { reader.value("uns/run/nothing"); }, ThrowsMessage<InputError>(HasSubstr("uns/run/nothing")));
  EXPECT_THROW(reader.frame("uns/nothing"), InputError);
  EXPECT_THROW(reader.frame("varm/segment_mean"), InputError);
  EXPECT_THROW(reader.matrix("uns/run/tool"), InputError);
  EXPECT_THROW(reader.value("uns/segmentation/customers"), InputError);
}

TEST(ResultReader, RefusesOtherFiles) {
  const ScratchFolder folder;
  AtomicOutput output({.path = folder / "features.h5ad"});
  const FeatureFileLayout layout = coterie::testing::sample_layout({});
  FeatureWriter writer(output, layout);
  coterie::testing::write_sample_features(writer, layout, 100'000);
  writer.commit();
  EXPECT_THAT([&] { ResultReader reader(folder / "features.h5ad"); }, ThrowsMessage<InputError>(HasSubstr("coterie-results")));
  EXPECT_THROW(ResultReader reader(folder / "none"), InputError);
}

}  // namespace
}  // namespace coterie::io
