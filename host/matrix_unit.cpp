// AMX, where there is one.
#include "host/matrix_unit.hpp"

#include <atomic>
#include <vector>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace coterie::nearest {
namespace {

#if defined(__x86_64__) && defined(__linux__)

// The intrinsics of GCC 12 do not tell the compiler which memory they read.
struct Amx {
  static void configure(const RegisterShapes& shapes) { asm volatile("ldtilecfg %0" : : "m"(shapes)); }
  static void release() { asm volatile("tilerelease"); }
  template <int kTo>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTo));
  }
  template <int kTo>
  static void load(const ByteLine* from, std::ptrdiff_t stride) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(kTo), "r"(from), "r"(stride) : "memory");
  }
  template <int kFrom>
  static void store(MatrixSums::Part& to, std::ptrdiff_t stride) {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(kFrom), "r"(&to), "r"(stride) : "memory");
  }
  template <int kSum, int kRows, int kCenters>
  static void multiply_signed() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kRows), "i"(kCenters));
  }
  template <int kSum, int kRows, int kCenters>
  static void multiply_signed_unsigned() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kRows), "i"(kCenters));
  }
  template <int kSum, int kRows, int kCenters>
  static void multiply_unsigned_signed() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kRows), "i"(kCenters));
  }
  template <int kSum, int kRows, int kCenters>
  static void multiply_unsigned() {
    asm volatile("tdpbuud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kRows), "i"(kCenters));
  }
};

struct Leaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  Leaf(unsigned number, unsigned sub) { __get_cpuid_count(number, sub, &eax, &ebx, &ecx, &edx); }  // zeros where there is none
};

// AMX-TILE and AMX-INT8, registers of the size that is meant here, and their state switched on.
bool processor_has_amx() {
  constexpr unsigned kOsXsave = 1u << 27, kTileAndInt8 = 3u << 24, kStates = 3u << 17;
  if ((Leaf(1, 0).ecx & kOsXsave) == 0 || (Leaf(7, 0).edx & kTileAndInt8) != kTileAndInt8) return false;
  unsigned states, high;
  asm volatile("xgetbv" : "=a"(states), "=d"(high) : "c"(0));
  const Leaf palette(0x1d, 1);
  return (states & kStates) == kStates && palette.ebx == (8u << 16 | sizeof(ByteLine)) && (palette.ecx & 0xffffu) == kUnitRows;
}

// Linux gives the state of AMX to processes that ask for it.
bool system_grants_amx() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool computes_right(const MatrixUnit& unit) {
  constexpr std::int32_t kColumns = 2 * kChunkColumns;
  std::vector<ByteLine> rows(static_cast<std::size_t>(kUnitRows * lines_of_row(kColumns)));
  std::vector<ByteLine> centers(static_cast<std::size_t>(lines_of_group(kColumns)));
  std::uint32_t state = 1;
  for (auto* lines : {&rows, &centers})
    for (ByteLine& line : *lines)
      for (std::uint8_t& byte : line.bytes) byte = static_cast<std::uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  MatrixSums sums;
  const ConfiguredUnit configured(&unit, kColumns);
  unit.multiply(rows.data(), centers.data(), chunks_of(kColumns), sums);
  for (std::size_t row = 0; row < kUnitRows; ++row)
    for (std::size_t center = 0; center < kUnitCenters; ++center) {
      std::uint32_t sum = 0;
      for (std::size_t j = 0; j < kColumns; ++j) {
        const std::size_t chunk = j / kChunkColumns, at = j % kChunkColumns;
        const ByteLine* const row_lines = &rows[2 * (row * chunks_of(kColumns) + chunk)];
        const ByteLine* const center_lines = &centers[chunk * 2 * kLinesOfPlane + at / kColumnsTogether];
        const std::size_t byte = kColumnsTogether * center + at % kColumnsTogether;
        const int q = static_cast<std::int8_t>(row_lines[0].bytes[at]) * 256 + row_lines[1].bytes[at];
        const int w = static_cast<std::int8_t>(center_lines[0].bytes[byte]) * 256 + center_lines[kLinesOfPlane].bytes[byte];
        sum += static_cast<std::uint32_t>(q * w);
      }
      if (sums.whole(row, center) != static_cast<std::int32_t>(sum)) return false;
    }
  return true;
}

const MatrixUnit* find_unit() {
  return processor_has_amx() && system_grants_amx() && computes_right(kUnitOf<Amx>) ? &kUnitOf<Amx> : nullptr;
}

#else

const MatrixUnit* find_unit() { return nullptr; }

#endif

std::atomic<const MatrixUnit*>& used_unit() {
  static std::atomic<const MatrixUnit*> unit = find_unit();
  return unit;
}

}  // namespace

const MatrixUnit* matrix_unit() { return used_unit(); }
void use_matrix_unit(const MatrixUnit* unit) { used_unit() = unit; }

}  // namespace coterie::nearest
