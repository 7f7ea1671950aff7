// Customers who do not fit memory. Transactions are sorted by customer, each customer is added up alone, and the rows are sorted by
// first transaction.
#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "io/customer_rows.hpp"
#include "io/external_sort.hpp"

namespace coterie::io {
namespace {

constexpr std::int64_t kProgressRows = 1 << 16;

// What both records begin with; a text of text_bytes, padded with NUL, ends them.
struct StoredTransaction {  // then a byte for the level of each mix
  std::int64_t number, day;
  double amount, quantity;
  IdKey order;
  std::int32_t has_order, discounted;
};
struct StoredCustomer {  // then the features
  std::int64_t number, bought;
};

template <class T>
std::byte* put(std::byte* to, const T* values, std::size_t n) {
  return std::copy_n(reinterpret_cast<const std::byte*>(values), n * sizeof(T), to);
}

template <class T>
const std::byte* take(const std::byte* from, T* values, std::size_t n) {
  std::copy_n(from, n * sizeof(T), reinterpret_cast<std::byte*>(values));
  return from + n * sizeof(T);
}

void put_text(std::byte* to, std::string_view text, std::size_t text_bytes) {
  std::memset(put(to, text.data(), text.size()), 0, text_bytes - text.size());
}

void take_text(const std::byte* from, std::string& text, std::size_t text_bytes) {
  text.resize(text_bytes);
  take(from, text.data(), text_bytes);
  text.resize(std::min(text.find('\0'), text_bytes));
}

class SortedCustomers final : public CustomerRows {
 public:
  // Half of the memory for the transactions, a quarter for the rows of customers, and the rest for the orders of one.
  SortedCustomers(Context& context, const CustomerFeatureOptions& options, std::size_t text_bytes, const std::filesystem::path& folder)
      : context_(context),
        text_bytes_(text_bytes),
        features_(context.memory(), options),
        n_features_(features_.names().size()),
        levels_(options.mixes.size()),
        stored_levels_(levels_.size()) {
    const std::int64_t quarter = context.memory().available() / 4;
    const auto purpose = [](const char* what) { return TemporaryFile::Purpose{what, "or raise --memory until customers fit it"}; };
    transactions_.emplace(context, ExternalSort::Options{folder, purpose("transactions sorted by customer"),
                                                         sizeof(StoredTransaction) + levels_.size() + text_bytes, 2 * quarter});
    customers_.emplace(context, ExternalSort::Options{folder, purpose("customers sorted by first transaction"),
                                                      sizeof(StoredCustomer) + n_features_ * sizeof(double) + text_bytes, quarter});
  }

  void add(std::span<const CustomerTransaction> transactions) override {
    for (const auto& [id, transaction] : transactions) store(id, transaction);
  }

  CustomerCounts finish() override {
    transactions_->finish();
    SortKey key, first;  // of the current transaction, and of the first one of its customer
    std::int64_t done = 0;
    while (const std::byte* record = transactions_->next(key)) {
      if (done == 0 || !(key.group == first.group)) {
        if (done > 0) add_customer(first);
        first = key;
        begin_customer(record);
      }
      add_transaction(record);
      if (++done % kProgressRows == 0) context_.report({"customers", done, transactions_->n_records()});
    }
    if (done > 0) add_customer(first);
    counts_.last_day = features_.last_day();
    counts_.disk_bytes = transactions_->file_bytes() + customers_->file_bytes();
    transactions_.reset();
    customers_->finish();
    return counts_;
  }

  bool next(CustomerRow& row) override {
    SortKey key;
    const std::byte* from = customers_->next(key);
    if (from == nullptr) return false;
    StoredCustomer stored{};
    row.features.resize(n_features_);
    from = take(take(from, &stored, 1), row.features.data(), n_features_);
    take_text(from, row.text, text_bytes_);
    row.number = stored.number;
    row.bought = stored.bought != 0;
    return true;
  }

 private:
  void store(const CustomerId& id, const Transaction& transaction) {
    const StoredTransaction stored{id.number,
                                   transaction.day,
                                   transaction.amount,
                                   transaction.quantity,
                                   transaction.order.value_or(IdKey{}),
                                   transaction.order.has_value(),
                                   transaction.discounted};
    for (std::size_t m = 0; m < levels_.size(); ++m) stored_levels_[m] = static_cast<std::int8_t>(transaction.levels[m]);
    std::byte* to = put(transactions_->add({id.key, transactions_->n_records()}), &stored, 1);
    put_text(put(to, stored_levels_.data(), stored_levels_.size()), id.text, text_bytes_);
  }

  void begin_customer(const std::byte* record) {
    features_.clear();
    StoredTransaction stored{};
    take_text(take(record, &stored, 1) + stored_levels_.size(), text_, text_bytes_);
    number_ = stored.number;
  }

  void add_transaction(const std::byte* record) {
    StoredTransaction stored{};
    take(take(record, &stored, 1), stored_levels_.data(), stored_levels_.size());
    std::copy(stored_levels_.begin(), stored_levels_.end(), levels_.begin());
    const std::optional<IdKey> order = stored.has_order != 0 ? std::optional(stored.order) : std::nullopt;
    features_.add({features_.customer({}), stored.day, stored.amount, stored.quantity, order, stored.discounted != 0, levels_});
  }

  void add_customer(const SortKey& first) {
    features_.finish();
    if (!features_.has_purchase(0)) return void(++counts_.no_purchase);
    const StoredCustomer stored{number_, features_.bought(0)};
    ++counts_.customers;
    counts_.bought += stored.bought;
    std::byte* to = put(customers_->add({{}, first.row}), &stored, 1);
    put_text(put(to, features_.features(0).data(), n_features_), text_, text_bytes_);
  }

  Context& context_;
  std::size_t text_bytes_;
  CustomerFeatures features_;  // of one customer at a time
  std::size_t n_features_;
  std::vector<std::int32_t> levels_;          // (mixes) of a transaction
  std::vector<std::int8_t> stored_levels_;    // (mixes) likewise; there are at most kMostLevels
  std::optional<ExternalSort> transactions_;  // until finish()
  std::optional<ExternalSort> customers_;
  std::int64_t number_ = 0;  // of the current customer, as the next
  std::string text_;
  CustomerCounts counts_;
};

}  // namespace

std::unique_ptr<CustomerRows> customers_by_sorting(Context& context, const CustomerFeatureOptions& options, std::size_t text_bytes,
                                                   const std::filesystem::path& folder) {
  return std::make_unique<SortedCustomers>(context, options, text_bytes, folder);
}

}  // namespace coterie::io
