#include "bench/roof.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/roof.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float sum_floats(const float* x, std::size_t n) {
  const hn::ScalableTag<float> d;
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (std::size_t i = 0; i + 4 * hn::Lanes(d) <= n; i += 4 * hn::Lanes(d)) {
    a = hn::Add(a, hn::LoadU(d, x + i));
    b = hn::Add(b, hn::LoadU(d, x + i + hn::Lanes(d)));
    c = hn::Add(c, hn::LoadU(d, x + i + 2 * hn::Lanes(d)));
    e = hn::Add(e, hn::LoadU(d, x + i + 3 * hn::Lanes(d)));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

// Returns the operations done: `rounds` times 8 chains of one subtraction and one multiply-add per lane.
double subtract_and_fma(std::size_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto c = hn::Set(d, *sink);
  decltype(hn::Zero(d)) s[8];
  for (auto& v : s) v = hn::Iota(d, 1.0f);
  for (std::size_t r = 0; r < rounds; ++r)
    for (auto& v : s) {
      const auto t = hn::Sub(c, hn::Set(d, static_cast<float>(r & 1)));
      v = hn::MulAdd(t, t, v);
    }
  for (const auto& v : s) *sink += hn::GetLane(v);
  return 3.0 * 8 * static_cast<double>(rounds) * static_cast<double>(hn::Lanes(d));
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::bench {
namespace {

HWY_EXPORT(sum_floats);
HWY_EXPORT(subtract_and_fma);

template <class F>
double seconds_on_all_threads(F&& f) {
  double best = 1e9;
  for (int run = 0; run < 5; ++run) {
    std::vector<std::thread> threads;
    const auto start = std::chrono::steady_clock::now();
    for (unsigned t = 0; t < std::thread::hardware_concurrency(); ++t) threads.emplace_back([&, t] { f(t); });
    for (auto& thread : threads) thread.join();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

Roof measure() {
  const std::size_t cores = std::thread::hardware_concurrency(), n = std::size_t{48} << 20;  // 192 MiB per thread: beyond any cache
  const std::vector<float> x(n * cores, 1.0f);
  std::vector<float> sink(cores * 16, 1.0f);  // one cache line per thread
  const double read =
      seconds_on_all_threads([&](unsigned t) { sink[t * 16] += HWY_DYNAMIC_DISPATCH(sum_floats)(x.data() + t * n, n) * 0; });
  std::vector<double> flops(cores * 8);
  const double compute =
      seconds_on_all_threads([&](unsigned t) { flops[t * 8] = HWY_DYNAMIC_DISPATCH(subtract_and_fma)(20'000'000, &sink[t * 16]); });
  return {static_cast<double>(x.size() * sizeof(float)) / read, flops[0] * static_cast<double>(cores) / compute};
}

}  // namespace

const Roof& roof() {
  static const Roof measured = measure();
  return measured;
}

double seconds_per_row(double bytes, double flops) { return std::max(bytes / roof().bytes_per_second, flops / roof().flops_per_second); }

}  // namespace coterie::bench
#endif
