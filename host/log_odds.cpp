#include "host/log_odds.hpp"

#include <algorithm>
#include <limits>
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

HWY_INLINE V term(const Model& model, std::size_t column, const double* cells) {
  const D d;
  return hn::Mul(hn::Set(d, model.coefficients[column]), hn::Sub(hn::LoadU(d, cells), hn::Set(d, model.center[column])));
}

// cells: (n_columns, rows) of a few rows. log_odds: (rows)
void add_columns(const Model& model, const double* cells, std::size_t rows, double* log_odds) {
  const D d;
  V sum[kVectors];
  for (V& of_rows : sum) of_rows = hn::Set(d, model.at_center);
  for (std::size_t j = 0; j < model.coefficients.size(); ++j, cells += rows)
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] = hn::Add(sum[v], term(model, j, cells + v * hn::Lanes(d)));
  for (std::size_t v = 0; v < kVectors; ++v) hn::StoreU(sum[v], d, log_odds + v * hn::Lanes(d));
}

// The largest terms of a vector of rows, and whose they are; NaN where there is none, which everything passes.
struct LargestTerms {
  HWY_ALIGN double term[kMostReasons][hn::MaxLanes(D())], column[kMostReasons][hn::MaxLanes(D())];
};

// cells: (n_columns, rows) from the first of the vector's rows on.
void find_largest(const Model& model, const double* cells, std::size_t rows, LargestTerms& largest) {
  const D d;
  V terms[kMostReasons], columns[kMostReasons];
  for (std::size_t i = 0; i < kMostReasons; ++i) {
    terms[i] = hn::Set(d, std::numeric_limits<double>::quiet_NaN());
    columns[i] = hn::Set(d, -1.0);
  }
  for (std::size_t j = 0; j < model.coefficients.size(); ++j) {
    const V here = term(model, j, cells + j * rows), magnitude = hn::Abs(here), column = hn::Set(d, static_cast<double>(j));
    for (std::size_t i = kMostReasons - 1; i > 0; --i) {  // who passes the one above, too, leaves this place to that one
      const auto stays = hn::Le(magnitude, hn::Abs(terms[i])), above_stays = hn::Le(magnitude, hn::Abs(terms[i - 1]));
      terms[i] = hn::IfThenElse(above_stays, hn::IfThenElse(stays, terms[i], here), terms[i - 1]);
      columns[i] = hn::IfThenElse(above_stays, hn::IfThenElse(stays, columns[i], column), columns[i - 1]);
    }
    const auto stays = hn::Le(magnitude, hn::Abs(terms[0]));
    terms[0] = hn::IfThenElse(stays, terms[0], here);
    columns[0] = hn::IfThenElse(stays, columns[0], column);
  }
  for (std::size_t i = 0; i < kMostReasons; ++i) {
    hn::Store(terms[i], d, largest.term[i]);
    hn::Store(columns[i], d, largest.column[i]);
  }
}

// Those of a row of the vector, to its place among the reasons.
void write_reasons(const LargestTerms& largest, std::size_t row, const Reasons& reasons, std::size_t at) {
  for (std::size_t i = 0; i < reasons.n; ++i) {
    const double column = largest.column[i][row];
    reasons.column[at + i] = static_cast<std::int32_t>(column);
    reasons.contribution[at + i] = column < 0 ? 0.0 : largest.term[i][row];
  }
}

void fill_log_odds(const float* x, std::int64_t n_rows, std::span<const Model* const> models, double* log_odds, const Reasons& reasons) {
  const std::size_t n = static_cast<std::size_t>(n_rows), n_models = models.size(), rows = kVectors * hn::Lanes(D());
  const std::size_t n_columns = n_models > 0 ? models.front()->coefficients.size() : 0;
  std::vector<double> cells(n_columns * rows);
  HWY_ALIGN double of_model[kMostRows];
  LargestTerms largest;
  for (std::size_t first = 0; first < n; first += rows) {
    const std::size_t count = std::min(rows, n - first);
    for (std::size_t r = 0; r < count; ++r)
      for (std::size_t j = 0; j < n_columns; ++j) cells[j * rows + r] = static_cast<double>(x[(first + r) * n_columns + j]);
    for (std::size_t m = 0; m < n_models; ++m) {
      add_columns(*models[m], cells.data(), rows, of_model);
      for (std::size_t r = 0; r < count; ++r) log_odds[(first + r) * n_models + m] = of_model[r];
      for (std::size_t r = 0; reasons.n > 0 && r < count; ++r) {
        const std::size_t lane = r % hn::Lanes(D());
        if (lane == 0) find_largest(*models[m], cells.data() + r, rows, largest);
        write_reasons(largest, lane, reasons, ((first + r) * n_models + m) * reasons.n);
      }
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

void fill_log_odds(const float* x, std::int64_t n_rows, std::span<const Model* const> models, double* log_odds, const Reasons& reasons) {
  HWY_DYNAMIC_DISPATCH(fill_log_odds)(x, n_rows, models, log_odds, reasons);
}

}  // namespace coterie::logistic_regression
#endif
