#include "io/transactions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/customer_features.hpp"
#include "host/error.hpp"
#include "io/column_encoder.hpp"
#include "io/csv_cell.hpp"
#include "io/feature_writer.hpp"
#include "io/named_columns.hpp"
#include "io/transaction_columns.hpp"

namespace coterie::io {
namespace {

constexpr std::int64_t kRowsAtOnce = 4096;  // customers on their way into the file

// The ids of customers in the order of their numbers: whole numbers, or texts as they are.
class CustomerIds {
 public:
  CustomerIds(MemoryLedger& memory, const ColumnTally& tally)
      : memory_(memory),
        are_integers_(tally.known() > 0 && tally.whole == tally.known() && tally.leading_zeros == 0 && is_exact(tally.min) &&
                      is_exact(tally.max)),
        longest_(tally.longest) {}

  RowColumn column(const std::string& name) const {
    RowColumn column;
    column.name = name;
    column.type = are_integers_ ? CellType::int64 : CellType::text;
    column.text_bytes = are_integers_ ? 0 : static_cast<std::int64_t>(longest_);
    return column;
  }

  void add(std::string_view cell, char decimal) {
    if (n_ == room_) {
      room_ = std::max<std::size_t>(1024, 2 * room_);
      const std::size_t each = are_integers_ ? sizeof(std::int64_t) : sizeof(std::string) + longest_ + 1;
      reservation_ = memory_.reserve("the ids of customers", static_cast<std::int64_t>(room_ * each));
    }
    ++n_;
    if (are_integers_)
      integers_.push_back(static_cast<std::int64_t>(*parse_number(cell, decimal)));
    else
      texts_.emplace_back(cell);
  }

  // Those of the listed customers; the cells live until the next call.
  Cells cells(const std::vector<std::int64_t>& customers) {
    picked_integers_.clear();
    picked_texts_.clear();
    for (const std::int64_t customer : customers)
      are_integers_ ? picked_integers_.push_back(integers_[static_cast<std::size_t>(customer)])
                    : picked_texts_.push_back(texts_[static_cast<std::size_t>(customer)]);
    if (are_integers_) return std::span<const std::int64_t>(picked_integers_);
    return std::span<const std::string>(picked_texts_);
  }

 private:
  static bool is_exact(double value) { return std::abs(value) <= 0x1p53; }

  MemoryLedger& memory_;
  bool are_integers_;
  std::size_t longest_, n_ = 0, room_ = 0;
  Reservation reservation_;
  std::vector<std::int64_t> integers_, picked_integers_;
  std::vector<std::string> texts_, picked_texts_;
};

class Importer {
 public:
  Importer(Context& context, CsvTable& table, const TransactionOptions& options) : context_(context), table_(table), options_(options) {
    const std::optional<std::int64_t> day = options.as_of.size() == 10 ? parse_date(options.as_of) : std::nullopt;
    if (!day) throw ArgumentError("--as-of takes a day such as 2026-10-31: features know what happened up to it.");
    feature_options_.as_of = *day;
    feature_options_.target_window = options.target_window;
    feature_options_.free_orders = options.free_orders;
  }

  TransactionReport run(AtomicOutput& output) {
    const std::vector<ColumnTally> tallies = tally();
    columns_ = settle_columns(table_.header(), tallies, options_);
    describe(tallies);
    CustomerFeatures features(context_.memory(), feature_options_);
    CustomerIds ids(context_.memory(), tallies[columns_.id]);
    add_rows(features, ids);
    features.finish();
    write(output, features, ids);
    return std::move(report_);
  }

 private:
  std::vector<ColumnTally> tally() {
    std::vector<ColumnTally> tallies(table_.header().size());
    table_.rewind();
    while (const CsvBatch* batch = table_.next()) {
      context_.parallel_for(std::ssize(tallies), [&](std::int64_t i, int) {
        tallies[static_cast<std::size_t>(i)].add(table_, *batch, static_cast<std::size_t>(i), options_.decimal);
      });
      context_.report({"types", batch->first_row() + batch->n_rows(), 0});
    }
    report_.rows = tallies.front().rows;
    if (report_.rows == 0) throw ContentsError("The CSV file has a header and no rows. Nothing was written.");
    return tallies;
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
    if (columns_.discount && tallies[*columns_.discount].numbers < tallies[*columns_.discount].known())
      discount_level_ = affirmative(tallies[*columns_.discount].levels.sorted());
  }

  void add_rows(CustomerFeatures& features, CustomerIds& ids) {
    std::vector<std::int32_t> levels(columns_.shares.size());
    table_.rewind();
    while (const CsvBatch* batch = table_.next()) {
      context_.check_cancelled();
      for (std::int64_t row = 0; row < batch->n_rows(); ++row) add_row(*batch, row, features, ids, levels);
      context_.report({"features", batch->first_row() + batch->n_rows(), report_.rows});
    }
  }

