#include "host/customer_features.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "host/error.hpp"
#include "tests/reference/customer_features.hpp"

namespace coterie {
namespace {

constexpr std::int64_t kAsOf = 20000;
constexpr std::int32_t kLevels = 3;

CustomerFeatureOptions options() {
  CustomerFeatureOptions options;
  options.as_of = kAsOf;
  options.target_window = 60;
  options.has_quantity = options.has_discount = true;
  options.mixes = {{"channel", {"app", "mail", "shop"}}};
  return options;
}

struct Sale {
  std::int64_t customer;
  reference::Row row;
};

// Rows of orders that share a day mostly, in an order of their own; amounts are whole cents of a few digits, so that sums in any
// order agree to rounding.
std::vector<Sale> sales(std::int64_t n_customers, std::int64_t n_sales, std::uint64_t seed) {
  std::vector<Sale> sales;
  for (std::int64_t i = 0; i < n_sales; ++i) {
    const auto draw = [&](std::uint64_t stream, std::uint64_t below) {
      return static_cast<std::int64_t>(random_bits(seed, Purpose::synth_value, static_cast<std::uint64_t>(i), stream) % below);
    };
    const std::int64_t customer = draw(0, static_cast<std::uint64_t>(n_customers)), age = draw(1, 900) - 80;
    const double quantity = static_cast<double>(draw(2, 9) - 1), price = static_cast<double>(draw(3, 5000)) / 100;
    const auto order = static_cast<std::uint64_t>(draw(4, 4));
    sales.push_back(
        {customer, {kAsOf - age, quantity * price, quantity, order, draw(5, 3) == 0, static_cast<std::int32_t>(draw(6, 4)) - 1}});
  }
  return sales;
}

CustomerFeatures added_up(MemoryLedger& ledger, const std::vector<Sale>& sales) {
  CustomerFeatures features(ledger, options());
  for (const Sale& sale : sales) {
    Transaction transaction{features.customer(id_key(sale.customer)),
                            sale.row.day,
                            sale.row.amount,
                            sale.row.quantity,
                            id_key(static_cast<std::int64_t>(sale.row.order)),
                            sale.row.discounted,
                            std::span(&sale.row.level, 1)};
    features.add(transaction);
  }
  features.finish();
  return features;
}

TEST(CustomerFeatures, MatchesReference) {
  constexpr std::int64_t kCustomers = 200;
  // Sums of at most a hundred amounts below 400.
  constexpr double kRounding = 1e-9;
  const std::vector<Sale> all = sales(kCustomers, 5000, 7);
  MemoryLedger ledger(std::int64_t{1} << 30);
  CustomerFeatures features = added_up(ledger, all);
  std::int64_t compared = 0;
  for (std::int64_t id = 0; id < kCustomers; ++id) {
    std::vector<reference::Row> rows;
    for (const Sale& sale : all)
      if (sale.customer == id) rows.push_back(sale.row);
    if (rows.empty()) continue;
    const std::int64_t customer = features.customer(id_key(id));
    const auto buys = [](const reference::Row& row) { return row.amount > 0 && row.quantity >= 0; };
    EXPECT_EQ(features.has_purchase(customer),
              std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return buys(row) && row.day <= kAsOf; }));
    EXPECT_EQ(features.bought(customer), std::any_of(rows.begin(), rows.end(), [&](const auto& row) {
                return buys(row) && row.day > kAsOf && row.day <= kAsOf + 60;
              }));
    if (!features.has_purchase(customer)) continue;
    const std::vector<double> expected = reference::customer_features(rows, kAsOf, kLevels), found = features.features(customer);
    ASSERT_EQ(found.size(), expected.size());
    ASSERT_EQ(found.size(), features.names().size());
    for (std::size_t j = 0; j < found.size(); ++j) {
      if (std::isnan(expected[j]))
        ASSERT_TRUE(std::isnan(found[j])) << features.names()[j];
      else
        ASSERT_NEAR(found[j], expected[j], kRounding * std::max(1.0, std::abs(expected[j]))) << features.names()[j];
    }
    ++compared;
  }
  EXPECT_GT(compared, 150);
}

TEST(CustomerFeatures, OrdersScatteredOverTheFileAreOne) {
  MemoryLedger ledger(std::int64_t{1} << 30);
  CustomerFeatures features(ledger, options());
  constexpr std::int32_t kLevel = 0;
  for (int round = 0; round < 3; ++round)
    for (std::int64_t customer = 0; customer < 40000; ++customer)  // more orders than the first buffer holds
      features.add({features.customer(id_key(customer)), kAsOf - 5 - round, 2, 1, id_key(customer), false, std::span(&kLevel, 1)});
  features.finish();
  for (std::int64_t customer = 0; customer < 40000; customer += 997) {
    const std::vector<double> row = features.features(customer);
    EXPECT_EQ(row[0], 7);  // the first day of the order
    EXPECT_EQ(row[2], 1);
    EXPECT_EQ(row[6], 6);
  }
}

TEST(CustomerFeatures, IgnoresTheOrderOfRows) {
  std::vector<Sale> all = sales(50, 3000, 9);
  MemoryLedger ledger(std::int64_t{1} << 30);
  CustomerFeatures forward = added_up(ledger, all);
  std::reverse(all.begin(), all.end());
  CustomerFeatures backward = added_up(ledger, all);
  for (std::int64_t id = 0; id < 50; ++id) {
    const std::vector<double> a = forward.features(forward.customer(id_key(id))), b = backward.features(backward.customer(id_key(id)));
    for (std::size_t j = 0; j < a.size(); ++j)
      EXPECT_TRUE(std::abs(a[j] - b[j]) <= 1e-12 * std::abs(a[j]) || (std::isnan(a[j]) && std::isnan(b[j])));
  }
}

TEST(CustomerFeatures, MemoryIsThatOfCustomersAndOrdersAndRefusedBeyondTheBudget) {
  MemoryLedger small(std::int64_t{8} << 20);
  CustomerFeatures features(small, options());
  constexpr std::int32_t kLevel = 0;
  const std::int64_t one = features.customer(id_key(std::int64_t{1}));
  for (int line = 0; line < 2'000'000; ++line)
    features.add({one, kAsOf, 1, 1, id_key(std::int64_t{line % 50}), false, std::span(&kLevel, 1)});
  EXPECT_THROW(
      {
        for (std::int64_t id = 0; id < 200'000; ++id) features.customer(id_key(id));
      },
      ResourceError);
}

}  // namespace
}  // namespace coterie
