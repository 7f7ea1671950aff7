// The rows of a CSV table that become customers, in the table's order:
//   erase      rows whose id is in a list are left out
//   max_age    rows whose last activity lies more than so many days before as_of are left out; without a day they stay
//   on_duplicate, among the others, of rows with the same id
//     first    the first one stays, last: the last one
//     sum      the first one stays and holds the sums of the columns of numbers; id, outcomes, weight, codes and dates are its own
//     error    refused
//     keep     all stay
// Ids are compared as keys (cell_key in csv_cell.hpp): 17850.0 is 17850. Memory: 24 bytes per row while repeats are searched, a bit
// per row later, and for `sum` 16 bytes per row of a repeated id and 24 per column of every such id.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "host/context.hpp"
#include "host/id_key.hpp"
#include "io/csv_table.hpp"
#include "io/import_options.hpp"

namespace coterie::io {

struct RowCounts {
  std::int64_t read = 0;       // rows of the table
  std::int64_t erased = 0;     // left out, as the next three
  std::int64_t stale = 0;      // older than max_age
  std::int64_t repeated = 0;   // of a repeated id
  std::int64_t undated = 0;    // stayed, though no last activity is known
  std::int64_t erase_ids = 0;  // different ids in the list
};

class ImportRows {
 public:
  // Reads the list of ids, and the table where repeats matter. `context` and `table` must outlive this; lists that come through a
  // pipe are copied to spool_folder. ArgumentError: an option that needs an id, and no column can be one. InputError: see CsvTable.
  // ContentsError: the list does not name the id, a last activity is no date, repeated ids under `error`. ResourceError. InputError, in
  // next() too: another reading finds other cells.
  ImportRows(Context& context, CsvTable& table, const ImportOptions& options, const std::filesystem::path& spool_folder);

  const CsvTable& table() const { return table_; }
  void rewind();
  std::span<const CsvBatch> next();                    // as CsvTable::next()
  const RowCounts& counts() const { return counts_; }  // complete after the last row

 private:
  struct KeyedRow {
    IdKey key;
    std::int64_t row;
    bool operator<(const KeyedRow& other) const { return key == other.key ? row < other.row : key < other.key; }
  };
  struct KeyedRows {
    Reservation memory;
    std::vector<KeyedRow> all;
  };
  struct Verdicts {  // on the rows of a batch
    RowCounts counts;
    std::vector<char> keep;  // (rows) is neither erased nor stale
  };
  struct Member {  // a row of a repeated id, and which one that is
    std::int64_t row;
    std::size_t group;
  };
  struct Sum {
    double sum = 0, rest = 0;  // rest: what the additions lost so far
    bool known = false;
  };

  void read_erase_list(const std::filesystem::path& spool_folder);
  void find_repeats();
  KeyedRows read_ids();
  void drop_all_but_one(std::span<const KeyedRow> group);
  [[noreturn]] void refuse_repeats(std::int64_t first_repeat);
  void add_up();
  void add_row(const CsvBatch& batch, std::int64_t row, std::size_t group);
  void write_sums(CsvBatch& batch, std::int64_t row, std::size_t group) const;
  bool is_erased(const CsvBatch& batch, std::int64_t row) const;
  bool is_stale(const CsvBatch& batch, std::int64_t row, RowCounts& counts) const;
  void judge(const CsvBatch& batch, Verdicts& verdicts) const;
  std::span<CsvBatch> next_of_table();  // and verdicts_ on them
  void drop_repeats(CsvBatch& batch, std::vector<char>& keep);
  void look_for_amounts(const CsvBatch& batch);
  bool may_be_amount(std::size_t column) const;

  Context& context_;
  CsvTable& table_;
  const ImportOptions& options_;
  std::optional<std::size_t> id_;        // column
  std::optional<std::size_t> activity_;  // column
  std::int64_t as_of_ = 0;               // days since 1970-01-01
  Reservation erase_memory_, repeats_memory_, members_memory_, sums_memory_;
  std::vector<IdKey> erase_;     // sorted
  std::vector<bool> dropped_;    // (rows of the table) repeats that are left out; empty: none
  std::vector<Member> members_;  // sorted by row, for `sum`
  std::vector<char> is_amount_;  // (columns) is added up
  std::size_t n_groups_ = 0;
  std::vector<Sum> sums_;  // (n_groups_, columns)
  RowCounts counts_;
  std::vector<Verdicts> verdicts_;  // (batches)
  std::int64_t next_customer_ = 0;
  std::size_t next_member_ = 0;
};

}  // namespace coterie::io
