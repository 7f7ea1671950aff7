#include "io/import_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/column_names.hpp"
#include "host/error.hpp"
#include "host/parallel_sort.hpp"
#include "io/csv_cell.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

using OnDuplicate = ImportOptions::OnDuplicate;

std::optional<std::size_t> column_of(const std::vector<std::string>& header, const std::string& name) {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header.begin());
}

// The named column, or the one whose name says most that it holds ids.
std::size_t find_id(const std::vector<std::string>& header, const ImportOptions& options) {
  if (const auto named = column_of(header, options.id)) return *named;
  const auto best = std::max_element(header.begin(), header.end(), [](const auto& a, const auto& b) { return id_rank(a) < id_rank(b); });
  if (id_rank(*best) == 0)
    throw ArgumentError("--on-duplicate and --erase need to know the customers' ids. Nothing was written; name their column in --id.");
  return static_cast<std::size_t>(best - header.begin());
}

// As an analyst would write it: whole numbers in full, others to the 15 digits that a float64 holds for sure.
std::string text_of(double sum, char decimal) {
  constexpr double kExact = 0x1p53;
  std::string text = sum == std::trunc(sum) && std::abs(sum) <= kExact ? fmt::format("{:.0f}", sum) : fmt::format("{:.15g}", sum);
  std::replace(text.begin(), text.end(), '.', decimal);
  return text;
}

// For as many more as there are rows.
template <class T>
void make_room(Context& context, std::span<const CsvBatch> batches, const char* what, std::vector<T>& items, Reservation& memory) {
  const std::size_t needed = items.size() + static_cast<std::size_t>(count_rows(batches));
  if (needed <= items.capacity()) return;
  Reservation larger = context.memory().reserve(what, static_cast<std::int64_t>(2 * needed * sizeof(T)));
  items.reserve(2 * needed);
  memory = std::move(larger);
}

// Calls f(rows of an id, in their order) for every id that several of the sorted rows have.
template <class Row, class F>
void for_each_repeated(std::span<const Row> rows, F&& f) {
  for (std::size_t first = 0, end = 0; first < rows.size(); first = end) {
    for (end = first + 1; end < rows.size() && rows[end].key == rows[first].key;) ++end;
    if (end > first + 1) f(rows.subspan(first, end - first));
  }
}

}  // namespace

ImportRows::ImportRows(Context& context, CsvTable& table, const ImportOptions& options, const std::filesystem::path& spool_folder)
    : context_(context), table_(table), options_(options), as_of_(as_of_day(options).value_or(0)) {
  if (options.on_duplicate != OnDuplicate::keep || !options.erase.empty()) id_ = find_id(table.header(), options);
  if (options.max_age >= 0) activity_ = column_of(table.header(), options.activity);
  if (!options.erase.empty()) read_erase_list(spool_folder);
  if (options.on_duplicate != OnDuplicate::keep) find_repeats();
}

void ImportRows::read_erase_list(const std::filesystem::path& spool_folder) {
  CsvTable list(context_, {options_.erase}, spool_folder, 0);
  const std::vector<std::string>& header = list.header();
  std::optional<std::size_t> column = column_of(header, table_.header()[*id_]);
  if (!column && header.size() == 1 && id_rank(header.front()) > 0) column = 0;
  if (!column)
    throw ContentsError(
        fmt::format("file '{}', named by --erase, has no column {}. Nothing was written. Its first line has to name the ids as "
                    "the customers' file does.",
                    options_.erase, shown(table_.header()[*id_])));
  list.rewind();
  for (auto batches = list.next(); !batches.empty(); batches = list.next()) {
    make_room(context_, batches, "the ids to erase", erase_, erase_memory_);
    for (const CsvBatch& batch : batches)
      for (std::int64_t row = 0; row < batch.n_rows(); ++row)
        if (const std::string_view cell = batch.cell(row, *column); !is_missing(cell)) erase_.push_back(cell_key(cell, options_.decimal));
  }
  std::sort(erase_.begin(), erase_.end());
  erase_.erase(std::unique(erase_.begin(), erase_.end()), erase_.end());
  counts_.erase_ids = std::ssize(erase_);
}

bool ImportRows::is_erased(const CsvBatch& batch, std::int64_t row) const {
  return !erase_.empty() && std::binary_search(erase_.begin(), erase_.end(), cell_key(batch.cell(row, *id_), options_.decimal));
}

