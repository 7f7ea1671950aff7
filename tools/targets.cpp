#include "tools/targets.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "host/random.hpp"
#include "io/named_columns.hpp"
#include "tools/description.hpp"
#include "tools/suggest.hpp"

namespace coterie::tools {

namespace {

struct Wanted {
  std::string name, level;  // level "" where none is named
};

std::vector<std::string> known_columns(const Input& input) {
  std::vector<std::string> names;
  for (const io::ObsColumn& column : input.file().obs()) names.push_back(column.name);
  for (const io::FeatureColumn& column : input.columns()) names.push_back(column.name);
  return names;
}

// A column may have an equals sign in its name.
Wanted parse(const std::string& text, const std::vector<std::string>& known) {
  if (contains(known, text)) return {text, ""};
  const auto equals = text.find('=');
  Wanted wanted{text.substr(0, equals), equals == std::string::npos ? "" : text.substr(equals + 1)};
  if (contains(known, wanted.name)) return wanted;
  throw_unknown("--target", wanted.name, known, "the file");
}

[[noreturn]] void refuse(const Input& input, const std::string& name, const std::string& what) {
  throw ContentsError(fmt::format("file '{}', column '{}': {}. Nothing was written.", input.file().path().filename().string(), name, what));
}

std::vector<double> matrix_column(Session& session, Input& input, std::size_t column) {
  TileSource& raw = input.raw();
  std::vector<double> values(static_cast<std::size_t>(raw.n_rows()));
  raw.rewind();
  while (const Tile* tile = raw.next())
    visit_cells(*tile, [&](const auto* x) {
      double* const to = values.data() + (tile->first_row - raw.first_row());
      session.context().parallel_stretches(tile->n_rows, kBlockRows, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row)
          to[row] = static_cast<double>(x[row * tile->n_columns + static_cast<std::int64_t>(column)]);
      });
    });
  return values;
}

// The distinct known numbers, ascending, at most `most` of them.
std::vector<double> distinct(const std::vector<double>& values, std::size_t most) {
  std::vector<double> found;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    const auto at = std::lower_bound(found.begin(), found.end(), value);
    if (at == found.end() || *at != value) found.insert(at, value);
    if (found.size() == most) break;
  }
  return found;
}

bool is_float(double value) { return static_cast<double>(static_cast<float>(value)) == value; }

// As it was written before the file held it: 0.7, where the file has the float32 next to it.
std::string shortest(double value) { return is_float(value) ? fmt::format("{}", static_cast<float>(value)) : fmt::format("{}", value); }
std::string joined(const std::vector<double>& values) {
  std::vector<std::string> texts;
  std::transform(values.begin(), values.end(), std::back_inserter(texts), shortest);
  return fmt::format("{}", fmt::join(texts, " and "));
}
bool is_written(double value, std::string_view text) {
  double number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || stop != text.data() + text.size()) return false;
  return number == value || (is_float(value) && static_cast<double>(static_cast<float>(number)) == value);
}

using Coded = std::function<std::int8_t(std::size_t row)>;

Coded coded_numbers(const Input& input, const Wanted& wanted, std::vector<double> values, Target& target) {
  for (std::size_t row = 0; row < values.size(); ++row)
    if (std::isinf(values[row])) refuse(input, wanted.name, fmt::format("the outcome is infinite at row {}", row));
  const std::vector<double> known = distinct(values, 3);
  if (known.size() > 2)
    refuse(input, wanted.name, "a propensity needs an outcome of two values, and this column has three or more. Code it as 0 and 1");
  const auto is_whole = [](double value) { return value == std::trunc(value); };
  if (wanted.level.empty() && !std::all_of(known.begin(), known.end(), is_whole))
    refuse(input, wanted.name,
           fmt::format("an outcome is 0 or 1, and this column holds {}. Code it, or name what counts as 1: --target {}={}", joined(known),
                       wanted.name, shortest(known.back())));
  double positive = known.empty() ? 1 : known.back();
  if (!wanted.level.empty()) {
    const auto named = std::find_if(known.begin(), known.end(), [&](double value) { return is_written(value, wanted.level); });
    if (named == known.end())
      throw ArgumentError(fmt::format("--target {}={}: column '{}' of file '{}' holds {}. Name one of these.", wanted.name, wanted.level,
                                      wanted.name, input.file().path().filename().string(), joined(known)));
    positive = *named;
  } else if (known.size() == 1 && known.front() == 0) {
    positive = 1;  // nobody has it
  }
  target.positive = shortest(positive);
  return [values = std::move(values), positive](std::size_t row) {
    return std::isnan(values[row]) ? std::int8_t{-1} : static_cast<std::int8_t>(values[row] == positive);
  };
}

