// The first sweep over raw columns: exact counts, extremes, first bad cells, and a random sample of rows.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "host/error.hpp"
#include "host/merge.hpp"
#include "host/passes.hpp"
#include "host/random.hpp"
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

// Rows whose key is at most this are offered to the sample: eight standard deviations more than it holds, so it fills,
// and the workers' samples together stay about as large as the merged one.
std::uint64_t sample_threshold(std::int64_t capacity, std::int64_t n_rows) {
  const double offered = static_cast<double>(capacity) + 8.0 * std::sqrt(static_cast<double>(capacity));
  const double share = offered / static_cast<double>(std::max<std::int64_t>(n_rows, 1));
  return share < 1 ? static_cast<std::uint64_t>(share * 0x1p64) : std::numeric_limits<std::uint64_t>::max();
}

struct Counts {
  std::int64_t missing = 0, infinite = 0, zero = 0, negative = 0, fractional = 0;
};

Counts count(std::span<const double> cells) {
  Counts counts;
  for (const double x : cells) {
    const double size = magnitude(x);
    const double whole = (size + 0x1p52) - 0x1p52;  // from 2^52 on every double is whole
    counts.missing += size != size;
    counts.infinite += size > kLargestCell;
    counts.zero += size == 0;
    counts.negative += (x < 0) & (size <= kLargestCell);
    counts.fractional += (size < 0x1p52) & (whole != size);
  }
  return counts;
}

struct Extremes {
  double min = std::numeric_limits<double>::infinity();
  double max = -min;
};

Extremes extremes(std::span<const double> cells) {
  Extremes found;
  for (const double x : cells) {
    const bool usable = magnitude(x) <= kLargestCell;
    found.min = usable && x < found.min ? x : found.min;
    found.max = usable && x > found.max ? x : found.max;
  }
  return found;
}

class SurveyPass {
 public:
  SurveyPass(Context& context, std::int64_t n_rows, const TileSource& raw, std::vector<char> active)
      : context_(context), n_columns_(raw.n_columns()), active_(std::move(active)), all_columns_(static_cast<std::size_t>(n_columns_)) {
    std::iota(all_columns_.begin(), all_columns_.end(), 0);
    const std::int64_t capacity = sample_rows(n_rows, n_columns_);
    threshold_ = sample_threshold(capacity, n_rows);
    floats_per_cell_ = raw.is_wide() ? 2 : 1;
    for (int worker = 0; worker < context.threads(); ++worker) workers_.push_back(empty_survey(capacity));
  }

  void begin(int) {}

  void accumulate(const Tile& tile) {
    const std::int64_t blocks = (tile.n_rows + kBlockRows - 1) / kBlockRows;
    context_.parallel_for(blocks, [&](std::int64_t block, int worker) {
      const std::int64_t first = block * kBlockRows, last = std::min<std::int64_t>(first + kBlockRows, tile.n_rows);
      ColumnSurvey& survey = workers_[static_cast<std::size_t>(worker)];
      for_each_strip(tile, first, last, all_columns_, [&](std::size_t column, std::int64_t row, std::span<const double> strip) {
        add_strip(survey, column, tile.first_row + row, strip);
      });
      sample_rows_of(tile, first, last, survey.sample);
      survey.n_rows += last - first;
    });
  }

  ColumnSurvey finish() { return merge_workers(std::move(workers_)); }

 private:
  ColumnSurvey empty_survey(std::int64_t capacity) const {
    const auto columns = static_cast<std::size_t>(n_columns_);
    const std::vector<std::int64_t> none(columns);
    const Extremes nothing;
    return {.missing = none,
            .infinite = none,
            .zero = none,
            .negative = none,
            .fractional = none,
            .min = std::vector<double>(columns, nothing.min),
            .max = std::vector<double>(columns, nothing.max),
            .sample = FirstRows(capacity, n_columns_ * floats_per_cell_),
            .first_missing = FirstRows(kFirstCells, 0),
            .first_infinite = FirstRows(kFirstCells, 0),
            .sample_memory = {}};
  }

  void add_strip(ColumnSurvey& survey, std::size_t column, std::int64_t row, std::span<const double> strip) const {
    const Counts counts = count(strip);
    survey.missing[column] += counts.missing;
    survey.infinite[column] += counts.infinite;
    survey.zero[column] += counts.zero;
    survey.negative[column] += counts.negative;
    survey.fractional[column] += counts.fractional;
    const Extremes found = extremes(strip);
    survey.min[column] = std::min(survey.min[column], found.min + 0.0);  // + 0.0 folds -0.0 into 0.0
    survey.max[column] = std::max(survey.max[column], found.max + 0.0);
    if (active_[column] == 0) return;
    if (counts.missing > 0) offer_cells(survey.first_missing, column, row, strip, [](double x) { return x != x; });
    if (counts.infinite > 0) offer_cells(survey.first_infinite, column, row, strip, [](double x) { return magnitude(x) > kLargestCell; });
  }

  template <class IsBad>
  void offer_cells(FirstRows& cells, std::size_t column, std::int64_t row, std::span<const double> strip, IsBad is_bad) const {
    for (std::size_t i = 0; i < strip.size(); ++i, ++row) {
      const auto key = static_cast<std::uint64_t>(row) * static_cast<std::uint64_t>(n_columns_) + column;
      if (!cells.wants(key, row)) return;  // nor any later row
      if (is_bad(strip[i])) cells.offer(key, row, nullptr);
    }
  }

  void sample_rows_of(const Tile& tile, std::int64_t first, std::int64_t last, FirstRows& sample) const {
    std::vector<float> bytes(static_cast<std::size_t>(sample.n_values()));  // one row; FirstRows copies floats bit by bit
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t global_row = tile.first_row + row;
      const std::uint64_t key = random_bits(context_.seed(), Purpose::survey_sample, static_cast<std::uint64_t>(global_row));
      if (key > threshold_) continue;
      visit_cells(tile, [&](const auto* cells) { std::memcpy(bytes.data(), cells + row * tile.n_columns, bytes.size() * sizeof(float)); });
      sample.offer(key, global_row, bytes.data());
    }
  }

  Context& context_;
  std::int32_t n_columns_;
  std::vector<char> active_;               // (n_columns)
  std::vector<std::int32_t> all_columns_;  // (n_columns) 0, 1, ...
  std::int32_t floats_per_cell_ = 1;
  std::uint64_t threshold_ = 0;
  std::vector<ColumnSurvey> workers_;
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

double ColumnSurvey::sampled_cell(std::int64_t i, std::int32_t column) const {
  const std::span<const float> row = sample.values(i);
  const bool wide = row.size() > min.size();
  if (!wide) return row[static_cast<std::size_t>(column)];
  double value = 0;
  std::memcpy(&value, row.data() + 2 * column, sizeof value);
  return value;
}

std::vector<double> ColumnSurvey::sampled(std::int32_t column) const {
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(sample.size()));
  for (std::int64_t i = 0; i < sample.size(); ++i) {
    const double value = sampled_cell(i, column);
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
