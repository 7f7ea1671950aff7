#include "io/stored_column.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "host/error.hpp"
#include "io/cell_kind.hpp"
#include "io/dataset_guard.hpp"
#include "io/text_cells.hpp"

namespace coterie::io {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

struct Contents {  // what a dataset holds, when that is a column
  CellKind kind;
  std::int64_t n_rows;
};

std::optional<Contents> contents_of(const InputFile& file, const std::string& path) {
  if (!hdf5::is_dataset(file.id(), path)) return std::nullopt;
  const hdf5::Dataset dataset = hdf5::open_dataset(file.id(), path);
  const std::vector<hsize_t> shape = hdf5::shape_of(dataset);
  const CellKind kind = cell_kind(dataset);
  if (shape.size() > 1 || kind == CellKind::other) return std::nullopt;
  return Contents{kind, shape.empty() ? 1 : static_cast<std::int64_t>(shape[0])};
}

std::optional<StoredColumn> make_column(const InputFile& file, const std::string& path, StoredColumn::Form form, const std::string& cells,
                                        const std::string& companion) {
  const auto found = contents_of(file, cells);
  if (!found || (!companion.empty() && !contents_of(file, companion))) return std::nullopt;
  const bool is_text = form == StoredColumn::Form::categorical || found->kind == CellKind::text;
  if (form == StoredColumn::Form::numbers && is_text) form = StoredColumn::Form::text;
  return StoredColumn{name_of(path), form, cells, companion, found->n_rows, is_text};
}

// AnnData before 0.8 kept a categorical as a dataset of codes, and the categories in a group beside it.
std::optional<StoredColumn> find_dataset_column(const InputFile& file, const std::string& path) {
  const std::string categories = parent_of(path) + "/__categories/" + name_of(path);
  const bool legacy_categorical = hdf5::has_attribute(hdf5::open_dataset(file.id(), path).id(), "categories");
  if (legacy_categorical) return make_column(file, path, StoredColumn::Form::categorical, path, categories);
  return make_column(file, path, StoredColumn::Form::numbers, path, "");
}

std::optional<StoredColumn> find_group_column(const InputFile& file, const std::string& path) {
  if (hdf5::is_dataset(file.id(), path + "/codes"))
    return make_column(file, path, StoredColumn::Form::categorical, path + "/codes", path + "/categories");
  return make_column(file, path, StoredColumn::Form::nullable, path + "/values", path + "/mask");
}

[[noreturn]] void refuse(const InputFile& file, const std::string& dataset, const std::string& what) {
  throw ContentsError(fmt::format("file '{}', dataset '{}': {}; nothing was written", file.path().string(), dataset, what));
}

template <class T>
std::vector<T> read_cells(const InputFile& file, const std::string& path) {
  return hdf5::read_all<T>(open_guarded(file, path));
}

std::vector<std::string> read_texts(const InputFile& file, const std::string& path, std::int64_t n_rows) {
  std::vector<std::string> texts(static_cast<std::size_t>(n_rows));
  for_each_text(open_guarded(file, path), 0, n_rows,
                [&](std::int64_t row, std::optional<std::string_view> text) { texts[static_cast<std::size_t>(row)] = text.value_or(""); });
  return texts;
}

// Whether each row of a nullable column is missing.
std::vector<std::uint8_t> read_mask(const InputFile& file, const StoredColumn& column) {
  std::vector<std::uint8_t> mask = read_cells<std::uint8_t>(file, column.companion);
  if (static_cast<std::int64_t>(mask.size()) != column.n_rows)
    refuse(file, column.companion, fmt::format("{} rows, but '{}' has {}", mask.size(), column.cells, column.n_rows));
  return mask;
}

std::vector<std::int32_t> read_codes(const InputFile& file, const StoredColumn& column, std::size_t n_levels) {
  std::vector<std::int32_t> codes = read_cells<std::int32_t>(file, column.cells);
  const auto is_bad = [&](std::int32_t code) { return code < -1 || code >= static_cast<std::int64_t>(n_levels); };
  if (const auto bad = std::find_if(codes.begin(), codes.end(), is_bad); bad != codes.end())
    refuse(file, column.cells, fmt::format("the code in row {} names none of the {} categories", bad - codes.begin(), n_levels));
  return codes;
}

std::string format_number(CellKind kind, double value) {
  if (kind == CellKind::boolean) return value != 0 ? "True" : "False";
  return fmt::format("{}", value);  // the shortest text that reads back as the same number; whole numbers without a point
}

// The texts of a dataset of text or numbers.
std::vector<std::string> read_as_text(const InputFile& file, const std::string& path) {
  const hdf5::Dataset dataset = open_guarded(file, path);
  const CellKind kind = cell_kind(dataset);
  std::vector<std::string> texts;
  if (kind == CellKind::text) return read_texts(file, path, contents_of(file, path)->n_rows);
  if (kind == CellKind::int64) {  // beyond 2^53 a double would round them
    for (const std::int64_t value : hdf5::read_all<std::int64_t>(dataset)) texts.push_back(std::to_string(value));
    return texts;
  }
  for (const double value : hdf5::read_all<double>(dataset)) texts.push_back(format_number(kind, value));
  return texts;
}

// Gives codes in the order of first appearance, and at the end levels and codes in ascending order.
template <class T>
class Coder {
 public:
  void add(const T& value) { codes_.push_back(levels_.emplace(value, static_cast<std::int32_t>(levels_.size())).first->second); }
  void add_missing() { codes_.push_back(-1); }