  void add_row(const CsvBatch& batch, std::int64_t row, CustomerFeatures& features, CustomerIds& ids, std::vector<std::int32_t>& levels) {
    const std::string_view id = batch.cell(row, columns_.id), date = batch.cell(row, columns_.date);
    const std::optional<double> quantity = columns_.quantity ? number(batch, row, *columns_.quantity) : 1.0;
    const std::optional<double> amount = number(batch, row, columns_.amount ? *columns_.amount : *columns_.price);
    if (is_missing(id)) return void(++report_.without_id);
    if (is_missing(date)) return void(++report_.without_date);
    if (!amount || !quantity) return void(++report_.without_amount);
    Transaction transaction;
    transaction.day = *parse_date(date);
    if (transaction.day > feature_options_.as_of + options_.target_window) ++report_.later;
    transaction.amount = columns_.amount ? *amount : *amount * *quantity;
    transaction.quantity = *quantity;
    if (columns_.order) transaction.order = cell_key(batch.cell(row, *columns_.order));
    if (columns_.discount) transaction.discounted = discounted(batch.cell(row, *columns_.discount));
    for (std::size_t m = 0; m < levels.size(); ++m) {
      const std::string_view cell = batch.cell(row, columns_.shares[m]);
      const auto& known = feature_options_.mixes[m].levels;
      levels[m] = is_missing(cell) ? -1 : static_cast<std::int32_t>(std::lower_bound(known.begin(), known.end(), cell) - known.begin());
    }
    transaction.levels = levels;
    const std::int64_t before = features.n_customers();
    transaction.customer = features.customer(cell_key(id));
    if (features.n_customers() > before) ids.add(id, options_.decimal);
    features.add(transaction);
  }

  std::optional<double> number(const CsvBatch& batch, std::int64_t row, std::size_t column) const {
    const std::string_view cell = batch.cell(row, column);
    if (is_missing(cell)) return std::nullopt;
    const double value = *parse_number(cell, options_.decimal);
    if (std::isinf(value))
      throw ContentsError(fmt::format("{}, column {}: the number is infinite or too large. Nothing was written; correct or blank it.",
                                      table_.place(batch, row), table_.header()[column]));
    return value;
  }

  bool discounted(std::string_view cell) const {
    if (is_missing(cell)) return false;
    return discount_level_.empty() ? *parse_number(cell, options_.decimal) > 0 : cell == discount_level_;
  }

  FeatureFileLayout layout(const CustomerIds& ids) const {
    FeatureFileLayout layout;
    layout.n_rows = report_.customers;
    layout.is_wide = true;  // sums of money have more digits than float32 keeps
    for (const std::string& name : report_.features) {
      FeatureColumn column;
      column.name = name;
      column.role = name.starts_with("share_") ? Role::profile : Role::active;
      layout.columns.push_back(column);
    }
    layout.obs.push_back(ids.column(obs_name(report_.id)));
    if (report_.outcome.empty()) return layout;
    RowColumn outcome;
    outcome.name = report_.outcome;
    outcome.type = CellType::float64;
    layout.obs.push_back(outcome);
    layout.roles.outcomes = {report_.outcome};
    return layout;
  }

  void count(const CustomerFeatures& features) {
    for (std::int64_t i = 0; i < features.n_customers(); ++i) {
      const bool is_customer = features.has_purchase(i);
      ++(is_customer ? report_.customers : report_.no_purchase);
      report_.bought += is_customer && features.bought(i) ? 1 : 0;
    }
    report_.features = features.names();
    report_.window_is_complete = features.last_day() >= feature_options_.as_of + options_.target_window;
    if (report_.customers == 0)
      throw ContentsError(fmt::format("Nobody bought anything up to {}. Nothing was written; look at --as-of, --amount and --free-orders.",
                                      options_.as_of));
  }

  void write(AtomicOutput& output, const CustomerFeatures& features, CustomerIds& ids) {
    count(features);
    FeatureWriter writer(output, layout(ids), &context_);
    std::vector<std::int64_t> customers;
    std::int64_t written = 0;
    for (std::int64_t i = 0; i < features.n_customers(); ++i) {
      if (features.has_purchase(i)) customers.push_back(i);
      if (std::ssize(customers) < kRowsAtOnce && i + 1 < features.n_customers()) continue;
      context_.check_cancelled();
      write_customers(writer, written, features, ids, customers);
      written += std::ssize(customers);
      customers.clear();
    }
    writer.commit();
  }

  void write_customers(FeatureWriter& writer, std::int64_t first_row, const CustomerFeatures& features, CustomerIds& ids,
                       const std::vector<std::int64_t>& customers) const {
    if (customers.empty()) return;
    std::vector<double> x, bought;
    for (const std::int64_t customer : customers) {
      const std::vector<double> row = features.features(customer);
      x.insert(x.end(), row.begin(), row.end());
      bought.push_back(features.bought(customer) ? 1 : 0);
    }
    std::vector<Cells> obs{ids.cells(customers)};
    if (!report_.outcome.empty()) obs.emplace_back(std::span<const double>(bought));
    writer.write(first_row, std::span<const double>(x), obs);
  }

  Context& context_;
  CsvTable& table_;
  const TransactionOptions& options_;
  CustomerFeatureOptions feature_options_;
  TransactionColumns columns_;
  std::string discount_level_;  // "" where the discount is a number
  TransactionReport report_;
};

}  // namespace

TransactionReport import_transactions(Context& context, const std::vector<std::filesystem::path>& paths,
                                      const std::filesystem::path& output, const TransactionOptions& options) {
  OutputRequest request;
  request.path = output;
  request.overwrite = options.overwrite;
  for (const std::filesystem::path& path : paths)
    if (path != "-") request.inputs.push_back(path);
  AtomicOutput file(request);
  CsvTable table(context, paths, output.parent_path(), options.delimiter);
  return Importer(context, table, options).run(file);
}

}  // namespace coterie::io
