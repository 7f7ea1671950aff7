#include "host/repeat_counter.hpp"

#include <gtest/gtest.h>

#include <string>

#include "host/error.hpp"

namespace coterie {
namespace {

std::int64_t repeats(Context& context, RepeatCounter& counter) {
  counter.finish(context);
  return counter.repeats();
}

TEST(RepeatCounter, CountsRepeats) {
  Context context({.threads = 3});
  MemoryLedger& memory = context.memory();
  RepeatCounter integers(memory), texts(memory), ascending(memory);
  for (std::int64_t i = 0; i < 200'000; ++i) {
    integers.add(i % 150'000 - 7);
    texts.add("customer " + std::to_string(i % 150'000));
    ascending.add(i / 2);
  }
  EXPECT_EQ(repeats(context, integers), 50'000);
  EXPECT_EQ(repeats(context, texts), 50'000);
  EXPECT_EQ(repeats(context, ascending), 100'000);
  RepeatCounter similar(memory);
  for (const char* id : {"", "a", "aa", "b", "ab", "ba", "12345678", "123456789", "12345678 "}) similar.add(std::string_view(id));
  EXPECT_EQ(repeats(context, similar), 0);
  RepeatCounter same(memory), none(memory);
  for (std::int64_t i = 0; i < 100'000; ++i) same.add(i == 50'000 ? std::int64_t{6} : std::int64_t{7});
  EXPECT_EQ(repeats(context, same), 99'998);
  EXPECT_EQ(repeats(context, none), 0);
}

TEST(RepeatCounter, GivesItsMemoryBack) {
  Context context({.threads = 2});
  const std::int64_t before = context.memory().available();
  RepeatCounter ids(context.memory(), 100'000);
  EXPECT_LE(context.memory().available(), before - 1'600'000);
  for (std::int64_t i = 0; i < 100'000; ++i) ids.add(-i);
  EXPECT_EQ(repeats(context, ids), 0);
  EXPECT_EQ(context.memory().available(), before);
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
