// One tile for one mixture: expectation and maximisation in one launch. Persistent blocks of kStripThreads take blocks of
// kBlockRows rows and walk through them strip by strip; responsibilities live in shared memory for a strip only.
//
//   diag, spherical         where their squares may be expanded, two products of matrices (gaussian_expansion.cuh)
//   diag, spherical, tied   the sums of all components stay with the block; rows are read once
//   full                    a component's sums are larger than shared memory, so the strips leave lists of the rows that
//                           count for each component (in a scratch of one block of rows per running block), and then one
//                           component after the other takes its rows again into sums in registers; where that is good
//                           enough, by products of matrices (gaussian_whitening.cuh, gaussian_gram.cuh)
#pragma once

#include "cuda/gaussian_expansion.cuh"
#include "cuda/gaussian_moments.cuh"
#include "cuda/gaussian_whitening.cuh"
#include "cuda/member_lists.cuh"

namespace coterie::COTERIE_GPU {

template <class T>
struct MixtureSweep {
  DeviceMixture<T> mixture;
  DeviceWhitening whitening;  // sweep_whitened_kernel only
  DeviceExpansion expansion;  // sweep_expanded_kernel only, which has no `mixture`
  StripShape shape;
  WhitenedShape whitened;      // instead, sweep_whitened_kernel only
  ExpandedShape expanded;      // instead, sweep_expanded_kernel only
  const float* x;              // (n_rows, n_columns)
  const std::int32_t* weight;  // (n_rows), or nullptr
  std::int32_t n_rows;
  bool moves;  // sums are wanted, not the likelihood alone
  MixtureSums sums;
  double* block_moments;       // (gridDim.x, block_moments_size) zeros; nullptr: they fit into shared memory
  std::uint16_t* member_rows;  // (gridDim.x, n_components, kBlockRows), full only: within the block of rows
  T* member_weights;           // (gridDim.x, n_components, kBlockRows), full only; sweep_whitened_kernel: their roots
  double* row_likelihood;      // (n_rows) becomes log p(x), or nullptr

  // counts: (n_components) in shared memory
  __device__ MemberLists<T> members(int* counts) const { return {member_rows, member_weights, mixture.n_components, counts}; }
  __device__ T weight_of(std::int64_t row) const { return static_cast<T>(row >= n_rows ? 0 : weight != nullptr ? weight[row] : 1); }
};

// Offsets into dynamic shared memory, in bytes, every one a multiple of 16.
struct MixtureMemory {
  int cells, whitened, densities, squares, lists, counts, member_weights, moments, bytes;

  // moments_size: doubles of block moments, 0 where they are elsewhere
  __host__ __device__ MixtureMemory(CovarianceType type, const StripShape& shape, int cell_bytes, int n_components,
                                    std::int64_t moments_size) {
    int at = 0;
    const auto take = [&at](std::int64_t size) {
      const int begin = at;
      at += static_cast<int>((size + 15) / 16 * 16);
      return begin;
    };
    const bool full = type == CovarianceType::full;
    cells = take(std::int64_t{shape.rows} * shape.stride * cell_bytes);
    whitened = take(type == CovarianceType::tied ? std::int64_t{shape.rows} * shape.stride * cell_bytes : 0);
    densities = take(std::int64_t{shape.rows} * shape.density_stride * cell_bytes);
    squares = take(type == CovarianceType::spherical ? std::int64_t{shape.rows} * 8 : 0);
    lists = take(full ? 0 : std::int64_t{kStripWarps} * shape.rows * 2);
    counts = take(full ? std::int64_t{n_components} * 4 : 0);
    member_weights = take(full ? std::int64_t{shape.rows} * cell_bytes : 0);
    moments = take(moments_size * 8);
    bytes = at;
  }
};

// What the threads of a block share, as pointers.
template <CovarianceType kType, class T>
struct MixtureBlock {
  const MixtureSweep<T>& sweep;
  T* cells;                // (rows, stride) x - center
  T* whitened;             // (rows, stride), tied only
  T* densities;            // (rows, density_stride)
  double* squares;         // (rows), spherical only
  std::uint16_t* list;     // (rows) of this warp
  int* counts;             // (n_components) members so far, full only
  T* weights_of_members;   // (rows), full only
  BlockMoments moments{};  // other types

