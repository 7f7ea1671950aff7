// Labels of rows under a model of many centers on Hopper (warpgroup_scan.cuh), in two scans: the first labels the rows that its
// certificate (tensor_scan.cuh) decides and lists the others; the second one looks at these alone, names every center that may win, and
// measures what it has named.
#pragma once

#include "cuda/kmeans_sums.cuh"
#include "cuda/warpgroup_scan.cuh"

namespace coterie::COTERIE_GPU {

struct OpenRow {
  int row;      // of the tile
  float limit;  // upper bound of the nearest center
};

// A bound with the number of its center among the lane's of a scan in its lowest bits: instead of one comparison and two choices, a bound
// costs the writing of the number and two minima. It moves by 2^-18 of itself at most.
inline constexpr int kNameBits = 5;
inline constexpr float kNamed = 0x1p-17f;  // of a bound, the rounding of what allows for it included
static_assert(kTileCenters / 4 == 1 << kNameBits);
inline constexpr unsigned kKeptBits = ~0u << kNameBits;

struct WarpgroupSweep {
  WarpgroupShape shape;
  TileRows tile;
  const std::int32_t* weight;  // (n_rows), or nullptr
  CenterRows centers;
  int n_clusters;
  TensorCenters tensor;
  int model;                // of tensor.models
  double certain_ratio;     // as nearest::Certainty, of sums in double
  unsigned kept_bits;       // kKeptBits
  std::int32_t* label;      // (n_rows) of rows with a weight
  OpenRow* open;            // (n_rows)
  int* n_open;              // 0
  std::int64_t* rechecked;  // (2) as SweepTally

  __device__ const float* row(int i) const { return tile.x + std::int64_t{i} * shape.n_columns; }
};

// Centers that may be nearest to rows of one warp, in shared memory.
struct NamedCenters {
  static constexpr int kMost = 192, kMany = 64;

  double square[kMost];
  int row_of_tile[kRowsOfWarp];
  int center[kMost];
  std::uint8_t row[kMost];  // of the warp
};

inline __host__ __device__ WarpgroupMemory warpgroup_memory(const WarpgroupShape& shape) { return {shape, sizeof(NamedCenters)}; }
inline WarpgroupShape choose_warpgroup_shape(int n_columns, std::size_t shared_limit) {
  return choose_warpgroup_shape(n_columns, sizeof(NamedCenters), shared_limit);
}

// kept: all bits but those of a name, in a register, because one instruction does both but takes one constant.
__device__ __forceinline__ float name_bound(float bound, unsigned kept, int number) {
  return __uint_as_float((__float_as_uint(bound) & kept) | static_cast<unsigned>(number));
}

// Labels the lane's row, or lists it. top: of named bounds.
__device__ inline void label_row(const WarpgroupSweep& sweep, int row, bool exists, const RowNorms& norms, float error,
                                 const LowestTwo& top) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  bool is_open = false;
  float limit = 0;
  if (exists) {
    const TensorModel& model = sweep.tensor.models[sweep.model];
    const float best = __fmaf_rn(kNamed, fabsf(top.best), top.best), second = __fmaf_rn(-kNamed, fabsf(top.second), top.second);
    limit = upper_bound(sweep.tensor, norms, error, best, norm_of(sweep.tensor.pairs + model.pairs, top.index));
    is_open = !(second > limit) && (sweep.weight == nullptr || sweep.weight[row] > 0);
    if (!is_open) sweep.label[row] = top.index;
  }
  const unsigned all = __ballot_sync(kAllLanes, is_open);
  if (all == 0) return;
  const int first = __shfl_sync(kAllLanes, lane == 0 ? atomicAdd(sweep.n_open, __popc(all)) : 0, 0);
  if (is_open) sweep.open[first + __popc(all & ((1u << lane) - 1))] = {row, limit};
}

// How often a block takes its next rows.
__device__ inline int count_turns(int n_rows, int rows_of_block) {
  const int n_tiles = (n_rows + rows_of_block - 1) / rows_of_block, block = static_cast<int>(blockIdx.x),
            grid = static_cast<int>(gridDim.x);
  return block < n_tiles ? (n_tiles - block - 1) / grid + 1 : 0;
}

