// The scan of 16-bit rows against the definition: what it calls certain is right, what it leaves open includes the answer, and
// its bounds hold.
#include "host/group_scan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "tests/reference/kmeans.hpp"
#include "tests/support/emulated_amx.hpp"
#include "tests/support/grid_rows.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie::nearest {
namespace {

struct Case {
  std::int64_t n_rows;
  std::int32_t n_columns, n_clusters;
  double separation, offset, scale;  // of the blobs; of every value
};

// One strip under one model, without any bounds from before.
class Scene {
 public:
  Scene(const std::vector<float>& x, std::int32_t n_columns, std::vector<float> centers, const MatrixUnit* unit = nullptr)
      : x_(x), n_columns_(n_columns), n_rows_(std::ssize(x) / n_columns), units_(units_of(x.data(), n_rows_, n_columns)) {
    expected_.centers = std::move(centers);
    reference::assign(x_, static_cast<std::size_t>(n_columns), expected_);
    const auto n_clusters = static_cast<std::int32_t>(std::ssize(expected_.centers) / n_columns);
    groups_ = CenterGroups(expected_.centers, order_by_proximity(expected_.centers, n_clusters, n_columns), units_, unit);
    center_drift_.assign(static_cast<std::size_t>(groups_.n_groups() * kGroupWidth), 0.0f);
    group_drift_.assign(static_cast<std::size_t>(groups_.n_groups()), 0.0f);
    const std::int64_t strip_rows = choose_strip_rows(groups_.n_groups(), n_columns);
    label_.assign(static_cast<std::size_t>(strip_rows), groups_.keeps_slack() ? RowSlack::kNothing : -1);
    for (auto* column : {&length_, &lost_, &upper_}) column->assign(label_.size(), std::numeric_limits<float>::infinity());
    lower_.assign(static_cast<std::size_t>(groups_.n_groups() * strip_rows), 0.0f);
    pairs_.resize(static_cast<std::size_t>(strip_rows * groups_.n_pairs()));
    scan_ = StripScan(groups_.n_groups(), strip_rows);
  }

  Strip strip() {
    return {x_.data(),    pairs_.data(), length_.data(),
            lost_.data(), n_rows_,       n_columns_,
            &groups_,     bounds(),      {center_drift_.data(), group_drift_.data()}};
  }
  StripBounds bounds() {
    if (groups_.keeps_slack()) return {label_.data(), nullptr, nullptr, nullptr, 0};
    return {nullptr, label_.data(), upper_.data(), lower_.data(), std::ssize(label_)};
  }

  void scan() {
    round_rows(x_.data(), n_rows_, units_, {pairs_.data(), length_.data(), lost_.data()});
    scan_again();
  }
  void scan_again() {
    if (find_doubtful(strip(), scan_)) scan_doubtful(strip(), scan_);
  }

  // Afterwards rows and bounds mean nothing: cells of all sizes; groups in doubt for some of the rows.
  void spoil_cells() {
    std::mt19937 random(3);
    constexpr std::int16_t kSpecial[] = {-32768, 32767, -256, -1, 0, 127, 128, 255};
    for (std::int32_t& pair : pairs_) {
      const std::int16_t cells[] = {kSpecial[random() % 8], static_cast<std::int16_t>(random())};
      std::memcpy(&pair, cells, sizeof pair);
    }
  }
  void spoil_bounds() {
    std::mt19937 random(4);
    for (float& bound : lower_) bound = random() % 2 == 0 ? 0 : 1e9f;
    std::fill(upper_.begin(), upper_.end(), 1e6f);
    scan_.lowest.assign(scan_.lowest.size(), 0.0f);
    scan_.next.assign(scan_.next.size(), 0.0f);
  }

  void expect_right_answers() {
    const auto open = scan_.ambiguous.items();
    for (std::int32_t row = 0; row < n_rows_; ++row) {
      const std::int32_t right = expected_.label[static_cast<std::size_t>(row)];
      if (std::find(open.begin(), open.end(), row) == open.end()) {
        ASSERT_EQ(bounds().label_of(row), right) << "row " << row;
        continue;
      }
      std::vector<std::int32_t> rivals;
      append_rivals(strip(), scan_, row, rivals);
      ASSERT_NE(std::find(rivals.begin(), rivals.end(), right), rivals.end()) << "row " << row;
      set_label(strip(), scan_, row, right);
    }
    EXPECT_EQ(scan_.moves.size(), static_cast<std::size_t>(n_rows_));
  }

