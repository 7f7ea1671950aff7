// The histogram of the next digit, on the CPU: one histogram per worker, merged at the end.
//
// A key begins with one prefix only, so a cell counts in at most one bin: in its segment's where the segment looks for that prefix,
// else in the population's. The end gives the population what segments have counted in its stead, and each quantile what an earlier
// one of the same prefix has counted for both.
#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "host/digit_bins.hpp"
#include "host/error.hpp"
#include "host/quantiles.hpp"

namespace coterie::quantiles {
namespace {

struct Slot {
  std::uint64_t prefix;  // the known digits, the others 0
  std::size_t entry;     // the histogram that counts its cells, kBins to each
};

// Appends what a group's cell (a group and column) looks for, as far as no slot has it yet.
void append_slots(const Search& search, std::size_t cell, std::vector<Slot>& slots) {
  const std::size_t n_quantiles = search.per_mille.size();
  for (std::size_t entry = cell * n_quantiles; entry < (cell + 1) * n_quantiles; ++entry) {
    const std::uint64_t prefix = search.prefixes[entry];
    const bool taken = std::any_of(slots.begin(), slots.end(), [=](const Slot& slot) { return slot.prefix == prefix; });
    if (search.ranks[entry] > 0 && !taken) slots.push_back({prefix, entry});
  }
}

// Where the cells of a group and column are counted: every one of them in the first sweep.
std::vector<Slot> find_slots(const Search& search, std::size_t group, std::int32_t column) {
  if (search.known_digits == 0) return {{.prefix = 0, .entry = search.scope.cell(group, column)}};
  std::vector<Slot> slots;
  const auto population = static_cast<std::size_t>(search.scope.n_segments);
  append_slots(search, search.scope.cell(group, column), slots);
  if (group != population) append_slots(search, search.scope.cell(population, column), slots);
  return slots;
}

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
  explicit CpuPass(Context& context) : context_(context), workers_(static_cast<std::size_t>(context.threads())) {}
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
  void merge_workers(std::size_t entry);
  void share_counts(std::int32_t column);

  Context& context_;
  const Search* search_ = nullptr;
  KeyTable<std::uint32_t> narrow_;  // of floats, else
  KeyTable<std::uint64_t> wide_;    // of doubles
  std::vector<Worker> workers_;     // (threads)
};

void CpuPass::begin(const Search& search) {
  if (search.scope.n_columns > most_columns(search.scope.n_segments, search.per_mille.size()))
    throw InternalError("a quantile search covers more columns than most_columns()");
  search_ = &search;
  const std::size_t n_histograms = search.known_digits == 0 ? search.scope.n_cells() : search.ranks.size();
  for (Worker& worker : workers_) worker.histogram.assign(n_histograms * kBins, 0);
  if (search.wide)
    wide_.fill(search);
  else
    narrow_.fill(search);
}

void CpuPass::accumulate(const Tile& tile) {
  visit_cells(tile, [&](const auto* x) {
    using Cell = std::remove_cvref_t<decltype(*x)>;
    for_each_piece(context_, tile, [&](std::int64_t first, std::int64_t last, std::size_t index) {
      Worker& worker = workers_[index];
      worker.rows.for_each_group(tile, x, search_->scope, first, last, [&](std::size_t group, const GroupRows<Cell>& rows) {
        count_digits(rows, table<Cell>().wanted(group), worker.histogram.data());
      });
    });
  });
}

void add_bins(std::int64_t* to, const std::int64_t* from) {
  for (std::size_t bin = 0; bin < kDigits; ++bin) to[bin] += from[bin];
}

// Adds the entry's histograms of all workers to the first one's.
void CpuPass::merge_workers(std::size_t entry) {
  for (std::size_t worker = 1; worker < workers_.size(); ++worker)
    add_bins(workers_[0].histogram.data() + entry * kBins, workers_[worker].histogram.data() + entry * kBins);
}

void CpuPass::share_counts(std::int32_t column) {
  const SegmentScope& scope = search_->scope;
  const auto bins_of = [&](std::size_t entry) { return workers_[0].histogram.data() + entry * kBins; };
  const auto population = static_cast<std::size_t>(scope.n_segments);
  std::vector<Slot> of_all = find_slots(*search_, population, column);
  for (std::size_t group = 0; group < scope.n_groups(); ++group) {
    std::vector<Slot> slots;
    append_slots(*search_, scope.cell(group, column), slots);
    for (const Slot& slot : slots)
      for (const Slot& wanted : of_all)
        if (wanted.prefix == slot.prefix && wanted.entry != slot.entry) add_bins(bins_of(wanted.entry), bins_of(slot.entry));
    const std::size_t first = search_->entry(static_cast<std::int32_t>(group), column, 0);
    for (std::size_t entry = first; entry < first + search_->per_mille.size(); ++entry)
      for (const Slot& slot : slots)
        if (slot.prefix == search_->prefixes[entry] && slot.entry != entry) std::copy_n(bins_of(slot.entry), kBins, bins_of(entry));
  }
}

Statistics CpuPass::finish() {
  const SegmentScope& scope = search_->scope;
  const std::size_t per_cell = search_->known_digits == 0 ? 1 : search_->per_mille.size();
  context_.parallel_for(scope.n_columns, [&](std::int64_t index, int) {
    const auto column = static_cast<std::int32_t>(index);
    for (std::size_t group = 0; group < scope.n_groups(); ++group)
      for (std::size_t i = 0; i < per_cell; ++i) merge_workers(scope.cell(group, column) * per_cell + i);
    if (search_->known_digits > 0) share_counts(column);
  });
  return {std::exchange(workers_[0].histogram, {})};
}

}  // namespace

std::unique_ptr<Pass> make_cpu_pass(Context& context) { return std::make_unique<CpuPass>(context); }

}  // namespace coterie::quantiles