  __device__ MixtureBlock(const MixtureSweep<T>& s, std::byte* memory) : sweep(s) {
    const int k = s.mixture.n_components, d = s.mixture.n_columns;
    const bool may_miss = s.mixture.norms != nullptr;
    const std::int64_t size = block_moments_size(kType, k, d, may_miss);
    const bool shared = kType != CovarianceType::full && s.moves && s.block_moments == nullptr;
    const MixtureMemory at(kType, s.shape, sizeof(T), k, shared ? size : 0);
    cells = reinterpret_cast<T*>(memory + at.cells);
    whitened = reinterpret_cast<T*>(memory + at.whitened);
    densities = reinterpret_cast<T*>(memory + at.densities);
    squares = reinterpret_cast<double*>(memory + at.squares);
    list = reinterpret_cast<std::uint16_t*>(memory + at.lists) + threadIdx.x / 32 * static_cast<unsigned>(s.shape.rows);
    counts = reinterpret_cast<int*>(memory + at.counts);
    weights_of_members = reinterpret_cast<T*>(memory + at.member_weights);
    if (kType == CovarianceType::full || !s.moves) return;
    double* const sums = shared ? reinterpret_cast<double*>(memory + at.moments) : s.block_moments + blockIdx.x * size;
    const std::int64_t cells_of_model = std::int64_t{k} * d;
    moments = {sums, sums + k, sums + k + cells_of_model, may_miss ? sums + size - cells_of_model : nullptr};
    for (std::int64_t i = threadIdx.x; shared && i < size; i += kStripThreads) sums[i] = 0;
  }

