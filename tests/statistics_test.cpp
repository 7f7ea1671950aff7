#include "host/statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace coterie {
namespace {

TEST(WideSums, HoldsValuesBeyond64Bits) {
  WideSums sums(1);
  int128 expected = 0;
  for (int i = 0; i < 1000; ++i) {
    const int128 value = (static_cast<int128>(1) << 90) - i * static_cast<int128>(12345678901234567) * (i % 2 == 0 ? 1 : -1000000);
    sums.add(0, value);
    expected += value;
  }
  EXPECT_TRUE(sums.value(0) == expected);
}

TEST(WideSums, LimbsMergeByPlainSum) {
  WideSums a(1), b(1);
  const int128 x = (static_cast<int128>(-7) << 70) + 5, y = (static_cast<int128>(3) << 95) - 11;
  a.add(0, x);
  b.add(0, y);
  a.high()[0] += b.high()[0];
  a.low()[0] += b.low()[0];
  EXPECT_TRUE(a.value(0) == x + y);
}

TEST(WideSums, RoundOnceToDouble) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    WideSums sums(1);
    const int low_bits = static_cast<int>(random() % 60), high_bits = static_cast<int>(random() % 62);
    sums.low()[0] = static_cast<std::int64_t>(random()) >> (63 - low_bits);
    sums.high()[0] = static_cast<std::int64_t>(random()) >> (63 - high_bits);
    if (i % 3 == 0) sums.low()[0] = std::int64_t{1} << low_bits;  // ties
    ASSERT_EQ(sums.real(0), static_cast<double>(sums.value(0))) << sums.high()[0] << " " << sums.low()[0];
  }
}

// Limbs of somebody else: copies have their own.
TEST(WideSums, LiveInTheMemoryTheyAreGiven) {
  auto memory = std::make_shared<std::vector<std::int64_t>>(std::vector<std::int64_t>{1, 2, 3, 4});
  WideSums lent(memory, 2, memory->data(), memory->data() + 2), copy = lent, assigned(2);
  assigned = lent;
  (*memory)[1] = 7;
  EXPECT_TRUE(lent.value(1) == (int128{7} << 48) + 4);
  for (const WideSums* own : {&copy, &assigned}) EXPECT_TRUE(own->value(1) == (int128{2} << 48) + 4);
  const WideSums moved = std::move(lent);
  EXPECT_EQ(memory.use_count(), 2);
  EXPECT_EQ(moved.size(), 2u);
}

FirstRows rows_in_order(const std::vector<std::int64_t>& order, std::int64_t capacity) {
  FirstRows rows(capacity, 1);
  for (const std::int64_t row : order) {
    const float value = static_cast<float>(row);
    rows.offer(static_cast<std::uint64_t>(row * 7919 % 101), row, &value);
  }
  rows.sort();
  return rows;
}

TEST(FirstRows, IgnoresOrderOfOffers) {
  std::vector<std::int64_t> order(1000);
  std::iota(order.begin(), order.end(), 0);
  const FirstRows expected = rows_in_order(order, 37);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  const FirstRows shuffled = rows_in_order(order, 37);
  ASSERT_EQ(expected.size(), 37);
  for (std::int64_t i = 0; i < 37; ++i) {
    EXPECT_EQ(expected.row(i), shuffled.row(i));
    EXPECT_EQ(expected.key(i), shuffled.key(i));
    EXPECT_EQ(shuffled.values(i)[0], static_cast<float>(shuffled.row(i)));
  }
}

TEST(FirstRows, SurvivesSerialisationAndMerge) {
  FirstRows odd(20, 1), even(20, 1), all(20, 1);
  for (std::int64_t row = 0; row < 200; ++row) {
    const float value = static_cast<float>(row);
    const std::uint64_t key = static_cast<std::uint64_t>(row * 31 % 17);
    (row % 2 == 0 ? even : odd).offer(key, row, &value);
    all.offer(key, row, &value);
  }
  FirstRows merged = FirstRows::deserialize(odd.serialize());
  merged.merge(FirstRows::deserialize(even.serialize()));
  merged.sort();
  all.sort();
  for (std::int64_t i = 0; i < 20; ++i) EXPECT_EQ(merged.row(i), all.row(i));
}

TEST(Keys, FollowTheOrderOfDoubles) {
  const std::vector<double> values = {-1e300, -2.0, -1e-300, 0.0, 1e-300, 1.0, 1e300};
  for (std::size_t i = 1; i < values.size(); ++i) {
    EXPECT_LT(ascending_key(values[i - 1]), ascending_key(values[i]));
    EXPECT_GT(descending_key(values[i - 1]), descending_key(values[i]));
  }
  EXPECT_EQ(ascending_key(-0.0), ascending_key(0.0));
}

}  // namespace
}  // namespace coterie
