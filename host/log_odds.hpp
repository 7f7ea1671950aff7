// Log-odds of rows under logistic regressions. Rows lie in SIMD lanes and terms are added in the order of
// the columns, each product and sum rounded: the same bits on every instruction set, which is chosen at run time (Highway).
#pragma once

#include <cstdint>
#include <span>

#include "host/logistic_regression.hpp"

namespace coterie::logistic_regression {

// Of the columns alone: segment effects are the caller's. x: (n_rows, n_columns) of all models; models: (n_models); log_odds:
// (n_rows, n_models).
void fill_log_odds(const float* x, std::int64_t n_rows, std::span<const Model* const> models, double* log_odds);

}  // namespace coterie::logistic_regression
