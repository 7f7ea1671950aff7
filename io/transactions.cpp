#include "io/transactions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/error.hpp"
#include "io/column_encoder.hpp"
#include "io/csv_cell.hpp"
#include "io/customer_rows.hpp"
#include "io/feature_writer.hpp"
#include "io/named_columns.hpp"
#include "io/transaction_columns.hpp"

namespace coterie::io {
namespace {

constexpr std::int64_t kRowsAtOnce = 4096;  // customers on their way into the file

// Whether a row of transactions counts, and if not, why.
enum class Verdict : std::uint8_t { counts, without_id, without_date, without_amount };

// Are all ids whole numbers that float64 holds?
bool are_integers(const ColumnTally& ids) {
  return ids.known() > 0 && ids.whole == ids.known() && ids.leading_zeros == 0 && std::abs(ids.min) < kIntegersBelow &&
         std::abs(ids.max) < kIntegersBelow;
}

class Importer {
 public:
  // `folder` takes what exceeds the memory.
  Importer(Context& context, CsvTable& table, const TransactionOptions& options, std::filesystem::path folder)
      : context_(context), table_(table), options_(options), folder_(std::move(folder)) {
    const std::optional<std::int64_t> day = options.as_of.size() == 10 ? parse_date(options.as_of) : std::nullopt;
    if (!day) throw ArgumentError("--as-of takes a day such as 2026-10-31: features know what happened up to it.");
    feature_options_.as_of = *day;
    feature_options_.target_window = options.target_window;
    feature_options_.free_orders = options.free_orders;
  }

  TransactionReport run(AtomicOutput& output) {
    settle(tally());
    write(output, *add_up());
    return std::move(report_);
  }

 private:
  std::vector<ColumnTally> tally() {
    ColumnTallies tallies(context_, table_, options_.decimal, std::vector<bool>(table_.header().size(), false));
    table_.rewind();
    for (auto batches = table_.next(); !batches.empty(); batches = table_.next()) {
      tallies.add(batches);
      context_.report({"types", report_.rows += count_rows(batches), 0});
    }
    if (report_.rows == 0) throw ContentsError("The CSV file has a header and no rows. Nothing was written.");
    return tallies.finish();
  }

  void settle(const std::vector<ColumnTally>& tallies) {
    columns_ = settle_columns(table_.header(), tallies, options_);
    describe(tallies);
    if (!are_integers(tallies[columns_.id])) text_bytes_ = tallies[columns_.id].longest;
  }

  void describe(const std::vector<ColumnTally>& tallies) {
    const auto name = [&](std::optional<std::size_t> column) { return column ? table_.header()[*column] : std::string(); };
    report_.id = name(columns_.id);
    report_.date = name(columns_.date);
    report_.amount = name(columns_.amount);
    report_.price = name(columns_.price);
    report_.quantity = name(columns_.quantity);
    report_.order = name(columns_.order);
    if (options_.target_window > 0) report_.outcome = fmt::format("bought_{}d", options_.target_window);
    feature_options_.has_quantity = columns_.quantity.has_value();
    feature_options_.has_discount = columns_.discount.has_value();
    for (const std::size_t column : columns_.shares)
      feature_options_.mixes.push_back({table_.header()[column], tallies[column].levels.sorted()});
    report_.features = CustomerFeatures(context_.memory(), feature_options_).names();
    if (columns_.discount && tallies[*columns_.discount].numbers < tallies[*columns_.discount].known())
      discount_level_ = affirmative(tallies[*columns_.discount].levels.sorted());
  }

  // How many customers there are is known after their last row, so memory is tried first.
  std::unique_ptr<CustomerRows> add_up() {
    std::unique_ptr<CustomerRows> customers = customers_in_memory(context_, feature_options_, text_bytes_);
    try {
      add_rows(*customers, "features");
      return customers;
    } catch (const ResourceError&) {
      customers.reset();
    }
    customers = customers_by_sorting(context_, feature_options_, text_bytes_, folder_);
    add_rows(*customers, "sort");
    return customers;
  }

  void add_rows(CustomerRows& customers, std::string_view phase) {
    report_.without_id = report_.without_date = report_.without_amount = report_.later = 0;
    table_.rewind();
    for (auto batches = table_.next(); !batches.empty(); batches = table_.next()) {
      parse_rows(batches);
      keep_rows_that_count();
      customers.add(rows_);
      context_.report({phase, batches.back().first_row() + batches.back().n_rows(), report_.rows});
    }
    count(customers.finish());
  }

