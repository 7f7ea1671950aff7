// Customers who fit memory. Each belongs to a shard by its id, and a thread adds to one shard at a time: so a customer's transactions
// keep their order.
#include "io/customer_rows.hpp"

#include <algorithm>
#include <limits>

namespace coterie::io {
namespace {

// Some customers, in the order of their first transactions.
class CustomerShard {
 public:
  CustomerShard(MemoryLedger& memory, const CustomerFeatureOptions& options, std::size_t text_bytes)
      : memory_(memory), features_(memory, options), text_bytes_(text_bytes) {}

  // rows: numbers of its transactions, the first of all being number first_row of the table.
  void add(std::span<const CustomerTransaction> transactions, std::span<const std::uint32_t> rows, std::int64_t first_row) {
    constexpr std::size_t kRowsAhead = 16;  // on their way from memory
    for (; !rows.empty(); rows = rows.subspan(std::min(kRowsAhead, rows.size()))) {
      const auto some = rows.first(std::min(kRowsAhead, rows.size()));
      std::int64_t customers[kRowsAhead];
      for (const std::uint32_t row : some) features_.fetch(transactions[row].id.key);
      for (std::size_t i = 0; i < some.size(); ++i) {
        customers[i] = number_of(transactions[some[i]].id, first_row + some[i]);
        features_.fetch(customers[i]);
      }
      for (std::size_t i = 0; i < some.size(); ++i) {
        Transaction transaction = transactions[some[i]].transaction;
        transaction.customer = customers[i];
        features_.add(transaction);
      }
    }
  }

  CustomerCounts finish() {
    features_.finish();
    CustomerCounts counts;
    for (std::int64_t i = 0; i < features_.n_customers(); ++i) {
      const bool is_customer = features_.has_purchase(i);
      ++(is_customer ? counts.customers : counts.no_purchase);
      counts.bought += is_customer && features_.bought(i) ? 1 : 0;
    }
    counts.last_day = features_.last_day();
    return counts;
  }

  // Where the next customer with a purchase came first; kNone after the last.
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  std::int64_t next_row() {
    while (next_ < features_.n_customers() && !features_.has_purchase(next_)) ++next_;
    return next_ < features_.n_customers() ? first_rows_[static_cast<std::size_t>(next_)] : kNone;
  }
  void take(CustomerRow& row) {
    const auto i = static_cast<std::size_t>(next_);
    text_bytes_ == 0 ? void(row.number = numbers_[i]) : void(row.text = texts_[i]);
    row.bought = features_.bought(next_);
    row.features = features_.features(next_++);
  }

 private:
  std::int64_t number_of(const CustomerId& id, std::int64_t row) {
    const std::int64_t before = features_.n_customers(), number = features_.customer(id.key);
    if (number == before) add_id(id, row);
    return number;
  }

  void add_id(const CustomerId& id, std::int64_t row) {
    if (first_rows_.size() == room_) {
      room_ = std::max<std::size_t>(1024, 2 * room_);
      const std::size_t each = sizeof(std::int64_t) + (text_bytes_ == 0 ? sizeof(std::int64_t) : sizeof(std::string) + text_bytes_ + 1);
      ids_memory_ = memory_.reserve("the ids of customers", static_cast<std::int64_t>(room_ * each));
    }
    first_rows_.push_back(row);
    text_bytes_ == 0 ? numbers_.push_back(id.number) : void(texts_.emplace_back(id.text));
  }

  MemoryLedger& memory_;
  CustomerFeatures features_;
  std::size_t text_bytes_, room_ = 0;
  Reservation ids_memory_;
  std::vector<std::int64_t> first_rows_;  // (n_customers)
  std::vector<std::int64_t> numbers_;     // (n_customers), or else
  std::vector<std::string> texts_;        // (n_customers)
  std::int64_t next_ = 0;
};

class CustomersInMemory final : public CustomerRows {
 public:
  CustomersInMemory(Context& context, const CustomerFeatureOptions& options, std::size_t text_bytes) : context_(context) {
    const int n_shards = std::min(kMostShards, kShardsOfAThread * context.threads());
    for (int i = 0; i < n_shards; ++i) shards_.emplace_back(context.memory(), options, text_bytes);
    rows_.resize(shards_.size());
  }

  void add(std::span<const CustomerTransaction> transactions) override {
    for (auto& rows : rows_) rows.clear();
    for (std::uint32_t row = 0; row < transactions.size(); ++row) {
      const IdKey& id = transactions[row].id.key;
      rows_[mix64(id.high ^ mix64(id.low)) % rows_.size()].push_back(row);
    }
    context_.parallel_for(std::ssize(shards_), [&](std::int64_t shard, int) {
      shards_[static_cast<std::size_t>(shard)].add(transactions, rows_[static_cast<std::size_t>(shard)], n_rows_);
    });
    n_rows_ += std::ssize(transactions);
  }

  CustomerCounts finish() override {
    std::vector<CustomerCounts> of_shards(shards_.size());
    context_.parallel_for(std::ssize(shards_), [&](std::int64_t shard, int) {
      of_shards[static_cast<std::size_t>(shard)] = shards_[static_cast<std::size_t>(shard)].finish();
    });
    CustomerCounts counts = of_shards.front();
    for (std::size_t shard = 1; shard < of_shards.size(); ++shard) {
      counts.customers += of_shards[shard].customers;
      counts.no_purchase += of_shards[shard].no_purchase;
      counts.bought += of_shards[shard].bought;
      counts.last_day = std::max(counts.last_day, of_shards[shard].last_day);
    }
    return counts;
  }

  bool next(CustomerRow& row) override {
    CustomerShard& first = *std::min_element(shards_.begin(), shards_.end(), [](auto& a, auto& b) { return a.next_row() < b.next_row(); });
    if (first.next_row() == CustomerShard::kNone) return false;
    first.take(row);
    return true;
  }

 private:
  static constexpr int kShardsOfAThread = 4;  // all threads are done about the same time
  static constexpr int kMostShards = 64;

  Context& context_;
  std::vector<CustomerShard> shards_;
  std::vector<std::vector<std::uint32_t>> rows_;  // by shard: of the transactions that are added
  std::int64_t n_rows_ = 0;
};

}  // namespace

std::unique_ptr<CustomerRows> customers_in_memory(Context& context, const CustomerFeatureOptions& options, std::size_t text_bytes) {
  return std::make_unique<CustomersInMemory>(context, options, text_bytes);
}

}  // namespace coterie::io
