#include "tools/propensity_rows.hpp"

#include <fmt/format.h>

namespace coterie::tools {

namespace {

// A third of the average customer's odds, and three times.
constexpr float kLowBelow = 25, kHighFrom = 75;

constexpr std::int32_t kMiddlePercentile = kPercentiles / 2;

}  // namespace

std::vector<Reason> reasons_of(const std::vector<std::string>& features) {
  std::vector<Reason> reasons;
  for (const std::string& feature : features)
    for (const char* direction : {"raises", "lowers"}) reasons.push_back({feature, direction});
  return reasons;
}

void PropensityRows::Scratch::resize(std::size_t n_rows) {
  probability.resize(n_rows);
  score.resize(n_rows);
  for (auto* codes : {&band, &percentile, &decile}) codes->resize(n_rows);
  for (auto& codes : reason) codes.resize(n_rows);
  for (auto& values : contribution) values.resize(n_rows);
}

PropensityRows::PropensityRows(const io::PropensityModels& models) : models_(models) {
  for (const io::StoredTarget& target : models.targets)
    if (target.events >= target.min_events) targets_.push_back(&target);
  scratch_.resize(targets_.size());
}

std::vector<const logistic_regression::Model*> PropensityRows::fits() const {
  std::vector<const logistic_regression::Model*> fits;
  for (const io::StoredTarget* target : targets_) fits.push_back(&target->model);
  return fits;
}

std::vector<io::RowColumn> PropensityRows::columns() const {
  std::vector<io::RowColumn> columns;
  std::vector<std::string> reasons;
  for (const Reason& reason : reasons_of(models_.transform.names)) reasons.push_back(reason.label());
  for (const io::StoredTarget* target : targets_) {
    const auto add = [&](const std::string& suffix, io::CellType type, std::vector<std::string> categories, bool in_table) {
      const std::string name = target->name + "_" + suffix;
      columns.push_back({.name = name, .type = type, .categories = std::move(categories), .table_name = in_table ? name : ""});
    };
    add("probability", io::CellType::float64, {}, true);
    add("score", io::CellType::float32, {}, true);
    add("band", io::CellType::int32, {"low", "medium", "high"}, true);
    add("percentile", io::CellType::int32, {}, true);
    add("decile", io::CellType::int32, {}, true);
    for (std::int32_t r = 1; r <= kReasons; ++r) {
      add(fmt::format("reason{}", r), io::CellType::int32, reasons, false);
      add(fmt::format("reason{}_contribution", r), io::CellType::float32, {}, false);
    }
  }
  return columns;
}

void PropensityRows::fill(const logistic_regression::Prediction& prediction, std::size_t t, std::size_t first, std::size_t last) {
  const io::StoredTarget& target = *targets_[t];
  Scratch& out = scratch_[t];
  const double base = calibration::log_odds(target.base_rate);
  const bool is_flat = target.calibrator.is_flat();
  for (std::size_t row = first; row < last; ++row) {
    const std::size_t cell = row * targets_.size() + t;
    const double log_odds = prediction.log_odds[cell];
    out.probability[row] = target.calibrator.probability(log_odds);
    out.score[row] = static_cast<float>(100 * calibration::logistic(target.calibrator.log_odds(log_odds) - base));
    out.band[row] = out.score[row] < kLowBelow ? 0 : (out.score[row] < kHighFrom ? 1 : 2);
    out.percentile[row] = is_flat ? kMiddlePercentile : percentile(target.percentile_cuts, log_odds);
    out.decile[row] = 1 + (kPercentiles - out.percentile[row]) / 10;
    for (std::size_t r = 0; r < kReasons; ++r) {
      const double contribution = prediction.reason_contribution[cell * kReasons + r];
      const std::int32_t feature = prediction.reason[cell * kReasons + r];
      out.reason[r][row] = feature < 0 || contribution == 0 ? -1 : 2 * feature + (contribution < 0 ? 1 : 0);
      out.contribution[r][row] = static_cast<float>(contribution);
    }
  }
}

std::vector<io::Cells> PropensityRows::cells(Context& context, const logistic_regression::Prediction& prediction) {
  const std::size_t n_rows = prediction.log_odds.size() / targets_.size();
  for (Scratch& of_target : scratch_) of_target.resize(n_rows);
  context.parallel_stretches(static_cast<std::int64_t>(n_rows), kBlockRows, [&](std::int64_t first, std::int64_t last) {
    for (std::size_t t = 0; t < targets_.size(); ++t) fill(prediction, t, static_cast<std::size_t>(first), static_cast<std::size_t>(last));
  });
  std::vector<io::Cells> cells;
  for (const Scratch& of : scratch_) {
    cells.insert(cells.end(),
                 {std::span<const double>(of.probability), std::span<const float>(of.score), std::span<const std::int32_t>(of.band),
                  std::span<const std::int32_t>(of.percentile), std::span<const std::int32_t>(of.decile)});
    for (std::size_t r = 0; r < kReasons; ++r) {
      cells.emplace_back(std::span<const std::int32_t>(of.reason[r]));
      cells.emplace_back(std::span<const float>(of.contribution[r]));
    }
  }
  return cells;
}

}  // namespace coterie::tools
