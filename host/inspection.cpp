#include "host/inspection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/column_names.hpp"
#include "host/column_plan.hpp"
#include "host/near_duplicates.hpp"

namespace coterie {
namespace {

constexpr double kSpikeShare = 0.2;    // of the rows; every fifth customer in one place bends means and covariances
constexpr double kMissingShare = 0.3;  // where the automatic transform gives up a column (column_plan.hpp)

struct Spike {
  double value = 0;
  std::int64_t rows = 0;
};

// The most frequent of sorted values; the smallest of several.
Spike most_frequent(const std::vector<double>& values) {
  Spike most;
  for (std::size_t first = 0, last = 0; first < values.size(); first = last) {
    while (last < values.size() && values[last] == values[first]) ++last;
    if (static_cast<std::int64_t>(last - first) > most.rows) most = {values[first], static_cast<std::int64_t>(last - first)};
  }
  return most;
}

class Verdict {
 public:
  Verdict(const ColumnSurvey& survey, std::int32_t source, const RawColumn& column)
      : survey_(survey), j_(static_cast<std::size_t>(source)) {
    health_.name = column.name;
    health_.active = column.active;
    sample_ = survey.sampled(source);
    std::sort(sample_.begin(), sample_.end());
    count();
    health_.type = type();
    find_spike();
    health_.looks_like_code =
        health_.type == ValueType::whole && health_.min >= 0 && (is_code_name(column.name) || id_rank(column.name) > 0);
    if (column.active) plan(source);
  }

  ColumnHealth finish(const NearDuplicate* duplicate, const std::vector<RawColumn>& columns) && {
    if (duplicate != nullptr) {
      health_.near_duplicate_of = duplicate->of;
      health_.correlation = duplicate->correlation;
      twin_ = columns[static_cast<std::size_t>(duplicate->of)].name;
    }
    advise();
    return std::move(health_);
  }

 private:
  std::int64_t known() const { return survey_.n_rows - health_.missing; }
  double share_of_rows(std::int64_t rows) const { return static_cast<double>(rows) / static_cast<double>(survey_.n_rows); }

  void count() {
    health_.missing = survey_.missing[j_];
    health_.infinite = survey_.infinite[j_];
    health_.zero = survey_.zero[j_];
    health_.negative = survey_.negative[j_];
    const bool any = known() > health_.infinite;
    const double none = std::numeric_limits<double>::quiet_NaN();
    health_.min = any ? survey_.min[j_] : none;
    health_.max = any ? survey_.max[j_] : none;
    health_.median = sample_.empty() ? none : sample_[(sample_.size() - 1) / 2];
  }

  ValueType type() const {
    if (known() == health_.infinite) return ValueType::empty;
    if (health_.min == health_.max) return ValueType::constant;
    const auto is_extreme = [&](double x) { return x == health_.min || x == health_.max; };
    const bool both = !sample_.empty() && sample_.front() < sample_.back();
    if (both && std::all_of(sample_.begin(), sample_.end(), is_extreme)) return ValueType::two_valued;
    return survey_.fractional[j_] == 0 ? ValueType::whole : ValueType::real;
  }

  void find_spike() {
    if (health_.type != ValueType::whole && health_.type != ValueType::real) return;
    const Spike spike = most_frequent(sample_);
    const double share = static_cast<double>(spike.rows) / static_cast<double>(survey_.sample.size());
    if (share <= kSpikeShare) return;
    health_.spike = spike.value;
    health_.spike_share = share;
  }

  void plan(std::int32_t source) {
    const ColumnPlan plan = plan_column(survey_, source, TransformKind::automatic, MissingPolicy::median, false);
    health_.transform = plan.note.decision;
    if (plan.dropped || plan.column.answered) return;
    health_.heavy_tail = plan.column.log1p || !plan.standardise;
    health_.outliers = std::isfinite(plan.column.lower) || std::isfinite(plan.column.upper);
  }

  void find(std::string clause) { health_.findings.push_back(std::move(clause)); }
  void find(std::string clause, Advice advice) {
    find(std::move(clause));
    if (health_.active) health_.advice = std::max(health_.advice, advice);
  }

  void advise() {
    if (health_.infinite > 0) find(fmt::format("{} infinite cells: correct them", health_.infinite), Advice::ignore);
    if (health_.type == ValueType::empty) return find("no known value", Advice::ignore);
    if (health_.looks_like_code) find("looks like a code, not an amount", Advice::ignore);
    if (health_.type == ValueType::constant && health_.missing == 0) find("constant", Advice::ignore);
    if (!twin_.empty()) find(fmt::format("follows {} (correlation {:.4f})", twin_, health_.correlation), Advice::ignore);
    const double missing = share_of_rows(health_.missing);
    if (missing > kMissingShare) {
      find(fmt::format("{:.1f} % missing", 100 * missing), Advice::profile);
    } else if (health_.missing > 0) {
      find(fmt::format("{:.2g} % missing", 100 * missing));
    }
    if (health_.spike_share > 0) find(fmt::format("{:.0f} % of the rows share one value", 100 * health_.spike_share));
    if (health_.heavy_tail) find("heavy tail");
    if (health_.outliers) find("extreme values");
  }

  const ColumnSurvey& survey_;
  std::size_t j_;
  std::vector<double> sample_;  // known, finite, ascending
  std::string twin_;
  ColumnHealth health_;
};

std::vector<std::int32_t> active_columns(const std::vector<RawColumn>& columns) {
  std::vector<std::int32_t> active;
  for (std::size_t j = 0; j < columns.size(); ++j)
    if (columns[j].active) active.push_back(static_cast<std::int32_t>(j));
  return active;
}

}  // namespace

Inspection inspect(Context& context, TileSource& raw, const std::vector<RawColumn>& columns) {
  ColumnSurvey survey = survey_columns(context, raw, columns);
  survey.sample.sort();
  const std::vector<std::int32_t> active = active_columns(columns);
  const std::vector<NearDuplicate> duplicates = find_near_duplicates(context, survey, active);
  Inspection inspection;
  inspection.n_rows = survey.n_rows;
  inspection.sampled_rows = survey.sample.size();
  inspection.columns.resize(columns.size());
  context.parallel_for(static_cast<std::int64_t>(columns.size()), [&](std::int64_t column, int) {
    const auto j = static_cast<std::size_t>(column);
    const auto source = static_cast<std::int32_t>(column);
    const auto twin = std::find_if(duplicates.begin(), duplicates.end(), [&](const NearDuplicate& pair) { return pair.column == source; });
    inspection.columns[j] = Verdict(survey, source, columns[j]).finish(twin == duplicates.end() ? nullptr : &*twin, columns);
  });
  inspection.repeated_rows = count_repeated_rows(context, raw);
  inspection.resident_bytes = survey.n_rows * static_cast<std::int64_t>(active.size() * sizeof(float));
  inspection.fits_memory = inspection.resident_bytes <= context.memory().available();
  return inspection;
}

}  // namespace coterie