bool ImportRows::is_stale(const CsvBatch& batch, std::int64_t row, RowCounts& counts) const {
  if (!activity_) return false;
  const std::string_view cell = batch.cell(row, *activity_);
  if (is_missing(cell)) {
    ++counts.undated;
    return false;
  }
  const std::optional<std::int64_t> day = parse_date(cell);
  if (!day)
    throw ContentsError(
        fmt::format("{}: the column {} of --activity holds something else than a day such as 2026-10-31. Nothing was written; "
                    "correct or blank the cell.",
                    table_.place(batch, row), shown(options_.activity)));
  return as_of_ - *day > options_.max_age;
}

void ImportRows::judge(const CsvBatch& batch, Verdicts& verdicts) const {
  verdicts.counts = {.read = batch.n_rows()};
  verdicts.keep.assign(static_cast<std::size_t>(batch.n_rows()), 1);
  if (erase_.empty() && !activity_) return;
  for (std::int64_t row = 0; row < batch.n_rows(); ++row) {
    const bool erased = is_erased(batch, row), stale = !erased && is_stale(batch, row, verdicts.counts);
    verdicts.counts.erased += erased ? 1 : 0;
    verdicts.counts.stale += stale ? 1 : 0;
    if (erased || stale) verdicts.keep[static_cast<std::size_t>(row)] = 0;
  }
}

std::span<CsvBatch> ImportRows::next_of_table() {
  const std::span<CsvBatch> batches = table_.next();
  verdicts_.resize(batches.size());
  context_.parallel_for(std::ssize(batches),
                        [&](std::int64_t i, int) { judge(batches[static_cast<std::size_t>(i)], verdicts_[static_cast<std::size_t>(i)]); });
  for (const Verdicts& verdicts : verdicts_) {
    counts_.read += verdicts.counts.read;
    counts_.erased += verdicts.counts.erased;
    counts_.stale += verdicts.counts.stale;
    counts_.undated += verdicts.counts.undated;
  }
  return batches;
}

void ImportRows::rewind() {
  table_.rewind();
  counts_ = {.erase_ids = counts_.erase_ids};
  next_customer_ = 0;
  next_member_ = 0;
}

std::span<const CsvBatch> ImportRows::next() {
  const std::span<CsvBatch> batches = next_of_table();
  for (std::size_t i = 0; i < batches.size(); ++i) {
    drop_repeats(batches[i], verdicts_[i].keep);
    batches[i].keep_rows(verdicts_[i].keep, next_customer_);
    next_customer_ += batches[i].n_rows();
  }
  return batches;
}

// And puts the sums into the rows that stay.
void ImportRows::drop_repeats(CsvBatch& batch, std::vector<char>& keep) {
  if (dropped_.empty()) return;
  if (batch.first_row() + batch.n_rows() > std::ssize(dropped_)) table_.refuse_changed(batch);
  for (std::int64_t row = 0; row < batch.n_rows(); ++row) {
    const std::int64_t of_table = batch.first_row() + row;
    char& kept = keep[static_cast<std::size_t>(row)];
    if (kept != 0 && dropped_[static_cast<std::size_t>(of_table)]) {
      ++counts_.repeated;
      kept = 0;
    }
    if (next_member_ == members_.size() || members_[next_member_].row != of_table) continue;
    const std::size_t group = members_[next_member_++].group;
    if (kept != 0) write_sums(batch, row, group);
  }
}

void ImportRows::find_repeats() {
  KeyedRows ids = read_ids();
  parallel_sort(context_, std::span(ids.all));
  const std::span<const KeyedRow> rows(ids.all);
  std::int64_t first_repeat = counts_.read, n_members = 0;
  for_each_repeated(rows, [&](std::span<const KeyedRow> group) {
    first_repeat = std::min(first_repeat, group[1].row);
    n_members += std::ssize(group);
  });
  if (n_members == 0) return;
  if (options_.on_duplicate == OnDuplicate::error) refuse_repeats(first_repeat);
  repeats_memory_ = context_.memory().reserve("which rows repeat an id", counts_.read / 8 + 1);
  dropped_.resize(static_cast<std::size_t>(counts_.read));
  const bool adds_up = options_.on_duplicate == OnDuplicate::sum;
  if (adds_up) {
    members_memory_ = context_.memory().reserve("the rows of repeated ids", n_members * std::int64_t{sizeof(Member)});
    members_.reserve(static_cast<std::size_t>(n_members));
  }
  for_each_repeated(rows, [&](std::span<const KeyedRow> group) { drop_all_but_one(group); });
  ids = {};
  if (adds_up) add_up();
}

