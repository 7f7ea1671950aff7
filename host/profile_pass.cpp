// The two sweeps of a profile on the CPU: counts group by group, moments row by row.
#include "host/profile_pass.hpp"

#include <cmath>
#include <limits>

#include "host/merge.hpp"
#include "host/per_worker.hpp"
#include "host/profile_cells.hpp"
#include "host/row_blocks.hpp"

namespace coterie::profile {
namespace {

class CpuCountsPass final : public CountsPass {
 public:
  explicit CpuCountsPass(Context& context) : context_(context) {}
  void begin(const SegmentScope& scope) override;
  void accumulate(const Tile& tile) override;
  Counts finish() override { return merge_workers(std::move(workers_), &Worker::counts); }

 private:
  struct Worker {
    Counts counts;
    RowsByGroup rows;
  };
  Context& context_;
  SegmentScope scope_;
  PerWorker<Worker> workers_;
};

Counts empty_counts(const SegmentScope& scope) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Counts counts;
  counts.rows.resize(scope.n_groups());
  counts.weight.resize(scope.n_groups());
  counts.known_rows.resize(scope.n_cells());
  counts.known_weight.resize(scope.n_cells());
  counts.nonzero_weight.resize(scope.n_cells());
  counts.min.assign(scope.n_cells(), kInfinity);
  counts.max.assign(scope.n_cells(), -kInfinity);
  return counts;
}

// Adds up what the rows of one group hold.
template <class Cell>
void count_group(Counts& counts, std::size_t group, std::size_t n_columns, const GroupRows<Cell>& rows) {
  const std::size_t first = group * n_columns;
  counts.rows[group] += std::ssize(rows.rows);
  rows.for_each(0, 0, [&](const Cell*, std::int64_t weight) { counts.weight[group] += weight; });
  count_cells(rows, n_columns,
              {.known_rows = counts.known_rows.data() + first,
               .known_weight = counts.known_weight.data() + first,
               .nonzero_weight = counts.nonzero_weight.data() + first,
               .min = counts.min.data() + first,
               .max = counts.max.data() + first});
}

void CpuCountsPass::begin(const SegmentScope& scope) {
  scope_ = scope;
  workers_ = {context_, [scope] { return Worker{empty_counts(scope), {}}; }};
}

void CpuCountsPass::accumulate(const Tile& tile) {
  const auto n_columns = static_cast<std::size_t>(scope_.n_columns);
  visit_cells(tile, [&](const auto* x) {
    for_each_piece(context_, tile, [&](std::int64_t first, std::int64_t last, std::size_t worker) {
      auto& [counts, by_group] = workers_.of(worker);
      by_group.for_each_group(tile, x, scope_, first, last,
                              [&, &to = counts](std::size_t group, const auto& rows) { count_group(to, group, n_columns, rows); });
    });
  });
}

class CpuMomentsPass final : public MomentsPass {
 public:
  explicit CpuMomentsPass(Context& context) : context_(context) {}
  void begin(const Frame& frame) override;
  void accumulate(const Tile& tile) override;
  MomentSums finish() override { return merge_workers(std::move(workers_), &Worker::total); }

 private:
  struct Worker {
    MomentSums total;
    std::vector<double> block_sums, block_squares;  // (n_groups, n_columns)
  };
  template <class Cell>
  void add_cells(Worker& worker, const Cell* cells, std::size_t first, double weight) const;
  void close_block(Worker& worker) const;

  Context& context_;
  const Frame* frame_ = nullptr;
  std::vector<double> scale_;         // (n_groups, n_columns) 2^-exponent
  std::vector<double> scaled_pivot_;  // (n_groups, n_columns) pivot * scale
  std::vector<double> quanta_;        // (n_groups, n_columns) 2^fraction_bits
  PerWorker<Worker> workers_;
};

void CpuMomentsPass::begin(const Frame& frame) {
  frame_ = &frame;
  const std::size_t n = frame.scope.n_cells();
  scale_.resize(n);
  scaled_pivot_.resize(n);
  quanta_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    scale_[i] = std::ldexp(1.0, -frame.exponent[i]);
    scaled_pivot_[i] = frame.pivot[i] * scale_[i];
    quanta_[i] = std::ldexp(1.0, frame.fraction_bits[i]);
  }
  workers_ = {context_, [n] { return Worker{{WideSums(n), WideSums(n)}, std::vector<double>(n), std::vector<double>(n)}; }};
}

void CpuMomentsPass::accumulate(const Tile& tile) {
  const auto n_columns = static_cast<std::size_t>(frame_->scope.n_columns);
  visit_cells(tile, [&](const auto* x) {
    for_each_block(context_, tile.n_rows, [&](std::int64_t first, std::int64_t last, std::size_t index) {
      Worker& worker = workers_.of(index);
      for_each_row(tile, x, frame_->scope, first, last, [&](const auto* cells, std::size_t group, std::int32_t weight) {
        add_cells(worker, cells, group * n_columns, static_cast<double>(weight));
      });
      close_block(worker);
    });
  });
}

// cells: (n_columns); `first` is the entry of the row's group and first column. Scaling by a power of two is exact.
template <class Cell>
void CpuMomentsPass::add_cells(Worker& worker, const Cell* cells, std::size_t first, double weight) const {
  const auto n_columns = static_cast<std::size_t>(frame_->scope.n_columns);
  const double* __restrict scale = scale_.data() + first;
  const double* __restrict pivot = scaled_pivot_.data() + first;
  double* __restrict sums = worker.block_sums.data() + first;
  double* __restrict squares = worker.block_squares.data() + first;
  for (std::size_t column = 0; column < n_columns; ++column) {
    const double x = static_cast<double>(cells[column]);
    const double t = x == x ? x * scale[column] - pivot[column] : 0.0;
    const double weighted = weight * t;
    sums[column] += weighted;
    squares[column] += weighted * t;
  }
}

void CpuMomentsPass::close_block(Worker& worker) const {
  for (std::size_t i = 0; i < quanta_.size(); ++i) {
    if (worker.block_sums[i] == 0 && worker.block_squares[i] == 0) continue;  // most groups of a block, when there are many
    worker.total.sums.add(i, static_cast<int128>(worker.block_sums[i] * quanta_[i]));
    worker.total.squares.add(i, static_cast<int128>(worker.block_squares[i] * quanta_[i]));
    worker.block_sums[i] = 0;
    worker.block_squares[i] = 0;
  }
}

}  // namespace

void Counts::for_each_field(FieldVisitor& visitor) {
  visitor.integers(rows, Merge::sum);
  visitor.integers(weight, Merge::sum);
  visitor.integers(known_rows, Merge::sum);
  visitor.integers(known_weight, Merge::sum);
  visitor.integers(nonzero_weight, Merge::sum);
  visitor.reals(min, Merge::min);
  visitor.reals(max, Merge::max);
}

Passes make_cpu_passes(Context& context) {
  return {.counts = std::make_unique<CpuCountsPass>(context),
          .moments = std::make_unique<CpuMomentsPass>(context),
          .quantiles = quantiles::make_cpu_pass(context)};
}

std::int64_t statistics_bytes(std::int32_t n_segments) {
  // Counts: three int64 and two doubles; sums and squares: four limbs; scratch of a block: two doubles.
  constexpr std::int64_t kBytesPerCell = std::int64_t{11} * 8;
  return (std::int64_t{n_segments} + 1) * kBytesPerCell;
}

}  // namespace coterie::profile
