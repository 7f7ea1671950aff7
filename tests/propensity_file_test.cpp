#include "io/propensity_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "host/error.hpp"
#include "io/result_file.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

PropensityModels sample_models() {
  PropensityModels models;
  models.transform.kind = TransformKind::none;
  models.transform.columns = {{.source = 1, .center = 0.25, .scale = 3, .step = 0x1p-20}, {.source = 0, .step = 0x1p-23}};
  models.transform.names = {"plan=Gold", "spend"};
  models.raw_columns = {{"spend", ""}, {"plan=Gold", "plan"}};
  models.seed = 0xfedcba9876543210u;
  models.where = "spend > 0";
  StoredTarget churn{.name = "churn", .positive = "Yes"};
  churn.model.penalty = logistic_regression::Penalty::firth;
  churn.model.n_columns = 2;
  churn.model.coefficients = {0.1, -1.0 / 3};
  churn.model.center = {0.5, 2};
  churn.model.at_center = -0.75;
  churn.percentile_cuts.assign(99, -1.0);
  churn.percentile_cuts.front() = -INFINITY;
  churn.base_rate = 0.2;
  churn.events = 1000;
  churn.C = 3;
  churn.min_events = 100;
  StoredTarget buy = churn;
  buy.name = "buy";
  buy.calibrator = {.method = calibration::Method::isotonic, .scores = {-1, 0, 2}, .probabilities = {0.1, 0.1, 0.7}};
  buy.segment_names = {"S1", "S2"};
  buy.model.segment_effects = {0.5, -0.5};
  models.targets = {churn, buy};
  return models;
}

class PropensityFile : public ::testing::Test {
 protected:
  void write(const PropensityModels* models) {  // nullptr: a file without any
    AtomicOutput output({.path = path, .overwrite = true});
    H5adWriter file(output, result_options(1, "id"));
    const std::int64_t id = 1;
    const Cells cells = std::span<const std::int64_t>(&id, 1);
    file.open_rows({{.name = "id", .type = CellType::int64}}).write(0, {&cells, 1});
    if (models != nullptr) write_propensities(file, *models);
    file.commit();
  }
  void expect_refused(const std::function<void(PropensityModels&)>& change, const std::string& field) {
    PropensityModels models = sample_models();
    change(models);
    write(&models);
    EXPECT_THAT([&] { read_propensities(path); }, ThrowsMessage<ContentsError>(AllOf(HasSubstr(field), HasSubstr("result.h5ad")))) << field;
  }

  const coterie::testing::ScratchFolder folder;
  const std::filesystem::path path = folder / "result.h5ad";
};

TEST_F(PropensityFile, ReadsBackWhatItWrote) {
  const PropensityModels written = sample_models();
  write(&written);
  EXPECT_TRUE(has_propensities(path));
  const PropensityModels read = read_propensities(path);
  EXPECT_EQ(read.seed, written.seed);
  EXPECT_EQ(read.transform.names, written.transform.names);
  EXPECT_EQ(read.where, written.where);
  ASSERT_EQ(read.transform.columns.size(), 2u);
  for (std::size_t j = 0; j < 2; ++j) {
    EXPECT_EQ(read.transform.columns[j].source, written.transform.columns[j].source);
    EXPECT_EQ(read.transform.columns[j].center, written.transform.columns[j].center);
    EXPECT_EQ(read.transform.columns[j].scale, written.transform.columns[j].scale);
    EXPECT_EQ(read.raw_columns[j].name, written.raw_columns[j].name);
    EXPECT_EQ(read.raw_columns[j].onehot_of, written.raw_columns[j].onehot_of);
  }
  EXPECT_EQ(read.raw_columns[1].level(), "Gold");
  ASSERT_EQ(read.targets.size(), 2u);
  for (std::size_t t = 0; t < 2; ++t) {
    const StoredTarget &a = read.targets[t], &b = written.targets[t];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.positive, b.positive);
    EXPECT_EQ(a.model.penalty, b.model.penalty);
    EXPECT_EQ(a.model.coefficients, b.model.coefficients);
    EXPECT_EQ(a.model.center, b.model.center);
    EXPECT_EQ(a.model.at_center, b.model.at_center);
    EXPECT_EQ(a.model.segment_effects, b.model.segment_effects);
    EXPECT_EQ(a.calibrator.method, b.calibrator.method);
    EXPECT_EQ(a.calibrator.probabilities, b.calibrator.probabilities);
    EXPECT_EQ(a.percentile_cuts, b.percentile_cuts);
    EXPECT_EQ(a.base_rate, b.base_rate);
    EXPECT_EQ(a.events, b.events);
    EXPECT_EQ(a.min_events, b.min_events);
    EXPECT_EQ(a.C, b.C);
    EXPECT_EQ(a.segment_names, b.segment_names);
    EXPECT_EQ(a.calibrator.scores, b.calibrator.scores);
  }
}

TEST_F(PropensityFile, RefusesWhatCannotScore) {
  expect_refused([](PropensityModels& m) { m.targets[0].model.coefficients.pop_back(); }, "coef");
  expect_refused([](PropensityModels& m) { m.targets[0].model.coefficients[0] = NAN; }, "coef");
  expect_refused([](PropensityModels& m) { m.targets[0].base_rate = 1; }, "base_rate");
  expect_refused([](PropensityModels& m) { m.targets[0].percentile_cuts.pop_back(); }, "percentile_cuts");
  expect_refused([](PropensityModels& m) { m.targets[1].calibrator.scores = {2, 1, 0}; }, "isotonic_scores");
  expect_refused([](PropensityModels& m) { m.targets[1].calibrator.probabilities[0] = 0; }, "isotonic_probabilities");
  expect_refused([](PropensityModels& m) { m.targets[1].segment_names.pop_back(); }, "segment_effects");
  expect_refused([](PropensityModels& m) { m.raw_columns[1].onehot_of = "other"; }, "onehot_of");
  expect_refused([](PropensityModels& m) { m.transform.columns[0].source = 2; }, "source");
}

TEST_F(PropensityFile, SaysWhereThereAreNone) {
  write(nullptr);
  EXPECT_FALSE(has_propensities(path));
  EXPECT_THAT([&] { read_propensities(path); }, ThrowsMessage<InputError>(HasSubstr("coterie propensity")));
}

}  // namespace
}  // namespace coterie::io
