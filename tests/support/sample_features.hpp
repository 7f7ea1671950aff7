// A small feature file with one of everything.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "io/feature_writer.hpp"

namespace coterie::testing {

struct SampleFeatures {
  bool is_wide = false;
  bool compressed = false;
  bool integer_ids = true;
};

inline io::FeatureFileLayout sample_layout(const SampleFeatures& sample) {
  io::FeatureFileLayout layout;
  layout.n_rows = 100'000;
  layout.is_wide = sample.is_wide;
  layout.compressed = sample.compressed;
  for (int i = 0; i < 12; ++i) {
    io::FeatureColumn column;
    column.name = "feature/" + std::to_string(i);
    column.role = i < 8 ? io::Role::active : i < 10 ? io::Role::profile : io::Role::ignore;
    column.layer = i < 4 ? "demographic" : "behavioural";
    if (i % 3 == 0) column.weight = 0.5 * i;
    if (i == 9) column.onehot_of = "region";
    layout.columns.push_back(column);
  }
  layout.obs = {{.name = "customer_id", .type = sample.integer_ids ? io::CellType::int64 : io::CellType::text, .text_bytes = 14},
                {.name = "plan", .type = io::CellType::int32, .categories = {"basic", "gold"}},
                {.name = "churned", .type = io::CellType::boolean},
                {.name = "revenue", .type = io::CellType::float64},
                {.name = "weight", .type = io::CellType::float32}};
  layout.roles = {.weight = "weight", .outcomes = {"churned"}, .value = "revenue", .treatment = "plan", .dates = {"churned", "revenue"}};
  return layout;
}

inline double feature_cell(std::int64_t row, std::int64_t column, bool is_wide) {
  const double value = static_cast<double>(row % 1000) / static_cast<double>(column + 3);
  return is_wide ? value : static_cast<float>(value);
}

template <class T>
void write_sample_rows(io::FeatureWriter& writer, const io::FeatureFileLayout& layout, std::int64_t first, std::int64_t n) {
  std::vector<T> x;
  std::vector<std::int64_t> numbers;
  std::vector<std::string> texts;
  std::vector<std::int32_t> plan;
  std::vector<std::uint8_t> churned;
  std::vector<double> revenue;
  std::vector<float> weight;
  for (std::int64_t row = first; row < first + n; ++row) {
    for (std::int64_t column = 0; column < std::ssize(layout.columns); ++column)
      x.push_back(static_cast<T>(feature_cell(row, column, layout.is_wide)));
    numbers.push_back(row - 3);
    texts.push_back((row % 2 == 0 ? "kunde-\xc3\xbc" : "k") + std::to_string(row));
    plan.push_back(row % 3 == 2 ? -1 : static_cast<std::int32_t>(row % 3));
    churned.push_back(row % 5 == 0 ? 1 : 0);
    revenue.push_back(static_cast<double>(row) / 3);
    weight.push_back(1.0f + static_cast<float>(row % 7));
  }
  const bool integer_ids = layout.obs.front().type == io::CellType::int64;
  const std::vector<io::Cells> obs = {
      integer_ids ? io::Cells(std::span<const std::int64_t>(numbers)) : io::Cells(std::span<const std::string>(texts)),
      std::span<const std::int32_t>(plan), std::span<const std::uint8_t>(churned), std::span<const double>(revenue),
      std::span<const float>(weight)};
  writer.write(first, std::span<const T>(x), obs);
}

// Row 2 of every three has no plan, every fifth has churned; `tile` rows at a time.
inline void write_sample_features(io::FeatureWriter& writer, const io::FeatureFileLayout& layout, std::int64_t tile) {
  for (std::int64_t first = 0; first < layout.n_rows; first += tile) {
    const std::int64_t n = std::min(tile, layout.n_rows - first);
    if (layout.is_wide) {
      write_sample_rows<double>(writer, layout, first, n);
    } else {
      write_sample_rows<float>(writer, layout, first, n);
    }
  }
}

}  // namespace coterie::testing