  // After scan(), which rounded the rows; of groups that take rounded rows.
  void expect_two_nearest() {
    if (groups_.takes_floats()) return;
    StripScan two(groups_.n_groups(), scan_.strip_rows);
    find_two_nearest(strip(), two);
    for (std::int32_t row = 0; row < n_rows_; ++row) {
      std::vector<std::int32_t> rivals;
      append_rivals(strip(), two, row, rivals);
      for (const std::int32_t right : {expected_.label[static_cast<std::size_t>(row)], expected_.second[static_cast<std::size_t>(row)]})
        EXPECT_TRUE(right < 0 || std::find(rivals.begin(), rivals.end(), right) != rivals.end()) << "row " << row;
    }
  }

  // Against distances in double.
  void expect_bounds() { groups_.keeps_slack() ? expect_slack() : expect_upper_and_lower(); }
  void expect_slack() {
    for (std::int64_t row = 0; row < n_rows_; ++row) {
      const auto slack = static_cast<double>(std::bit_cast<float>(label_[static_cast<std::size_t>(row)] & ~kPlaceBits));
      EXPECT_TRUE(slack >= 0 && slack < 0x1p64);
      const std::int32_t own = bounds().label_of(row);
      for (std::int32_t center = 0; center < groups_.n_centers(); ++center) {
        if (center == own) continue;
        ASSERT_GE(distance(row, center) - distance(row, own), slack) << "row " << row << ", center " << center;
      }
    }
  }
  void expect_upper_and_lower() const {
    for (std::int64_t row = 0; row < n_rows_; ++row) {
      const std::size_t i = static_cast<std::size_t>(row);
      EXPECT_LE(distance(row, label_[i]), static_cast<double>(upper_[i])) << "row " << row;
      for (std::int32_t place = 0; place < groups_.n_groups() * kGroupWidth; ++place) {
        const std::int32_t center = groups_.center()[place];
        if (center < 0 || center == label_[i]) continue;
        ASSERT_GE(distance(row, center),
                  static_cast<double>(lower_[static_cast<std::size_t>(place / kGroupWidth * std::ssize(label_) + row)]))
            << "row " << row << ", center " << center;
      }
    }
  }

  double distance(std::int64_t row, std::int32_t center) const {
    const std::size_t d = static_cast<std::size_t>(n_columns_);
    return std::sqrt(reference::squared_distance(x_.data() + static_cast<std::size_t>(row) * d,
                                                 expected_.centers.data() + static_cast<std::size_t>(center) * d, d)) *
           static_cast<double>(units_.scale);
  }
  std::int64_t n_ambiguous() const { return static_cast<std::int64_t>(scan_.ambiguous.size()); }
  StripScan& result() { return scan_; }
  // What a scan writes, bit for bit.
  void expect_same(const Scene& other) const {
    const auto same = [](const float* a, const float* b, std::size_t n) { return std::memcmp(a, b, n * sizeof(float)) == 0; };
    ASSERT_EQ(scan_.scanned, other.scan_.scanned);
    for (const std::int32_t g : scan_.scanned) {
      EXPECT_TRUE(same(scan_.lowest_of(g), other.scan_.lowest_of(g), scan_.doubtful.size()));
      EXPECT_TRUE(same(scan_.next_of(g), other.scan_.next_of(g), scan_.doubtful.size()));
    }
    EXPECT_TRUE(same(upper_.data(), other.upper_.data(), upper_.size()) && same(lower_.data(), other.lower_.data(), lower_.size()));
    EXPECT_EQ(label_, other.label_);
    EXPECT_EQ(scan_.n_scans, other.scan_.n_scans);
    EXPECT_TRUE(std::ranges::equal(scan_.ambiguous.items(), other.scan_.ambiguous.items()));
  }
  CenterGroups& groups() { return groups_; }