// Numbers beside X, which may have been text: then its level that became 1 can be named, and is told.
Coded coded_imported(const Input& input, Wanted wanted, Target& target) {
  const io::ObsRoles& roles = input.file().roles();
  const auto at = static_cast<std::size_t>(std::find(roles.outcomes.begin(), roles.outcomes.end(), wanted.name) - roles.outcomes.begin());
  const std::string imported = at < roles.positives.size() ? roles.positives[at] : "";
  if (!imported.empty() && wanted.level == imported) wanted.level = "1";
  Coded coded = coded_numbers(input, wanted, input.numbers(wanted.name), target);
  if (!imported.empty() && target.positive == "1") target.positive = imported;
  return coded;
}

std::string positive_level(const Input& input, const Wanted& wanted, const std::vector<std::string>& present) {
  if (!wanted.level.empty()) {
    if (contains(present, wanted.level)) return wanted.level;
    throw ArgumentError(
        fmt::format("--target {}={}: column '{}' of file '{}' does not have that level.{} `coterie inspect` lists its levels.", wanted.name,
                    wanted.level, wanted.name, input.file().path().filename().string(), did_you_mean(wanted.level, present)));
  }
  if (present.size() > kMostLevels) refuse(input, wanted.name, "this is free text, and a propensity needs an outcome of two levels");
  if (present.size() > 2)
    refuse(input, wanted.name,
           fmt::format("a propensity needs an outcome of two levels, and this column has {}. Name the one to predict: "
                       "--target {}=LEVEL",
                       present.size(), wanted.name));
  if (present.size() < 2) return present.empty() ? "" : present.front();
  std::string yes = io::affirmative(present);
  if (yes.empty())
    throw ArgumentError(fmt::format("--target {}: neither of its two levels says yes. Name the one that counts as 1: --target {}=LEVEL.",
                                    wanted.name, wanted.name));
  return yes;
}

Coded coded_levels(const Input& input, const Wanted& wanted, io::Categories categories, Target& target) {
  std::vector<bool> used(categories.levels.size());
  for (const std::int32_t code : categories.codes)
    if (code >= 0) used[static_cast<std::size_t>(code)] = true;
  std::vector<std::string> present;
  for (std::size_t level = 0; level < used.size(); ++level)
    if (used[level]) present.push_back(categories.levels[level]);
  target.positive = positive_level(input, wanted, present);
  const auto positive = std::find(categories.levels.begin(), categories.levels.end(), target.positive) - categories.levels.begin();
  return [codes = std::move(categories.codes), positive](std::size_t row) {
    return codes[row] < 0 ? std::int8_t{-1} : static_cast<std::int8_t>(codes[row] == positive);
  };
}

Coded coded(Session& session, Input& input, const Wanted& wanted, Target& target) {
  for (const io::ObsColumn& column : input.file().obs()) {
    if (column.name != wanted.name) continue;
    if (column.is_category) return coded_levels(input, wanted, input.categories(column.name), target);
    return coded_imported(input, wanted, target);
  }
  const auto& columns = input.columns();
  const auto at = std::find_if(columns.begin(), columns.end(), [&](const io::FeatureColumn& c) { return c.name == wanted.name; });
  return coded_numbers(input, wanted, matrix_column(session, input, static_cast<std::size_t>(at - columns.begin())), target);
}

