#include "io/customer_rows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>

#include "host/error.hpp"
#include "host/random.hpp"
#include "tests/support/csv_files.hpp"

namespace coterie::io {
namespace {

using coterie::testing::message_of;
using coterie::testing::ScratchFolder;
using ::testing::HasSubstr;

constexpr std::int64_t kAsOf = 20000;
constexpr std::size_t kTextBytes = 9;
constexpr std::int64_t kMiB = std::int64_t{1} << 20;

struct Case {
  bool text_ids, has_orders;
  std::size_t n_mixes;
};

CustomerFeatureOptions options(const Case& c) {
  CustomerFeatureOptions options;
  options.as_of = kAsOf;
  options.target_window = 60;
  options.has_quantity = options.has_discount = true;
  for (std::size_t m = 0; m < c.n_mixes; ++m) options.mixes.push_back({std::string(1, static_cast<char>('a' + m)), {"x", "y", "z"}});
  return options;
}

// Customers of a few transactions all over the table, in batches; amounts that additions round, so that their order shows.
void add_all(CustomerRows& rows, const Case& c, std::int64_t n_customers, std::int64_t n_transactions) {
  constexpr std::int64_t kBatch = 3000;
  std::vector<CustomerTransaction> batch;
  std::deque<std::string> texts;  // of the batch, as the next
  std::deque<std::vector<std::int32_t>> levels;
  for (std::int64_t i = 0; i < n_transactions; ++i) {
    const auto draw = [&](std::uint64_t stream, std::int64_t below) {
      return static_cast<std::int64_t>(random_bits(3, Purpose::synth_value, static_cast<std::uint64_t>(i), stream) %
                                       static_cast<std::uint64_t>(below));
    };
    const std::int64_t customer = draw(0, n_customers);
    texts.push_back(std::to_string(customer * 977 % 100'000'007));
    levels.emplace_back();
    for (std::size_t m = 0; m < c.n_mixes; ++m) levels.back().push_back(static_cast<std::int32_t>(draw(10 + m, 4)) - 1);
    Transaction transaction;
    transaction.day = kAsOf + 80 - draw(1, 900);
    transaction.quantity = static_cast<double>(draw(2, 9) - 2);
    transaction.amount = transaction.quantity * static_cast<double>(draw(3, 5'000'000)) / 1001;
    if (c.has_orders) transaction.order = id_key(draw(4, 4));
    transaction.discounted = draw(5, 3) == 0;
    transaction.levels = levels.back();
    batch.push_back(
        {c.text_ids ? CustomerId{id_key(texts.back()), 0, texts.back()} : CustomerId{id_key(customer), customer - 50, {}}, transaction});
    if (std::ssize(batch) < kBatch && i + 1 < n_transactions) continue;
    rows.add(batch);
    batch.clear();
    texts.clear();
    levels.clear();
  }
}

struct Result {
  CustomerCounts counts;
  std::vector<std::string> rows;  // as bytes, so that missing is missing
};

Result result_of(CustomerRows& rows) {
  Result result{rows.finish(), {}};
  for (CustomerRow row; rows.next(row);) {
    std::string bytes(row.features.size() * sizeof(double), '\0');
    std::memcpy(bytes.data(), row.features.data(), bytes.size());
    result.rows.push_back(std::to_string(row.number) + '/' + row.text + '/' + std::to_string(row.bought) + '/' + bytes);
  }
  return result;
}

Result in_memory(const Case& c, std::int64_t n_customers, std::int64_t n_transactions, int threads = 1) {
  Context context({.threads = threads, .memory_bytes = 1024 * kMiB, .progress = {}});
  const auto rows = customers_in_memory(context, options(c), c.text_ids ? kTextBytes : 0);
  add_all(*rows, c, n_customers, n_transactions);
  return result_of(*rows);
}

Result by_sorting(const Case& c, std::int64_t n_customers, std::int64_t n_transactions, std::int64_t memory) {
  const ScratchFolder folder;
  Context context({.threads = 1, .memory_bytes = memory, .progress = {}});
  const auto rows = customers_by_sorting(context, options(c), c.text_ids ? kTextBytes : 0, folder.path());
  add_all(*rows, c, n_customers, n_transactions);
  return result_of(*rows);
}

TEST(CustomerRows, NeitherSortingNorThreadsChangeABit) {
  for (const Case& c : {Case{false, true, 1}, Case{true, false, 0}, Case{true, true, 3}}) {
    const Result expected = in_memory(c, 30'000, 200'000);
    EXPECT_GT(expected.counts.customers, 20'000);
    EXPECT_GT(expected.counts.no_purchase, 10);
    EXPECT_GT(expected.counts.bought, 1000);
    EXPECT_EQ(expected.counts.disk_bytes, 0);
    const Result by_threads = in_memory(c, 30'000, 200'000, 3);
    EXPECT_EQ(by_threads.counts.no_purchase, expected.counts.no_purchase);
    EXPECT_EQ(by_threads.counts.last_day, expected.counts.last_day);
    EXPECT_TRUE(by_threads.rows == expected.rows);
    for (const std::int64_t memory : {8 * kMiB, 64 * kMiB}) {
      const Result found = by_sorting(c, 30'000, 200'000, memory);
      EXPECT_EQ(found.counts.customers, expected.counts.customers);
      EXPECT_EQ(found.counts.no_purchase, expected.counts.no_purchase);
      EXPECT_EQ(found.counts.bought, expected.counts.bought);
      EXPECT_EQ(found.counts.last_day, expected.counts.last_day);
      EXPECT_GT(found.counts.disk_bytes, 200'000 * 64);
      EXPECT_TRUE(found.rows == expected.rows);
    }
  }
}

TEST(CustomerRows, NoTransactionsAreNoCustomers) {
  const Case c{false, true, 1};
  EXPECT_EQ(in_memory(c, 1, 0).counts.customers, 0);
  const Result found = by_sorting(c, 1, 0, 8 * kMiB);
  EXPECT_EQ(found.counts.customers, 0);
  EXPECT_TRUE(found.rows.empty());
}

TEST(CustomerRows, SortingTakesCustomersThatMemoryRefuses) {
  const Case c{false, true, 1};
  constexpr std::int64_t kCustomers = 100'000;  // 30 MB of them
  Context context({.threads = 1, .memory_bytes = 8 * kMiB, .progress = {}});
  const auto rows = customers_in_memory(context, options(c), 0);
  EXPECT_THROW(add_all(*rows, c, kCustomers, kCustomers), ResourceError);
  EXPECT_GT(by_sorting(c, kCustomers, kCustomers, 8 * kMiB).rows.size(), 40'000U);
}

// What grows with a customer is orders: rows of one order count once, however many and however scattered.
TEST(CustomerRows, OneCustomerMayHaveAnyTransactionsButNotAnyOrders) {
  const Case c{false, true, 0};
  EXPECT_EQ(by_sorting(c, 1, 500'000, 8 * kMiB).rows.size(), 1U);
  const ScratchFolder folder;
  Context context({.threads = 1, .memory_bytes = 8 * kMiB, .progress = {}});
  const auto rows = customers_by_sorting(context, options(c), 0, folder.path());
  Transaction transaction{.day = kAsOf, .amount = 1};
  for (std::int64_t i = 0; i < 500'000; ++i) {
    transaction.order = id_key(i);
    const CustomerTransaction row{{id_key(std::int64_t{7}), 7, {}}, transaction};
    rows->add({&row, 1});
  }
  EXPECT_THAT(message_of<ResourceError>([&] { rows->finish(); }), HasSubstr("orders"));  // 8 MB of them
}

}  // namespace
}  // namespace coterie::io