  __device__ MemberLists<T> members() const { return sweep.members(counts); }
};

// The sums of all components over the listed rows of the block of rows that begins at `first`, and empty lists again. All
// threads; begins and ends with a barrier.
template <class T>
__device__ void close_members(const MixtureBlock<CovarianceType::full, T>& block, std::int64_t first) {
  const MixtureSweep<T>& sweep = block.sweep;
  const int d = sweep.mixture.n_columns;
  const std::int64_t triangle = std::int64_t{d} * (d + 1) / 2;
  const MemberLists<T> lists = block.members();
  __syncthreads();
  for (int k = 0; k < sweep.mixture.n_components; ++k) {
    const MemberRows<T, T> members{.x = sweep.x + first * d,
                                   .center = sweep.mixture.center,
                                   .pivot = sweep.mixture.pivots + static_cast<std::int64_t>(k) * sweep.mixture.padded_columns,
                                   .row = lists.rows + k * kBlockRows,
                                   .weight = lists.weights + k * kBlockRows,
                                   .count = lists.counts[k],
                                   .n_columns = d};
    if (members.count == 0) continue;
    add_outer_products(members, sweep.shape, block.cells, block.weights_of_members, [&](int i, int j, double sum) {
      if (i < d) {
        sweep.sums.add_second(k * triangle + i * (i + 1) / 2 + j, i, j, sum);
      } else if (j < d) {
        sweep.sums.add_first(k, d, j, sum);
      } else {
        sweep.sums.add_weight(k, sum);
      }
    });
  }
  __syncthreads();  // no barrier follows the counts of the last components where these have no members
  lists.clear(sweep.mixture.n_components);
  __syncthreads();
}

// densities becomes the weighted responsibilities of the strip at `first` in the tile, whose likelihood goes to its owners. Ends
// with a barrier.
template <class T>
__device__ void normalise_rows(const MixtureSweep<T>& sweep, const StripShape& shape, T* densities, std::int64_t first,
                               LikelihoodSums& likelihood) {
  const auto weight_of = [&](int row) { return sweep.weight_of(first + row); };
  const RowLikelihood<T> row_likelihood = normalise_strip(sweep.mixture.n_components, shape, densities, weight_of);
  const int row = static_cast<int>(threadIdx.x) / shape.lanes_per_row;
  if (static_cast<int>(threadIdx.x) % shape.lanes_per_row != 0 || row >= shape.rows || first + row >= sweep.n_rows) return;
  likelihood.add(static_cast<double>(weight_of(row)), row_likelihood);
  if (sweep.row_likelihood != nullptr) sweep.row_likelihood[first + row] = static_cast<double>(row_likelihood.log_likelihood);
}

// first: of the strip, in the tile; block_first: of its block of rows. Begins and ends with a barrier.
template <CovarianceType kType, class T>
__device__ void sweep_rows(const MixtureBlock<kType, T>& block, std::int64_t block_first, int first, LikelihoodSums& likelihood) {
  const MixtureSweep<T>& sweep = block.sweep;
  const DeviceMixture<T>& mixture = sweep.mixture;
  const StripShape& shape = sweep.shape;
  const std::int64_t strip_first = block_first + first;
  load_strip(sweep.x, sweep.n_rows, mixture.n_columns, mixture.center, static_cast<int>(strip_first), shape.rows, shape.stride,
             block.cells);
  __syncthreads();
  fill_log_densities<kType, T>(mixture, shape, block.cells, block.whitened, block.densities);
  if constexpr (kType == CovarianceType::spherical) fill_squares(shape, mixture.n_columns, block.cells, block.squares);
  normalise_rows(sweep, shape, block.densities, strip_first, likelihood);
  if (!sweep.moves) return;
  if constexpr (kType == CovarianceType::full) {
    append_members(block.members(), mixture.n_components, shape, block.densities, first, [](T weight) { return weight; });
  } else {
    add_strip_moments<kType>(mixture, shape, block.cells, block.densities, block.squares, block.list, block.moments);
  }
  __syncthreads();
}

// Blocks that a multiprocessor must be able to hold: two leave a thread 128 registers, too few for full covariances in double.
template <CovarianceType kType, class T>
inline constexpr int kLeastBlocks = kType == CovarianceType::full && sizeof(T) == sizeof(double) ? 1 : 2;

template <CovarianceType kType, class T>
__global__ void __launch_bounds__(kStripThreads, kLeastBlocks<kType, T>) sweep_mixture_kernel(MixtureSweep<T> sweep) {
  SHARED_BYTES(memory);
  const MixtureBlock<kType, T> block(sweep, memory);
  if constexpr (kType == CovarianceType::full) {
    block.members().clear(sweep.mixture.n_components);
  }
  const std::int64_t step = std::int64_t{gridDim.x} * kBlockRows;
  for (std::int64_t first = std::int64_t{blockIdx.x} * kBlockRows; first < sweep.n_rows; first += step) {
    LikelihoodSums likelihood;
    const auto n_rows = static_cast<int>(min(kBlockRows, sweep.n_rows - first));
    for (int i = 0; i < n_rows; i += sweep.shape.rows) {
      sweep_rows(block, first, i, likelihood);
    }
    likelihood.close(sweep.sums);
    if (!sweep.moves) continue;
    if constexpr (kType == CovarianceType::full) {
      close_members(block, first);
    } else {
      close_block<kType>(sweep.sums, block.moments, sweep.mixture.n_components, sweep.mixture.n_columns);
    }
  }
}

// Log-densities of the strip at `first`; kHeld: of rows in registers. Ends with a barrier.
template <bool kHeld>
__device__ __forceinline__ void whiten_rows(const MixtureSweep<float>& sweep, std::byte* memory, int first) {
  const WhitenedShape& shape = sweep.whitened;
  const DeviceMixture<float>& mixture = sweep.mixture;
  auto* const densities = reinterpret_cast<float*>(memory + shape.at.densities);
  UnitStream<kHeld> stream(sweep.whitening, shape, mixture.n_components, memory);
  if constexpr (kHeld) {
    const HeldRows rows(sweep.x, sweep.n_rows, mixture.n_columns, mixture.center, sweep.whitening.scales, first + warp_row(shape));
    fill_by_products(mixture, shape, rows, stream, densities);
  } else {
    auto* const words = reinterpret_cast<std::uint32_t*>(memory + shape.at.halves);
    const HalfStrip strip{words, words + shape.strip.rows * shape.half_words, shape.half_words};
    load_halves(sweep.x, sweep.n_rows, mixture.n_columns, mixture.center, sweep.whitening.scales, first, shape.strip.rows, strip);
    fill_by_products(mixture, shape, SharedRows(strip, warp_row(shape)), stream, densities);
  }
  __syncthreads();
}

// The row after the strip of n_strip rows at `row` where the block goes on: in the same block of rows, or in the next one it takes.
__device__ inline unsigned next_strip(unsigned row, unsigned n_strip, unsigned n_rows) {
  constexpr auto kRows = static_cast<unsigned>(kBlockRows);
  const unsigned next = row + n_strip;
  return next < n_rows && next % kRows != 0 ? next : (row / kRows + gridDim.x) * kRows;
}

// Full, on tensor cores: a strip has log-densities by gaussian_whitening.cuh, a component its sums by gaussian_gram.cuh.
template <bool kHeld>
__global__ void __launch_bounds__(kStripThreads, 2) sweep_whitened_kernel(MixtureSweep<float> sweep) {
  SHARED_BYTES(memory);
  const WhitenedShape& shape = sweep.whitened;
  const DeviceMixture<float>& mixture = sweep.mixture;
  const MemberLists<float> lists = sweep.members(reinterpret_cast<int*>(memory));
  const auto own = [&]() -> WhitenedOwn& { return reinterpret_cast<WhitenedOwn*>(memory + shape.at.own)[thread_anew()]; };
  auto* const densities = reinterpret_cast<float*>(memory + shape.at.densities);
  const auto n_rows = static_cast<unsigned>(sweep.n_rows), n_strip = static_cast<unsigned>(shape.strip.rows);
  constexpr auto kRows = static_cast<unsigned>(kBlockRows);
  lists.clear(mixture.n_components);
  own() = {{}, blockIdx.x * kRows};
  while (own().row < n_rows) {
    whiten_rows<kHeld>(sweep, memory, static_cast<int>(own().row));
    normalise_rows(sweep, shape.strip, densities, own().row, own().likelihood);
    append_members(lists, mixture.n_components, shape.strip, densities, static_cast<int>(own().row % kRows),
                   [](float weight) { return ::sqrtf(weight); });
    const unsigned block = own().row / kRows;
    own().row = next_strip(own().row, n_strip, n_rows);
    if (own().row / kRows == block) continue;
    own().likelihood.close(sweep.sums);
    const GramSource members{.x = sweep.x + std::int64_t{block} * kBlockRows * mixture.n_columns,
                             .center = mixture.center,
                             .pivots = mixture.pivots,
                             .row = lists.rows,
                             .root = lists.weights,
                             .counts = lists.counts,
                             .n_components = mixture.n_components,
                             .n_columns = mixture.n_columns,
                             .padded_columns = mixture.padded_columns};
    close_grams(sweep.sums, shape.gram, members, memory + shape.at.gram);
    lists.clear(mixture.n_components);
    __syncthreads();
  }
}

// The expectation of the 16 rows of a strip that a warp has. strip: the one at `strip_row`.
template <int kTiles>
__device__ void expect_expanded(const MixtureSweep<float>& sweep, const ExpandedBlock& block, const float* strip, std::int64_t strip_row) {
  const int first = static_cast<int>(threadIdx.x / 32) * 16, stride = sweep.expanded.stride;
  float density[kTiles][4], factor[2];
  RowLikelihood<float> row_likelihood[2];
  expand_densities(sweep.expansion, block, strip + first * stride, stride, density);
  normalise_expanded(density, row_likelihood, factor);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const float one = sweep.weight != nullptr ? 1.0f / (1 << -kShiftOfWeights) : static_cast<float>(1 << kShiftOfOnes);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const std::int64_t row = strip_row + first + lane / 4 + 8 * h;
    const float weight = sweep.weight_of(row);
    factor[h] = __fdividef(weight * one, factor[h]);  // without a call, which would take registers
    if (lane % 4 != 0 || row >= sweep.n_rows) continue;
    block.own->likelihood.add(static_cast<double>(weight), row_likelihood[h]);
    if (sweep.row_likelihood != nullptr) sweep.row_likelihood[row] = static_cast<double>(row_likelihood[h].log_likelihood);
  }
  const Responsibilities& r = block.r;
  const int at = first / 2 * r.stride;
  store_responsibilities(density, factor, {r.high + at, r.low + at, r.stride});
}

