// A program of somebody else's: everything comes from the installed package.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "cuda/devices.hpp"
#include "host/context.hpp"
#include "host/error.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/logistic_regression.hpp"
#include "host/tile_source.hpp"
#include "io/feature_file.hpp"

namespace {

const std::vector<float> kColumn{0, 1, 2, 3, 100, 101, 102, 103};
const coterie::kmeans::Grid kGrid{.steps = {0x1p-16}};

// Two groups of four rows, around 1.5 and 101.5.
bool fits_a_mixture(coterie::Context& context) {
  using namespace coterie::gaussian_mixture;
  coterie::MemoryTileSource rows(kColumn, 1);
  const GridMoments moments = coterie::kmeans::measure_moments(context, rows, kGrid, 2);
  const std::vector<Params> params{{.n_components = 2, .covariance_type = CovarianceType::diag}};
  const Fit fitted = fit(context, rows, kGrid, moments, params, *make_cpu_pass(context, kGrid, moments));
  const Model& model = fitted.best.front();
  return model.converged && std::abs(model.weights[0] - 0.5) < 1e-6 && std::abs(model.means[0] + model.means[1] - 103) < 1e-3;
}

// The outcome falls on both sides of the column alike.
bool fits_a_regression(coterie::Context& context) {
  using namespace coterie::logistic_regression;
  const std::vector<std::int8_t> outcome{0, 1, 1, 0, 0, 1, 1, 0};
  coterie::MemoryTileSource rows(kColumn, 1);
  coterie::ZippedSource source(rows, {.target = outcome, .n_targets = 1});
  const GridMoments moments = coterie::kmeans::measure_moments(context, source, kGrid, 1);
  const std::vector<Params> params(1);
  const Fit fitted = fit(context, source, kGrid, moments, params, *make_cpu_pass(context, kGrid, moments));
  const Model& model = fitted.models.front();
  return model.converged && std::abs(model.coefficients[0]) < 1e-9 && std::abs(model.log_likelihood - 8 * std::log(0.5)) < 1e-9;
}

bool refuses_a_missing_file() {
  try {
    coterie::io::FeatureFile::open("no_such_file.h5ad");
  } catch (const coterie::InputError&) {
    return true;
  }
  return false;
}

}  // namespace

int main() {
  coterie::Context context({.threads = 1});
  const std::vector<float> x{1, 2, 3, 4, 5, 6};
  coterie::MemoryTileSource source(x, 2);
  const bool rows_arrive = source.next()->n_rows == 3;
  std::printf("%zu usable GPUs\n", coterie::gpu::probe().usable.size());
  return rows_arrive && fits_a_mixture(context) && fits_a_regression(context) && refuses_a_missing_file() ? 0 : 1;
}
