#include "io/column_encoder.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/csv_cell.hpp"
#include "io/named_columns.hpp"

namespace coterie::io {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

}  // namespace

std::string obs_name(std::string name) {
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

ColumnEncoder::ColumnEncoder(const CsvTable& table, const ImportedColumn& column, std::size_t csv_column, std::int64_t first_x,
                             const ImportOptions& options)
    : table_(table),
      column_(column),
      csv_column_(csv_column),
      first_x_(first_x),
      decimal_(options.decimal),
      as_of_(as_of_day(options).value_or(0)) {
  if (column.use == ColumnUse::outcome && column.kind == ColumnKind::number) positive_number_ = *parse_number(column.positive, decimal_);
  if (const std::optional<RowColumn> beside = obs()) obs_type_ = beside->type;
}

std::vector<FeatureColumn> ColumnEncoder::features() const {
  if (!is_feature()) return {};
  const Role role = column_.use == ColumnUse::active ? Role::active : Role::profile;
  const auto named = [&](const std::string& name, const std::string& onehot_of = {}) {
    FeatureColumn feature;
    feature.name = name;
    feature.role = role;
    feature.onehot_of = onehot_of;
    feature.sensitive = column_.sensitive;
    feature.layer = column_.layer;
    return feature;
  };
  if (column_.kind == ColumnKind::date) return {named("days_since_" + column_.name)};
  if (column_.kind == ColumnKind::two_valued && affirmative(column_.levels).empty()) return {named(column_.name + "=" + column_.positive)};
  if (column_.kind != ColumnKind::category) return {named(column_.name)};
  std::vector<FeatureColumn> features;
  for (const std::string& text : column_.levels) features.push_back(named(column_.name + "=" + text, column_.name));
  return features;
}

std::optional<RowColumn> ColumnEncoder::obs() const {
  RowColumn column;
  column.name = obs_name(column_.name);
  if (column_.use == ColumnUse::id) {
    column.type = column_.is_integer ? CellType::int64 : CellType::text;
    column.text_bytes = column_.is_integer ? 0 : column_.longest;
  } else if (column_.kind == ColumnKind::category && column_.use != ColumnUse::ignore && column_.positive.empty()) {
    column.type = CellType::int32;
    column.categories = column_.levels;
  } else if (is_feature() || column_.use == ColumnUse::ignore) {
    return std::nullopt;
  }
  return column;
}

std::int32_t ColumnEncoder::level(const CsvBatch& batch, std::int64_t row) const {
  const std::string_view cell = batch.cell(row, csv_column_);
  if (is_missing(cell)) return -1;
  const auto found = std::lower_bound(column_.levels.begin(), column_.levels.end(), cell);
  if (found == column_.levels.end() || *found != cell) table_.refuse_changed(batch);
  return static_cast<std::int32_t>(found - column_.levels.begin());
}

double ColumnEncoder::number(const CsvBatch& batch, std::int64_t row) const {
  const std::string_view cell = batch.cell(row, csv_column_);
  const double value = padded_number_or_nan(cell, decimal_);
  if (std::isnan(value) && !is_missing(cell)) table_.refuse_changed(batch);
  return value;
}

double ColumnEncoder::feature(const CsvBatch& batch, std::int64_t row) const {
  if (column_.kind == ColumnKind::number) return number(batch, row);
  const std::string_view cell = batch.cell(row, csv_column_);
  if (is_missing(cell)) return kMissing;
  if (column_.kind == ColumnKind::two_valued) return static_cast<double>(cell == column_.positive);
  const std::optional<std::int64_t> day = parse_date(cell);
  if (!day) table_.refuse_changed(batch);
  return static_cast<double>(as_of_ - *day);
}

double ColumnEncoder::outcome(const CsvBatch& batch, std::int64_t row) const {
  const std::string_view cell = batch.cell(row, csv_column_);
  if (is_missing(cell)) return kMissing;
  return column_.kind == ColumnKind::number ? static_cast<double>(number(batch, row) == positive_number_)
                                            : static_cast<double>(cell == column_.positive);
}

std::int64_t ColumnEncoder::integer_id(const CsvBatch& batch, std::int64_t row) const {
  const double id = number(batch, row);
  if (!(std::abs(id) < kIntegersBelow)) table_.refuse_changed(batch);
  return static_cast<std::int64_t>(id);
}

void ColumnEncoder::make_room(std::int64_t n_rows) {
  const auto resize = [&]<class Cell>(Cell) {
    if (!std::holds_alternative<std::vector<Cell>>(obs_)) obs_ = std::vector<Cell>();
    std::get<std::vector<Cell>>(obs_).resize(static_cast<std::size_t>(n_rows));
  };
  if (!obs_type_) return;
  switch (*obs_type_) {
    case CellType::int32: return resize(std::int32_t{});
    case CellType::int64: return resize(std::int64_t{});
    case CellType::text: return resize(std::string{});
    default: return resize(double{});
  }
}

template <class T>
void ColumnEncoder::encode(const CsvBatch& batch, std::int64_t first, std::int64_t last, std::int64_t at, T* x, std::int64_t n_columns) {
  if (obs_type_) encode_obs(batch, first, last, static_cast<std::size_t>(at));
  if (!is_feature()) return;
  for (std::int64_t row = first; row < last; ++row, ++at) {
    T* to = x + at * n_columns + first_x_;
    if (column_.kind != ColumnKind::category) {
      *to = static_cast<T>(feature(batch, row));
      continue;
    }
    const std::int32_t code = std::get<std::vector<std::int32_t>>(obs_)[static_cast<std::size_t>(at)];
    std::fill_n(to, column_.levels.size(), code < 0 ? static_cast<T>(kMissing) : T{0});
    if (code >= 0) to[code] = T{1};
  }
}

void ColumnEncoder::encode_obs(const CsvBatch& batch, std::int64_t first, std::int64_t last, std::size_t at) {
  const auto fill = [&](auto cell_of) {
    auto& cells = std::get<std::vector<decltype(cell_of(first))>>(obs_);
    for (std::int64_t row = first; row < last; ++row) cells[at++] = cell_of(row);
  };
  switch (*obs_type_) {
    case CellType::int32: return fill([&](std::int64_t row) { return level(batch, row); });
    case CellType::int64: return fill([&](std::int64_t row) { return integer_id(batch, row); });
    case CellType::text: return fill([&](std::int64_t row) { return std::string(batch.cell(row, csv_column_)); });
    default: return fill([&](std::int64_t row) { return column_.use == ColumnUse::outcome ? outcome(batch, row) : number(batch, row); });
  }
}

Cells ColumnEncoder::cells() const {
  return std::visit([](const auto& cells) -> Cells { return std::span(cells); }, obs_);
}

template void ColumnEncoder::encode(const CsvBatch& batch, std::int64_t first, std::int64_t last, std::int64_t at, float* x,
                                    std::int64_t n_columns);
template void ColumnEncoder::encode(const CsvBatch& batch, std::int64_t first, std::int64_t last, std::int64_t at, double* x,
                                    std::int64_t n_columns);

}  // namespace coterie::io
