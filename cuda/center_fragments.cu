#include "cuda/center_fragments.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "cuda/fixed_point.cuh"
#include "cuda/instructions/half.hpp"

namespace coterie::COTERIE_GPU {
namespace {

constexpr int kLanes = 32, kPackThreads = 128, kPackWarps = kPackThreads / kLanes;
constexpr double kSlack = 1 + 0x1p-10;  // for the roundings of the bounds themselves

// Hardware adds the products of a step, and the sum so far, on a common exponent and cuts off what lies below: in blocks of 4 to 16
// terms, each cut within 2^-23 of the sum of magnitudes. 2 * columns + 16 such errors also cover x - p, |e|^2 / 2 and the test, one
// rounding each; rho |e| at the start of the sum errs by as much of itself, less than kSlack allows for up to some thousand columns.
__device__ double accumulation_error(int padded_columns) { return (2 * padded_columns + 16) * 0x1p-23; }

std::int32_t count_pairs(const kmeans::Model& model, CenterLayout layout) {
  const std::int32_t at_once = layout == CenterLayout::tiles ? kTileCenters : kPairCenters;
  return (model.n_clusters + at_once - 1) / at_once * (at_once / kPairCenters);
}

// Over the centers of a model: bits of doubles that are not negative, which order as integers.
struct Largest {
  std::uint64_t lost_ratio, norm;
};

struct CenterPacking {
  const float* centers;  // of all models
  const PackedModel* packed;
  const float* pivot;
  double scale;
  unsigned n_models;
  int n_columns, padded_columns, steps;
  Fragment* fragments;  // zeros
  CenterPair* pairs;
  TensorModel* models;
  Largest* largest;  // (n_models) zeros
};

// The sum over all threads of the block, in a fixed order.
__device__ double add_block(double value, double* of_warps) {
  value = add_lanes(value);
  __syncthreads();
  if (threadIdx.x % kLanes == 0) of_warps[threadIdx.x / kLanes] = value;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < kPackWarps; ++i) sum += of_warps[i];
  return sum;
}

// Where a center's halves lie: those of 16 columns from `first` on, `step` halves between one 16 and the next.
struct CenterPlace {
  std::int64_t first;
  int step;
  CenterLayout layout;

  __device__ CenterPlace(const TensorModel& model, int steps, int cluster) : layout(model.layout) {
    constexpr int kHalves = sizeof(Fragment) / 2;
    const int in_tile = cluster % kTileCenters;
    if (layout == CenterLayout::tiles) {
      step = kTileCenters * kStepColumns;
      first = model.fragments * kHalves + std::int64_t{cluster / kTileCenters} * steps * step + in_tile / 8 * 128 + in_tile % 8 * 8;
    } else {
      step = kLanes * kHalves;
      first = (model.fragments + std::int64_t{cluster / kPairCenters} * steps * kLanes + cluster % 8 * 4) * kHalves + cluster / 8 % 2 * 4;
    }
  }
  __device__ std::int64_t of(int column) const {
    const int j = column % kStepColumns;
    return first + std::int64_t{column / kStepColumns} * step + (layout == CenterLayout::tiles ? j / 8 * 64 + j % 8 : j / 4 * 8 + j % 4);
  }
};

// Grid: places of centers by models. Those beyond the last center are infinitely far.
__global__ void __launch_bounds__(kPackThreads, 4) pack_centers_kernel(CenterPacking job) {
  SHARED(of_warps, double[kPackWarps]);
  const auto cluster = static_cast<int>(blockIdx.x);
  const TensorModel& model = job.models[blockIdx.y];
  const PackedModel& packed = job.packed[blockIdx.y];
  if (cluster >= model.n_pairs * kPairCenters) return;
  const int half = cluster % 2;
  CenterPair& bounds = job.pairs[model.pairs + cluster / 2];
  if (cluster >= packed.n_clusters) {
    if (threadIdx.x == 0) bounds.half_square[half] = __builtin_huge_valf(), bounds.norm[half] = 0;
    return;
  }
  const float* const center = job.centers + packed.centers + std::int64_t{cluster} * job.padded_columns;
  auto* const halves = reinterpret_cast<std::uint16_t*>(job.fragments);
  const CenterPlace place(model, job.steps, cluster);
  double square = 0, lost_square = 0;
  for (int j = static_cast<int>(threadIdx.x); j < job.n_columns; j += kPackThreads) {
    const double c = center[j], p = job.pivot[j], e = job.scale * (c - p);
    const std::uint32_t bits = pack_halves(static_cast<float>(e), 0.0f);
    const double left = e - static_cast<double>(unpack_halves(bits).x), size = (c < 0 ? -c : c) + (p < 0 ? -p : p);
    const double lost = (left < 0 ? -left : left) + 0x1p-52 * job.scale * size;
    square = fma(e, e, square);
    lost_square = fma(lost, lost, lost_square);
    // negated: the sum is |e|^2 / 2 - y . e
    halves[place.of(j)] = static_cast<std::uint16_t>(bits ^ 0x8000u);
  }
  square = add_block(square, of_warps);
  lost_square = add_block(lost_square, of_warps);
  if (threadIdx.x != 0) return;
  const double norm = ::sqrt(square);
  bounds.half_square[half] = static_cast<float>(square / 2);
  bounds.norm[half] = static_cast<float>(norm * kSlack);
  Largest& largest = job.largest[blockIdx.y];
  if (norm > 0) atomic_max(&largest.lost_ratio, static_cast<std::uint64_t>(__double_as_longlong(::sqrt(lost_square) / norm)));
  atomic_max(&largest.norm, static_cast<std::uint64_t>(__double_as_longlong(norm)));
}

// After it. One thread per model.
__global__ void bound_errors_kernel(CenterPacking job) {
  const unsigned m = blockIdx.x * kPackThreads + threadIdx.x;
  if (m >= job.n_models) return;
  TensorModel& model = job.models[m];
  const Largest& largest = job.largest[m];
  const double lost_ratio = __longlong_as_double(static_cast<long long>(largest.lost_ratio));
  const double norm = __longlong_as_double(static_cast<long long>(largest.norm)), error = accumulation_error(job.steps * kStepColumns);
  model.of_norm = static_cast<float>((lost_ratio + error * (1 + lost_ratio)) * kSlack);
  model.constant = static_cast<float>(error * norm / 2 * kSlack);
}

}  // namespace

