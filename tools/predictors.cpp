#include "tools/predictors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "host/contains.hpp"
#include "host/evaluation.hpp"
#include "tools/description.hpp"

namespace coterie::tools {

namespace {

std::string indicator_name(const std::string& column, const std::string& level) { return column + "=" + level; }

constexpr std::int64_t kLeakRows = 20;

// Cells of one raw column in the sample as scores; missing cells below all others.
std::vector<double> sampled_scores(const ColumnSurvey& survey, std::int32_t column) {
  const double below = survey.min[static_cast<std::size_t>(column)] - 1;
  std::vector<double> scores;
  for (std::int64_t i = 0; i < survey.sample.size(); ++i) {
    const double cell = survey.sampled_cell(i, column);
    scores.push_back(std::isfinite(cell) ? cell : (std::isfinite(below) ? below : 0));
  }
  return scores;
}

// The rows in the order of their scores, which lie beside them while they are sorted.
std::vector<std::int32_t> ascending(const std::vector<double>& score) {
  struct Ranked {
    double score;
    std::int32_t row;
  };
  std::vector<Ranked> ranked;
  for (std::size_t i = 0; i < score.size(); ++i) ranked.push_back({score[i], static_cast<std::int32_t>(i)});
  std::sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) { return a.score < b.score; });
  std::vector<std::int32_t> rows;
  for (const Ranked& each : ranked) rows.push_back(each.row);
  return rows;
}

// Rows by class.
using ClassCounts = std::array<std::int64_t, 2>;

bool is_suspicious(const ClassCounts& beyond, const ClassCounts& all, std::size_t of) {
  constexpr double kParted = 0.9, kTail = 0.25, kOther = 0.01, kImpure = 0.05;
  const auto own = static_cast<double>(beyond[of]), other = static_cast<double>(beyond[1 - of]);
  const double share = own / static_cast<double>(all[of]), other_share = other / static_cast<double>(all[1 - of]);
  if (beyond[of] < kLeakRows) return false;
  return share - other_share >= kParted ||
         (share >= kTail && other_share <= kOther && other <= kImpure * own && all[of] <= 2 * all[1 - of]);
}

// `leak` with its widest suspicious cut, if there is one.
void find_cut(const std::vector<double>& score, std::span<const std::int8_t> outcome, std::span<const std::int32_t> order, Leak& leak) {
  const ClassCounts all = {std::count(outcome.begin(), outcome.end(), 0), std::count(outcome.begin(), outcome.end(), 1)};
  ClassCounts below = {0, 0};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto row = static_cast<std::size_t>(order[i]);
    if (outcome[row] >= 0) ++below[static_cast<std::size_t>(outcome[row])];
    if (i + 1 == order.size() || score[row] == score[static_cast<std::size_t>(order[i + 1])]) continue;
    for (const ClassCounts& beyond : {below, ClassCounts{all[0] - below[0], all[1] - below[1]}})
      for (const std::size_t of : {0u, 1u}) {
        if (!is_suspicious(beyond, all, of)) continue;
        const double share = static_cast<double>(beyond[of]) / static_cast<double>(all[of]);
        const double other_share = static_cast<double>(beyond[1 - of]) / static_cast<double>(all[1 - of]);
        if (share - other_share <= leak.share - leak.other_share) continue;
        leak.share = share;
        leak.other_share = other_share;
      }
  }
}

// (n_columns) the active ones, and of texts with an active level the level that was left out.
std::vector<bool> telling_columns(const Predictors& predictors, const std::vector<RawColumn>& columns) {
  std::set<std::string> texts;
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (columns[i].active) texts.insert(predictors.columns()[i].onehot_of);
  std::vector<bool> telling;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const io::FeatureColumn& column = predictors.columns()[i];
    telling.push_back(columns[i].active ||
                      (!column.onehot_of.empty() && column.role != io::Role::ignore && texts.contains(column.onehot_of)));
  }
  return telling;
}

}  // namespace

Predictors::Predictors(Session& session, Input& input, const std::vector<io::PredictorColumn>& wanted,
                       const std::vector<std::string>& excluded)
    : input_(input), columns_(input.columns()) {
  std::vector<std::string> in_matrix;
  for (const io::FeatureColumn& column : columns_) in_matrix.push_back(column.onehot_of.empty() ? column.name : column.onehot_of);
  for (const io::ObsColumn& column : input.file().obs()) {
    if (!column.is_category || contains(excluded, column.name)) continue;
    const bool is_wanted =
        std::any_of(wanted.begin(), wanted.end(), [&](const io::PredictorColumn& w) { return w.onehot_of == column.name; });
    const bool predicts = !contains(in_matrix, column.name) && input.text_role(column.name) == io::Role::active;
    if (predicts || is_wanted) add_category(column.name, wanted);
  }
  if (categories_.empty()) return;
  memory_ = session.context().memory().reserve("the levels of text columns", input.n_rows() * std::ssize(categories_));
  source_ = std::make_unique<IndicatorSource>(input.raw(), categories_);
}

