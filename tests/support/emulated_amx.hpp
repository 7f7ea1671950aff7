// The instructions of AMX that host/matrix_unit.hpp needs, in plain loops: what the operations of LDTILECFG, TILEZERO, TILELOADD,
// TILESTORED, TDPBSSD, TDPBSUD, TDPBUSD and TDPBUUD in the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, do to
// the registers of a thread. What raises an exception there throws here.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "host/matrix_unit.hpp"

namespace coterie::testing {

class EmulatedAmx {
 public:
  struct Register {
    std::uint8_t bytes[16][64];
  };

  static void configure(const nearest::RegisterShapes& shapes) {
    require(shapes.palette == 1 && shapes.start_row == 0);
    for (const std::uint8_t byte : shapes.reserved) require(byte == 0);
    for (int i = 0; i < 16; ++i) {
      require(shapes.rows[i] <= (i < 8 ? 16 : 0) && shapes.row_bytes[i] <= (i < 8 ? 64 : 0));
      require((shapes.rows[i] == 0) == (shapes.row_bytes[i] == 0));
    }
    state() = State{true, shapes, {}};
  }
  static void release() { state() = State(); }
  static Register& at(int i) { return state().registers[i]; }
  static std::int64_t n_products() { return count(); }  // of all threads

  template <int kTo>
  static void zero() {
    require(is_configured(kTo));
    at(kTo) = {};
  }
  template <int kTo>
  static void load(const void* from, std::ptrdiff_t stride) {
    zero<kTo>();
    for (int row = 0; row < rows(kTo); ++row)
      std::memcpy(at(kTo).bytes[row], static_cast<const std::uint8_t*>(from) + row * stride, static_cast<std::size_t>(row_bytes(kTo)));
  }
  template <int kFrom>
  static void store(void* to, std::ptrdiff_t stride) {
    require(is_configured(kFrom));
    for (int row = 0; row < rows(kFrom); ++row)
      std::memcpy(static_cast<std::uint8_t*>(to) + row * stride, at(kFrom).bytes[row], static_cast<std::size_t>(row_bytes(kFrom)));
  }
  template <int kSum, int kRows, int kCenters>
  static void multiply_signed() {
    multiply<std::int8_t, std::int8_t>(kSum, kRows, kCenters);
  }
  template <int kSum, int kRows, int kCenters>
  static void multiply_signed_unsigned() {
    multiply<std::int8_t, std::uint8_t>(kSum, kRows, kCenters);
  }
  template <int kSum, int kRows, int kCenters>
  static void multiply_unsigned_signed() {
    multiply<std::uint8_t, std::int8_t>(kSum, kRows, kCenters);
  }
  template <int kSum, int kRows, int kCenters>
  static void multiply_unsigned() {
    multiply<std::uint8_t, std::uint8_t>(kSum, kRows, kCenters);
  }

 private:
  struct State {
    bool configured = false;
    nearest::RegisterShapes shapes{0};
    Register registers[8] = {};
  };
  static State& state() {
    thread_local State state;
    return state;
  }
  static std::atomic<std::int64_t>& count() {
    static std::atomic<std::int64_t> n;
    return n;
  }
  static void require(bool holds) {
    if (!holds) throw std::logic_error("AMX faults");
  }
  static int rows(int i) { return state().shapes.rows[i]; }
  static int row_bytes(int i) { return state().shapes.row_bytes[i]; }
  static bool is_configured(int i) { return state().configured && rows(i) > 0; }

  // sum[m][n] += a[m][4 k + i] b[k][4 n + i] over k and i, modulo 2^32; zeros beyond the shape of sum.
  template <class A, class B>
  static void multiply(int sum, int a, int b) {
    require(is_configured(sum) && is_configured(a) && is_configured(b) && sum != a && sum != b && a != b);
    require(row_bytes(sum) % 4 == 0 && row_bytes(a) % 4 == 0 && row_bytes(b) % 4 == 0);
    require(rows(sum) == rows(a) && row_bytes(sum) == row_bytes(b) && row_bytes(a) / 4 == rows(b));
    const Register before = at(sum);
    at(sum) = {};
    for (int m = 0; m < rows(sum); ++m)
      for (int n = 0; n < row_bytes(sum) / 4; ++n) {
        std::uint32_t total;
        std::memcpy(&total, &before.bytes[m][4 * n], sizeof total);
        for (int k = 0; k < rows(b); ++k)
          for (int i = 0; i < 4; ++i)
            total += static_cast<std::uint32_t>(static_cast<A>(at(a).bytes[m][4 * k + i]) * static_cast<B>(at(b).bytes[k][4 * n + i]));
        std::memcpy(&at(sum).bytes[m][4 * n], &total, sizeof total);
      }
    ++count();
  }
};

}  // namespace coterie::testing
