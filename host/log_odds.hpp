// Log-odds of rows under logistic regressions, and which columns they are made of. Rows lie in SIMD lanes and terms are added in the order
// of the columns, each product and sum rounded: the same bits on every instruction set, which is chosen at run time (Highway).
#pragma once

#include <cstdint>
#include <span>

#include "host/logistic_regression.hpp"

namespace coterie::logistic_regression {

// Where the terms of largest magnitude go, the largest first, of equals the one of the lower column; column -1 where there are fewer.
struct Reasons {
  std::size_t n = 0;               // of a row and model, at most kMostReasons
  std::int32_t* column = nullptr;  // (n_rows, n_models, n)
  double* contribution = nullptr;  // (n_rows, n_models, n)
};

// Of the columns alone: segment effects are the caller's. x: (n_rows, n_columns) of all models; models: (n_models); log_odds:
// (n_rows, n_models).
void fill_log_odds(const float* x, std::int64_t n_rows, std::span<const Model* const> models, double* log_odds,
                   const Reasons& reasons = {});

}  // namespace coterie::logistic_regression