  void parse_rows(std::span<const CsvBatch> batches) {
    const std::size_t n_mixes = columns_.shares.size();
    rows_.resize(static_cast<std::size_t>(count_rows(batches)));
    verdicts_.resize(rows_.size());
    levels_.resize(rows_.size() * n_mixes);
    context_.parallel_for(std::ssize(batches), [&](std::int64_t i, int) {
      const CsvBatch& batch = batches[static_cast<std::size_t>(i)];
      auto at = static_cast<std::size_t>(batch.first_row() - batches.front().first_row());
      for (std::int64_t row = 0; row < batch.n_rows(); ++row, ++at)
        verdicts_[at] = parse_row(batch, row, std::span(levels_).subspan(at * n_mixes, n_mixes), rows_[at]);
    });
  }

  void keep_rows_that_count() {
    std::size_t kept = 0;
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      switch (verdicts_[row]) {
        case Verdict::without_id: ++report_.without_id; continue;
        case Verdict::without_date: ++report_.without_date; continue;
        case Verdict::without_amount: ++report_.without_amount; continue;
        case Verdict::counts: break;
      }
      if (rows_[row].transaction.day > feature_options_.as_of + options_.target_window) ++report_.later;
      if (kept < row) rows_[kept] = rows_[row];
      ++kept;
    }
    rows_.resize(kept);
  }

  Verdict parse_row(const CsvBatch& batch, std::int64_t row, std::span<std::int32_t> levels, CustomerTransaction& to) const {
    const std::string_view id = batch.cell(row, columns_.id), date = batch.cell(row, columns_.date);
    const double quantity = columns_.quantity ? padded_number_or_nan(batch.cell(row, *columns_.quantity), options_.decimal) : 1.0;
    const double amount = padded_number_or_nan(batch.cell(row, amount_column()), options_.decimal);
    if (std::isinf(quantity) || std::isinf(amount)) refuse_infinite(batch, row);
    if (is_missing(id)) return Verdict::without_id;
    if (is_missing(date)) return Verdict::without_date;
    if (std::isnan(amount) || std::isnan(quantity)) return Verdict::without_amount;
    to.id = customer_id(batch, row);
    Transaction& transaction = to.transaction;
    transaction.day = found(batch, parse_date(date));
    transaction.amount = columns_.amount ? amount : amount * quantity;
    transaction.quantity = quantity;
    transaction.order = order_key(batch, row);
    if (columns_.discount) transaction.discounted = discounted(batch, row);
    for (std::size_t m = 0; m < levels.size(); ++m) levels[m] = level(batch, row, m);
    transaction.levels = levels;
    return Verdict::counts;
  }

  std::optional<IdKey> order_key(const CsvBatch& batch, std::int64_t row) const {
    if (!columns_.order) return std::nullopt;
    const std::string_view cell = batch.cell(row, *columns_.order);
    return is_missing(cell) ? std::nullopt : std::optional(cell_key(cell, options_.decimal));
  }

  // What the first pass has found in every cell of a column.
  template <class T>
  T found(const CsvBatch& batch, std::optional<T> value) const {
    if (!value) table_.refuse_changed(batch);
    return *value;
  }

  std::int32_t level(const CsvBatch& batch, std::int64_t row, std::size_t mix) const {
    const std::string_view cell = batch.cell(row, columns_.shares[mix]);
    if (is_missing(cell)) return -1;
    const auto& known = feature_options_.mixes[mix].levels;
    const auto at = std::lower_bound(known.begin(), known.end(), cell);
    if (at == known.end() || *at != cell) table_.refuse_changed(batch);
    return static_cast<std::int32_t>(at - known.begin());
  }

  CustomerId customer_id(const CsvBatch& batch, std::int64_t row) const {
    const std::string_view cell = batch.cell(row, columns_.id);
    const IdKey key = cell_key(cell, options_.decimal);
    if (text_bytes_ == 0) return {key, static_cast<std::int64_t>(found(batch, parse_number(cell, options_.decimal))), {}};
    if (cell.size() > text_bytes_) table_.refuse_changed(batch);
    return {key, 0, cell};
  }

  std::size_t amount_column() const { return columns_.amount ? *columns_.amount : *columns_.price; }

