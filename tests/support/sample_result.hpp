// A small result file with one of everything.
#pragma once

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "io/result_file.hpp"

namespace coterie::testing {

inline profile::Table sample_table(std::int32_t n_segments, std::int32_t n_columns, double offset) {
  profile::Table table{.n_segments = n_segments, .n_columns = n_columns, .values = {}};
  for (std::int32_t segment = 0; segment <= n_segments; ++segment)
    for (std::int32_t column = 0; column < n_columns; ++column) table.values.push_back(offset + 10.0 * segment + column);
  return table;
}

inline profile::Profile sample_profile(std::int32_t n_segments, std::int32_t n_columns) {
  const auto n = static_cast<std::size_t>(n_segments) + 1;
  profile::Profile profile;
  profile.n_segments = n_segments;
  profile.n_columns = n_columns;
  profile.n_rows.assign(n, 7);
  profile.weight.assign(n, 3.5);
  profile.share.assign(n, 0.25);
  double offset = 0;
  for (auto table : {&profile::Profile::missing_share, &profile::Profile::mean, &profile::Profile::std, &profile::Profile::min,
                     &profile::Profile::max, &profile::Profile::p10, &profile::Profile::median, &profile::Profile::p90,
                     &profile::Profile::share_nonzero, &profile::Profile::index, &profile::Profile::z, &profile::Profile::cohen_d,
                     &profile::Profile::cohen_d_low, &profile::Profile::cohen_d_high})
    profile.*table = sample_table(n_segments, n_columns, offset += 1000);
  return profile;
}

struct SampleResult {
  std::int64_t n_rows = 200'000;  // three whole chunks and a part of one
  bool integer_ids = true;
  std::vector<std::string> segment_names = {"Careful", "Bargain hunters \xc3\xa4\xc3\xb6", "Loyal, quiet"};
  std::vector<io::FeatureColumn> columns = {
      {.name = "spend/month", .layer = "behaviour", .weight = {}, .onehot_of = ""},
      {.name = "=visits", .layer = "behaviour", .weight = {}, .onehot_of = ""},
      {.name = "region_north", .role = io::Role::profile, .layer = "", .weight = {}, .onehot_of = "region"}};
};

// Writes the rows of a stream of customer_columns() plus one boolean and one float64 column, `tile` rows at a time.
inline void write_sample_rows(io::RowStream& rows, const SampleResult& sample, std::int64_t tile) {
  for (std::int64_t first = 0; first < sample.n_rows; first += tile) {
    const std::int64_t n = std::min(tile, sample.n_rows - first);
    std::vector<std::int64_t> numbers;
    std::vector<std::string> texts;
    std::vector<std::int32_t> segment, second;
    std::vector<float> distance, margin;
    std::vector<std::uint8_t> flag;
    std::vector<double> score;
    for (std::int64_t row = first; row < first + n; ++row) {
      numbers.push_back(1'000'000 + row);
      texts.push_back((row % 2 == 0 ? "kunde-\xc3\xbc" : "k") + std::to_string(row));
      segment.push_back(static_cast<std::int32_t>(row % 3));
      second.push_back(static_cast<std::int32_t>((row + 1) % 3));
      distance.push_back(std::sqrt(static_cast<float>(row)));
      margin.push_back(1.0f / static_cast<float>(row + 1));
      flag.push_back(row % 5 == 0 ? 1 : 0);
      score.push_back(static_cast<double>(row) / 7);
    }
    const io::Cells ids =
        sample.integer_ids ? io::Cells(std::span<const std::int64_t>(numbers)) : io::Cells(std::span<const std::string>(texts));
    const std::array<io::Cells, 8> cells = {ids,
                                            std::span<const std::int32_t>(segment),
                                            std::span<const std::int32_t>(segment),
                                            std::span<const std::int32_t>(second),
                                            std::span<const float>(distance),
                                            std::span<const float>(margin),
                                            std::span<const std::uint8_t>(flag),
                                            std::span<const double>(score)};
    rows.write(first, cells);
  }
}

inline std::vector<io::RowColumn> sample_columns(const SampleResult& sample) {
  auto columns = io::customer_columns({.name = "customer_id", .is_integer = sample.integer_ids, .text_bytes = 16}, sample.segment_names);
  for (const io::RowColumn& column : io::distance_columns()) columns.push_back(column);
  columns.push_back({.name = "is_outlier", .type = io::CellType::boolean});
  columns.push_back({.name = "churn_score", .type = io::CellType::float64, .table_name = "churn_score"});
  return columns;
}

inline void write_sample_result(io::H5adWriter& file, const SampleResult& sample, std::int64_t tile) {
  write_sample_rows(file.open_rows(sample_columns(sample), io::kCustomersTable), sample, tile);
  const auto profile =
      sample_profile(static_cast<std::int32_t>(sample.segment_names.size()), static_cast<std::int32_t>(sample.columns.size()));
  file.write_frame("var", io::variables_frame(sample.columns, std::vector<std::string>{"log1p", "", "none"}, profile));
  file.write_frame("uns/segmentation/segments", io::segments_frame(sample.segment_names, profile));
  io::write_profile(file, profile, sample.segment_names, sample.columns);
  const std::vector<double> shares(8, 0.5);  // (4, 2)
  const std::array<profile::LevelProfile, 1> levels = {
      profile::LevelProfile{.name = "region", .levels = {"north", ""}, .share = shares, .index = shares, .missing_share = {0, 0, 0, 0.5}}};
  io::write_levels(file, levels, sample.segment_names);
  const std::vector<double> four(4, 0.25);
  const std::array<profile::OutcomeProfile, 1> outcomes = {profile::OutcomeProfile{
      .name = "churned", .rate = four, .rate_low = four, .rate_high = four, .known = {1, 2, 3, 6}, .positive = {0, 1, 2, 3}}};
  io::write_outcomes(file, outcomes, sample.segment_names);
  const std::array<profile::ValueProfile, 1> values = {profile::ValueProfile{.name = "revenue", .sum = four, .share = four, .mean = four}};
  io::write_values(file, values, sample.segment_names);
  file.write_frame("uns/sweep", {.index_name = "k", .index = {"2", "3"}, .columns = {{"inertia", std::vector<double>{2.5, 1.5}}}});
  file.write_value("uns/run/tool", std::string("coterie"));
  file.write_value("uns/run/empty", std::string());
  file.write_value("uns/run/seed", std::int64_t{-7});
  file.write_value("uns/run/inertia", 0.1);
  file.write_value("uns/run/deterministic", true);
  file.write_value("uns/run/warnings", std::vector<std::string>{});
  file.write_value("uns/run/seconds", std::vector<double>{0.5, 0.25});
}

}  // namespace coterie::testing
