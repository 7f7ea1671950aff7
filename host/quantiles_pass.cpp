// The histogram of the next digit, on the CPU: one histogram per worker, merged at the end.
#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "host/digit_bins.hpp"
#include "host/digit_slots.hpp"
#include "host/error.hpp"
#include "host/per_worker.hpp"

namespace coterie::quantiles {
namespace {

// WantedKeys of every group.
template <class Key>
class KeyTable {
 public:
  void fill(const Search& search) {
    shift_ = search.shift();
    n_columns_ = static_cast<std::size_t>(search.scope.n_columns);
    n_slots_ = search.known_digits == 0 ? 1 : 2 * search.per_mille.size();
    prefixes_.assign(search.scope.n_cells() * n_slots_, kNoPrefix<Key>);
    bins_.assign(prefixes_.size(), 0);
    std::size_t most = 0;
    for (std::size_t group = 0; group < search.scope.n_groups(); ++group)
      for (std::int32_t column = 0; column < search.scope.n_columns; ++column)
        most = std::max(most, place(find_slots(search, group, column), group, column));
    used_slots_ = most;
  }

  WantedKeys<Key> wanted(std::size_t group) const {
    const std::size_t first = group * n_slots_ * n_columns_;
    return {prefixes_.data() + first, bins_.data() + first, used_slots_, n_columns_, shift_};
  }

 private:
  std::size_t place(const std::vector<Slot>& slots, std::size_t group, std::int32_t column) {
    std::size_t i = group * n_slots_ * n_columns_ + static_cast<std::size_t>(column);
    for (const Slot& slot : slots) {
      prefixes_[i] = static_cast<Key>(slot.prefix) >> shift_ >> kDigitBits;
      bins_[i] = static_cast<Key>(slot.entry * kBins);
      i += n_columns_;
    }
    return slots.size();
  }

  int shift_ = 0;
  std::size_t n_columns_ = 0, n_slots_ = 0;
  std::size_t used_slots_ = 0;        // by the column that has most
  std::vector<Key> prefixes_, bins_;  // (n_groups, n_slots, n_columns)
};

class CpuPass final : public Pass {
 public:
  explicit CpuPass(Context& context) : context_(context) {}
  void begin(const Search& search) override;
  void accumulate(const Tile& tile) override;
  Statistics finish() override;

 private:
  struct Worker {
    std::vector<std::int64_t> histogram;  // as in Statistics
    RowsByGroup rows;
  };
  template <class Cell>
  auto& table() {
    if constexpr (sizeof(Cell) == sizeof(float))
      return narrow_;
    else
      return wide_;
  }

  Context& context_;
  const Search* search_ = nullptr;
  KeyTable<std::uint32_t> narrow_;  // of floats, else
  KeyTable<std::uint64_t> wide_;    // of doubles
  PerWorker<Worker> workers_;
};

void CpuPass::begin(const Search& search) {
  if (search.scope.n_columns > most_columns(search.scope.n_segments, search.per_mille.size()))
    throw InternalError("a quantile search covers more columns than most_columns()");
  search_ = &search;
  const std::size_t n_histograms = search.known_digits == 0 ? search.scope.n_cells() : search.ranks.size();
  workers_ = {context_, [n_histograms] { return Worker{std::vector<std::int64_t>(n_histograms * kBins), {}}; }};
  if (search.wide)
    wide_.fill(search);
  else
    narrow_.fill(search);
}

void CpuPass::accumulate(const Tile& tile) {
  visit_cells(tile, [&](const auto* x) {
    using Cell = std::remove_cvref_t<decltype(*x)>;
    for_each_piece(context_, tile, [&](std::int64_t first, std::int64_t last, std::size_t index) {
      Worker& worker = workers_.of(index);
      worker.rows.for_each_group(tile, x, search_->scope, first, last, [&](std::size_t group, const GroupRows<Cell>& rows) {
        count_digits(rows, table<Cell>().wanted(group), worker.histogram.data());
      });
    });
  });
}

Statistics CpuPass::finish() {
  const SegmentScope& scope = search_->scope;
  const std::size_t per_cell = search_->known_digits == 0 ? 1 : search_->per_mille.size();
  PerWorker<Worker> workers = std::move(workers_);
  const std::vector<Worker*> made = workers.made();
  std::int64_t* const histogram = made.front()->histogram.data();
  context_.parallel_for(scope.n_columns, [&](std::int64_t index, int) {
    const auto column = static_cast<std::int32_t>(index);
    for (std::size_t group = 0; group < scope.n_groups(); ++group)
      for (std::size_t i = 0; i < per_cell; ++i) {
        const std::size_t entry = (scope.cell(group, column) * per_cell + i) * kBins;
        for (std::size_t worker = 1; worker < made.size(); ++worker) add_bins(histogram + entry, made[worker]->histogram.data() + entry);
      }
    share_counts(*search_, column, histogram);
  });
  return {std::move(made.front()->histogram)};
}

}  // namespace

std::unique_ptr<Pass> make_cpu_pass(Context& context) { return std::make_unique<CpuPass>(context); }

}  // namespace coterie::quantiles
