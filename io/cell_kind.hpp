// What one cell of a dataset holds.
#pragma once

#include <string>

#include "io/hdf5.hpp"

namespace coterie::io {

// `boolean` is h5py's enum of FALSE and TRUE; other enums, and numbers of unusual width or layout, are `other`.
enum class CellKind { float16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, boolean, text, other };

CellKind cell_kind(const hdf5::Datatype& type);
CellKind cell_kind(const hdf5::Dataset& dataset);
inline bool is_integer(CellKind kind) { return CellKind::int8 <= kind && kind <= CellKind::uint64; }
inline bool is_number(CellKind kind) { return kind < CellKind::text; }
std::string describe_cells(const hdf5::Dataset& dataset);  // "float32", "text", "complex numbers", "a compound of 3 members", ...

}  // namespace coterie::io