// Starts the copy of the strip at `row`, if there is one.
__device__ inline void start_strip(const MixtureSweep<float>& sweep, unsigned row, float* strip) {
  const int n = sweep.n_rows, d = sweep.expansion.n_columns;
  const ExpandedShape& shape = sweep.expanded;
  if (shape.copy_bytes == 16) {
    copy_strip<16>(sweep.x, row, n, d, shape, strip);
  } else if (shape.copy_bytes == 8) {
    copy_strip<8>(sweep.x, row, n, d, shape, strip);
  } else {
    copy_strip<4>(sweep.x, row, n, d, shape, strip);
  }
  commit_copies();
}

// Diag and spherical, expanded. Every warp has 16 rows of a strip for the expectation, and then a piece of the sums, in its
// registers, for all rows of a block; strips arrive while the one before is worked on, by this block or by another. Sweeps that want
// the likelihood alone are in double (gaussian_plan.cuh).
template <int kTiles>
__global__ void __launch_bounds__(kStripThreads, 2) sweep_expanded_kernel(MixtureSweep<float> sweep) {
  SHARED_BYTES(memory);
  const ExpandedShape& shape = sweep.expanded;
  const ExpandedBlock block(shape, memory);
  block.fill(shape, sweep.expansion);
  // A block of rows has an even number of strips.
  const auto strip_of = [&](unsigned row) {
    return block.strips + (shape.strips == 2 ? row / kExpandedRows % 2 : 0) * static_cast<unsigned>(kExpandedRows * shape.stride);
  };
  ExpandedSums sums;
  sums.clear();
  const auto n_rows = static_cast<unsigned>(sweep.n_rows);
  unsigned row = blockIdx.x * static_cast<unsigned>(kBlockRows);
  if (shape.strips == 2) start_strip(sweep, row, strip_of(row));
  while (row < n_rows) {
    const unsigned coming = shape.strips == 2 ? next_strip(row, kExpandedRows, n_rows) : row;
    __syncthreads();
    start_strip(sweep, coming, strip_of(coming));
    if (shape.strips == 1)
      wait_copies<0>();
    else
      wait_copies<1>();
    __syncthreads();
    const float* const strip = strip_of(row);
    expect_expanded<kTiles>(sweep, block, strip, row);
    __syncthreads();
    add_expanded<kTiles>(shape, block, strip, sums);
    const unsigned next = next_strip(row, kExpandedRows, n_rows);
    if (next / static_cast<unsigned>(kBlockRows) != row / static_cast<unsigned>(kBlockRows)) {
      block.own->likelihood.close(sweep.sums);
      const double factor = sweep.weight != nullptr ? 1 << -kShiftOfWeights : 1.0 / (1 << kShiftOfOnes);
      close_expanded(sweep.sums, sweep.expansion, shape, factor, block.own->weights, sums);
    }
    row = next;
  }
}