void Predictors::add_category(const std::string& name, const std::vector<io::PredictorColumn>& wanted) {
  constexpr std::int8_t kOther = 127, kNobody = -2;  // a level beyond those that get a column; a level of no row
  std::set<std::string> wanted_levels;
  for (const io::PredictorColumn& column : wanted)
    if (column.onehot_of == name) wanted_levels.insert(column.level());
  std::optional<io::Categories> categories = input_.few_categories(name, kMostLevels);
  if (!categories) {
    std::vector<std::string> asked(wanted_levels.begin(), wanted_levels.end());
    if (asked.empty()) return;
    std::vector<std::int32_t> codes = input_.level_codes(name, asked);
    categories = io::Categories{std::move(asked), std::move(codes)};
  }
  std::map<std::string, std::int8_t> levels;  // code of each level that gets a column
  for (std::size_t level = 0; level < categories->levels.size(); ++level)
    levels[categories->levels[level]] = level < kOther ? static_cast<std::int8_t>(level) : kNobody;
  for (const std::string& level : wanted_levels) levels.try_emplace(level, kNobody);
  const auto known = [&](const std::string& column) {
    return std::any_of(columns_.begin(), columns_.end(), [&](const io::FeatureColumn& c) { return c.name == column; });
  };
  IndicatorColumns indicators;
  for (const auto& [level, code] : levels) {
    if (known(indicator_name(name, level))) continue;
    indicators.levels.push_back(code);
    const io::Role role = input_.text_role(indicator_name(name, level)) == io::Role::active ? io::Role::profile : io::Role::ignore;
    columns_.push_back({.name = indicator_name(name, level), .role = role, .layer = {}, .weight = {}, .onehot_of = name});
  }
  if (indicators.levels.empty()) return;
  for (const std::int32_t code : categories->codes) indicators.codes.push_back(code < kOther ? static_cast<std::int8_t>(code) : kOther);
  categories_.push_back(std::move(indicators));
}

std::set<std::string> barred_texts(const Predictors& predictors, bool only_active, const std::vector<std::string>& excluded) {
  std::set<std::string> barred;
  if (only_active || predictors.allows_sensitive()) return barred;
  for (const io::FeatureColumn& column : predictors.columns())
    if (column.sensitive && !column.onehot_of.empty() && column.role != io::Role::ignore && !contains(excluded, column.onehot_of))
      barred.insert(column.onehot_of);
  return barred;
}

std::vector<RawColumn> chosen_predictors(const Predictors& predictors, bool only_active, const std::vector<std::string>& excluded) {
  std::vector<RawColumn> chosen;
  std::map<std::string, std::vector<std::size_t>> indicators;  // by text column, in byte order of the levels
  std::map<std::string, bool> complete;
  for (const io::FeatureColumn& column : predictors.columns()) {
    const bool is_barred = column.sensitive && !predictors.allows_sensitive();
    const bool is_excluded = is_barred || contains(excluded, column.name) || contains(excluded, column.onehot_of);
    const bool is_used = column.role == io::Role::active || (!column.onehot_of.empty() && !only_active && column.role != io::Role::ignore);
    if (!column.onehot_of.empty()) {
      complete.try_emplace(column.onehot_of, true);
      if (is_used)
        indicators[column.onehot_of].push_back(chosen.size());
      else
        complete[column.onehot_of] = false;
    }
    chosen.push_back({column.name, is_used && !is_excluded});
  }
  for (const auto& [name, columns] : indicators) {
    if (!complete[name]) continue;  // what was left out is what the others are compared with
    const auto first = std::min_element(columns.begin(), columns.end(), [&](auto a, auto b) { return chosen[a].name < chosen[b].name; });
    chosen[*first].active = false;
  }
  return chosen;
}

std::vector<std::vector<Leak>> find_leaks(Context& context, const ColumnSurvey& survey, const Predictors& predictors,
                                          const std::vector<RawColumn>& columns, const Targets& targets) {
  const std::size_t n_targets = static_cast<std::size_t>(targets.size());
  std::vector<std::vector<std::int8_t>> outcomes(n_targets);  // by target; empty where a class has too few rows
  for (std::size_t t = 0; t < n_targets; ++t) {
    std::vector<std::int8_t>& outcome = outcomes[t];
    for (std::int64_t i = 0; i < survey.sample.size(); ++i)
      outcome.push_back(targets.outcome(static_cast<std::size_t>(survey.sample.row(i)), static_cast<std::int32_t>(t)));
    if (std::count(outcome.begin(), outcome.end(), 1) < kLeakRows || std::count(outcome.begin(), outcome.end(), 0) < kLeakRows)
      outcome.clear();
  }
  const std::vector<bool> telling = telling_columns(predictors, columns);
  std::vector<std::vector<Leak>> measured(n_targets);
  for (std::vector<Leak>& of_target : measured)
    for (const RawColumn& column : columns) of_target.push_back({column.name, 0.5});
  context.parallel_for(std::ssize(columns), [&](std::int64_t column, int) {
    if (!telling[static_cast<std::size_t>(column)]) return;
    const std::vector<double> score = sampled_scores(survey, static_cast<std::int32_t>(column));
    const std::vector<std::int32_t> order = ascending(score);
    for (std::size_t t = 0; t < n_targets; ++t) {
      if (outcomes[t].empty()) continue;
      Leak& leak = measured[t][static_cast<std::size_t>(column)];
      leak.auc = evaluation::area_under_roc(score, outcomes[t], order);
      find_cut(score, outcomes[t], order, leak);
    }
  });
  for (std::vector<Leak>& of_target : measured)
    std::erase_if(of_target, [](const Leak& leak) { return !leak.by_area() && leak.share == 0; });
  return measured;
}

}  // namespace coterie::tools
