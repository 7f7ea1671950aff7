// Scans of many centers on Hopper. Some warpgroups of a block hold 64 rows each in shared memory, in half precision, and multiply them by
// all centers of a model (warpgroup_mma.hpp), which one more warpgroup brings in stages of bulk copies. Nobody waits for a whole block: a
// warpgroup compares what its products gave while those of others are under way.
#pragma once

#include "cuda/center_fragments.hpp"
#include "cuda/instructions/warpgroup_mma.hpp"
#include "cuda/row_tile.cuh"

namespace coterie::COTERIE_GPU {

inline constexpr int kMostWarpgroups = 4;  // that scan; a power of two
inline constexpr int kRowsOfWarp = kWarpgroupRows / kWarpgroupWarps;
inline constexpr int kStageSteps = 4;
inline constexpr int kRowBytes = 2 * kStepColumns;  // of a row in one step
inline constexpr int kStepBytes = kTileCenters * kRowBytes, kPairsBytes = kTileCenters / 2 * static_cast<int>(sizeof(CenterPair));
inline constexpr int kStageBytes = kStageSteps * kStepBytes;

struct WarpgroupShape {
  int n_columns = 0, steps = 0;
  int warpgroups = 0;  // that scan: 4, or 2 where columns are many; 0: their rows do not fit
  int n_stages = 0;    // of centers in shared memory

  __host__ __device__ int rows() const { return warpgroups * kWarpgroupRows; }
  int threads() const { return (warpgroups + 1) * kWarpgroupThreads; }
};

// Offsets into dynamic shared memory, in bytes.
struct WarpgroupMemory {
  int stages, pairs, shift, barriers, others, bytes;  // the rows come first

  // bytes_of_warp: what else a kernel keeps there for each warp that scans, a multiple of 8
  __host__ __device__ WarpgroupMemory(const WarpgroupShape& shape, int bytes_of_warp)
      : stages(shape.rows() * shape.steps * kRowBytes),
        pairs(stages + shape.n_stages * kStageBytes),
        shift(pairs + shape.n_stages * kPairsBytes),
        barriers(shift + shape.steps * kStepColumns * 4),
        others(barriers + (2 * shape.n_stages + shape.warpgroups) * static_cast<int>(sizeof(PhaseBarrier))),
        bytes(others + shape.warpgroups * kWarpgroupWarps * bytes_of_warp) {}
};

// As many rows as leave room for some stages.
inline WarpgroupShape choose_warpgroup_shape(int n_columns, int bytes_of_warp, std::size_t shared_limit) {
  constexpr int kFewestStages = 4, kMostStages = 8;
  WarpgroupShape shape{.n_columns = n_columns, .steps = count_steps(n_columns), .warpgroups = kMostWarpgroups, .n_stages = kFewestStages};
  const auto fits = [&] { return static_cast<std::size_t>(WarpgroupMemory(shape, bytes_of_warp).bytes) <= shared_limit; };
  while (shape.warpgroups > 1 && !fits()) shape.warpgroups /= 2;
  if (shape.warpgroups < 2) return {};
  while (shape.n_stages < kMostStages && fits()) ++shape.n_stages;
  while (!fits()) --shape.n_stages;
  return shape;
}

template <int kWarpgroups>
class WarpgroupTile {
 public:
  static constexpr int kThreads = (kWarpgroups + 1) * kWarpgroupThreads;
  // Of a thread: what the launch gives all warpgroups, and what one of them leaves to the others.
  static constexpr int kRegisters = 65536 / kThreads / 8 * 8, kBringingRegisters = 24;
  static constexpr int kScanRegisters = (kRegisters * (kWarpgroups + 1) - kBringingRegisters) / kWarpgroups / 8 * 8;
  static constexpr int kRows = 2;  // of a lane
  using Sums = TileSums<1, kTileCenters / 8>;

  // All threads; ends with a barrier.
  __device__ WarpgroupTile(const WarpgroupShape& shape, const TensorCenters& centers, const TensorModel& model, const WarpgroupMemory& at,
                           std::byte* memory)
      : shape_(shape),
        centers_(centers),
        model_(model),
        memory_(memory),
        at_(at),
        full_(reinterpret_cast<PhaseBarrier*>(memory + at.barriers)),
        empty_(full_ + shape.n_stages),
        together_(empty_ + shape.n_stages),
        ring_{.n = shape.n_stages} {
    const auto shift = reinterpret_cast<float*>(memory + at.shift);
    for (int i = static_cast<int>(threadIdx.x); i < shape.steps * kStepColumns; i += kThreads) shift[i] = -centers.pivot[i] * centers.scale;
    if (threadIdx.x == 0) {
      for (int i = 0; i < shape.n_stages; ++i) {
        start_barrier(full_[i], 1);
        start_barrier(empty_[i], kWarpgroups * kWarpgroupWarps);
      }
      for (int i = 0; i < kWarpgroups; ++i) start_barrier(together_[i], kWarpgroupThreads);
    }
    __syncthreads();
  }

  __device__ static bool brings_centers() { return threadIdx.x >= kWarpgroups * kWarpgroupThreads; }

