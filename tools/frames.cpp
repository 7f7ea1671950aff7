#include "tools/frames.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tools/table.hpp"

namespace coterie::tools {

namespace {

// A terminal line holds a table and one sentence; longer text is for the file.
constexpr std::size_t kWidestText = 120;

bool is_share(const std::string& name) {
  return name.ends_with("share") || name.ends_with("rate") || name.ends_with("probability") || name == "explained";
}

std::string text_of(const std::string& name, double value) { return is_share(name) ? percent(value) : short_number(value); }
std::string text_of(const std::string&, std::int64_t value) { return with_separators(value); }
std::string text_of(const std::string&, bool value) { return value ? "yes" : "no"; }
std::string text_of(const std::string&, const std::string& value) { return shortened(printable(value), kWidestText); }

template <class T>
std::vector<T> permuted(const std::vector<T>& values, const std::vector<std::size_t>& order) {
  std::vector<T> result;
  for (const std::size_t row : order) result.push_back(values[row]);
  return result;
}

nlohmann::ordered_json json_of(double value) { return std::isnan(value) ? nlohmann::ordered_json() : nlohmann::ordered_json(value); }
template <class T>
nlohmann::ordered_json json_of(const T& value) {
  return value;
}

}  // namespace

std::string frame_table(const io::DataFrame& frame) {
  Table table;
  if (!frame.index_name.empty()) table.add_column(printable(frame.index_name), Align::left);
  for (const auto& [name, column] : frame.columns)
    table.add_column(printable(name), std::holds_alternative<std::vector<std::string>>(column) ? Align::left : Align::right);
  for (std::size_t row = 0; row < frame.n_rows(); ++row) {
    std::vector<std::string> cells;
    if (!frame.index_name.empty()) cells.push_back(printable(frame.index[row]));
    for (const auto& [name, column] : frame.columns)
      cells.push_back(std::visit([&, &title = name](const auto& values) { return text_of(title, values[row]); }, column));
    table.add_row(std::move(cells));
  }
  return table.text();
}

io::DataFrame sorted_descending(const io::DataFrame& frame, const std::string& column) {
  const io::DataFrame::Column* keys = frame.find(column);
  if (keys == nullptr) return frame;
  std::vector<std::size_t> order(frame.n_rows());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::visit(
      [&](const auto& values) { std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return values[b] < values[a]; }); },
      *keys);
  io::DataFrame sorted{frame.index_name, frame.index_name.empty() ? frame.index : permuted(frame.index, order), {}};
  for (const auto& [name, values] : frame.columns)
    sorted.columns.emplace_back(name, std::visit([&](const auto& v) { return io::DataFrame::Column(permuted(v, order)); }, values));
  return sorted;
}

io::DataFrame selected(const io::DataFrame& frame, const std::vector<std::string>& names) {
  io::DataFrame result{frame.index_name, frame.index, {}};
  for (const std::string& name : names)
    if (const io::DataFrame::Column* column = frame.find(name)) result.columns.emplace_back(name, *column);
  return result;
}

nlohmann::ordered_json frame_json(const io::DataFrame& frame) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (std::size_t row = 0; row < frame.n_rows(); ++row) {
    nlohmann::ordered_json object;
    if (!frame.index_name.empty()) object[frame.index_name] = frame.index[row];
    for (const auto& [name, column] : frame.columns)
      object[name] = std::visit(
          [&](const auto& values) -> nlohmann::ordered_json {
            using Cell = typename std::decay_t<decltype(values)>::value_type;
            return json_of(static_cast<Cell>(values[row]));
          },
          column);
    rows.push_back(std::move(object));
  }
  return rows;
}

}  // namespace coterie::tools
