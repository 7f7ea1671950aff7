// The first sweep over raw columns: exact counts, extremes, first bad cells, and a random sample of rows.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "host/error.hpp"
#include "host/merge.hpp"
#include "host/passes.hpp"
#include "host/per_worker.hpp"
#include "host/random.hpp"
#include "host/row_blocks.hpp"
#include "host/survey_cells.hpp"
#include "host/transform.hpp"
#include "host/transform_cells.hpp"

namespace coterie {
namespace {

// Enough to show a pattern, few enough to read.
constexpr std::int64_t kFirstCells = 5;

// About 2^22 cells (16 MiB of float32), but at least 2^14 rows, so that 16 lie beyond the 99.9 % quantile, and at most
// 2^17, where the median's standard error is 0.14 % of the ranks.
std::int64_t sample_rows(std::int64_t n_rows, std::int32_t n_columns) {
  constexpr std::int64_t kCells = std::int64_t{1} << 22, kLeast = std::int64_t{1} << 14, kMost = std::int64_t{1} << 17;
  return std::min(n_rows, std::clamp(kCells / n_columns, kLeast, kMost));
}

class SurveyPass {
 public:
  SurveyPass(Context& context, std::int64_t n_rows, const TileSource& raw, std::vector<char> active)
      : context_(context),
        n_columns_(raw.n_columns()),
        active_(std::move(active)),
        floats_per_cell_(raw.is_wide() ? 2 : 1),
        capacity_(sample_rows(n_rows, n_columns_)),
        threshold_(sample_threshold(capacity_, n_rows)) {}

  void begin(int) {
    workers_ = {context_, [this] { return empty_survey(); }};
  }

  void accumulate(const Tile& tile) {
    for_each_block(context_, tile.n_rows, [&](std::int64_t first, std::int64_t last, std::size_t worker) {
      ColumnSurvey& survey = workers_.of(worker);
      for (std::int64_t row = first; row < last; row += kStripRows) add_rows(survey, tile, row, std::min(kStripRows, last - row));
      sample_rows_of(tile, first, last, survey.sample);
      survey.n_rows += last - first;
    });
  }

  ColumnSurvey finish() { return merge_workers(std::move(workers_)); }

 private:
  ColumnSurvey empty_survey() const {
    const auto columns = static_cast<std::size_t>(n_columns_);
    const std::vector<std::int64_t> none(columns);
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    return {.missing = none,
            .infinite = none,
            .zero = none,
            .negative = none,
            .fractional = none,
            .min = std::vector<double>(columns, kInfinity),
            .max = std::vector<double>(columns, -kInfinity),
            .sample = FirstRows(capacity_, n_columns_ * floats_per_cell_),
            .first_missing = FirstRows(kFirstCells, 0),
            .first_infinite = FirstRows(kFirstCells, 0),
            .sample_memory = {}};
  }

  // Rows [row, row + n_rows) of the tile.
  void add_rows(ColumnSurvey& survey, const Tile& tile, std::int64_t row, std::int64_t n_rows) const {
    const auto n_columns = static_cast<std::size_t>(n_columns_);
    visit_cells(tile, [&](const auto* x) {
      CellCounts counts;
      for (std::size_t first = 0; first < n_columns; first += kSurveyColumns) {
        const auto* const cells = x + row * n_columns_ + first;
        const std::size_t n = std::min(kSurveyColumns, n_columns - first);
        survey_cells(cells, n_rows, n_columns_, n, counts);
        for (std::size_t i = 0; i < n; ++i) {
          add_column(survey, first + i, counts, i);
          if (active_[first + i] == 0) continue;
          const auto offer = [&](FirstRows& firsts, auto is_bad) {
            offer_cells(firsts, first + i, tile.first_row + row, n_rows, [&](std::int64_t r) { return is_bad(cells[r * n_columns_ + i]); });
          };
          if (counts.missing[i] > 0) offer(survey.first_missing, [](double cell) { return cell != cell; });
          if (counts.infinite[i] > 0) offer(survey.first_infinite, [](double cell) { return magnitude(cell) > kLargestCell; });
        }
      }
    });
  }

  static void add_column(ColumnSurvey& survey, std::size_t column, const CellCounts& counts, std::size_t i) {
    survey.missing[column] += counts.missing[i];
    survey.infinite[column] += counts.infinite[i];
    survey.zero[column] += counts.zero[i];
    survey.negative[column] += counts.negative[i];
    survey.fractional[column] += counts.fractional[i];
    survey.min[column] = std::min(survey.min[column], counts.min[i] + 0.0);  // + 0.0 folds -0.0 into 0.0
    survey.max[column] = std::max(survey.max[column], counts.max[i] + 0.0);
  }