void require_both_classes(const Input& input, const Target& target) {
  if (target.n_positive + target.n_negative == 0) refuse(input, target.name, "the outcome has no known value");
  if (target.n_positive == 0 || target.n_negative == 0)
    refuse(input, target.name,
           fmt::format("all {} known outcomes are of one class, so there is nothing to tell apart. Take a longer time in which customers "
                       "could act, more customers, or another --target",
                       target.n_positive + target.n_negative));
}

// What a customer's draws hang on, whatever the row.
std::uint64_t customer_key(const io::Ids& ids, std::size_t i) {
  if (const auto* numbers = std::get_if<std::vector<std::int64_t>>(&ids)) return static_cast<std::uint64_t>((*numbers)[i]);
  std::uint64_t key = 0;
  for (const char byte : std::get<std::vector<std::string>>(ids)[i]) key = mix64(key ^ static_cast<unsigned char>(byte));
  return key;
}

// (n_rows) whether a row is of level `train`, of a text beside X or of one that import put into X.
std::vector<bool> is_train(Session& session, Input& input, const std::string& column) {
  std::vector<bool> fitted;
  const auto& columns = input.columns();
  const auto in_matrix =
      std::find_if(columns.begin(), columns.end(), [&](const io::FeatureColumn& c) { return c.name == column + "=train"; });
  const auto& obs = input.file().obs();
  const bool is_beside = std::any_of(obs.begin(), obs.end(), [&](const io::ObsColumn& c) { return c.name == column; });
  if (!is_beside && in_matrix != columns.end()) {
    for (const double cell : matrix_column(session, input, static_cast<std::size_t>(in_matrix - columns.begin())))
      fitted.push_back(cell == 1);
    return fitted;
  }
  if (!is_beside) {
    std::vector<std::string> known;
    for (const io::ObsColumn& c : obs) known.push_back(c.name);
    for (const io::FeatureColumn& c : columns)
      if (c.name.ends_with("=train")) known.push_back(c.name.substr(0, c.name.rfind('=')));
    input.refuse_misshapen(column, "--split");
    throw_unknown("--split", column, known, fmt::format("file '{}'", input.file().path().string()));
  }
  const io::Categories split = input.categories(column);
  const auto train = std::find(split.levels.begin(), split.levels.end(), "train") - split.levels.begin();
  for (const std::int32_t code : split.codes) fitted.push_back(code == train);
  return fitted;
}

// (n_rows) whether the given split fits the row.
std::vector<bool> given_split(Session& session, Input& input, const std::string& column) {
  std::vector<bool> fitted = is_train(session, input, column);
  const auto n_fitted = std::count(fitted.begin(), fitted.end(), true);
  if (n_fitted == 0 || n_fitted == std::ssize(fitted))
    refuse(input, column, "a split needs rows of level `train` to fit on and others, such as `test`, to hold out");
  return fitted;
}

}  // namespace

Targets::Targets(Session& session, Input& input, const std::vector<std::string>& wanted, const std::string& positive) {
  const auto n_rows = static_cast<std::size_t>(input.n_rows());
  memory_ = session.context().memory().reserve("the outcomes", static_cast<std::int64_t>(n_rows * wanted.size()));
  outcomes_.resize(n_rows * wanted.size());
  const Reservation column_memory =
      session.context().memory().reserve("a column of outcomes", input.n_rows() * std::int64_t{sizeof(double)});
  const std::vector<std::string> known = known_columns(input);
  for (std::size_t t = 0; t < wanted.size(); ++t) {
    input.refuse_misshapen(wanted[t].substr(0, wanted[t].find('=')), "--target");
    Wanted column = parse(wanted[t], known);
    if (column.level.empty()) column.level = positive;
    if (std::any_of(targets_.begin(), targets_.end(), [&](const Target& other) { return other.name == column.name; }))
      throw ArgumentError(fmt::format("--target {}: the column is named twice.", column.name));
    Target target{.name = column.name, .positive = {}};
    const Coded outcome = coded(session, input, column, target);
    for (std::size_t row = 0; row < n_rows; ++row) {
      const std::int8_t y = outcome(row);
      outcomes_[row * wanted.size() + t] = y;
      if (y >= 0) ++(y == 1 ? target.n_positive : target.n_negative);
    }
    require_both_classes(input, target);
    targets_.push_back(std::move(target));
  }
}

