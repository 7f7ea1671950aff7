// How one cell of a row-aligned column lies in the file, and how cells in memory become such bytes.
#pragma once

#include <cstddef>
#include <functional>

#include "io/hdf5.hpp"
#include "io/row_stream.hpp"

namespace coterie::io {

struct StoredCell {
  std::size_t bytes;
  hdf5::Datatype type;
  // Packs cells [begin, begin + n) to `to`, one every `stride` bytes.
  std::function<void(const Cells& cells, std::size_t begin, std::size_t n, std::byte* to, std::size_t stride)> pack;
};

StoredCell as_dataset(const RowColumn& column);  // a categorical as the smallest integers that hold its codes
StoredCell as_member(const RowColumn& column);   // a categorical as its text, "" where missing
StoredCell as_digits(const RowColumn& column);   // an int64 as decimal text

std::size_t n_cells(const Cells& cells);

}  // namespace coterie::io
