// What customers do, from their transactions: one row per customer from any number of rows in any order.
//
//   recency_days, tenure_days     from the last and the first purchase to as_of
//   orders, active_days           different orders, and days with one
//   monetary, order_value         what purchases came to, and that per order
//   repeat_order_value            what purchases after the first active day came to, per active day after it (zbar, lifetimes'
//                                 monetary_value); missing for one active day
//   items                         bought pieces, where quantities are known
//   interval_days                 mean days between active days; missing for one active day
//   overdue_ratio                 recency in own intervals; missing likewise
//   orders_Wd, monetary_Wd        of the last W = 30, 90, 365 days, as_of included
//   orders_trend_Wd               less the orders of the W days before those
//   return_lines, returned_share  rows that give something back, and their amount by what purchases came to
//   discount_share                of the purchase rows; share_COLUMN=LEVEL likewise
//
// A row is a purchase when its amount is positive (or 0, where free orders count), a return when amount or quantity is negative.
// Rows later than as_of are no features; those within the target window say whether the customer bought again. Customers without a
// purchase up to as_of are none. Memory: about 220 bytes per customer, 4 per level of a share, and 16 per order; those who exceed the
// budget are split by customer before (io/customer_rows.hpp).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/id_numbers.hpp"
#include "host/memory_ledger.hpp"

namespace coterie {

struct CustomerFeatureOptions {
  std::int64_t as_of = 0;          // days since 1970-01-01
  std::int64_t target_window = 0;  // days after as_of; 0: no outcome
  bool free_orders = false;        // purchases of amount 0 count
  bool has_quantity = false;
  bool has_discount = false;
  struct Mix {  // the shares of a column's levels
    std::string column;
    std::vector<std::string> levels;
  };
  std::vector<Mix> mixes = {};
};

struct Transaction {
  std::int64_t customer = 0;        // CustomerFeatures::customer()
  std::int64_t day = 0;             // since 1970-01-01
  double amount = 0;                // known
  double quantity = 1;              // known
  std::optional<IdKey> order = {};  // nothing: everything on one day is one order
  bool discounted = false;
  std::span<const std::int32_t> levels = {};  // (mixes) -1 where missing
};

class CustomerFeatures {
 public:
  CustomerFeatures(MemoryLedger& memory, CustomerFeatureOptions options);

  // The number of a customer, in the order of first appearance. ResourceError, as add().
  std::int64_t customer(const IdKey& id);
  void add(const Transaction& transaction);
  // What customer(), and then add(), will look at is on its way from memory: call them some rows later.
  void fetch(const IdKey& id) const { numbers_.fetch(id); }
  void fetch(std::int64_t customer) const;
  // After the last row: afterwards rows can be read.
  void finish();
  // Forgets all customers; their room stays, and so does last_day().
  void clear();

  std::int64_t n_customers() const { return static_cast<std::int64_t>(customers_.size()); }  // all that were numbered
  bool has_purchase(std::int64_t customer) const { return customers_[static_cast<std::size_t>(customer)].lines > 0; }
  bool bought(std::int64_t customer) const { return customers_[static_cast<std::size_t>(customer)].bought; }  // within the target window
  std::vector<std::string> names() const;                                                                     // (n_features)
  std::vector<double> features(std::int64_t customer) const;  // (n_features), NaN where missing; the customer has a purchase
  std::int64_t last_day() const { return last_day_; }         // of all rows

 private:
  static constexpr std::int64_t kWindows[] = {30, 90, 365};
  static constexpr std::size_t kNumWindows = 3;
  struct Sum {  // Neumaier's: what additions lose is kept beside
    double sum = 0, rest = 0;
    void add(double value);
    double value() const { return sum + rest; }
    double less(const Sum& part) const { return (sum - part.sum) + (rest - part.rest); }
  };
  struct Customer {
    Sum monetary, first, returned, items;  // first: of the first day with a purchase, so far
    Sum recent[kNumWindows];
    std::int64_t lines = 0, return_lines = 0, discounted_lines = 0;
    std::int64_t first_day = std::numeric_limits<std::int64_t>::max();
    bool bought = false;
  };
  struct Order {
    std::int32_t customer;
    std::int32_t day;
    std::uint64_t key;
  };
  void add_purchase(Customer& customer, const Transaction& transaction);
  void add_order(const Transaction& transaction);
  void make_room_for_orders();
  void merge_orders();
  std::span<const Order> orders(std::int64_t customer) const;
  void append_rhythm(std::span<const Order> orders, std::vector<double>& row) const;
  void append_windows(const Customer& customer, std::span<const Order> orders, std::vector<double>& row) const;

  MemoryLedger& memory_;
  CustomerFeatureOptions options_;
  std::size_t n_levels_ = 0;  // of all mixes
  Reservation customers_memory_, orders_memory_;
  IdNumbers numbers_;
  std::vector<Customer> customers_;
  std::vector<std::int32_t> levels_;      // (customers, n_levels_) purchase rows
  std::vector<Order> orders_;             // after finish(): by customer, then day
  std::size_t n_merged_ = 0;              // of them, by the last merge
  bool keys_are_days_ = true;             // of all orders
  std::vector<std::size_t> first_order_;  // (customers + 1) after finish()
  std::int64_t last_day_;
};

}  // namespace coterie