ImportRows::KeyedRows ImportRows::read_ids() {
  KeyedRows rows;
  is_amount_.assign(table_.header().size(), 1);
  rewind();
  for (auto batches = next_of_table(); !batches.empty(); batches = next_of_table()) {
    make_room(context_, batches, "the search for repeated ids", rows.all, rows.memory);
    for (std::size_t i = 0; i < batches.size(); ++i) {
      const CsvBatch& batch = batches[i];
      if (options_.on_duplicate == OnDuplicate::sum) look_for_amounts(batch);
      for (std::int64_t row = 0; row < batch.n_rows(); ++row) {
        const std::string_view cell = batch.cell(row, *id_);
        if (verdicts_[i].keep[static_cast<std::size_t>(row)] != 0 && !is_missing(cell))
          rows.all.push_back({cell_key(cell, options_.decimal), batch.first_row() + row});
      }
    }
    context_.report({"ids", counts_.read, 0});
  }
  return rows;
}

// group: rows of one id, in their order.
void ImportRows::drop_all_but_one(std::span<const KeyedRow> group) {
  const std::int64_t stays = options_.on_duplicate == OnDuplicate::last ? group.back().row : group.front().row;
  for (const KeyedRow& row : group) {
    if (row.row != stays) dropped_[static_cast<std::size_t>(row.row)] = true;
    if (options_.on_duplicate == OnDuplicate::sum) members_.push_back({row.row, n_groups_});
  }
  ++n_groups_;
}

void ImportRows::refuse_repeats(std::int64_t first_repeat) {
  table_.rewind();
  for (auto batches = table_.next(); !batches.empty(); batches = table_.next())
    for (const CsvBatch& batch : batches)
      if (const std::int64_t row = first_repeat - batch.first_row(); row < batch.n_rows())
        throw ContentsError(
            fmt::format("The column {} repeats ids, the first in {}. Nothing was written. --on-duplicate first or last keeps one row of "
                        "each, sum adds their numbers up.",
                        shown(table_.header()[*id_]), table_.place(batch, row)));
  throw InternalError("a repeated id was found and cannot be found again; the input changed while it was read");
}

bool ImportRows::may_be_amount(std::size_t column) const {
  const std::string& name = table_.header()[column];
  const bool outcome = std::any_of(options_.outcomes.begin(), options_.outcomes.end(), [&](const auto& o) { return o.name == name; });
  return column != *id_ && !outcome && name != options_.weight && !is_code_name(name);
}

void ImportRows::look_for_amounts(const CsvBatch& batch) {
  for (std::size_t column = 0; column < is_amount_.size(); ++column) {
    if (is_amount_[column] != 0 && !may_be_amount(column)) is_amount_[column] = 0;
    for (std::int64_t row = 0; row < batch.n_rows() && is_amount_[column] != 0; ++row) {
      const std::string_view cell = batch.cell(row, column);
      if (!is_missing(cell) && (has_leading_zero(cell) || !parse_number(cell, options_.decimal))) is_amount_[column] = 0;
    }
  }
}

void ImportRows::add_up() {
  std::sort(members_.begin(), members_.end(), [](const Member& a, const Member& b) { return a.row < b.row; });
  const std::size_t cells = n_groups_ * is_amount_.size();
  sums_memory_ = context_.memory().reserve("the sums of repeated ids", static_cast<std::int64_t>(cells * sizeof(Sum)));
  sums_.resize(cells);
  table_.rewind();
  std::size_t member = 0;
  for (auto batches = table_.next(); !batches.empty(); batches = table_.next())
    for (const CsvBatch& batch : batches)
      for (; member < members_.size() && members_[member].row < batch.first_row() + batch.n_rows(); ++member)
        add_row(batch, members_[member].row - batch.first_row(), members_[member].group);
}

// Neumaier's sum: what an addition loses is kept beside it.
void ImportRows::add_row(const CsvBatch& batch, std::int64_t row, std::size_t group) {
  for (std::size_t column = 0; column < is_amount_.size(); ++column) {
    const std::string_view cell = batch.cell(row, column);
    if (is_amount_[column] == 0 || is_missing(cell)) continue;
    Sum& sum = sums_[group * is_amount_.size() + column];
    const double value = number_or_nan(cell, options_.decimal), total = sum.sum + value;
    if (std::isnan(value)) table_.refuse_changed(batch);
    sum.rest += std::abs(sum.sum) >= std::abs(value) ? (sum.sum - total) + value : (value - total) + sum.sum;
    sum.sum = total;
    sum.known = true;
  }
}

void ImportRows::write_sums(CsvBatch& batch, std::int64_t row, std::size_t group) const {
  for (std::size_t column = 0; column < is_amount_.size(); ++column) {
    const Sum& sum = sums_[group * is_amount_.size() + column];
    if (!sum.known) continue;
    const double total = std::isfinite(sum.sum) ? sum.sum + sum.rest : sum.sum;
    batch.replace(row, column, text_of(total, options_.decimal));
  }
}

}  // namespace coterie::io
