#include "host/repeat_counter.hpp"

#include <gtest/gtest.h>

#include <string>

#include "host/error.hpp"

namespace coterie {
namespace {

TEST(RepeatCounter, CountsRepeats) {
  MemoryLedger memory(std::int64_t{1} << 30);
  RepeatCounter integers(memory), texts(memory);
  for (std::int64_t i = 0; i < 200'000; ++i) {
    integers.add(i % 150'000 - 7);
    texts.add("customer " + std::to_string(i % 150'000));
  }
  EXPECT_EQ(integers.repeats(), 50'000);
  EXPECT_EQ(texts.repeats(), 50'000);
  RepeatCounter similar(memory);
  for (const char* id : {"", "a", "aa", "b", "ab", "ba", "12345678", "123456789", "12345678 "}) similar.add(std::string_view(id));
  EXPECT_EQ(similar.repeats(), 0);
}

TEST(RepeatCounter, StaysWithinTheBudget) {
  MemoryLedger memory(std::int64_t{1} << 20);
  RepeatCounter ids(memory);
  EXPECT_THROW(
      {
        for (std::int64_t i = 0; i < 1'000'000; ++i) ids.add(i);
      },
      ResourceError);
}

}  // namespace
}  // namespace coterie
