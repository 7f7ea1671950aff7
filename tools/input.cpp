#include "tools/input.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "io/named_columns.hpp"
#include "tools/suggest.hpp"

namespace coterie::tools {

void throw_unknown(const char* option, const std::string& name, const std::vector<std::string>& known, const std::string& where) {
  throw ArgumentError(
      fmt::format("{} {}: {} has no such column.{} `coterie inspect` lists them.", option, name, where, did_you_mean(name, known)));
}

namespace {

Weights read_weights(const io::FeatureFile& file, const std::string& column, const std::vector<double>& weights) {
  try {
    return quantise_weights(weights);
  } catch (const ContentsError& error) {
    throw ContentsError(
        fmt::format("file '{}', column '{}': {}. Nothing was written.", file.path().filename().string(), column, error.what()));
  }
}

bool is_text(const io::FeatureFile& file, const std::string& obs_column) {
  const auto& obs = file.obs();
  return std::any_of(obs.begin(), obs.end(), [&](const io::ObsColumn& c) { return c.name == obs_column && c.is_category; });
}

// The level that counts as 1, or "".
std::string yes_of(const std::optional<io::Categories>& categories) {
  return categories && categories->levels.size() == 2 ? io::affirmative(categories->levels) : "";
}

void refuse_two_roles(const InputOptions& options) {
  std::map<std::string, std::string> roles;  // by column
  for (const auto& [option, names] :
       {std::pair{"--active", &options.active}, {"--profile", &options.profile}, {"--ignore", &options.ignore}})
    for (const std::string& name : *names)
      if (const auto [first, is_new] = roles.emplace(name, option); !is_new && first->second != option)
        throw ArgumentError(fmt::format("The column {} is named by {} and by {}. Name it once.", name, first->second, option));
}

}  // namespace

Input::Input(Session& session, const InputOptions& options, const std::string& model_where)
    : context_(session.context()),
      file_(io::FeatureFile::open(options.path, options.layout)),
      where_(options.where),
      allows_sensitive_(options.allow_sensitive) {
  columns_ = file_->columns();
  roles_ = file_->roles();
  settle_column_roles(options);
  settle_obs_roles(options);
  if (!options.allow_sensitive) bar_sensitive(session);
  check_ids(session, options.unique_ids);
  raw_ = file_->tiles(session.context());
  session.progress().set_row_bytes(std::int64_t{raw_->n_columns()} * (raw_->is_wide() ? 8 : 4));
  if (const Conditions conditions{model_where, options.where}; !conditions.empty()) {
    selection_.emplace(select_rows(session, *file_, *raw_, conditions));
    selected_ = selected(session.context(), *raw_, *selection_);
  }
  if (!roles_.weight.empty()) weights_ = read_weights(*file_, roles_.weight, numbers(roles_.weight));
}

std::vector<double> Input::numbers(const std::string& obs_column) const {
  std::vector<double> numbers = file_->numbers(obs_column);
  if (selection_) selection_->compact(numbers);
  return numbers;
}

io::Categories Input::categories(const std::string& obs_column) const {
  io::Categories categories = file_->categories(obs_column, &context_);
  if (selection_) selection_->compact(categories.codes);
  return categories;
}

std::optional<io::Categories> Input::few_categories(const std::string& obs_column, std::size_t most) const {
  std::optional<io::Categories> categories = file_->few_categories(obs_column, most, &context_);
  if (selection_ && categories) selection_->compact(categories->codes);
  return categories;
}

std::vector<std::int32_t> Input::level_codes(const std::string& obs_column, const std::vector<std::string>& levels) const {
  std::vector<std::int32_t> codes = file_->level_codes(obs_column, levels, &context_);
  if (selection_) selection_->compact(codes);
  return codes;
}

std::optional<std::vector<double>> Input::outcome(const std::string& obs_column) const {
  if (!is_text(*file_, obs_column)) return numbers(obs_column);
  const std::optional<io::Categories> categories = few_categories(obs_column, 2);
  const std::string yes = yes_of(categories);
  if (yes.empty()) return std::nullopt;
  std::vector<double> outcome;
  for (const std::int32_t code : categories->codes)
    outcome.push_back(code < 0                                                    ? std::numeric_limits<double>::quiet_NaN()
                      : categories->levels[static_cast<std::size_t>(code)] == yes ? 1
                                                                                  : 0);
  return outcome;
}

void Input::check_ids(Session& session, bool must_be_unique) {
  constexpr std::int64_t kBytesPerId = 16;  // of the search, which a tight budget does without
  if (!has_ids()) return;
  if (!must_be_unique && file_->n_rows() * kBytesPerId > session.context().memory().available())
    return session.warn("ids were not searched for repeats: that needs more --memory");
  repeated_ids_ = io::count_duplicate_ids(*file_, session.context());
  if (repeated_ids_ == 0) return;
  const std::string message = fmt::format("file '{}', ids {}: {} of {} rows repeat the id of an earlier row", file_->path().string(),
                                          file_->id_name(), repeated_ids_, file_->n_rows());
  if (must_be_unique) throw ContentsError(message + ". Nothing was written. Remove them, or leave --unique-ids out.");
  session.warn(message);
}

void Input::settle_column_roles(const InputOptions& options) {
  refuse_two_roles(options);
  for (const std::string& name : options.active) column(name, "--active");
  if (!options.active.empty()) {  // then only these are active
    for (io::FeatureColumn& other : columns_)
      if (other.role == io::Role::active) other.role = io::Role::profile;
  }
  for (const std::string& name : options.active) column(name, "--active").role = io::Role::active;
  for (const std::string& name : options.profile) set_role(name, "--profile", io::Role::profile);
  for (const std::string& name : options.ignore) set_role(name, "--ignore", io::Role::ignore);
}

// Whether a name is "text=level" of a level that the text has.
bool Input::has_level(const std::string& text, const std::string& name) const {
  if (!name.starts_with(text + "=")) return false;
  const std::vector<std::string> levels = file_->categories(text, &context_).levels;
  return std::find(levels.begin(), levels.end(), name.substr(text.size() + 1)) != levels.end();
}

// Of a column of X, of all levels of a text in X, of a text beside X, or of one of its levels.
void Input::set_role(const std::string& name, const char* option, io::Role role) {
  const auto is_named = [&](const auto& column) { return column.name == name; };
  if (std::any_of(columns_.begin(), columns_.end(), is_named)) return void(column(name, option).role = role);
  bool found = false;
  for (io::FeatureColumn& of_text : columns_) {
    if (of_text.onehot_of != name && !of_text.name.starts_with(name + "=")) continue;
    of_text.role = role;
    found = true;
  }
  for (const io::ObsColumn& text : file_->obs()) {
    if (!text.is_category || (text.name != name && !has_level(text.name, name))) continue;
    text_roles_[name] = role;
    found = true;
  }
  if (!found) column(name, option).role = role;
}

io::Role Input::text_role(const std::string& name) const {
  const auto found = text_roles_.find(name);
  return found == text_roles_.end() ? io::Role::active : found->second;
}

void Input::bar_sensitive(Session& session) {
  std::vector<std::string> barred;
  for (io::FeatureColumn& column : columns_) {
    if (!column.sensitive || column.role != io::Role::active) continue;
    column.role = io::Role::profile;
    barred.push_back(column.name);
  }
  if (!barred.empty())
    session.warn(
        fmt::format("sensitive columns only describe here and drive nothing (--allow-sensitive lets them): {}", fmt::join(barred, ", ")));
}

void Input::settle_obs_roles(const InputOptions& options) {
  if (options.weight) roles_.weight = *options.weight;
  if (options.value) roles_.value = *options.value;
  if (!options.outcomes.empty()) roles_.outcomes = options.outcomes;
  if (!roles_.weight.empty()) require_obs(roles_.weight, "--weight");
  if (!roles_.value.empty()) require_obs(roles_.value, "--value");
  for (const std::string& name : roles_.outcomes) require_obs(name, "--outcome");
  for (const std::string& name : options.outcomes) require_yes(name);
}

// Of an outcome that is asked for. Those of the file may have more levels, which are described one by one.
void Input::require_yes(const std::string& outcome) const {
  if (!is_text(*file_, outcome)) return;
  const std::optional<io::Categories> categories = file_->few_categories(outcome, 2, &context_);
  if (!yes_of(categories).empty()) return;
  const bool has_two = categories && categories->levels.size() == 2;
  const std::string problem = fmt::format(
      "--outcome {0}: file '{1}', column '{0}' is text {2}. Nothing was written. Name a column of 0 and 1: `coterie import` "
      "makes one with --outcome {0}=LEVEL",
      outcome, file_->path().filename().string(),
      has_two ? "of two levels, neither of which says yes" : "and has no two levels of which one says yes");
  if (has_two) throw ArgumentError(problem);
  throw ContentsError(problem);
}

io::FeatureColumn& Input::column(const std::string& name, const char* option) {
  const auto found = std::find_if(columns_.begin(), columns_.end(), [&](const io::FeatureColumn& c) { return c.name == name; });
  if (found != columns_.end()) return *found;
  std::vector<std::string> known;
  for (const io::FeatureColumn& c : columns_) known.push_back(c.name);
  throw_unknown(option, name, known, fmt::format("the matrix of file '{}'", file_->path().string()));
}

void Input::refuse_misshapen(const std::string& name, const char* option) const {
  if (const auto shape = file_->misshapen(name))
    throw ContentsError(
        fmt::format("{0} {1}: file '{2}', dataset '{1}' has the shape {3}, and the matrix has {4} rows; it takes one cell "
                    "for every row. Nothing was written.",
                    option, name, file_->path().filename().string(), *shape, file_->n_rows()));
}

void Input::require_obs(const std::string& name, const char* option) const {
  refuse_misshapen(name, option);
  std::vector<std::string> known;
  for (const io::ObsColumn& c : file_->obs()) known.push_back(c.name);
  if (!contains(known, name)) throw_unknown(option, name, known, fmt::format("obs of file '{}'", file_->path().string()));
}

io::IdFormat id_format(const io::FeatureFile& file) { return {file.id_name(), file.has_integer_ids(), file.longest_id()}; }

io::Cells IdCells::cells() const {
  return std::visit([](const auto& ids) -> io::Cells { return std::span(ids); }, ids_);
}

}  // namespace coterie::tools