void Targets::require_events(std::int64_t min_events, const std::string& csv) const {
  std::int64_t most = 0;
  std::vector<std::string> counts;
  for (const Target& target : targets_) {
    most = std::max(most, target.events());
    counts.push_back(fmt::format("{} has {}", target.name, target.events()));
  }
  if (most >= min_events) return;
  throw PolicyError(fmt::format(
      "--csv {}: single customers are scored from {} customers of the rarer outcome on, and {}. Nothing was written. Leave --csv "
      "out for models and tables, or say --min-events {}.",
      csv, min_events, fmt::join(counts, ", "), most));
}

void find_split(Session& session, Input& input, SplitOptions& options) {
  static const std::string kSplit = "split";
  const auto& columns = input.columns();
  const auto& obs = input.file().obs();
  if (std::none_of(columns.begin(), columns.end(), [](const io::FeatureColumn& c) { return c.name == kSplit + "=train"; }) &&
      std::none_of(obs.begin(), obs.end(), [](const io::ObsColumn& c) { return c.name == kSplit && c.is_category; }))
    return;
  const std::vector<bool> fitted = is_train(session, input, kSplit);
  const auto n_fitted = std::count(fitted.begin(), fitted.end(), true);
  if (n_fitted == 0 || n_fitted == std::ssize(fitted)) return;
  options.found = kSplit;
  if (!options.column.empty() || options.holdout == 0) return;
  options.column = kSplit;
  session.say(
      fmt::format("Column split: {} customers of level train are fitted, the other {} judge. --split names another column, --holdout 0 "
                  "fits everybody.",
                  n_fitted, std::ssize(fitted) - n_fitted));
}

std::vector<std::int8_t> split_rows(Session& session, Input& input, const SplitOptions& options) {
  constexpr std::int64_t kRowsAtOnce = 1 << 16, kStretch = 1 << 12;
  constexpr std::uint64_t kHoldout = 0, kFold = 1;  // streams of draws
  Context& context = session.context();
  const std::int64_t n_rows = input.file().n_rows();
  const std::int32_t folds = std::max(options.folds, 1);
  const double holdout = options.column.empty() ? options.holdout : 0;
  std::vector<std::int8_t> fold(static_cast<std::size_t>(n_rows));
  for (std::int64_t first = 0; first < n_rows; first += kRowsAtOnce) {
    const io::Ids ids = input.file().ids(first, std::min(kRowsAtOnce, n_rows - first));
    context.parallel_stretches(std::min(kRowsAtOnce, n_rows - first), kStretch, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::uint64_t key = customer_key(ids, static_cast<std::size_t>(i));
        const auto uniform = [&](std::uint64_t stream) { return random_uniform(context.seed(), Purpose::split, key, stream); };
        fold[static_cast<std::size_t>(first + i)] =
            uniform(kHoldout) < holdout ? std::int8_t{-1} : static_cast<std::int8_t>(uniform(kFold) * folds);
      }
    });
  }
  if (const RowSelection* selection = input.selection()) selection->compact(fold);
  if (options.column.empty()) return fold;
  const std::vector<bool> fitted = given_split(session, input, options.column);
  for (std::size_t row = 0; row < fold.size(); ++row)
    if (!fitted[row]) fold[row] = -1;
  return fold;
}

}  // namespace coterie::tools