// The pivot is the mean of some thousand centers: near the rows, whatever their offset.
void CenterFragments::choose_units(std::span<const kmeans::Model* const> models) {
  constexpr std::int64_t kCenters = 1024;
  const auto d = static_cast<std::size_t>(n_columns_);
  std::int64_t n_centers = 0, n_taken = 0;
  for (const kmeans::Model* model : models) n_centers += model->n_clusters;
  const std::int64_t every = n_centers / kCenters + 1;
  std::vector<double> sums(d);
  for (const kmeans::Model* model : models) {
    for (std::int64_t cluster = 0; cluster < model->n_clusters; cluster += every, ++n_taken) {
      const float* const center = model->cluster_centers.data() + static_cast<std::size_t>(cluster) * d;
      for (std::size_t j = 0; j < d; ++j) sums[j] += static_cast<double>(center[j]);
    }
  }
  float* const pivot = pivot_.data();
  std::fill_n(pivot, pivot_.size(), 0.0f);
  for (std::size_t j = 0; j < d; ++j) pivot[j] = static_cast<float>(sums[j] / static_cast<double>(n_taken));
  float largest = 0;
  for (const kmeans::Model* model : models) {
    for (std::size_t first = 0; first < model->cluster_centers.size(); first += d) {
      const float* const center = model->cluster_centers.data() + first;
      std::uint32_t bits = 0;  // of a float that is not negative: they order as integers, which vectors compare
      for (std::size_t j = 0; j < d; ++j) bits = std::max(bits, std::bit_cast<std::uint32_t>(center[j] - pivot[j]) & 0x7fffffffu);
      largest = std::max(largest, std::bit_cast<float>(bits));
    }
  }
  constexpr int kLargestExponent = 4, kReach = 126;  // of a float that is a normal number, as its inverse is
  const int exponent = std::isfinite(largest) && largest > 0 ? std::ilogb(largest) : 127;
  scale_ = largest > 0 ? std::ldexp(1.0, std::clamp(kLargestExponent - exponent, -kReach, kReach)) : 1;
}

void CenterFragments::upload(std::span<const kmeans::Model* const> models, std::span<const CenterLayout> layouts,
                             const PackedModels& packed, std::int32_t n_columns, cudaStream_t stream) {
  n_columns_ = n_columns;
  const int steps = count_steps(n_columns);
  std::size_t n_pairs = 0;
  std::int32_t most_pairs = 0;
  models_.ensure(models.size());
  TensorModel next{};
  for (std::size_t m = 0; m < models.size(); ++m) {
    next.layout = layouts.empty() ? CenterLayout::fragments : layouts[m];
    next.n_pairs = count_pairs(*models[m], next.layout);
    models_.data()[m] = next;
    next.fragments += std::int64_t{next.n_pairs} * steps * kLanes;
    next.pairs += next.n_pairs * 2 * 4;
    n_pairs += static_cast<std::size_t>(next.n_pairs);
    most_pairs = std::max(most_pairs, next.n_pairs);
  }
  const std::size_t n_fragments = n_pairs * static_cast<std::size_t>(steps) * kLanes,
                    n_pivots = static_cast<std::size_t>(steps) * kStepColumns;
  pivot_.ensure(n_pivots);
  device_pivot_.ensure(n_pivots);
  device_fragments_.ensure(n_fragments);
  device_pairs_.ensure(n_pairs * 2 * 4);
  device_models_.ensure(models.size());
  device_largest_.ensure(2 * models.size());
  choose_units(models);
  copy_to_device(device_pivot_.data(), pivot_.data(), n_pivots, stream);
  copy_to_device(device_models_.data(), models_.data(), models.size(), stream);
  fill_zero(device_fragments_.data(), n_fragments, stream);
  fill_zero(device_largest_.data(), 2 * models.size(), stream);
  const CenterPacking job{.centers = packed.centers(),
                          .packed = packed.device_layout(),
                          .pivot = device_pivot_.data(),
                          .scale = scale_,
                          .n_models = static_cast<unsigned>(models.size()),
                          .n_columns = n_columns,
                          .padded_columns = packed.padded_columns(),
                          .steps = steps,
                          .fragments = device_fragments_.data(),
                          .pairs = device_pairs_.data(),
                          .models = device_models_.data(),
                          .largest = reinterpret_cast<Largest*>(device_largest_.data())};
  launch(pack_centers_kernel, {dim3(static_cast<unsigned>(most_pairs * kPairCenters), job.n_models), kPackThreads, 0, stream}, job);
  launch(bound_errors_kernel, {job.n_models / kPackThreads + 1, kPackThreads, 0, stream}, job);
}

TensorCenters CenterFragments::on_device() const {
  return {.fragments = device_fragments_.data(),
          .pairs = device_pairs_.data(),
          .models = device_models_.data(),
          .pivot = device_pivot_.data(),
          .scale = static_cast<float>(scale_),
          .margin = static_cast<float>(4 * (n_columns_ + 8) * 0x1p-53)};
}

}  // namespace coterie::COTERIE_GPU
