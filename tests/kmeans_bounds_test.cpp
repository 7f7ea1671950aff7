// What a pass remembers of its rows may save work, and may never move a bit: sweeps of one pass under wandering centers
// against a new pass for every sweep.
#include "host/kmeans_bounds.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "host/passes.hpp"
#include "host/weights.hpp"
#include "tests/reference/kmeans.hpp"
#include "tests/support/grid_rows.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie::kmeans {
namespace {

struct Case {
  std::int64_t n_rows;
  std::int32_t n_columns, n_clusters;
  double separation, scale;  // of the blobs; of every value
};
constexpr Case kBlobs{9000, 5, 6, 2, 1}, kTies{5000, 1, 4, 0, 0x1p20}, kTiny{5000, 3, 5, 1, 1e-30}, kHuge{5000, 3, 5, 1, 1e30},
    kSingle{5000, 3, 1, 1, 1}, kWide{4500, 70, 40, 0.5, 1}, kGroups{4500, 6, 150, 3, 1}, kLine{9000, 16, 8, 1, 1},
    kTwoLines{5000, 29, 16, 1, 1}, kOneGroup{4500, 40, 16, 1, 1};

testing::GridRows make_rows(const Case& c) {
  std::vector<double> values = testing::blobs(c.n_rows, c.n_columns, std::max(2, c.n_clusters / 2), c.separation, 5);
  for (double& value : values) value = (c.scale == kTies.scale ? std::floor(value) : value) * c.scale;
  return testing::on_grid(values, c.n_columns);
}

class Walk {
 public:
  explicit Walk(const Case& c, std::int64_t memory = std::int64_t{1} << 30)
      : case_(c), context_({.threads = 2, .memory_bytes = memory, .seed = 1}), rows_(make_rows(c)) {
    std::vector<double> weights;
    for (std::int64_t i = 0; i < c.n_rows; ++i) weights.push_back(static_cast<double>(i % 5));
    weights_ = quantise_weights(weights);
    model_ = {.n_clusters = c.n_clusters, .n_columns = c.n_columns};
    const auto cells = static_cast<std::ptrdiff_t>(c.n_clusters) * c.n_columns;
    model_.cluster_centers.assign(rows_.x.begin(), rows_.x.begin() + cells);
  }

  // Every center by a normal step of this size, in units of the data's scale.
  void move_centers(double step) {
    for (float& center : model_.cluster_centers) center += static_cast<float>(step * case_.scale * normal_(generator_));
  }

  // company: other models of the same shape, which share the sweep and come first.
  Statistics sweep(Pass& pass, bool weighted, std::span<const Model> company = {}) {
    MemoryTileSource plain(rows_.x, case_.n_columns, kBlockRows);
    ZippedSource source(plain, {.weight = weighted ? std::span<const std::int32_t>(weights_.steps) : std::span<const std::int32_t>()});
    std::vector<const Model*> models;
    for (const Model& model : company) models.push_back(&model);
    models.push_back(&model_);
    return reduce_tiles(context_, source, pass, std::span<const Model* const>(models)).models.back();
  }
  void cut_short(Pass& pass) {  // after the first of several tiles
    MemoryTileSource source(rows_.x, case_.n_columns, kBlockRows);
    const Model* const models[] = {&model_};
    pass.begin(models);
    source.rewind();
    pass.accumulate(*source.next());
  }

  std::unique_ptr<Pass> new_pass() { return make_cpu_pass(context_, {.steps = rows_.grid.steps}, case_.n_columns); }
  Model& model() { return model_; }
  std::int64_t free_memory() { return context_.memory().available(); }
  const testing::GridRows& rows() const { return rows_; }

