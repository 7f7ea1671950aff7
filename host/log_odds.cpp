#include "host/log_odds.hpp"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/log_odds.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie::logistic_regression {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;

constexpr std::size_t kVectors = 4;  // of rows at a time: the chain of sums of one is long
constexpr std::size_t kMostRows = kVectors * hn::MaxLanes(D());

// cells: (n_columns, rows) of a few rows. log_odds: (rows)
void add_columns(const Model& model, const double* cells, std::size_t rows, double* log_odds) {
  const D d;
  V sum[kVectors];
  for (V& of_rows : sum) of_rows = hn::Set(d, model.at_center);
  for (std::size_t j = 0; j < model.coefficients.size(); ++j, cells += rows) {
    const V center = hn::Set(d, model.center[j]), coefficient = hn::Set(d, model.coefficients[j]);
    for (std::size_t v = 0; v < kVectors; ++v)
      sum[v] = hn::Add(sum[v], hn::Mul(coefficient, hn::Sub(hn::LoadU(d, cells + v * hn::Lanes(d)), center)));
  }
  for (std::size_t v = 0; v < kVectors; ++v) hn::StoreU(sum[v], d, log_odds + v * hn::Lanes(d));
}

void fill_log_odds(const float* x, std::int64_t n_rows, std::span<const Model* const> models, double* log_odds) {
  const std::size_t n = static_cast<std::size_t>(n_rows), n_models = models.size(), rows = kVectors * hn::Lanes(D());
  const std::size_t n_columns = n_models > 0 ? models.front()->coefficients.size() : 0;
  std::vector<double> cells(n_columns * rows);
  HWY_ALIGN double of_model[kMostRows];
  for (std::size_t first = 0; first < n; first += rows) {
    const std::size_t count = std::min(rows, n - first);
    for (std::size_t r = 0; r < count; ++r)
      for (std::size_t j = 0; j < n_columns; ++j) cells[j * rows + r] = static_cast<double>(x[(first + r) * n_columns + j]);
    for (std::size_t m = 0; m < n_models; ++m) {
      add_columns(*models[m], cells.data(), rows, of_model);
      for (std::size_t r = 0; r < count; ++r) log_odds[(first + r) * n_models + m] = of_model[r];
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::logistic_regression
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::logistic_regression {
namespace {

HWY_EXPORT(fill_log_odds);

}  // namespace

void fill_log_odds(const float* x, std::int64_t n_rows, std::span<const Model* const> models, double* log_odds) {
  HWY_DYNAMIC_DISPATCH(fill_log_odds)(x, n_rows, models, log_odds);
}

}  // namespace coterie::logistic_regression
#endif
