#include "host/id_numbers.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace coterie {
namespace {

TEST(IdNumbers, CountsIdsInTheOrderOfFirstAppearance) {
  std::mt19937_64 random(1);
  IdNumbers numbers;
  for (int round = 0; round < 2; ++round) {
    std::map<std::uint64_t, std::int64_t> expected;
    std::int64_t room = 0;
    for (int i = 0; i < 100'000; ++i) {
      const std::uint64_t value = random() % 20'000;
      const IdKey id{value % 3, value};
      numbers.fetch(id);
      const auto [known, is_new] = expected.try_emplace(value, std::ssize(expected));
      if (!is_new) {
        ASSERT_EQ(numbers.find(id), known->second);
        continue;
      }
      ASSERT_EQ(numbers.find(id), -1);
      if (numbers.size() == room) numbers.reserve(room = std::max<std::int64_t>(1, 2 * room));
      ASSERT_EQ(numbers.add(id), known->second);
    }
    ASSERT_EQ(numbers.size(), std::ssize(expected));
    numbers.clear();
    EXPECT_EQ(numbers.size(), 0);
    EXPECT_EQ(numbers.find({0, 0}), -1);
  }
}

}  // namespace
}  // namespace coterie
