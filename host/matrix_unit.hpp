// Sums of products of int16 by the matrix unit of a processor (AMX of Intel): 16 rows by the 16 centers of a group (center_groups.hpp)
// at a time, the same numbers as by vectors.
//
// The unit multiplies bytes and adds in int32 without saturation. With q = 256 h + l, h a signed and l an unsigned byte, for centers
// alike,
//   q . w = 2^16 h . h' + 2^8 (h . l' + l . h') + l . l'   modulo 2^32,
// which is exact wherever q . w fits int32. Each of the four products has a register of its own: they take 16 cycles and what they add
// to is ready after 52, so a register of both mixed ones would wait. With high and low bytes of rows and centers that is all eight.
//
// Intel calls the registers tiles, which are rows in memory here: Intel 64 and IA-32 Architectures Software Developer's Manual,
// volume 1, chapter 18.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace coterie::nearest {

inline constexpr std::int32_t kUnitRows = 16, kUnitCenters = 16;
inline constexpr std::int32_t kChunkColumns = 64;  // in one line
constexpr std::int32_t chunks_of(std::int32_t n_columns) { return (n_columns + kChunkColumns - 1) / kChunkColumns; }

// A row of a register.
struct alignas(64) ByteLine {
  std::uint8_t bytes[kChunkColumns];
};

// Rows are (n_chunks, 2) lines each, high bytes first; the columns beyond the last may hold anything.
constexpr std::int32_t lines_of_row(std::int32_t n_columns) { return 2 * chunks_of(n_columns); }

// Groups of centers are (n_chunks, 2, 16) lines, each with four columns of every center in turn: (16, 4). The columns beyond the last
// hold zeros.
inline constexpr std::int32_t kColumnsTogether = 4, kLinesOfPlane = kChunkColumns / kColumnsTogether;
constexpr std::int32_t lines_of_group(std::int32_t n_columns) { return lines_of_row(n_columns) * kLinesOfPlane; }

struct MatrixSums {
  using Part = std::int32_t[kUnitRows][kUnitCenters];
  alignas(64) Part high_high, high_low, low_high, low_low;  // of rows and centers
  std::int32_t whole(std::size_t row, std::size_t center) const {
    const auto of = [&](const Part& part) { return static_cast<std::uint32_t>(part[row][center]); };
    return static_cast<std::int32_t>((of(high_high) << 16) + ((of(high_low) + of(low_high)) << 8) + of(low_low));
  }
};

// What LDTILECFG reads.
struct alignas(64) RegisterShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
  explicit constexpr RegisterShapes(std::int32_t n_columns) {
    const auto columns = static_cast<std::uint8_t>(std::min((n_columns + 3) / kColumnsTogether * kColumnsTogether, kChunkColumns));
    for (int i = 0; i < 8; ++i) {
      const bool of_rows = i == 4 || i == 5, of_centers = i >= 6;
      row_bytes[i] = of_rows ? columns : kChunkColumns;
      rows[i] = of_centers ? columns / kColumnsTogether : kUnitRows;
    }
  }
};
static_assert(sizeof(RegisterShapes) == 64);

// A matrix unit. What is configured is the calling thread's.
struct MatrixUnit {
  void (*configure)(const RegisterShapes& shapes);
  void (*release)();
  // rows: (kUnitRows, n_chunks, 2), centers: of a group
  void (*multiply)(const ByteLine* rows, const ByteLine* centers, std::int32_t n_chunks, MatrixSums& sums);
};

template <class Instructions>
void multiply_by(const ByteLine* rows, const ByteLine* centers, std::int32_t n_chunks, MatrixSums& sums) {
  using I = Instructions;
  constexpr std::ptrdiff_t kLine = sizeof(ByteLine), kLinesOfChunk = 2 * std::ptrdiff_t{kLinesOfPlane};
  const std::ptrdiff_t stride = kLine * 2 * n_chunks;
  I::template zero<0>();
  I::template zero<1>();
  I::template zero<2>();
  I::template zero<3>();
  for (std::int32_t chunk = 0; chunk < n_chunks; ++chunk, rows += 2, centers += kLinesOfChunk) {
    I::template load<4>(rows, stride);
    I::template load<6>(centers, kLine);
    I::template multiply_signed<0, 4, 6>();
    I::template load<7>(centers + kLinesOfPlane, kLine);
    I::template multiply_signed_unsigned<1, 4, 7>();
    I::template load<5>(rows + 1, stride);
    I::template multiply_unsigned_signed<2, 5, 6>();
    I::template multiply_unsigned<3, 5, 7>();
  }
  I::template store<0>(sums.high_high, kLine);
  I::template store<1>(sums.high_low, kLine);
  I::template store<2>(sums.low_high, kLine);
  I::template store<3>(sums.low_low, kLine);
}

template <class Instructions>
inline constexpr MatrixUnit kUnitOf{&Instructions::configure, &Instructions::release, &multiply_by<Instructions>};

// The matrix unit of this process, or nullptr: one that the processor has, that the system grants and that computes right.
const MatrixUnit* matrix_unit();
void use_matrix_unit(const MatrixUnit* unit);  // for tests and benches: another one, or none

// A unit, if any, that is configured as long as this lives.
class ConfiguredUnit {
 public:
  ConfiguredUnit(const MatrixUnit* unit, std::int32_t n_columns) : unit_(unit) {
    if (unit_ != nullptr) unit_->configure(RegisterShapes(n_columns));
  }
  ~ConfiguredUnit() {
    if (unit_ != nullptr) unit_->release();
  }
  ConfiguredUnit(const ConfiguredUnit&) = delete;
  ConfiguredUnit& operator=(const ConfiguredUnit&) = delete;

 private:
  const MatrixUnit* unit_;
};

}  // namespace coterie::nearest