  // The last warpgroup, by one of its threads: all centers, n_scans times.
  __device__ void bring_centers(int n_scans) {
    give_registers<kBringingRegisters>();
    if (threadIdx.x % kWarpgroupThreads != 0) return;
    const auto* const centers = reinterpret_cast<const std::byte*>(centers_.fragments + model_.fragments);
    const auto* const pairs = reinterpret_cast<const std::byte*>(centers_.pairs + model_.pairs);
    const int n_tiles = count_tiles();
    for (int scan = 0; scan < n_scans; ++scan) {
      for (int tile = 0; tile < n_tiles; ++tile) {
        for (int step = 0; step < shape_.steps; step += kStageSteps, ring_.advance()) {
          const int bytes = min(kStageSteps, shape_.steps - step) * kStepBytes, of_pairs = step == 0 ? kPairsBytes : 0;
          wait_phase(empty_[ring_.place], ring_.parity ^ 1);
          PhaseBarrier& full = full_[ring_.place];
          arrive_and_announce(full, static_cast<unsigned>(bytes + of_pairs));
          copy_bulk(stage(), centers + (std::int64_t{tile} * shape_.steps + step) * kStepBytes, static_cast<unsigned>(bytes), full);
          if (of_pairs > 0) copy_bulk(pairs_of_stage(), pairs + std::int64_t{tile} * kPairsBytes, kPairsBytes, full);
        }
      }
    }
  }

  // The other warpgroups, before all else.
  __device__ static void take_all_registers() { take_registers<kScanRegisters>(); }

  // Of the lane's i-th row, in the rows of the block.
  __device__ static int place_of(int i) { return static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4 + i * 8; }

  // The rows of a warpgroup; all its threads. row: where the lane's begin; norms: of these.
  __device__ void load_rows(const float* const (&row)[kRows], RowNorms (&norms)[kRows]) {
    constexpr int kAhead = 4;  // steps that are asked for at a time
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto* const shift = reinterpret_cast<const float*>(memory_ + at_.shift);
    meet();  // nobody reads the rows before
    std::byte* const to = memory_ + place_of(0) / 8 * kCoreRowsBytes + lane / 4 * 16 + lane % 4 / 2 * 128 + lane % 2 * 8;
    RowSquares squares[kRows];
    for (int step = 0; step < shape_.steps; step += kAhead) {
      TileCells<kRows, kAhead> cells;
      load_cells(row, shape_.n_columns, step, cells);
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (step + i >= shape_.steps) break;
        const float4 shift_of_step = shift_of(shift, step + i);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          HalfCells four;
          convert_cells(cells.cell[r][i], shift_of_step, centers_.scale, four.low, four.high, squares[r]);
          *reinterpret_cast<HalfCells*>(to + (step + i) * shape_.rows() * kRowBytes + r * kCoreRowsBytes) = four;
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) norms[r] = squares[r].norms(shape_.steps);
    show_to_copies_and_products();
    meet();
  }

  // Calls visit(first tile of 8 centers, sums) for kTileCenters centers at a time. error: of the lane's rows.
  template <class Visit>
  __device__ void scan(const float (&error)[kRows], Visit&& visit) {
    const int lane = static_cast<int>(threadIdx.x) % 32, n_tiles = count_tiles();
    // The shuffle tells the compiler that it is the same in all lanes, as operands are.
    const int warpgroup = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kWarpgroupThreads, 0);
    const ProductOperand first_rows(memory_ + warpgroup * kWarpgroupRows * kRowBytes);
    const int step_bytes = shape_.rows() * kRowBytes;
    for (int tile = 0; tile < n_tiles; ++tile) {
      Sums sums;
      wait_phase(full_[ring_.place], ring_.parity);
      sums.begin(pairs_of_stage() + lane % 4, kTileCenters / 8, error);
      begin_products(sums.sum);
      ProductOperand rows = first_rows;
      int before = ring_.place;  // the stage
      for (int step = 0; step < shape_.steps; step += kStageSteps, ring_.advance()) {
        wait_phase(full_[ring_.place], ring_.parity);
        const ProductOperand centers(stage());
        const auto multiply = [&](int i) {
          multiply_fp16(sums.sum[0], rows, centers.after(i * kStepBytes));
          rows = rows.after(step_bytes);
        };
        const int n_steps = shape_.steps - step;
        if (n_steps >= kStageSteps) {
#pragma unroll
          for (int i = 0; i < kStageSteps; ++i) multiply(i);
          commit_products();  // here, or the compiler makes two groups of these products
        } else {
#pragma unroll 1
          for (int i = 0; i < n_steps; ++i) multiply(i);
          commit_products();
        }
        wait_products<1>();
        if (lane == 0 && step > 0) arrive(empty_[before]);
        before = ring_.place;
      }
      wait_products<0>();
      if (lane == 0) arrive(empty_[before]);
      end_products(sums.sum);
      visit(tile * (kTileCenters / 8), sums);
    }
  }

  __device__ std::byte* others() const { return memory_ + at_.others; }

 private:
  struct alignas(8) HalfCells {
    std::uint32_t low, high;
  };

  __device__ int count_tiles() const { return model_.n_pairs * kPairCenters / kTileCenters; }
  __device__ std::byte* stage() const { return memory_ + at_.stages + ring_.place * kStageBytes; }
  __device__ CenterPair* pairs_of_stage() const { return reinterpret_cast<CenterPair*>(memory_ + at_.pairs + ring_.place * kPairsBytes); }

  // All threads of a warpgroup.
  __device__ void meet() {
    PhaseBarrier& together = together_[threadIdx.x / kWarpgroupThreads];
    arrive(together);
    wait_phase(together, met_);
    met_ ^= 1;
  }

  const WarpgroupShape& shape_;
  const TensorCenters& centers_;
  const TensorModel& model_;
  std::byte* memory_;
  WarpgroupMemory at_;
  PhaseBarrier *full_, *empty_, *together_;  // (n_stages), (n_stages), (kWarpgroups)
  PhaseRing ring_;                           // of stages: where this warp is
  unsigned met_ = 0;                         // parity of the next meeting
};

}  // namespace coterie::COTERIE_GPU
