// The matrix unit, emulated and where the processor has one: its sums against those of int16 themselves, and fits by it against fits
// without.
#include "host/matrix_unit.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/emulated_amx.hpp"
#include "tests/support/kmeans_problem.hpp"

namespace coterie::nearest {
namespace {

using testing::EmulatedAmx;

// Bytes of any register as numbers: sum[m][n] of rows a[m][4 k + i] and b[k][4 n + i].
template <class A, class B>
void expect_products(const EmulatedAmx::Register& a, const EmulatedAmx::Register& b, const EmulatedAmx::Register& sum, int m, int n,
                     int k) {
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 16; ++column) {
      int expected = 0;
      for (int j = 0; row < m && column < n && j < k; ++j)
        expected += 2 * static_cast<A>(a.bytes[row][j]) * static_cast<B>(b.bytes[j / 4][4 * column + j % 4]);  // added twice
      int found;
      std::memcpy(&found, &sum.bytes[row][4 * column], sizeof found);
      ASSERT_EQ(found, expected) << row << ", " << column;
    }
}

void fill(ByteLine (&lines)[16], unsigned seed) {
  std::mt19937 random(seed);
  for (ByteLine& line : lines)
    for (std::uint8_t& byte : line.bytes) byte = static_cast<std::uint8_t>(random());
}

TEST(EmulatedAmx, MultipliesWhatItsShapesHold) {
  ByteLine a[16], b[16];
  fill(a, 1);
  fill(b, 2);
  for (const auto& [m, n, k] : {std::array{16, 16, 64}, std::array{5, 16, 64}, std::array{16, 3, 20}, std::array{1, 1, 4}}) {
    RegisterShapes shapes(64);
    for (const int sum : {0, 1, 2, 3})
      shapes.rows[sum] = static_cast<std::uint8_t>(m), shapes.row_bytes[sum] = static_cast<std::uint16_t>(4 * n);
    shapes.rows[4] = static_cast<std::uint8_t>(m), shapes.row_bytes[4] = static_cast<std::uint16_t>(k);
    shapes.rows[6] = static_cast<std::uint8_t>(k / 4), shapes.row_bytes[6] = static_cast<std::uint16_t>(4 * n);
    EmulatedAmx::configure(shapes);
    EmulatedAmx::load<4>(a, sizeof(ByteLine));
    EmulatedAmx::load<6>(b, sizeof(ByteLine));
    for (int twice = 0; twice < 2; ++twice) {
      EmulatedAmx::multiply_signed<0, 4, 6>();
      EmulatedAmx::multiply_signed_unsigned<1, 4, 6>();
      EmulatedAmx::multiply_unsigned_signed<2, 4, 6>();
      EmulatedAmx::multiply_unsigned<3, 4, 6>();
    }
    const auto at = &EmulatedAmx::at;
    expect_products<std::int8_t, std::int8_t>(at(4), at(6), at(0), m, n, k);
    expect_products<std::int8_t, std::uint8_t>(at(4), at(6), at(1), m, n, k);
    expect_products<std::uint8_t, std::int8_t>(at(4), at(6), at(2), m, n, k);
    expect_products<std::uint8_t, std::uint8_t>(at(4), at(6), at(3), m, n, k);
  }
  EmulatedAmx::release();
}

TEST(EmulatedAmx, FaultsWhereTheProcessorDoes) {
  EXPECT_THROW(EmulatedAmx::zero<0>(), std::logic_error);  // not configured
  RegisterShapes shapes(32);
  EmulatedAmx::configure(shapes);
  EXPECT_NO_THROW((EmulatedAmx::multiply_signed<0, 4, 6>()));
  EXPECT_THROW((EmulatedAmx::multiply_signed<0, 4, 4>()), std::logic_error);
  EXPECT_THROW((EmulatedAmx::multiply_signed<0, 6, 4>()), std::logic_error);
  shapes.row_bytes[6] = 65;
  EXPECT_THROW(EmulatedAmx::configure(shapes), std::logic_error);
  shapes.row_bytes[6] = 0;
  EXPECT_THROW(EmulatedAmx::configure(shapes), std::logic_error);
  EmulatedAmx::release();
}

// The emulated unit, and that of the processor if any.
std::vector<const MatrixUnit*> units() {
  std::vector<const MatrixUnit*> units = {&kUnitOf<EmulatedAmx>};
  if (matrix_unit() != nullptr) units.push_back(matrix_unit());
  return units;
}

// Cells of all sizes, the outermost among them.
std::vector<std::int16_t> cells(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int16_t> cells(n);
  constexpr std::int16_t kSpecial[] = {-32768, 32767, -256, -129, -128, -1, 0, 127, 128, 255, 256, 32512};
  for (std::int16_t& cell : cells)
    cell = random() % 2 == 0 ? kSpecial[random() % std::size(kSpecial)] : static_cast<std::int16_t>(random());
  return cells;
}

TEST(MatrixUnit, SumsAsInt16DoModulo32Bits) {
  for (const MatrixUnit* unit : units())
    for (const std::size_t d : {4u, 8u, 32u, 36u, 64u, 72u, 128u, 200u, 1000u}) {
      const std::size_t n_chunks = static_cast<std::size_t>(chunks_of(static_cast<std::int32_t>(d)));
      const std::vector<std::int16_t> q = cells(16 * d, 1), w = cells(16 * d, 2);
      ByteLine any;
      std::fill_n(any.bytes, 64, std::uint8_t{0x93});
      std::vector<ByteLine> rows(16 * 2 * n_chunks, any), centers(n_chunks * 2 * 16);
      for (std::size_t i = 0; i < 16; ++i)
        for (std::size_t j = 0; j < d; ++j) {
          const std::size_t chunk = j / 64, at = j % 64;
          rows[2 * (i * n_chunks + chunk)].bytes[at] = static_cast<std::uint8_t>(q[i * d + j] >> 8);
          rows[2 * (i * n_chunks + chunk) + 1].bytes[at] = static_cast<std::uint8_t>(q[i * d + j]);
          centers[chunk * 32 + at / 4].bytes[4 * i + at % 4] = static_cast<std::uint8_t>(w[i * d + j] >> 8);
          centers[chunk * 32 + 16 + at / 4].bytes[4 * i + at % 4] = static_cast<std::uint8_t>(w[i * d + j]);
        }
      MatrixSums sums;
      const ConfiguredUnit configured(unit, static_cast<std::int32_t>(d));
      unit->multiply(rows.data(), centers.data(), static_cast<std::int32_t>(n_chunks), sums);
      for (std::size_t i = 0; i < 16; ++i)
        for (std::size_t center = 0; center < 16; ++center) {
          std::int64_t sum = 0;
          for (std::size_t j = 0; j < d; ++j) sum += std::int64_t{q[i * d + j]} * w[center * d + j];
          ASSERT_EQ(sums.whole(i, center), static_cast<std::int32_t>(sum)) << d << " columns, row " << i << ", center " << center;
        }
    }
}

// Sweeps with what is known of rows and without, and predictions.
TEST(MatrixUnit, LeavesFitsAsTheyAreBitForBit) {
  kmeans::Problem problem = kmeans::blobs_problem(kBlockRows + 501, 70, 50, 0.5);
  problem.params = {{.n_clusters = 64, .n_init = 1, .max_iter = 5}, {.n_clusters = 100, .n_init = 1, .max_iter = 5}};
  const MatrixUnit* const own = matrix_unit();
  const auto run_with = [&](const MatrixUnit* unit) {
    use_matrix_unit(unit);
    kmeans::Outcome outcome = kmeans::run(problem);
    use_matrix_unit(own);
    return outcome;
  };
  const kmeans::Outcome expected = run_with(nullptr);
  const std::int64_t before = EmulatedAmx::n_products();
  for (const MatrixUnit* unit : units()) kmeans::expect_same_bits(expected, run_with(unit));
  EXPECT_GT(EmulatedAmx::n_products() - before, 10'000);
}

}  // namespace
}  // namespace coterie::nearest