 private:
  Case case_;
  Context context_;
  testing::GridRows rows_;
  Weights weights_;
  Model model_;
  std::mt19937 generator_{7};
  std::normal_distribution<double> normal_;
};

void expect_equal(const Statistics& a, const Statistics& b) {
  EXPECT_EQ(a.rows_in_clusters, b.rows_in_clusters);
  EXPECT_EQ(a.weight_in_clusters, b.weight_in_clusters);
  for (std::size_t i = 0; i < a.center_sums.size(); ++i) ASSERT_EQ(a.center_sums.value(i), b.center_sums.value(i)) << "cell " << i;
  ASSERT_EQ(a.farthest.size(), b.farthest.size());
}

constexpr double kSteps[] = {1, 0.3, 0.1, 0, 0.01, 1e-3, 2, 1e-3, 1e-5, 0, 1e-7};

void expect_same_as_new_passes(const Case& c, bool weighted, std::int64_t memory = std::int64_t{1} << 30) {
  Walk walk(c, memory);
  const auto pass = walk.new_pass();
  for (const double step : kSteps) {
    walk.move_centers(step);
    expect_equal(walk.sweep(*pass, weighted), walk.sweep(*walk.new_pass(), weighted));
  }
}

TEST(KMeansMemory, NeverMovesABit) {
  for (const Case& c : {kBlobs, kTies, kTiny, kHuge, kSingle, kWide, kGroups, kLine, kTwoLines, kOneGroup})
    for (const bool weighted : {false, true}) {
      SCOPED_TRACE(::testing::Message() << c.n_columns << " columns, " << c.n_clusters << " clusters, scale " << c.scale);
      expect_same_as_new_passes(c, weighted);
    }
}

TEST(KMeansMemory, NeverMovesABitOnAnyInstructionSet) {
  for (const Case& c : {kBlobs, kLine, kTwoLines}) testing::for_each_instruction_set([&] { expect_same_as_new_passes(c, false); });
}

// An empty center may lie anywhere, and comes back to the rows in one step.
TEST(KMeansMemory, NeverMovesABitWhereCentersJumpFar) {
  for (const float far : {1e15f, 1e25f, 3e38f}) {
    SCOPED_TRACE(far);
    Walk walk(kGroups);
    const auto pass = walk.new_pass();
    const auto home = walk.model().cluster_centers;
    for (const bool away : {false, true, true, false, false, false, true, false, false, false}) {
      walk.model().cluster_centers = home;
      if (away) std::fill_n(walk.model().cluster_centers.begin(), kGroups.n_columns, far);
      walk.move_centers(0.5);
      expect_equal(walk.sweep(*pass, false), walk.sweep(*walk.new_pass(), false));
    }
  }
}

TEST(KMeansMemory, IsDoneWithoutWhereTheLedgerHasNoRoom) {
  const std::int64_t one_block = 3 * RowBounds::block_bytes(kBlobs.n_clusters, kBlobs.n_columns);
  for (const std::int64_t memory : {std::int64_t{1}, one_block, 12 * one_block}) expect_same_as_new_passes(kBlobs, true, memory);
}

// A sweep in company, then sweeps alone. Returns what is left of the memory.
std::int64_t expect_same_as_new_passes_after_company(const Case& c, std::int64_t memory) {
  Walk walk(c, memory);
  const std::vector<Model> company(3, walk.model());
  const auto pass = walk.new_pass();
  for (const double step : kSteps) {
    walk.move_centers(step);
    const std::span<const Model> others = step == kSteps[0] ? std::span<const Model>(company) : std::span<const Model>();
    const Statistics remembered = walk.sweep(*pass, true, others);  // before another pass takes of the memory
    expect_equal(remembered, walk.sweep(*walk.new_pass(), true));
  }
  return walk.free_memory();
}

TEST(KMeansMemory, TakesTheRoomOfModelsThatHaveLeft) {
  const std::int64_t of_a_model = 3 * RowBounds::block_bytes(kBlobs.n_clusters, kBlobs.n_columns), memory = 3 * of_a_model / 2;
  EXPECT_EQ(expect_same_as_new_passes_after_company(kBlobs, memory), memory - of_a_model);
  for (std::int64_t kib = 256; kib <= 4096; kib *= 2) expect_same_as_new_passes_after_company(kWide, kib << 10);  // and rounded rows
}

// Fits of several numbers of segments with several restarts each, which settle in different sweeps.
Fit fit_with_labels(Context& context, TileSource& source, const Grid& grid, std::initializer_list<std::int32_t> n_clusters) {
  std::vector<Params> params;
  for (const std::int32_t k : n_clusters)
    params.push_back({.n_clusters = k, .n_init = 4, .max_iter = 30, .tol = 1e-6, .init = Init::random, .given_centers = {}});
  const GridMoments moments = measure_moments(context, source, grid, std::max(n_clusters));
  const auto pass = make_cpu_pass(context, grid, source.n_columns());
  return fit(context, source, grid, moments, params, *pass, {.labels = true});
}

TEST(KMeansMemory, TellsTheLabelsOfTheBestModels) {
  const testing::GridRows rows = make_rows({9001, 6, 12, 1, 1});
  Context context({.threads = 3, .memory_bytes = std::int64_t{1} << 26, .seed = 1});
  MemoryTileSource source(rows.x, rows.n_columns, 2 * kBlockRows);
  const std::int64_t available = context.memory().available();
  {
    const Fit fitted = fit_with_labels(context, source, rows.grid, {1, 5, 16, 20});
    EXPECT_EQ(context.memory().available(), available - 4 * 4 * 9001);
    for (std::size_t m = 0; m < fitted.best.size(); ++m) {
      std::vector<std::int32_t> label;
      const auto predictor = make_cpu_predictor(context);
      map_tiles(context, source, *predictor, fitted.best[m],
                [&](std::int64_t, const Assignment& a) { label.insert(label.end(), a.label.begin(), a.label.end()); });
      EXPECT_TRUE(std::ranges::equal(fitted.labels[m].of_rows, label)) << fitted.best[m].n_clusters << " clusters";
    }
  }
  EXPECT_EQ(context.memory().available(), available);
}

TEST(KMeansMemory, TellsNoLabelsWhereTheLedgerHasNoRoom) {
  const testing::GridRows rows = make_rows({300'000, 6, 12, 1, 1});
  Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 21, .seed = 1});
  MemoryTileSource source(rows.x, rows.n_columns, 2 * kBlockRows);
  for (const Labels& labels : fit_with_labels(context, source, rows.grid, {2}).labels) EXPECT_TRUE(labels.of_rows.empty());
}

TEST(KMeansMemory, ForgetsASweepThatWasCutShort) {
  Walk walk(kBlobs);
  const auto pass = walk.new_pass();
  walk.sweep(*pass, false);
  walk.move_centers(0.5);
  walk.cut_short(*pass);
  walk.move_centers(0.01);
  expect_equal(walk.sweep(*pass, false), walk.sweep(*walk.new_pass(), false));
}

TEST(KMeansMemory, SurvivesALookForFarthestRows) {
  Walk walk(kBlobs);
  const auto pass = walk.new_pass();
  walk.sweep(*pass, true);
  walk.model().empty_clusters = 3;
  expect_equal(walk.sweep(*pass, true), walk.sweep(*walk.new_pass(), true));
  walk.model().empty_clusters = 0;
  walk.move_centers(0.2);
  expect_equal(walk.sweep(*pass, true), walk.sweep(*walk.new_pass(), true));
}

// Every row is scanned, then comes one small step: every row whose label changes is in doubt, and of separated blobs hardly
// another one is.
void expect_doubt_of_rows_that_change(std::int32_t n_clusters) {
  Walk walk({kBlockRows, 4, n_clusters, 6, 1});
  const nearest::Units units = nearest::units_of(walk.rows().x.data(), kBlockRows, 4);
  MemoryLedger memory(std::int64_t{1} << 22);
  RowBounds bounds(n_clusters, 4);
  nearest::RoundedBlocks rounded;
  ASSERT_TRUE(bounds.grow(1, 1, memory));
  ASSERT_TRUE(rounded.grow(1, 1, 4, memory));
  nearest::round_rows(walk.rows().x.data(), kBlockRows, units, rounded.rows(0));
  std::int64_t changed = 0, doubted = 0;
  for (int sweep = 0; sweep < 2; ++sweep) {
    bounds.move_to(walk.model().cluster_centers, static_cast<double>(units.scale));
    const nearest::CenterGroups groups(walk.model().cluster_centers, bounds.order(), units);
    reference::KMeans expected;
    expected.centers = walk.model().cluster_centers;
    reference::assign(walk.rows().x, 4, expected);
    nearest::StripScan scan(groups.n_groups());
    bounds.open(0);
    for (std::int64_t row = 0; row < kBlockRows; row += nearest::kLeastStripRows) {
      const nearest::RoundedRows rows = rounded.rows(0).from(row, groups.n_pairs());
      const nearest::Strip strip{
          walk.rows().x.data() + row * 4, rows.pairs,     rows.length, rows.lost, nearest::kLeastStripRows, 4, &groups,
          bounds.strip(0, row),           bounds.drifts()};
      std::vector<bool> in_doubt(nearest::kLeastStripRows);
      nearest::find_doubtful(strip, scan);
      for (const std::int32_t i : scan.doubtful.items()) in_doubt[static_cast<std::size_t>(i)] = true;
      for (std::int32_t i = 0; i < nearest::kLeastStripRows; ++i) {
        const bool changes = strip.bounds.label_of(i) != expected.label[static_cast<std::size_t>(row + i)];
        EXPECT_TRUE(in_doubt[static_cast<std::size_t>(i)] || !changes) << "row " << row + i;
        changed += sweep == 1 && changes ? 1 : 0;
        doubted += sweep == 1 && in_doubt[static_cast<std::size_t>(i)] ? 1 : 0;
      }
      if (!scan.doubtful.empty()) nearest::scan_doubtful(strip, scan);
      for (const std::int32_t entry : scan.ambiguous.items()) {
        const std::int64_t of_entry = row + scan.doubtful[static_cast<std::size_t>(entry)];
        nearest::set_label(strip, scan, entry, expected.label[static_cast<std::size_t>(of_entry)]);
      }
    }
    walk.move_centers(0.02);
  }
  EXPECT_GT(changed, 0);
  EXPECT_LT(doubted, kBlockRows / 2);
}

TEST(RowBounds, DoubtTheRowsThatChangeAndFewOthers) {
  for (const std::int32_t n_clusters : {12, 40}) expect_doubt_of_rows_that_change(n_clusters);
}

}  // namespace
}  // namespace coterie::kmeans