// Bounds of kTileCenters centers, named for the time being.
template <class Sums, int kRows>
__device__ __forceinline__ void offer_sums(const Sums& sums, unsigned kept, int first_tile, LowestTwo (&found)[kRows][1]) {
  const int first_center = first_tile * 8 + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    LowestTwo& top = found[i][0];
    const float before = top.best;
#pragma unroll
    for (int tile = 0; tile < kTileCenters / 8; ++tile) {
      const float *const two = &sums.sum[0][tile][2 * i], a = name_bound(two[0], kept, 2 * tile),
                         b = name_bound(two[1], kept, 2 * tile + 1);
      const float lower = min(a, b);
      top.second = min(min(top.second, max(a, b)), max(top.best, lower));
      top.best = min(top.best, lower);
    }
    const int number = static_cast<int>(__float_as_uint(top.best) & ~kept);
    if (top.best != before) top.index = first_center + number / 2 * 8 + number % 2;
  }
}

template <class Tile>
__device__ void label_turns(Tile& tile, const WarpgroupSweep& sweep, const TensorModel& model, int n_turns) {
  Tile::take_all_registers();
  const unsigned kept = sweep.kept_bits;
  for (int turn = 0; turn < n_turns; ++turn) {
    const std::int64_t first = (std::int64_t{turn} * gridDim.x + blockIdx.x) * sweep.shape.rows(), last = sweep.tile.n_rows - 1;
    const float* cells[Tile::kRows];
    RowNorms norms[Tile::kRows];
    float error[Tile::kRows];
    LowestTwo found[Tile::kRows][1];
    clear(found);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) cells[i] = sweep.row(static_cast<int>(min(first + Tile::place_of(i), last)));
    tile.load_rows(cells, norms);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) error[i] = bound_error(model, norms[i]);
    tile.scan(error, [&](int first_tile, const typename Tile::Sums& sums) { offer_sums(sums, kept, first_tile, found); });
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      LowestTwo& top = found[i][0];
      top.merge(top.of_lane(1));
      top.merge(top.of_lane(2));
      const std::int64_t row = first + Tile::place_of(i);
      label_row(sweep, static_cast<int>(row), threadIdx.x % 4 == 0 && row <= last, norms[i], error[i], top);
    }
  }
}

// One block per multiprocessor.
template <int kWarpgroups>
__global__ void __launch_bounds__(WarpgroupTile<kWarpgroups>::kThreads, 1) label_rows_kernel(WarpgroupSweep sweep) {
#ifdef COTERIE_HAS_WARPGROUPS
  SHARED_BYTES(memory);
  const TensorModel& model = sweep.tensor.models[sweep.model];
  WarpgroupTile<kWarpgroups> tile(sweep.shape, sweep.tensor, model, warpgroup_memory(sweep.shape), memory);
  const int n_turns = count_turns(sweep.tile.n_rows, sweep.shape.rows());
  if (tile.brings_centers()) {
    tile.bring_centers(n_turns);
  } else {
    label_turns(tile, sweep, model, n_turns);
  }
#endif
}

// Decides about the open rows of a warp: names the centers whose bounds are not above a row's limit, and measures them whenever many
// have been named, in double, because rows that many centers are open for tend to leave many within float32's error. Lane i keeps the
// lowest results of row i.
class RowDecider {
 public:
  __device__ RowDecider(const WarpgroupSweep& sweep, NamedCenters& named) : sweep_(sweep), named_(named) {}

