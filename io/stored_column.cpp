#include "io/stored_column.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

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
  return StoredColumn{name_of(path), form, cells, companion, found->n_rows, is_text, found->kind == CellKind::float32};
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

// Hands over n_rows texts, row by row, as long as f(row, text) wants more when some thousands are done.
template <class F>
void read_texts(const InputFile& file, const std::string& path, std::int64_t n_rows, Context* context, F&& f) {
  constexpr std::int64_t kRowsAtOnce = 1 << 14;
  const hdf5::Dataset dataset = open_guarded(file, path);
  bool more = true;
  for (std::int64_t first = 0; first < n_rows && more; first += kRowsAtOnce) {
    if (context != nullptr) context->check_cancelled();
    for_each_text(dataset, first, std::min(kRowsAtOnce, n_rows - first),
                  [&](std::int64_t row, std::optional<std::string_view> text) { more = f(row, text); });
  }
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

// Calls f(text) for every cell of a dataset of text or numbers.
template <class F>
void read_as_text(const InputFile& file, const std::string& path, Context* context, F&& f) {
  const hdf5::Dataset dataset = open_guarded(file, path);
  const CellKind kind = cell_kind(dataset);
  if (kind == CellKind::text)
    return read_texts(file, path, contents_of(file, path)->n_rows, context, [&](std::int64_t, std::optional<std::string_view> text) {
      f(text.value_or(""));
      return true;
    });
  if (kind == CellKind::int64) {  // beyond 2^53 a double would round them
    for (const std::int64_t value : hdf5::read_all<std::int64_t>(dataset)) f(std::to_string(value));
    return;
  }
  for (const double value : hdf5::read_all<double>(dataset)) f(format_number(kind, value));
}

// What the levels of a column take, in steps.
class LevelMemory {
 public:
  LevelMemory(Context* context, const std::string& column) : context_(context), column_(column) {}

  void add(std::size_t text_bytes) {
    constexpr std::int64_t kBytesPerLevel = 160;  // a node, its place in a table, what sorting takes, and the text that remains
    constexpr std::int64_t kStep = 1 << 16;
    bytes_ += kBytesPerLevel + static_cast<std::int64_t>(text_bytes);
    if (context_ == nullptr || bytes_ <= reserved_.bytes()) return;
    reserved_.release();
    reserved_ = context_->memory().reserve(fmt::format("the levels of column '{}'", column_), bytes_ + bytes_ / 8 + kStep);
  }
  Reservation take() { return std::move(reserved_); }

 private:
  Context* context_;
  const std::string& column_;
  std::int64_t bytes_ = 0;
  Reservation reserved_;
};

struct TextHash {
  using is_transparent = void;
  // Not noexcept: so every node keeps its hash, and a table that grows looks at no text.
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// Gives codes in the order of first appearance, and at the end levels and codes in ascending order.
template <class T, class Hash>
class Coder {
 public:
  Coder(const StoredColumn& column, std::size_t most, Context* context) : most_(most), memory_(context, column.name) {
    codes_.reserve(static_cast<std::size_t>(column.n_rows));
  }

  // False from the first level too many on.
  template <class View>
  bool add(const View& value) {
    auto found = levels_.find(value);
    if (found == levels_.end()) {
      if (levels_.size() == most_) too_many_ = true;
      if (too_many_) return false;
      if constexpr (std::is_same_v<T, std::string>) memory_.add(value.size());
      found = levels_.emplace(value, static_cast<std::int32_t>(levels_.size())).first;
    }
    codes_.push_back(found->second);
    return !too_many_;
  }
  bool add_missing() {
    codes_.push_back(-1);
    return !too_many_;
  }

  // format(T&) gives the text of a level. Nothing where there were too many.
  template <class Format>
  std::optional<Categories> finish(const Format& format) {
    if (too_many_) return std::nullopt;
    std::vector<typename Levels::node_type> nodes;
    nodes.reserve(levels_.size());
    while (!levels_.empty()) nodes.push_back(levels_.extract(levels_.begin()));
    std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a.key() < b.key(); });
    Categories result;
    std::vector<std::int32_t> rank(nodes.size());
    for (auto& node : nodes) {
      rank[static_cast<std::size_t>(node.mapped())] = static_cast<std::int32_t>(result.levels.size());
      result.levels.push_back(format(node.key()));
    }
    for (std::int32_t& code : codes_)
      if (code >= 0) code = rank[static_cast<std::size_t>(code)];
    result.codes = std::move(codes_);
    result.memory = memory_.take();
    return result;
  }

 private:
  using Levels = std::unordered_map<T, std::int32_t, Hash, std::equal_to<>>;
  Levels levels_;
  std::vector<std::int32_t> codes_;
  std::size_t most_;
  bool too_many_ = false;
  LevelMemory memory_;
};