// Adds the lower triangle of the sum of w (x - center)(x - center)^T to sums.second.
template <class T>
__global__ void __launch_bounds__(kStripThreads, 2) add_scatter_kernel(MixtureSweep<T> sweep) {
  SHARED_BYTES(memory);
  auto* const z = reinterpret_cast<T*>(memory);  // (rows, stride)
  T* const r = z + sweep.shape.rows * sweep.shape.stride;
  const int d = sweep.mixture.n_columns;
  const std::int64_t step = std::int64_t{gridDim.x} * kBlockRows;
  for (std::int64_t first = std::int64_t{blockIdx.x} * kBlockRows; first < sweep.n_rows; first += step) {
    const MemberRows<T, std::int32_t> members{.x = sweep.x + first * d,
                                              .center = sweep.mixture.center,
                                              .pivot = nullptr,
                                              .row = nullptr,
                                              .weight = sweep.weight != nullptr ? sweep.weight + first : nullptr,
                                              .count = static_cast<int>(min(kBlockRows, sweep.n_rows - first)),
                                              .n_columns = d};
    add_outer_products(members, sweep.shape, z, r, [&](int i, int j, double sum) {
      if (i < d) sweep.sums.add_second(std::int64_t{i} * (i + 1) / 2 + j, i, j, sum);
    });
  }
}

}  // namespace coterie::COTERIE_GPU
