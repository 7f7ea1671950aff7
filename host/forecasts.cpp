#include "host/forecasts.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/forecasts.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/elementary-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::calibration {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;

HWY_INLINE V small_of(V log_odds) { return coterie::HWY_NAMESPACE::exp_of_negative(D(), hn::Neg(hn::Abs(log_odds))); }

HWY_INLINE V probability_of(V log_odds, V small) {
  const V one = hn::Set(D(), 1.0), likelier = hn::Div(one, hn::Add(one, small));
  return hn::IfThenElse(hn::Gt(log_odds, hn::Zero(D())), likelier, hn::Mul(small, likelier));
}

// f(log-odds, results) fills a vector of each result, which goes to the same places of `to`.
template <std::size_t kOutputs, class F>
HWY_INLINE void fill_each(std::span<const double> log_odds, double* const (&to)[kOutputs], F&& f) {
  const D d;
  const std::size_t n = log_odds.size(), lanes = hn::Lanes(d);
  HWY_ALIGN double in[hn::MaxLanes(d)] = {}, out[hn::MaxLanes(d)];
  V result[kOutputs];
  for (std::size_t i = 0; i < n; i += lanes) {
    const std::size_t count = std::min(lanes, n - i);
    if (count == lanes) {
      f(hn::LoadU(d, log_odds.data() + i), result);
      for (std::size_t o = 0; o < kOutputs; ++o) hn::StoreU(result[o], d, to[o] + i);
    } else {
      std::copy_n(log_odds.data() + i, count, in);
      f(hn::Load(d, in), result);
      for (std::size_t o = 0; o < kOutputs; ++o) {
        hn::Store(result[o], d, out);
        std::copy_n(out, count, to[o] + i);
      }
    }
  }
}

void fill_probabilities(std::span<const double> log_odds, std::span<double> probability) {
  double* const to[] = {probability.data()};
  fill_each(log_odds, to, [](V z, V(&result)[1]) HWY_ATTR { result[0] = probability_of(z, small_of(z)); });
}

void fill_forecasts(std::span<const double> log_odds, const ForecastSpans& forecasts) {
  double* const to[] = {forecasts.probability.data(), forecasts.loss_of_positive.data(), forecasts.loss_of_negative.data()};
  fill_each(log_odds, to, [](V z, V(&result)[3]) HWY_ATTR {
    const V zero = hn::Zero(D()), small = small_of(z), least_loss = coterie::HWY_NAMESPACE::log1p_of_share(D(), small);
    result[0] = probability_of(z, small);
    result[1] = hn::Add(least_loss, hn::IfThenElseZero(hn::Lt(z, zero), hn::Neg(z)));
    result[2] = hn::Add(least_loss, hn::IfThenElseZero(hn::Gt(z, zero), z));
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::calibration
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::calibration {
namespace {

HWY_EXPORT(fill_probabilities);
HWY_EXPORT(fill_forecasts);

}  // namespace

void fill_probabilities(std::span<const double> log_odds, std::span<double> probability) {
  HWY_DYNAMIC_DISPATCH(fill_probabilities)(log_odds, probability);
}

void fill_forecasts(std::span<const double> log_odds, const ForecastSpans& forecasts) {
  HWY_DYNAMIC_DISPATCH(fill_forecasts)(log_odds, forecasts);
}

}  // namespace coterie::calibration
#endif