  template <class Format>
  Categories finish(const Format& format) {
    Categories result;
    std::vector<std::int32_t> rank(levels_.size());
    for (const auto& [value, code] : levels_) {
      rank[static_cast<std::size_t>(code)] = static_cast<std::int32_t>(result.levels.size());
      result.levels.push_back(format(value));
    }
    for (std::int32_t& code : codes_)
      if (code >= 0) code = rank[static_cast<std::size_t>(code)];
    result.codes = std::move(codes_);
    return result;
  }

 private:
  std::map<T, std::int32_t, std::less<>> levels_;
  std::vector<std::int32_t> codes_;
};

Categories categorise_texts(const InputFile& file, const StoredColumn& column) {
  const std::vector<std::uint8_t> mask = column.companion.empty() ? std::vector<std::uint8_t>() : read_mask(file, column);
  Coder<std::string> coder;
  for_each_text(open_guarded(file, column.cells), 0, column.n_rows, [&](std::int64_t row, std::optional<std::string_view> text) {
    const bool missing = !text || (!mask.empty() && mask[static_cast<std::size_t>(row)] != 0);
    missing ? coder.add_missing() : coder.add(std::string(*text));
  });
  return coder.finish([](const std::string& text) { return text; });
}

Categories categorise_numbers(const InputFile& file, const StoredColumn& column) {
  const CellKind kind = cell_kind(open_guarded(file, column.cells));
  Coder<double> coder;
  for (const double value : read_numbers(file, column)) std::isnan(value) ? coder.add_missing() : coder.add(value);
  return coder.finish([kind](double value) { return format_number(kind, value); });
}

std::vector<double> read_numeric_categories(const InputFile& file, const StoredColumn& column) {
  const std::vector<double> levels = read_cells<double>(file, column.companion);
  const std::vector<std::int32_t> codes = read_codes(file, column, levels.size());
  std::vector<double> numbers(codes.size());
  std::transform(codes.begin(), codes.end(), numbers.begin(),
                 [&](std::int32_t code) { return code < 0 ? kNaN : levels[static_cast<std::size_t>(code)]; });
  return numbers;
}

}  // namespace

std::optional<StoredColumn> find_column(const InputFile& file, const std::string& path) {
  if (hdf5::is_dataset(file.id(), path)) return find_dataset_column(file, path);
  return hdf5::is_group(file.id(), path) ? find_group_column(file, path) : std::nullopt;
}

std::vector<double> read_numbers(const InputFile& file, const StoredColumn& column) {
  const std::string& values = column.form == StoredColumn::Form::categorical ? column.companion : column.cells;
  if (contents_of(file, values)->kind == CellKind::text) refuse(file, values, "the column holds text where numbers are wanted");
  if (column.form == StoredColumn::Form::categorical) return read_numeric_categories(file, column);
  std::vector<double> numbers = read_cells<double>(file, column.cells);
  if (column.form != StoredColumn::Form::nullable) return numbers;
  const std::vector<std::uint8_t> mask = read_mask(file, column);
  for (std::size_t row = 0; row < numbers.size(); ++row)
    if (mask[row] != 0) numbers[row] = kNaN;
  return numbers;
}

Categories read_categories(const InputFile& file, const StoredColumn& column) {
  if (column.form != StoredColumn::Form::categorical)
    return column.is_text ? categorise_texts(file, column) : categorise_numbers(file, column);
  Categories result;
  result.levels = read_as_text(file, column.companion);
  result.codes = read_codes(file, column, result.levels.size());
  return result;
}

std::vector<std::string> read_labels(const InputFile& file, const StoredColumn& column) {
  if (column.form == StoredColumn::Form::numbers || column.form == StoredColumn::Form::text) return read_as_text(file, column.cells);
  const Categories categories = read_categories(file, column);
  std::vector<std::string> labels(categories.codes.size());
  for (std::size_t row = 0; row < labels.size(); ++row)
    if (categories.codes[row] >= 0) labels[row] = categories.levels[static_cast<std::size_t>(categories.codes[row])];
  return labels;
}

void check_length(const InputFile& file, const StoredColumn& column, std::int64_t n_rows, const std::string& what) {
  if (column.n_rows != n_rows) refuse(file, column.cells, fmt::format("{} rows, but there are {} {}", column.n_rows, n_rows, what));
}

hdf5::Dataset open_guarded(const InputFile& file, const std::string& path) {
  hdf5::Dataset dataset = hdf5::open_dataset(file.id(), path);
  guard_dataset(dataset);
  return dataset;
}

}  // namespace coterie::io
