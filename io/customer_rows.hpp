// Transactions become one row per customer (host/customer_features.hpp): in memory, on all threads, as long as customers and their orders
// fit the budget, else sorted by customer on disk, where one customer at a time is in memory. Either way a customer's transactions are
// added up in their own order and customers come in the order of their first transactions, so that both are the same rows, bit for bit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/context.hpp"
#include "host/customer_features.hpp"

namespace coterie::io {

struct CustomerId {
  IdKey key;                   // tells customers apart
  std::int64_t number = 0;     // where all ids are whole numbers
  std::string_view text = {};  // else; "" there
};

struct CustomerTransaction {
  CustomerId id;
  Transaction transaction;  // but for its customer
};

struct CustomerRow {
  std::int64_t number = 0;  // of the first transaction's id, as the text
  std::string text;
  bool bought = false;  // within the target window
  std::vector<double> features;
};

struct CustomerCounts {
  std::int64_t customers = 0;
  std::int64_t no_purchase = 0;  // ids without one up to as_of
  std::int64_t bought = 0;       // customers
  std::int64_t last_day = 0;     // of all transactions
  std::int64_t disk_bytes = 0;   // that sorting took
};

class CustomerRows {
 public:
  virtual ~CustomerRows() = default;
  // The transactions that come next.
  virtual void add(std::span<const CustomerTransaction> transactions) = 0;
  // After the last transaction: afterwards rows can be read.
  virtual CustomerCounts finish() = 0;
  // False after the last customer with a purchase.
  virtual bool next(CustomerRow& row) = 0;
};

// ResourceError, as add(): customers, their ids of at most text_bytes and their orders beyond the budget. `context` must outlive the
// result.
std::unique_ptr<CustomerRows> customers_in_memory(Context& context, const CustomerFeatureOptions& options, std::size_t text_bytes);

// ResourceError, also in add() and finish(): the orders of one customer beyond a quarter of what is left of the budget. OutputError, in
// all: the temporary files in `folder`. Cancelled, in all. `context` must outlive the result.
std::unique_ptr<CustomerRows> customers_by_sorting(Context& context, const CustomerFeatureOptions& options, std::size_t text_bytes,
                                                   const std::filesystem::path& folder);

}  // namespace coterie::io
