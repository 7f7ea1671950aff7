// Cells as a file stores them -> numbers of the machine, as by a cast, for the best instruction set of the processor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/cell_kind.hpp"

namespace coterie::io {

struct StoredCell {
  CellKind kind;         // a number
  bool swapped = false;  // the bytes lie in the other order
};

StoredCell stored_cell(const hdf5::Dataset& dataset);
std::int64_t bytes_of(CellKind kind);  // of a number

// from: (n) cells, at any address. `to` and `from` may end at the same address, stored cells being no wider: then no cell is
// written over one that is still to be read.
template <class T>
void convert_cells(StoredCell cell, const std::byte* from, std::int64_t n, T* to);  // float, double, uint8_t, int32_t, int64_t, uint64_t

}  // namespace coterie::io