 private:
  std::vector<float> x_;
  std::int32_t n_columns_;
  std::int64_t n_rows_;
  Units units_;
  reference::KMeans expected_;
  CenterGroups groups_;
  std::vector<float> center_drift_, group_drift_, length_, lost_, upper_, lower_;
  std::vector<std::int32_t> pairs_, label_;  // or slack
  StripScan scan_;
};

Scene make_scene(const Case& c, const MatrixUnit* unit = nullptr) {
  std::vector<double> values = testing::blobs(c.n_rows + c.n_clusters, c.n_columns, 5, c.separation, 7);
  for (double& value : values) value = (value + c.offset) * c.scale;
  std::vector<float> x = testing::on_grid(values, c.n_columns).x;
  const auto first_center = x.begin() + static_cast<std::ptrdiff_t>(c.n_rows) * c.n_columns;
  std::vector<float> centers(first_center, x.end());
  x.erase(first_center, x.end());
  return {x, c.n_columns, std::move(centers), unit};
}

class GroupScan : public ::testing::TestWithParam<Case> {};

TEST_P(GroupScan, NamesTheDefinedCenterOrLeavesItAmongTheRivals) {
  testing::for_each_instruction_set([&] {
    Scene scene = make_scene(GetParam());
    scene.scan();
    EXPECT_LE(scene.n_ambiguous(), GetParam().n_rows / 20);
    scene.expect_two_nearest();
    scene.expect_right_answers();
    scene.expect_bounds();
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, GroupScan,
                         ::testing::Values(Case{1, 1, 1, 1, 0, 1}, Case{256, 1, 3, 4, 0, 1}, Case{255, 2, 7, 1, 0, 1},
                                           Case{97, 5, 8, 1, 0, 1}, Case{200, 13, 9, 1, 0, 1}, Case{256, 16, 16, 0.3, 0, 1},
                                           Case{100, 128, 16, 0.3, 0, 1}, Case{100, 129, 5, 0.3, 0, 1}, Case{133, 33, 65, 1, 0, 1},
                                           Case{256, 130, 100, 0.5, 0, 1}, Case{256, 7, 300, 2, 0, 1}, Case{1024, 16, 8, 0.3, 0, 1},
                                           Case{1021, 16, 33, 0.3, 0, 1}, Case{2048, 1, 2, 1, 0, 1}, Case{130, 32, 16, 0.3, 0, 1},
                                           Case{77, 19, 3, 1, 0, 1}, Case{100, 31, 16, 0.3, 0, 1}, Case{100, 33, 16, 0.3, 0, 1},
                                           Case{90, 512, 40, 0.3, 0, 1}, Case{90, 513, 40, 0.3, 0, 1}, Case{100, 33, 17, 0.3, 0, 1}));
INSTANTIATE_TEST_SUITE_P(OffsetsAndScales, GroupScan,
                         ::testing::Values(Case{200, 6, 20, 1, 1e4, 1}, Case{200, 6, 20, 1, 0, 1e-30}, Case{200, 6, 20, 1, -30, 1e30},
                                           Case{200, 6, 9, 1, 1e4, 1}, Case{200, 6, 9, 1, 0, 1e-30}, Case{200, 6, 9, 1, -30, 1e30}));

TEST(GroupScanTies, StayOpen) {
  testing::for_each_instruction_set([] {
    Scene scene({0, 0, 5, 5, 1, 0}, 2, {9, 9, 1, 0, 0, 1, -1, 0, 1, 0});
    scene.scan();
    EXPECT_EQ(scene.n_ambiguous(), 2);  // the second row has a nearest center
    scene.expect_right_answers();
  });
}

TEST(GroupScanTies, OfManyEqualCentersAllAreRivals) {
  testing::for_each_instruction_set([] {
    Scene scene({0, 3, 3, 3}, 1, std::vector<float>(40, 3.0f));
    scene.scan();
    std::vector<std::int32_t> rivals;
    append_rivals(scene.strip(), scene.result(), 1, rivals);
    EXPECT_EQ(rivals.size(), 40u);
    scene.expect_two_nearest();
    scene.expect_right_answers();
  });
}

// A few rows so far from the others that their 16 bits, or even float32 squares, tell nothing.
TEST(GroupScanRange, RowsFarOutAreLeftToTheDefinition) {
  testing::for_each_instruction_set([] {
    std::vector<float> x(300, 0.25f);
    x[3] = 1e30f;
    x[5] = -3e38f;
    x[7] = 1e-38f;
    x[9] = 0.5f;
    Scene scene(x, 3, {0, 0, 0, 0.5f, 0.5f, 0, 1e14f, 0, 0, 0.25f, 0, 0.25f});
    ASSERT_TRUE(scene.groups().usable());
    scene.scan();
    scene.expect_two_nearest();
    scene.expect_right_answers();
    scene.expect_bounds();
  });
}

// A row that lost all beside a group of far centers that is not full: the places without a center must not hide them.
TEST(GroupScanRange, RowsAndCentersFarOutMeet) {
  std::vector<float> x, centers;
  for (int i = 0; i < 300; ++i) x.push_back(0.125f * static_cast<float>(i % 7));
  x[4] = 1e28f;
  for (int k = 0; k < 9; ++k) centers.insert(centers.end(), {1e13f, 1e10f * static_cast<float>(k), 0});
  testing::for_each_instruction_set([&] {
    Scene scene(x, 3, centers);
    ASSERT_TRUE(scene.groups().usable());
    scene.scan();
    scene.expect_two_nearest();
    scene.expect_right_answers();
  });
}

// A center of its own for a row far out must not blur the others.
TEST(GroupScanRange, OneFarCenterLeavesTheOthersCertain) {
  std::vector<double> values = testing::blobs(256 + 20, 4, 5, 3, 7);
  for (std::size_t j = 0; j < 4; ++j) values[j] = 1e7;
  std::vector<float> x(values.begin(), values.end());
  std::vector<float> centers(x.end() - 20 * 4, x.end());
  centers.insert(centers.end(), x.begin(), x.begin() + 4);
  x.resize(256 * 4);
  testing::for_each_instruction_set([&] {
    Scene scene(x, 4, centers);
    scene.scan();
    EXPECT_LE(scene.n_ambiguous(), 5);
    scene.expect_two_nearest();
    scene.expect_right_answers();
    scene.expect_bounds();
  });
}

TEST(GroupScanRange, CentersBeyondReachAreSaidToBe) {
  const std::vector<float> x = {1, 2, 3, 4};
  const Units units = units_of(x.data(), 4, 1);
  EXPECT_FALSE(CenterGroups(std::vector<float>{0, 3e38f}, std::vector<std::int32_t>{0, 1}, units).usable());
  EXPECT_TRUE(CenterGroups(std::vector<float>{0, 3e12f}, std::vector<std::int32_t>{0, 1}, units).usable());
}

// Whole strips, few rows, and rows here and there.
TEST(GroupScanByMatrixUnit, FindsWhatVectorsFindBitForBit) {
  std::vector<const MatrixUnit*> units = {&kUnitOf<testing::EmulatedAmx>};
  if (matrix_unit() != nullptr) units.push_back(matrix_unit());
  std::int64_t n_scans = 0, n_gathered = 0;
  const auto compare = [&](Scene by_vectors, Scene by_unit) {
    const auto both = [&](const auto& act) {
      for (Scene* scene : {&by_vectors, &by_unit}) act(*scene);
      by_vectors.expect_same(by_unit);
    };
    both([](Scene& scene) { scene.scan(); });
    n_scans += by_unit.result().n_scans;
    both([](Scene& scene) { scene.spoil_bounds(), scene.scan_again(); });
    n_gathered += by_unit.result().n_scans;
    both([](Scene& scene) { scene.spoil_cells(), scene.spoil_bounds(), scene.scan_again(); });
  };
  for (const std::int32_t n_columns : {1, 31, 32, 33, 64, 65, 200})
    for (const std::int32_t n_clusters : {17, 33, 64, 100})
      for (const std::int64_t n_rows : {1, 5, 20, 100, 256})
        for (const MatrixUnit* unit : units) {
          SCOPED_TRACE(::testing::Message() << n_rows << " rows, " << n_columns << " columns, " << n_clusters << " clusters");
          const Case c{n_rows, n_columns, n_clusters, 1, 0, 1};
          const Scene by_vectors = make_scene(c), by_unit = make_scene(c, unit);
          testing::for_each_instruction_set([&] { compare(by_vectors, by_unit); });
        }
  EXPECT_GT(n_gathered, n_scans / 4);
  EXPECT_LT(n_gathered, n_scans);
}

// With bounds from a scan and nothing moved, only rows that were ambiguous are scanned again.
TEST(StripRows, AreFewerTheMoreARowTakesAndDivideABlock) {
  for (const std::int32_t n_columns : {1, 16, 64, 1000}) {
    std::int64_t fewer_groups = kBlockRows;
    for (const std::int32_t n_groups : {1, 4, 63, 1000}) {
      const std::int64_t rows = choose_strip_rows(n_groups, n_columns);
      EXPECT_GE(rows, kLeastStripRows);
      EXPECT_LE(rows, fewer_groups);
      EXPECT_EQ(kBlockRows % rows, 0);
      fewer_groups = rows;
    }
  }
  EXPECT_GT(choose_strip_rows(1, 16), choose_strip_rows(1, 128));
  EXPECT_EQ(choose_strip_rows(1000, 1000), kLeastStripRows);
}

TEST(GroupScanBounds, StandWhileNothingMoves) {
  Scene scene = make_scene({256, 9, 60, 3, 0, 1});
  scene.scan();
  scene.expect_right_answers();
  const std::int64_t open = scene.n_ambiguous();
  find_doubtful(scene.strip(), scene.result());
  EXPECT_LE(static_cast<std::int64_t>(scene.result().doubtful.size()), open);
}

TEST(OrderByProximity, IsAPermutationThatKeepsNeighboursTogether) {
  std::vector<float> centers;  // 64 centers around 4 places, dealt out in turn
  for (int k = 0; k < 64; ++k) centers.insert(centers.end(), {static_cast<float>(100 * (k % 4)), static_cast<float>(k)});
  const std::vector<std::int32_t> order = order_by_proximity(centers, 64, 2);
  std::vector<std::int32_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (std::int32_t k = 0; k < 64; ++k) EXPECT_EQ(sorted[static_cast<std::size_t>(k)], k);
  for (std::size_t place = 0; place < 64; ++place) EXPECT_EQ(order[place] % 4, order[place / kGroupWidth * kGroupWidth] % 4);
}

}  // namespace
}  // namespace coterie::nearest
