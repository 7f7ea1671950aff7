#include "io/cell_conversion.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace coterie::io {
namespace {

template <class Stored>
std::vector<std::byte> bytes_of_cells(const std::vector<Stored>& cells, bool swapped) {
  std::vector<std::byte> bytes(cells.size() * sizeof(Stored));
  std::memcpy(bytes.data(), cells.data(), bytes.size());
  if (swapped)
    for (std::size_t i = 0; i < cells.size(); ++i)
      std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i * sizeof(Stored)),
                   bytes.begin() + static_cast<std::ptrdiff_t>((i + 1) * sizeof(Stored)));
  return bytes;
}

// Of any number of cells, at any address, and from the end of the room that they are converted into.
template <class T, class Stored>
void expect_cast(CellKind kind, const std::vector<Stored>& all) {
  static_assert(sizeof(Stored) <= sizeof(T));
  for (const bool swapped : {false, true})
    for (const std::size_t n : {std::size_t{1}, std::size_t{7}, std::size_t{511}, std::size_t{512}, std::size_t{1537}}) {
      std::vector<Stored> cells(n);
      for (std::size_t i = 0; i < n; ++i) cells[i] = all[(7 * i + n) % all.size()];
      const std::vector<std::byte> bytes = bytes_of_cells(cells, swapped);
      std::vector<T> expected(n), apart(n), in_place(n);
      std::transform(cells.begin(), cells.end(), expected.begin(), [](Stored x) { return static_cast<T>(x); });

      std::vector<std::byte> odd(bytes.size() + 1);
      std::memcpy(odd.data() + 1, bytes.data(), bytes.size());
      convert_cells({kind, swapped}, odd.data() + 1, static_cast<std::int64_t>(n), apart.data());
      EXPECT_EQ(std::memcmp(apart.data(), expected.data(), n * sizeof(T)), 0) << n;

      auto* from = reinterpret_cast<std::byte*>(in_place.data() + n) - bytes.size();
      std::memcpy(from, bytes.data(), bytes.size());
      convert_cells({kind, swapped}, from, static_cast<std::int64_t>(n), in_place.data());
      EXPECT_EQ(std::memcmp(in_place.data(), expected.data(), n * sizeof(T)), 0) << n;
    }
}

template <class Stored>
std::vector<Stored> extremes() {
  using Limits = std::numeric_limits<Stored>;
  return {Limits::lowest(), Limits::max(), Limits::min(), 0, 1, static_cast<Stored>(Limits::max() / 3)};
}

TEST(CellConversion, IsACast) {
  expect_cast<float>(CellKind::boolean, std::vector<std::int8_t>{0, 1});
  expect_cast<float>(CellKind::int8, extremes<std::int8_t>());
  expect_cast<float>(CellKind::uint8, extremes<std::uint8_t>());
  expect_cast<float>(CellKind::int16, extremes<std::int16_t>());
  expect_cast<float>(CellKind::uint16, extremes<std::uint16_t>());
  expect_cast<double>(CellKind::int16, extremes<std::int16_t>());
  expect_cast<double>(CellKind::int32, extremes<std::int32_t>());
  expect_cast<double>(CellKind::uint32, extremes<std::uint32_t>());
  expect_cast<std::int64_t>(CellKind::int64, extremes<std::int64_t>());
  expect_cast<std::uint64_t>(CellKind::uint64, extremes<std::uint64_t>());
  std::vector<float> floats = extremes<float>();
  floats.insert(floats.end(), {-0.0F, INFINITY, std::nanf(""), 1e-42F});
  expect_cast<float>(CellKind::float32, floats);
  std::vector<double> doubles = extremes<double>();
  doubles.insert(doubles.end(), {-0.0, INFINITY, std::nan(""), 1e-310});
  expect_cast<double>(CellKind::float64, doubles);
}

TEST(CellConversion, TakesEveryHalf) {
  std::vector<std::uint16_t> halves(1 << 16);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  for (const bool swapped : {false, true}) {
    std::vector<float> found(halves.size());
    convert_cells({CellKind::float16, swapped}, bytes_of_cells(halves, swapped).data(), std::ssize(found), found.data());
    for (std::size_t i = 0; i < halves.size(); ++i) {
      const int exponent = static_cast<int>(i >> 10 & 31), mantissa = static_cast<int>(i & 1023);
      const float sign = i >> 15 != 0 ? -1 : 1;
      if (exponent == 31 && mantissa != 0) {
        EXPECT_TRUE(std::isnan(found[i])) << i;
        continue;
      }
      const float size = exponent == 31  ? INFINITY
                         : exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                         : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
      EXPECT_EQ(std::bit_cast<std::uint32_t>(found[i]), std::bit_cast<std::uint32_t>(std::copysign(size, sign))) << i;
    }
  }
}

}  // namespace
}  // namespace coterie::io