// The cells of a column of texts, none where missing, as read_texts.
template <class F>
void read_text_column(const InputFile& file, const StoredColumn& column, Context* context, F&& f) {
  const std::vector<std::uint8_t> mask = column.companion.empty() ? std::vector<std::uint8_t>() : read_mask(file, column);
  read_texts(file, column.cells, column.n_rows, context, [&](std::int64_t row, std::optional<std::string_view> text) {
    return f(mask.empty() || mask[static_cast<std::size_t>(row)] == 0 ? text : std::nullopt);
  });
}

std::optional<Categories> categorise_texts(const InputFile& file, const StoredColumn& column, std::size_t most, Context* context) {
  Coder<std::string, TextHash> coder(column, most, context);
  read_text_column(file, column, context,
                   [&](std::optional<std::string_view> text) { return text ? coder.add(*text) : coder.add_missing(); });
  return coder.finish([](std::string& text) { return std::move(text); });
}

std::optional<Categories> categorise_numbers(const InputFile& file, const StoredColumn& column, std::size_t most, Context* context) {
  const CellKind kind = cell_kind(open_guarded(file, column.cells));
  Coder<double, std::hash<double>> coder(column, most, context);
  for (const double value : read_numbers(file, column)) std::isnan(value) ? coder.add_missing() : coder.add(value);
  return coder.finish([kind](double value) { return format_number(kind, value); });
}

std::optional<Categories> read_categorical(const InputFile& file, const StoredColumn& column, std::size_t most, Context* context) {
  if (static_cast<std::size_t>(contents_of(file, column.companion)->n_rows) > most) return std::nullopt;
  Categories result;
  LevelMemory memory(context, column.name);
  read_as_text(file, column.companion, context, [&](std::string_view level) {
    memory.add(level.size());
    result.levels.emplace_back(level);
  });
  result.codes = read_codes(file, column, result.levels.size());
  result.memory = memory.take();
  return result;
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

Categories read_categories(const InputFile& file, const StoredColumn& column, Context* context) {
  return *read_few_categories(file, column, std::numeric_limits<std::size_t>::max(), context);
}

std::optional<Categories> read_few_categories(const InputFile& file, const StoredColumn& column, std::size_t most, Context* context) {
  if (column.form == StoredColumn::Form::categorical) return read_categorical(file, column, most, context);
  return column.is_text ? categorise_texts(file, column, most, context) : categorise_numbers(file, column, most, context);
}

std::vector<std::int32_t> read_level_codes(const InputFile& file, const StoredColumn& column, const std::vector<std::string>& levels,
                                           Context* context) {
  if (!column.is_text) refuse(file, column.cells, "the column holds numbers where text is wanted");
  std::unordered_map<std::string_view, std::int32_t> known;
  for (const std::string& level : levels) known.emplace(level, static_cast<std::int32_t>(known.size()));
  const auto code_of = [&](std::string_view level) {
    const auto found = known.find(level);
    return found == known.end() ? static_cast<std::int32_t>(levels.size()) : found->second;
  };
  std::vector<std::int32_t> codes;
  if (column.form == StoredColumn::Form::categorical) {
    std::vector<std::int32_t> of_category;
    read_as_text(file, column.companion, context, [&](std::string_view level) { of_category.push_back(code_of(level)); });
    codes = read_codes(file, column, of_category.size());
    for (std::int32_t& code : codes)
      if (code >= 0) code = of_category[static_cast<std::size_t>(code)];
    return codes;
  }
  codes.reserve(static_cast<std::size_t>(column.n_rows));
  read_text_column(file, column, context, [&](std::optional<std::string_view> text) {
    codes.push_back(text ? code_of(*text) : -1);
    return true;
  });
  return codes;
}

std::vector<std::string> read_labels(const InputFile& file, const StoredColumn& column) {
  std::vector<std::string> labels;
  if (column.form == StoredColumn::Form::numbers || column.form == StoredColumn::Form::text) {
    read_as_text(file, column.cells, nullptr, [&](std::string_view label) { labels.emplace_back(label); });
    return labels;
  }
  const Categories categories = read_categories(file, column);
  labels.resize(categories.codes.size());
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
