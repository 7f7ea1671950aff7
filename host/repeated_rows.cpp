#include "host/repeated_rows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "host/merge.hpp"
#include "host/passes.hpp"
#include "host/per_worker.hpp"
#include "host/random.hpp"
#include "host/row_blocks.hpp"

namespace coterie {
namespace {

constexpr std::int64_t kDigests = std::int64_t{1} << 20;  // 24 MiB, and a share of 1 % is known to a hundredth of itself

std::uint64_t bits_of(float cell) { return std::bit_cast<std::uint32_t>(cell); }
std::uint64_t bits_of(double cell) { return std::bit_cast<std::uint64_t>(cell); }

// A sum over cells, each mixed with a random word of its column, so that no cell waits for the one before it.
template <class T>
std::uint64_t digest(const T* cells, const std::vector<std::uint64_t>& salts) {
  std::uint64_t sum = 0;
  for (std::size_t j = 0; j < salts.size(); ++j) {
    const T cell = cells[j] == cells[j] ? cells[j] + T{0} : std::numeric_limits<T>::quiet_NaN();
    sum += mix64(bits_of(cell) ^ salts[j]);
  }
  return mix64(sum);
}

std::vector<std::uint64_t> salts_of(std::int32_t n_columns) {
  std::vector<std::uint64_t> salts;
  for (std::int32_t j = 0; j < n_columns; ++j) salts.push_back(mix64(static_cast<std::uint64_t>(j)));
  return salts;
}

struct Digests {
  std::int64_t n_rows = 0;
  FirstRows smallest;
  void for_each_field(FieldVisitor& visitor) {
    visitor.integers({&n_rows, 1}, Merge::sum);
    visitor.first_rows(smallest);
  }
};

class DigestPass {
 public:
  DigestPass(Context& context, std::int32_t n_columns, std::int64_t capacity, std::uint64_t threshold)
      : context_(context), salts_(salts_of(n_columns)), capacity_(capacity), threshold_(threshold) {}

  void begin(int) {
    workers_ = {context_, [this] { return Digests{0, FirstRows(capacity_, 0)}; }};
  }
  void accumulate(const Tile& tile) {
    for_each_block(context_, tile.n_rows, [&](std::int64_t first, std::int64_t last, std::size_t worker) {
      Digests& digests = workers_.of(worker);
      digests.n_rows += last - first;
      visit_cells(tile, [&](const auto* cells) {
        for (std::int64_t row = first; row < last; ++row) {
          const std::uint64_t key = digest(cells + row * tile.n_columns, salts_);
          if (key <= threshold_) digests.smallest.offer(key, tile.first_row + row, nullptr);
        }
      });
    });
  }
  Digests finish() { return merge_workers(std::move(workers_)); }

 private:
  Context& context_;
  std::vector<std::uint64_t> salts_;  // (n_columns)
  std::int64_t capacity_;
  std::uint64_t threshold_;
  PerWorker<Digests> workers_;
};

// Digests above this cannot be among the `capacity` smallest, but with a probability of 1e-15: spares the workers' memory.
std::uint64_t threshold_for(std::int64_t capacity, std::int64_t n_rows) {
  const double share = (static_cast<double>(capacity) + 8 * std::sqrt(static_cast<double>(capacity))) / static_cast<double>(n_rows);
  return share < 1 ? static_cast<std::uint64_t>(share * 0x1p64) : std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

RepeatedRows count_repeated_rows(Context& context, TileSource& raw) {
  std::int64_t n_rows = raw.n_rows();
  context.communicator().all_reduce(std::span(&n_rows, 1), Merge::sum);
  const std::int64_t capacity = std::min(n_rows, kDigests);
  // Twice: the workers' digests and the merged ones live at the same time. 24 bytes are a key, a row and a slot.
  const Reservation memory = context.memory().reserve("the digests that find repeated rows", 2 * std::int64_t{24} * capacity);
  DigestPass pass(context, raw.n_columns(), capacity, threshold_for(capacity, n_rows));
  Digests digests = reduce_tiles(context, raw, pass, 0, "repeats");
  FirstRows& rows = digests.smallest;
  rows.sort();
  // The copies of the last digest may have been cut off, so an estimate leaves them out.
  std::int64_t known = rows.size(), repeats = 0;
  const bool exact = known == digests.n_rows;
  while (!exact && known > 0 && rows.key(known - 1) == rows.key(rows.size() - 1)) --known;
  for (std::int64_t i = 1; i < known; ++i) repeats += rows.key(i) == rows.key(i - 1) ? 1 : 0;
  if (exact) return {repeats, true};
  if (known == 0) return {digests.n_rows - 1, false};  // one row fills them all
  return {std::llround(static_cast<double>(repeats) / static_cast<double>(known) * static_cast<double>(digests.n_rows)), false};
}

}  // namespace coterie
