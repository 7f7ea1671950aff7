#include "io/import_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "io/csv_cell.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

// The columns of a header for a message: the first few, then how many more.
std::string listed(const std::vector<std::string>& header) {
  constexpr std::size_t kMost = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(header.size(), kMost); ++i) text += (i == 0 ? "" : ", ") + shown(header[i]);
  if (header.size() > kMost) text += fmt::format(" and {} more", header.size() - kMost);
  return text;
}

class Parts {
 public:
  explicit Parts(const std::vector<std::string>& header) : header_(header) {}

  void play(const std::string& name, const std::string& option) {
    if (name.empty()) return;
    require(name, option);
    const auto [first, is_new] = options_.emplace(name, option);
    if (!is_new)
      throw ArgumentError(fmt::format("The column {} is named by {} and by {}. Name it once.", shown(name), first->second, option));
  }
  void require(const std::string& name, const std::string& option) const {
    if (contains(header_, name)) return;
    throw ArgumentError(
        fmt::format("{} names the column {}, which the file does not have. Its columns are {}.", option, shown(name), listed(header_)));
  }
  void play(const std::vector<std::string>& names, const std::string& option) {
    for (const std::string& name : names) play(name, option);
  }

 private:
  const std::vector<std::string>& header_;
  std::map<std::string, std::string> options_;  // by column
};

}  // namespace

std::optional<std::int64_t> as_of_day(const ImportOptions& options) {
  if (options.as_of.empty()) return std::nullopt;
  const std::optional<std::int64_t> day = options.as_of.size() == 10 ? parse_date(options.as_of) : std::nullopt;
  if (!day) throw ArgumentError("--as-of takes a day such as 2026-10-31.");
  return day;
}

void check(const ImportOptions& options, const std::vector<std::string>& header) {
  Parts parts(header);
  parts.play(options.id, "--id");
  parts.play(options.value, "--value");
  parts.play(options.weight, "--weight");
  for (const ImportOptions::Outcome& outcome : options.outcomes) parts.play(outcome.name, "--outcome");
  parts.play(options.active, "--active");
  parts.play(options.profile, "--profile");
  parts.play(options.ignore, "--ignore");
  std::map<std::string, std::string> layers;  // by column
  for (const auto& [layer, names] : options.layers)
    for (const std::string& name : names) {
      parts.require(name, "--layer");
      if (const auto [first, is_new] = layers.emplace(name, layer); !is_new)
        throw ArgumentError(
            fmt::format("--layer puts the column {} into {} and into {}. Name it once.", shown(name), shown(first->second), shown(layer)));
    }
  for (const std::string& name : options.sensitive) parts.require(name, "--sensitive");
  if (options.max_age >= 0 && (options.as_of.empty() || options.activity.empty()))
    throw ArgumentError(
        "--max-age counts days before --as-of and needs to know whose: name the column with the day of the last activity in --activity.");
  if (options.max_age < 0 && !options.activity.empty()) throw ArgumentError("--activity says nothing without --max-age.");
  if (!options.activity.empty()) parts.require(options.activity, "--activity");
  as_of_day(options);
  check_signs(options.delimiter, options.decimal);
}

void check_signs(char delimiter, char decimal) {
  if (decimal != '.' && decimal != ',') throw ArgumentError("--decimal takes . or , and nothing else.");
  if (decimal == delimiter)
    throw ArgumentError(fmt::format(
        "--decimal {0} --delimiter {0}: one character cannot be both. Leave --delimiter out, and it is found in the file.", decimal));
}

}  // namespace coterie::io