  // sums: of 16 tiles of 8 centers from first_tile on; limit: of the lane's rows.
  template <class Sums>
  __device__ __forceinline__ void name(const Sums& sums, int first_tile, const float (&limit)[2]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int tile = 0; tile < kTileCenters / 8; ++tile) {
      unsigned masks[4], any = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) any |= masks[i] = __ballot_sync(kAllLanes, !(sums.sum[0][tile][i] > limit[i / 2]));
      if (any == 0) continue;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int place = n_ + __popc(masks[i] & ((1u << lane) - 1)), center = (first_tile + tile) * 8 + lane % 4 * 2 + i % 2;
        n_ += __popc(masks[i]);
        if ((masks[i] >> lane & 1) == 0) continue;
        if (place >= NamedCenters::kMost) {
          crowded_ |= 1u << i / 2;
          continue;
        }
        named_.center[place] = min(center, sweep_.n_clusters - 1);  // what fills up the last tile stands for the last one
        named_.row[place] = static_cast<std::uint8_t>(i / 2 * 8 + lane / 4);
      }
    }
    if (n_ <= NamedCenters::kMany) return;
    measure();
    keep_lowest();
  }

  // Labels the first n_rows rows among what was named since the last call.
  __device__ void decide(int n_rows, OpenTally& tally) {
    measure();
    keep_lowest();
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const unsigned crowded = __ballot_sync(kAllLanes, (crowded_ & 1) != 0), crowded_below = __ballot_sync(kAllLanes, (crowded_ & 2) != 0);
    const bool all_named = ((lane < 8 ? crowded : crowded_below) >> lane % 8 * 4 & 15) == 0;
    const double limit = top_.best * sweep_.certain_ratio;
    const bool certain = all_named && top_.second > limit, between_two = all_named && top_.third > limit;
    if (lane < n_rows && certain) sweep_.label[named_.row_of_tile[lane]] = top_.index;
    tally.rechecked += n_rows;
    for (unsigned rest = __ballot_sync(kAllLanes, lane < n_rows && !certain); rest != 0; rest &= rest - 1) {
      const int row = __ffs(static_cast<int>(rest)) - 1;
      const int first = __shfl_sync(kAllLanes, top_.index, row), second = __shfl_sync(kAllLanes, top_.second_index, row);
      const bool of_two = __shfl_sync(kAllLanes, static_cast<int>(between_two), row) != 0;
      const int label = of_two ? nearest_of_two(row, first, second) : nearest_of_all(row);
      ++tally.exact;
      if (lane == 0) sweep_.label[named_.row_of_tile[row]] = label;
    }
    top_ = {};
    crowded_ = 0;
  }

 private:
  // By the definition; all lanes return the same.
  __device__ int nearest_of_two(int row, int first, int second) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, center = lane == 0 ? first : second;
    ExactNearest nearest;
    if (lane < 2) offer_exactly(nearest, row, center);
    return nearest.label_of_all();
  }
  // Of more than two, or of more than could be named: the list takes all centers in turn.
  __device__ int nearest_of_all(int row) {
    double best = __builtin_huge_val();
    measure_all(row, [&](int, double square) { best = min(best, square); });
    for (int other = 16; other > 0; other /= 2) best = min(best, __shfl_xor_sync(kAllLanes, best, other));
    ExactNearest nearest;
    measure_all(row, [&](int center, double square) {
      if (!(square > best * sweep_.certain_ratio)) offer_exactly(nearest, row, center);
    });
    return nearest.label_of_all();
  }
  __device__ void offer_exactly(ExactNearest& nearest, int row, int center) const {
    const float* const x = sweep_.row(named_.row_of_tile[row]);
    nearest.offer(center, squared_distance<1>(x, sweep_.shape.n_columns, sweep_.centers[center]));
  }
  template <class Visit>
  __device__ void measure_all(int row, Visit&& visit) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int first = 0; first < sweep_.n_clusters; first += NamedCenters::kMost) {
      n_ = min(sweep_.n_clusters - first, NamedCenters::kMost);
      for (int i = lane; i < n_; i += 32) {
        named_.center[i] = first + i;
        named_.row[i] = static_cast<std::uint8_t>(row);
      }
      measure();
      for (int i = lane; i < n_; i += 32) visit(first + i, named_.square[i]);
      __syncwarp();
    }
    n_ = 0;
  }

  // Fills the squares of what was named: eight lanes a center, some of them at a time.
  __device__ void measure() {
    constexpr int kAtOnce = 4;
    const int lane = static_cast<int>(threadIdx.x) % 32, slot = lane / 8, d = sweep_.shape.n_columns;
    n_ = min(n_, NamedCenters::kMost);
    __syncwarp();
    for (int first = 0; first < n_; first += 4 * kAtOnce) {
      const float *x[kAtOnce], *center[kAtOnce];
      double s[kAtOnce] = {};
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int at = min(first + 4 * i + slot, n_ - 1);
        x[i] = sweep_.row(named_.row_of_tile[named_.row[at]]);
        center[i] = sweep_.centers[named_.center[at]];
      }
#pragma unroll 1
      for (int j = lane % 8 * 4; j < d; j += 32) {
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) add_squares(s[i], four_cells(x[i], j, d), *reinterpret_cast<const float4*>(center[i] + j));
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        s[i] = add_lanes(s[i], 1, 4);
        if (lane % 8 == 0 && first + 4 * i + slot < n_) named_.square[first + 4 * i + slot] = s[i];
      }
    }
    __syncwarp();
  }

  // Takes what was measured off the list.
  __device__ void keep_lowest() {
    for (int i = 0; i < n_; ++i) {
      if (named_.row[i] == threadIdx.x % 32) top_.offer(named_.square[i], named_.center[i]);
    }
    n_ = 0;
    __syncwarp();
  }

  const WarpgroupSweep& sweep_;
  NamedCenters& named_;
  int n_ = 0;             // named, of the warp
  unsigned crowded_ = 0;  // bit i: of the lane's row i, a center found no room
  LowestThreeOf<double> top_;
};

