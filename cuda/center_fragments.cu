#include "cuda/center_fragments.hpp"

#include <utility>

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

struct CenterPacking {
  const float* centers;  // of all models
  const PackedModel* packed;
  const float* pivot;
  double scale;
  int n_columns, padded_columns, steps;
  Fragment* fragments;
  CenterPair* pairs;
  TensorModel* models;
  LargestCenter* largest;  // (models) zeros before and after
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

// By one thread of every block that packs a center. The last of a model finds the largest of all.
__device__ void bound_errors(const CenterPacking& job, int m, double lost_ratio, double norm) {
  LargestCenter& largest = job.largest[m];
  const auto bits = [](double x) { return static_cast<std::uint64_t>(__double_as_longlong(x)); };
  const auto take = [](std::uint64_t* of) { return __longlong_as_double(static_cast<long long>(atomic_exchange(of, 0))); };
  const PackedModel& packed = job.packed[m];
  atomic_max(&largest.lost_ratio, bits(lost_ratio));
  atomic_max(&largest.norm, bits(norm));
  __threadfence();
  if (atomic_add(&largest.blocks, std::uint64_t{1}) + 1 < static_cast<std::uint64_t>(packed.n_clusters)) return;
  __threadfence();
  lost_ratio = take(&largest.lost_ratio);
  norm = take(&largest.norm);
  atomic_exchange(&largest.blocks, 0);
  const double error = accumulation_error(job.steps * kStepColumns);
  job.models[m] = {.fragments = std::int64_t{packed.pairs} * job.steps * kLanes,
                   .pairs = packed.pairs * 2 * 4,
                   .n_pairs = packed.n_pairs,
                   .of_norm = static_cast<float>((lost_ratio + error * (1 + lost_ratio)) * kSlack),
                   .constant = static_cast<float>(error * norm / 2 * kSlack)};
}

// Where a center's halves lie: those of 16 columns from `first` on, `step` halves between one 16 and the next.
struct CenterPlace {
  std::int64_t first;
  int step;
  CenterLayout layout;

  __device__ CenterPlace(const PackedModel& model, int steps, int cluster) : layout(model.layout) {
    const bool tiles = layout == CenterLayout::tiles;
    const int at_once = tiles ? kTileCenters : kPairCenters, in_tile = cluster % kTileCenters;
    step = at_once * kStepColumns;
    first = (std::int64_t{model.pairs} * kPairCenters + cluster / at_once * at_once) * steps * kStepColumns +
            (tiles ? in_tile / 8 * 128 + in_tile % 8 * 8 : cluster % 8 * 32 + cluster / 8 % 2 * 4);
  }
  __device__ std::int64_t of(int column) const {
    const int j = column % kStepColumns;
    return first + std::int64_t{column / kStepColumns} * step + (layout == CenterLayout::tiles ? j / 8 * 64 + j % 8 : j / 4 * 8 + j % 4);
  }
};

// Grid: places of centers by models. Those beyond the last center are zeros far away.
__global__ void __launch_bounds__(kPackThreads, 4) pack_centers_kernel(CenterPacking job) {
  SHARED(of_warps, double[kPackWarps]);
  const auto cluster = static_cast<int>(blockIdx.x), m = static_cast<int>(blockIdx.y);
  const PackedModel& packed = job.packed[m];
  const bool exists = cluster < packed.n_clusters;
  if (cluster >= packed.n_pairs * kPairCenters) return;
  const float* const center = job.centers + packed.centers + std::int64_t{cluster} * job.padded_columns;
  auto* const halves = reinterpret_cast<std::uint16_t*>(job.fragments);
  const CenterPlace place(packed, job.steps, cluster);
  double square = 0, lost_square = 0;
  for (int j = static_cast<int>(threadIdx.x); j < job.steps * kStepColumns; j += kPackThreads) {
    std::uint16_t half = 0;
    if (exists && j < job.n_columns) {
      const double c = center[j], p = job.pivot[j], e = job.scale * (c - p);
      const std::uint32_t bits = pack_halves(static_cast<float>(e), 0.0f);
      const double left = e - static_cast<double>(unpack_halves(bits).x), size = (c < 0 ? -c : c) + (p < 0 ? -p : p);
      const double lost = (left < 0 ? -left : left) + 0x1p-52 * job.scale * size;
      square = fma(e, e, square);
      lost_square = fma(lost, lost, lost_square);
      half = static_cast<std::uint16_t>(bits ^ 0x8000u);  // negated: the sum is |e|^2 / 2 - y . e
    }
    halves[place.of(j)] = half;
  }
  square = add_block(square, of_warps);
  lost_square = add_block(lost_square, of_warps);
  if (threadIdx.x != 0) return;
  const double norm = ::sqrt(square);
  CenterPair& bounds = job.pairs[packed.pairs * 2 * 4 + cluster / 2];
  bounds.half_square[cluster % 2] = exists ? static_cast<float>(square / 2) : kFarAway;
  bounds.norm[cluster % 2] = static_cast<float>(norm * kSlack);
  if (exists) bound_errors(job, m, norm > 0 ? ::sqrt(lost_square) / norm : 0, norm);
}

}  // namespace

void CenterFragments::pack(const PackedModels& packed, cudaStream_t stream) {
  const int steps = count_steps(packed.n_columns());
  const auto n_pairs = static_cast<std::size_t>(packed.n_pairs());
  const std::size_t n_models = packed.layout().size();
  fragments_.ensure(n_pairs * static_cast<std::size_t>(steps) * kLanes);
  pairs_.ensure(n_pairs * 2 * 4);
  models_.ensure(n_models);
  if (n_models > largest_.size()) {
    DeviceBuffer<LargestCenter> zeros(n_models);
    fill_zero(zeros.data(), n_models, stream);  // where it fails, the next sweep must not take what lies there for zeros
    largest_ = std::move(zeros);
  }
  const CenterPacking job{.centers = packed.centers(),
                          .packed = packed.device_layout(),
                          .pivot = packed.pivot(),
                          .scale = packed.scale(),
                          .n_columns = packed.n_columns(),
                          .padded_columns = packed.padded_columns(),
                          .steps = steps,
                          .fragments = fragments_.data(),
                          .pairs = pairs_.data(),
                          .models = models_.data(),
                          .largest = largest_.data()};
  const dim3 grid(static_cast<unsigned>(packed.most_pairs() * kPairCenters), static_cast<unsigned>(n_models));
  launch(pack_centers_kernel, {grid, kPackThreads, 0, stream}, job);
}

TensorCenters CenterFragments::on_device(const PackedModels& packed) const {
  return {.fragments = fragments_.data(),
          .pairs = pairs_.data(),
          .models = models_.data(),
          .pivot = packed.pivot(),
          .scale = static_cast<float>(packed.scale()),
          .margin = static_cast<float>(4 * (packed.n_columns() + 8) * 0x1p-53)};
}

}  // namespace coterie::COTERIE_GPU
