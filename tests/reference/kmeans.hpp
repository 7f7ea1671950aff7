// Lloyd's k-means as the definition reads: one loop per sentence, double precision, nothing shared with host/.
// Cells and weights are whole numbers of power-of-two steps, so the double sums below are exact for the sizes of tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace coterie::reference {

struct KMeans {
  std::vector<float> centers;       // (k, d)
  std::vector<std::int32_t> label;  // (n)
  std::vector<std::int32_t> second;
  std::vector<double> squared_distance;
  double inertia = 0;
  int n_iter = 0;
};

inline double squared_distance(const float* x, const float* c, std::size_t d) {
  double s = 0;
  for (std::size_t j = 0; j < d; ++j) {
    const double t = static_cast<double>(x[j]) - static_cast<double>(c[j]);
    s = std::fma(t, t, s);
  }
  return s;
}

inline std::int32_t nearest(const float* x, const std::vector<float>& centers, std::size_t d, std::int32_t but_not, double& distance) {
  std::int32_t best = -1;
  distance = std::numeric_limits<double>::infinity();
  for (std::size_t k = 0; k < centers.size() / d; ++k) {
    const double s = squared_distance(x, centers.data() + k * d, d);
    if (static_cast<std::int32_t>(k) != but_not && s < distance) best = static_cast<std::int32_t>(k), distance = s;
  }
  return best;
}

inline void assign(const std::vector<float>& x, std::size_t d, KMeans& model) {
  const std::size_t n = x.size() / d;
  model.label.assign(n, 0), model.second.assign(n, 0), model.squared_distance.assign(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    double ignored = 0;
    model.label[i] = nearest(x.data() + i * d, model.centers, d, -1, model.squared_distance[i]);
    model.second[i] = nearest(x.data() + i * d, model.centers, d, model.label[i], ignored);
  }
}

inline double mean_variance(const std::vector<float>& x, const std::vector<double>& w, std::size_t d) {
  long double total = 0;
  const long double weight = std::accumulate(w.begin(), w.end(), 0.0L);
  for (std::size_t j = 0; j < d; ++j) {
    long double mean = 0, square = 0;
    for (std::size_t i = 0; i < w.size(); ++i) mean += static_cast<long double>(w[i]) * static_cast<long double>(x[i * d + j]);
    mean /= weight;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const long double t = static_cast<long double>(x[i * d + j]) - mean;
      square += static_cast<long double>(w[i]) * t * t;
    }
    total += square / weight;
  }
  return static_cast<double>(total) / static_cast<double>(d);
}

// Empty clusters, in order, take the rows farthest from their centers (ties to the lowest row), as long as one is away
// from its center.
inline void relocate(const std::vector<float>& x, const std::vector<double>& w, std::size_t d, const KMeans& model,
                     std::vector<double>& sum, std::vector<double>& weight) {
  std::vector<std::size_t> order(w.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t i) { return w[i] == 0; });
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return model.squared_distance[a] > model.squared_distance[b]; });
  std::size_t next = 0;
  const std::vector<double> before = weight;
  for (std::size_t k = 0; k < before.size(); ++k) {
    if (before[k] != 0 || next >= order.size() || model.squared_distance[order[next]] == 0) continue;
    const std::size_t i = order[next++], donor = static_cast<std::size_t>(model.label[i]);
    for (std::size_t j = 0; j < d; ++j) {
      sum[donor * d + j] -= w[i] * static_cast<double>(x[i * d + j]);
      sum[k * d + j] += w[i] * static_cast<double>(x[i * d + j]);
    }
    weight[donor] -= w[i];
    weight[k] += w[i];
  }
}

// w: (n) whole weight steps. tol and max_iter as scikit-learn.
inline KMeans fit(const std::vector<float>& x, const std::vector<double>& w, std::size_t d, std::vector<float> start, int max_iter = 300,
                  double tol = 1e-4) {
  KMeans model;
  model.centers = std::move(start);
  const double limit = tol * mean_variance(x, w, d);
  for (bool moving = true; moving && model.n_iter < max_iter; ++model.n_iter) {
    assign(x, d, model);
    std::vector<double> sum(model.centers.size()), weight(model.centers.size() / d);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const std::size_t k = static_cast<std::size_t>(model.label[i]);
      weight[k] += w[i];
      for (std::size_t j = 0; j < d; ++j) sum[k * d + j] += w[i] * static_cast<double>(x[i * d + j]);
    }
    relocate(x, w, d, model, sum, weight);
    double shift = 0;
    for (std::size_t cell = 0; cell < sum.size(); ++cell) {
      if (weight[cell / d] == 0) continue;
      const float moved = static_cast<float>(sum[cell] / weight[cell / d]);
      const double by = static_cast<double>(moved) - static_cast<double>(model.centers[cell]);
      shift += by * by;
      model.centers[cell] = moved;
    }
    moving = shift > limit;
  }
  assign(x, d, model);
  long double inertia = 0;
  for (std::size_t i = 0; i < w.size(); ++i)
    inertia += static_cast<long double>(w[i]) * static_cast<long double>(model.squared_distance[i]);
  model.inertia = static_cast<double>(inertia);
  return model;
}

}  // namespace coterie::reference