template <class Tile>
__device__ void decide_turns(Tile& tile, const WarpgroupSweep& sweep, const TensorModel& model, int n_open, int n_turns) {
  Tile::take_all_registers();
  NamedCenters& named = reinterpret_cast<NamedCenters*>(tile.others())[threadIdx.x / 32];
  RowDecider decider(sweep, named);
  OpenTally tally;
  for (int turn = 0; turn < n_turns; ++turn) {
    const int first = (turn * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x)) * sweep.shape.rows();
    const float* cells[Tile::kRows];
    float error[Tile::kRows], limit[Tile::kRows];
    RowNorms norms[Tile::kRows];
    int n_rows = 0;  // of the warp
    __syncwarp();
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      const int at = first + Tile::place_of(i);
      const OpenRow open = sweep.open[min(at, n_open - 1)];
      cells[i] = sweep.row(open.row);
      limit[i] = at < n_open ? open.limit : -__builtin_huge_valf();
      poke(&named.row_of_tile[i * 8 + threadIdx.x % 32 / 4], open.row);
      n_rows += __popc(__ballot_sync(kAllLanes, at < n_open)) / 4;
    }
    tile.load_rows(cells, norms);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) error[i] = bound_error(model, norms[i]);
    tile.scan(error, [&](int first_tile, const typename Tile::Sums& sums) { decider.name(sums, first_tile, limit); });
    decider.decide(n_rows, tally);
  }
  if (threadIdx.x % 32 != 0) return;
  atomic_add(&sweep.rechecked[0], tally.rechecked);
  atomic_add(&sweep.rechecked[1], tally.exact);
}

// After it, for the rows it has listed.
template <int kWarpgroups>
__global__ void __launch_bounds__(WarpgroupTile<kWarpgroups>::kThreads, 1) decide_rows_kernel(WarpgroupSweep sweep) {
#ifdef COTERIE_HAS_WARPGROUPS
  SHARED_BYTES(memory);
  const TensorModel& model = sweep.tensor.models[sweep.model];
  WarpgroupTile<kWarpgroups> tile(sweep.shape, sweep.tensor, model, warpgroup_memory(sweep.shape), memory);
  const int n_open = *sweep.n_open, n_turns = count_turns(n_open, sweep.shape.rows());
  if (tile.brings_centers()) {
    tile.bring_centers(n_turns);
  } else {
    decide_turns(tile, sweep, model, n_open, n_turns);
  }
#endif
}

}  // namespace coterie::COTERIE_GPU
