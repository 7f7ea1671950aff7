// The inner loop of the survey: what a few rows hold, column by column. (transform.hpp, ColumnSurvey)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace coterie {

// Columns that are looked at together: what is counted of them stays in the first cache.
inline constexpr std::size_t kSurveyColumns = 64;

// As in ColumnSurvey, of less than 2^31 rows.
struct CellCounts {
  std::array<std::int32_t, kSurveyColumns> missing, infinite, zero, negative, fractional;
  std::array<double, kSurveyColumns> min, max;  // +inf, -inf where no cell is known and finite
};

// cells: (n_rows, stride), the first n_columns <= kSurveyColumns of every row; counts: of these columns, whatever it held.
void survey_cells(const float* cells, std::int64_t n_rows, std::int64_t stride, std::size_t n_columns, CellCounts& counts);
void survey_cells(const double* cells, std::int64_t n_rows, std::int64_t stride, std::size_t n_columns, CellCounts& counts);

}  // namespace coterie
