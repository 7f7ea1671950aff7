// The features of one customer once more: all rows kept, each definition by itself, as host/customer_features.hpp states them.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <vector>

namespace coterie::reference {

struct Row {
  std::int64_t day;
  double amount, quantity;
  std::uint64_t order;
  bool discounted;
  std::int32_t level;
};

inline std::vector<double> customer_features(const std::vector<Row>& rows, std::int64_t as_of, std::int32_t n_levels) {
  std::map<std::uint64_t, std::int64_t> orders;  // first day
  std::map<std::int64_t, double> spent_on;       // by day of purchase
  double monetary = 0, items = 0, returned = 0, return_lines = 0, lines = 0, discounted = 0;
  std::vector<double> levels(static_cast<std::size_t>(n_levels));
  for (const Row& row : rows) {
    if (row.day > as_of) continue;
    if (row.amount < 0 || row.quantity < 0) {
      ++return_lines;
      returned += std::abs(row.amount);
    } else if (row.amount > 0) {
      ++lines;
      monetary += row.amount;
      spent_on[row.day] += row.amount;
      items += row.quantity;
      discounted += row.discounted;
      if (row.level >= 0) ++levels[static_cast<std::size_t>(row.level)];
      const auto [order, is_new] = orders.emplace(row.order, row.day);
      if (!is_new && row.day < order->second) order->second = row.day;
    }
  }
  std::set<std::int64_t> days;
  for (const auto& [order, day] : orders) days.insert(day);
  const double recency = static_cast<double>(as_of - *days.rbegin()), tenure = static_cast<double>(as_of - *days.begin());
  double repeated = 0;
  for (const auto& [day, spent] : spent_on) repeated += day > *days.begin() ? spent : 0;
  const double interval =
      days.size() > 1 ? (tenure - recency) / static_cast<double>(days.size() - 1) : std::numeric_limits<double>::quiet_NaN();
  std::vector<double> features{recency,
                               tenure,
                               static_cast<double>(orders.size()),
                               static_cast<double>(days.size()),
                               interval,
                               recency / interval,
                               monetary,
                               monetary / static_cast<double>(orders.size()),
                               days.size() > 1 ? repeated / static_cast<double>(days.size() - 1) : std::numeric_limits<double>::quiet_NaN(),
                               items};
  for (const std::int64_t window : {30, 90, 365}) {
    double recent = 0, before = 0, spent = 0;
    for (const auto& [order, day] : orders) {
      if (day > as_of - window) ++recent;
      if (day <= as_of - window && day > as_of - 2 * window) ++before;
    }
    for (const Row& row : rows)
      if (row.day <= as_of && row.day > as_of - window && row.amount > 0 && row.quantity >= 0) spent += row.amount;
    features.insert(features.end(), {recent, recent - before, spent});
  }
  features.insert(features.end(), {return_lines, returned / monetary, discounted / lines});
  for (const double count : levels) features.push_back(count / lines);
  return features;
}

}  // namespace coterie::reference