  template <class IsBad>
  void offer_cells(FirstRows& cells, std::size_t column, std::int64_t row, std::int64_t n_rows, IsBad is_bad) const {
    for (std::int64_t i = 0; i < n_rows; ++i, ++row) {
      const auto key = static_cast<std::uint64_t>(row) * static_cast<std::uint64_t>(n_columns_) + column;
      if (!cells.wants(key, row)) return;  // nor any later row
      if (is_bad(i)) cells.offer(key, row, nullptr);
    }
  }

  void sample_rows_of(const Tile& tile, std::int64_t first, std::int64_t last, FirstRows& sample) const {
    std::vector<float> bytes(static_cast<std::size_t>(sample.n_values()));  // one row; FirstRows copies floats bit by bit
    const RandomStream keys(context_.seed(), Purpose::survey_sample);
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t global_row = tile.first_row + row;
      const std::uint64_t key = keys.bits(static_cast<std::uint64_t>(global_row));
      if (key > threshold_) continue;
      visit_cells(tile, [&](const auto* cells) { std::memcpy(bytes.data(), cells + row * tile.n_columns, bytes.size() * sizeof(float)); });
      sample.offer(key, global_row, bytes.data());
    }
  }

  Context& context_;
  std::int32_t n_columns_;
  std::vector<char> active_;  // (n_columns)
  std::int32_t floats_per_cell_;
  std::int64_t capacity_;  // of the sample
  std::uint64_t threshold_;
  PerWorker<ColumnSurvey> workers_;
};

std::vector<char> active_columns(const TileSource& raw, const std::vector<RawColumn>& columns) {
  std::vector<char> active(static_cast<std::size_t>(raw.n_columns()), 1);
  if (columns.empty()) return active;
  if (columns.size() != active.size())
    throw ArgumentError(fmt::format("{} columns are described, but the matrix has {}", columns.size(), active.size()));
  std::transform(columns.begin(), columns.end(), active.begin(), [](const RawColumn& column) { return column.active ? 1 : 0; });
  return active;
}

}  // namespace

void ColumnSurvey::for_each_field(FieldVisitor& visitor) {
  visitor.integers({&n_rows, 1}, Merge::sum);
  for (auto* counts : {&missing, &infinite, &zero, &negative, &fractional}) visitor.integers(*counts, Merge::sum);
  visitor.reals(min, Merge::min);
  visitor.reals(max, Merge::max);
  visitor.first_rows(sample);
  visitor.first_rows(first_missing);
  visitor.first_rows(first_infinite);
}

double ColumnSurvey::cell_of(std::span<const float> row, std::int32_t column) const {
  const bool wide = row.size() > min.size();
  if (!wide) return row[static_cast<std::size_t>(column)];
  double value = 0;
  std::memcpy(&value, row.data() + std::ptrdiff_t{2} * column, sizeof value);
  return value;
}

std::vector<double> ColumnSurvey::sampled(std::int32_t column) const {
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(sample.size()));
  for (std::int64_t slot = 0; slot < sample.size(); ++slot) {  // where they lie one after another
    const double value = cell_of(sample.stored(slot), column);
    if (magnitude(value) <= kLargestCell) values.push_back(value + 0.0);
  }
  return values;
}

ColumnSurvey survey_columns(Context& context, TileSource& raw, const std::vector<RawColumn>& columns) {
  std::int64_t n_rows = raw.n_rows();
  context.communicator().all_reduce(std::span(&n_rows, 1), Merge::sum);
  const std::int64_t row_bytes = raw.n_columns() * static_cast<std::int64_t>(raw.is_wide() ? sizeof(double) : sizeof(float));
  // Twice: the workers' samples and the merged one live at the same time.
  const std::int64_t sample_bytes = sample_rows(n_rows, raw.n_columns()) * row_bytes;
  Reservation merging = context.memory().reserve("merging the column sample", sample_bytes);
  Reservation sample = context.memory().reserve("the column sample", sample_bytes);
  SurveyPass pass(context, n_rows, raw, active_columns(raw, columns));
  ColumnSurvey survey = reduce_tiles(context, raw, pass, 0, "survey");
  survey.sample_memory = std::move(sample);
  return survey;
}

}  // namespace coterie
