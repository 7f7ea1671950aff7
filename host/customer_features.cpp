#include "host/customer_features.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "host/error.hpp"

namespace coterie {
namespace {

constexpr std::size_t kActiveDays = 3;  // in names()

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double ratio(double part, double whole) { return whole != 0 ? part / whole : kNaN; }

}  // namespace

void CustomerFeatures::Sum::add(double value) {
  const double total = sum + value;
  rest += std::abs(sum) >= std::abs(value) ? (sum - total) + value : (value - total) + sum;
  sum = total;
}

CustomerFeatures::CustomerFeatures(MemoryLedger& memory, CustomerFeatureOptions options)
    : memory_(memory), options_(std::move(options)), last_day_(std::numeric_limits<std::int64_t>::min()) {
  for (const auto& mix : options_.mixes) n_levels_ += mix.levels.size();
}

std::int64_t CustomerFeatures::customer(const IdKey& id) {
  if (const std::int64_t number = numbers_.find(id); number >= 0) return number;
  if (n_customers() == std::numeric_limits<std::int32_t>::max())
    throw ResourceError("More than 2^31 - 1 customers. Nothing was written. Split the transactions by customer.");
  if (customers_.size() == customers_.capacity()) {
    const std::size_t room = std::max<std::size_t>(16, 2 * customers_.size());
    const std::size_t each = sizeof(Customer) + IdNumbers::kBytesPerId + n_levels_ * sizeof(std::int32_t);
    Reservation larger = memory_.reserve("the features of customers", static_cast<std::int64_t>(room * each));
    customers_.reserve(room);
    levels_.reserve(room * n_levels_);
    numbers_.reserve(static_cast<std::int64_t>(room));
    customers_memory_ = std::move(larger);
  }
  customers_.emplace_back();
  levels_.resize(customers_.size() * n_levels_);
  return numbers_.add(id);
}

void CustomerFeatures::fetch(std::int64_t customer) const {
  constexpr std::size_t kLine = 64;
  const auto* const bytes = reinterpret_cast<const char*>(&customers_[static_cast<std::size_t>(customer)]);
  for (std::size_t at = 0; at < sizeof(Customer); at += kLine) __builtin_prefetch(bytes + at, 1);
  if (n_levels_ > 0) __builtin_prefetch(&levels_[static_cast<std::size_t>(customer) * n_levels_], 1);
}

void CustomerFeatures::add(const Transaction& transaction) {
  Customer& customer = customers_[static_cast<std::size_t>(transaction.customer)];
  last_day_ = std::max(last_day_, transaction.day);
  const bool returned = transaction.amount < 0 || transaction.quantity < 0;
  const bool purchase = !returned && (transaction.amount > 0 || options_.free_orders);
  if (transaction.day > options_.as_of) {
    if (purchase && transaction.day <= options_.as_of + options_.target_window) customer.bought = true;
    return;
  }
  if (returned) {
    ++customer.return_lines;
    customer.returned.add(std::abs(transaction.amount));
  }
  if (purchase) add_purchase(customer, transaction);
}

void CustomerFeatures::add_purchase(Customer& customer, const Transaction& transaction) {
  ++customer.lines;
  customer.discounted_lines += transaction.discounted ? 1 : 0;
  customer.monetary.add(transaction.amount);
  customer.items.add(transaction.quantity);
  if (transaction.day < customer.first_day) {
    customer.first_day = transaction.day;
    customer.first = {};
  }
  if (transaction.day == customer.first_day) customer.first.add(transaction.amount);
  for (std::size_t w = 0; w < kNumWindows; ++w)
    if (options_.as_of - transaction.day < kWindows[w]) customer.recent[w].add(transaction.amount);
  std::int32_t* counts = levels_.data() + static_cast<std::size_t>(transaction.customer) * n_levels_;
  for (std::size_t m = 0; m < transaction.levels.size(); ++m) {
    if (transaction.levels[m] >= 0) ++counts[transaction.levels[m]];
    counts += options_.mixes[m].levels.size();
  }
  add_order(transaction);
}

void CustomerFeatures::add_order(const Transaction& transaction) {
  if (std::abs(transaction.day) > std::numeric_limits<std::int32_t>::max())
    throw ContentsError("A day lies beyond all calendars. Nothing was written.");
  const auto day = static_cast<std::int32_t>(transaction.day);
  keys_are_days_ = keys_are_days_ && !transaction.order;
  const auto key = transaction.order ? mix64(transaction.order->low ^ mix64(transaction.order->high))
                                     : static_cast<std::uint64_t>(std::int64_t{day} - std::numeric_limits<std::int32_t>::min());
  const Order order{static_cast<std::int32_t>(transaction.customer), day, key};
  if (!orders_.empty()) {  // the rows of an order mostly follow each other
    Order& last = orders_.back();
    if (last.customer == order.customer && last.key == order.key) {
      last.day = std::min(last.day, order.day);
      return;
    }
  }
  if (orders_.size() == orders_.capacity()) make_room_for_orders();
  orders_.push_back(order);
}

// Merges where many may have come again since, or memory is short; what is distinct needs room.
void CustomerFeatures::make_room_for_orders() {
  constexpr std::size_t kMany = 4;  // times what the last merge left
  const std::size_t room = std::max<std::size_t>(1 << 12, 2 * orders_.capacity());
  const auto bytes = static_cast<std::int64_t>(room * sizeof(Order));
  const auto is_crowded = [&] { return 2 * orders_.size() > orders_.capacity(); };
  Reservation larger;
  if (orders_.size() >= kMany * n_merged_) merge_orders();
  if (is_crowded() && !memory_.try_reserve(bytes, larger)) merge_orders();
  if (!is_crowded()) return;
  if (larger.bytes() == 0) larger = memory_.reserve("the orders of customers", bytes);
  orders_.reserve(room);
  orders_memory_ = std::move(larger);
}

// One entry for each order of a customer, with its first day.
void CustomerFeatures::merge_orders() {
  std::sort(orders_.begin(), orders_.end(),
            [](const Order& a, const Order& b) { return std::tie(a.customer, a.key, a.day) < std::tie(b.customer, b.key, b.day); });
  const auto same = [](const Order& a, const Order& b) { return a.customer == b.customer && a.key == b.key; };
  orders_.erase(std::unique(orders_.begin(), orders_.end(), same), orders_.end());
  n_merged_ = orders_.size();
}

void CustomerFeatures::finish() {
  merge_orders();
  const auto by_day = [](const Order& a, const Order& b) {
    return std::tie(a.customer, a.day, a.key) < std::tie(b.customer, b.day, b.key);
  };
  if (!keys_are_days_) std::sort(orders_.begin(), orders_.end(), by_day);
  first_order_.assign(customers_.size() + 1, 0);
  for (const Order& order : orders_) ++first_order_[static_cast<std::size_t>(order.customer) + 1];
  for (std::size_t i = 1; i < first_order_.size(); ++i) first_order_[i] += first_order_[i - 1];
}

void CustomerFeatures::clear() {
  numbers_.clear();
  customers_.clear();
  levels_.clear();
  orders_.clear();
  n_merged_ = 0;
}

std::span<const CustomerFeatures::Order> CustomerFeatures::orders(std::int64_t customer) const {
  const auto i = static_cast<std::size_t>(customer);
  return std::span(orders_).subspan(first_order_[i], first_order_[i + 1] - first_order_[i]);
}

std::vector<std::string> CustomerFeatures::names() const {
  std::vector<std::string> names{"recency_days",  "tenure_days", "orders",      "active_days",       "interval_days",
                                 "overdue_ratio", "monetary",    "order_value", "repeat_order_value"};
  if (options_.has_quantity) names.emplace_back("items");
  for (const std::int64_t window : kWindows)
    for (const char* what : {"orders_{}d", "orders_trend_{}d", "monetary_{}d"}) names.push_back(fmt::format(fmt::runtime(what), window));
  names.insert(names.end(), {"return_lines", "returned_share"});
  if (options_.has_discount) names.emplace_back("discount_share");
  for (const auto& mix : options_.mixes)
    for (const std::string& level : mix.levels) names.push_back(fmt::format("share_{}={}", mix.column, level));
  return names;
}

std::vector<double> CustomerFeatures::features(std::int64_t customer) const {
  const Customer& state = customers_[static_cast<std::size_t>(customer)];
  const std::span<const Order> made = orders(customer);
  std::vector<double> row;
  append_rhythm(made, row);
  const double monetary = state.monetary.value(), repeats = row[kActiveDays] - 1;
  row.insert(row.end(),
             {monetary, monetary / static_cast<double>(made.size()), repeats > 0 ? state.monetary.less(state.first) / repeats : kNaN});
  if (options_.has_quantity) row.push_back(state.items.value());
  append_windows(state, made, row);
  row.insert(row.end(), {static_cast<double>(state.return_lines), ratio(state.returned.value(), monetary)});
  const auto lines = static_cast<double>(state.lines);
  if (options_.has_discount) row.push_back(static_cast<double>(state.discounted_lines) / lines);
  const std::size_t first = static_cast<std::size_t>(customer) * n_levels_;
  for (std::size_t i = 0; i < n_levels_; ++i) row.push_back(static_cast<double>(levels_[first + i]) / lines);
  return row;
}

void CustomerFeatures::append_rhythm(std::span<const Order> orders, std::vector<double>& row) const {
  std::int64_t active_days = 1;
  for (std::size_t i = 1; i < orders.size(); ++i) active_days += orders[i].day != orders[i - 1].day ? 1 : 0;
  const auto as_of = static_cast<double>(options_.as_of);
  const double recency = as_of - orders.back().day, tenure = as_of - orders.front().day;
  const double interval = active_days > 1 ? (tenure - recency) / static_cast<double>(active_days - 1) : kNaN;
  row.insert(row.end(),
             {recency, tenure, static_cast<double>(orders.size()), static_cast<double>(active_days), interval, recency / interval});
}

void CustomerFeatures::append_windows(const Customer& customer, std::span<const Order> orders, std::vector<double>& row) const {
  for (std::size_t w = 0; w < kNumWindows; ++w) {
    std::int64_t recent = 0, before = 0;
    for (const Order& order : orders) {
      const std::int64_t age = options_.as_of - order.day;
      recent += age < kWindows[w] ? 1 : 0;
      before += age >= kWindows[w] && age < 2 * kWindows[w] ? 1 : 0;
    }
    row.insert(row.end(), {static_cast<double>(recent), static_cast<double>(recent - before), customer.recent[w].value()});
  }
}

}  // namespace coterie