  [[noreturn]] void refuse_infinite(const CsvBatch& batch, std::int64_t row) const {
    const bool is_quantity = columns_.quantity && std::isinf(padded_number_or_nan(batch.cell(row, *columns_.quantity), options_.decimal));
    throw ContentsError(fmt::format("{}, column {}: the number is infinite or too large. Nothing was written; correct or blank it.",
                                    table_.place(batch, row), table_.header()[is_quantity ? *columns_.quantity : amount_column()]));
  }

  bool discounted(const CsvBatch& batch, std::int64_t row) const {
    const std::string_view cell = batch.cell(row, *columns_.discount);
    if (is_missing(cell)) return false;
    return discount_level_.empty() ? found(batch, parse_number(cell, options_.decimal)) > 0 : cell == discount_level_;
  }

  FeatureFileLayout layout() const {
    FeatureFileLayout layout;
    layout.n_rows = report_.customers;
    layout.is_wide = true;  // sums of money have more digits than float32 keeps
    for (const std::string& name : report_.features) {
      FeatureColumn column;
      column.name = name;
      column.role = name.starts_with("share_") ? Role::profile : Role::active;
      layout.columns.push_back(column);
    }
    RowColumn id;
    id.name = obs_name(report_.id);
    id.type = text_bytes_ == 0 ? CellType::int64 : CellType::text;
    id.text_bytes = static_cast<std::int64_t>(text_bytes_);
    layout.obs.push_back(id);
    if (report_.outcome.empty()) return layout;
    RowColumn outcome;
    outcome.name = report_.outcome;
    outcome.type = CellType::float64;
    layout.obs.push_back(outcome);
    layout.roles.outcomes = {report_.outcome};
    return layout;
  }

  void count(const CustomerCounts& counts) {
    report_.customers = counts.customers;
    report_.no_purchase = counts.no_purchase;
    report_.bought = counts.bought;
    report_.disk_bytes = counts.disk_bytes;
    report_.window_is_complete = counts.last_day >= feature_options_.as_of + options_.target_window;
    if (report_.customers == 0)
      throw ContentsError(fmt::format("Nobody bought anything up to {}. Nothing was written; look at --as-of, --amount and --free-orders.",
                                      options_.as_of));
  }

  void write(AtomicOutput& output, CustomerRows& customers) {
    FeatureWriter writer(output, layout(), &context_);
    std::int64_t written = 0;
    while (const std::int64_t n = write_some(writer, written, customers)) written += n;
    writer.commit();
  }

  std::int64_t write_some(FeatureWriter& writer, std::int64_t first_row, CustomerRows& customers) const {
    context_.check_cancelled();
    std::vector<double> x, bought;
    std::vector<std::int64_t> numbers;
    std::vector<std::string> texts;
    for (CustomerRow row; std::ssize(bought) < kRowsAtOnce && customers.next(row);) {
      x.insert(x.end(), row.features.begin(), row.features.end());
      bought.push_back(row.bought ? 1 : 0);
      text_bytes_ == 0 ? numbers.push_back(row.number) : texts.push_back(row.text);
    }
    if (bought.empty()) return 0;
    std::vector<Cells> obs{text_bytes_ == 0 ? Cells(std::span<const std::int64_t>(numbers)) : Cells(std::span<const std::string>(texts))};
    if (!report_.outcome.empty()) obs.emplace_back(std::span<const double>(bought));
    writer.write(first_row, std::span<const double>(x), obs);
    return std::ssize(bought);
  }

  Context& context_;
  CsvTable& table_;
  const TransactionOptions& options_;
  std::filesystem::path folder_;
  CustomerFeatureOptions feature_options_;
  TransactionColumns columns_;
  std::string discount_level_;  // "" where the discount is a number
  std::size_t text_bytes_ = 0;  // of an id; 0: all are whole numbers
  TransactionReport report_;
  std::vector<CustomerTransaction> rows_;  // of a batch
  std::vector<Verdict> verdicts_;          // by row, as the next
  std::vector<std::int32_t> levels_;       // (n_rows, mixes)
};

}  // namespace

TransactionReport import_transactions(Context& context, const std::vector<std::filesystem::path>& paths,
                                      const std::filesystem::path& output, const TransactionOptions& options) {
  check_signs(options.delimiter, options.decimal);
  OutputRequest request;
  request.path = output;
  request.overwrite = options.overwrite;
  for (const std::filesystem::path& path : paths)
    if (path != "-") request.inputs.push_back(path);
  AtomicOutput file(request);
  CsvTable table(context, paths, output.parent_path(), options.delimiter);
  return Importer(context, table, options, output.parent_path()).run(file);
}

}  // namespace coterie::io
