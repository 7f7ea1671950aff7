#include "io/cell_kind.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace coterie::io {
namespace {

bool is_half(hid_t type) {  // as NumPy and h5py write it: IEEE 754 binary16
  std::size_t sign = 0, exponent = 0, exponent_bits = 0, mantissa = 0, mantissa_bits = 0;
  return H5Tget_size(type) == 2 && H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) >= 0 && sign == 15 &&
         exponent == 10 && exponent_bits == 5 && mantissa == 0 && mantissa_bits == 10 && H5Tget_ebias(type) == 15 &&
         H5Tget_norm(type) == H5T_NORM_IMPLIED;
}

bool is_either(hid_t type, hid_t little, hid_t big) { return H5Tequal(type, little) > 0 || H5Tequal(type, big) > 0; }

CellKind float_kind(hid_t type) {
  if (is_half(type)) return CellKind::float16;
  if (is_either(type, H5T_IEEE_F32LE, H5T_IEEE_F32BE)) return CellKind::float32;
  if (is_either(type, H5T_IEEE_F64LE, H5T_IEEE_F64BE)) return CellKind::float64;
  return CellKind::other;
}

CellKind integer_kind(hid_t type) {
  const std::size_t bytes = H5Tget_size(type);
  if (H5Tget_precision(type) != 8 * bytes || H5Tget_offset(type) != 0) return CellKind::other;
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  switch (bytes) {
    case 1: return is_signed ? CellKind::int8 : CellKind::uint8;
    case 2: return is_signed ? CellKind::int16 : CellKind::uint16;
    case 4: return is_signed ? CellKind::int32 : CellKind::uint32;
    case 8: return is_signed ? CellKind::int64 : CellKind::uint64;
    default: return CellKind::other;
  }
}

std::string member_name(hid_t type, unsigned index) {
  char* name = H5Tget_member_name(type, index);
  std::string copy = name != nullptr ? name : "";
  H5free_memory(name);
  return copy;
}

bool is_bool(hid_t type) {
  std::array<std::int8_t, 2> values{-1, -1};
  if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
  for (unsigned i = 0; i < 2; ++i)
    if (H5Tget_member_value(type, i, &values[i]) < 0 || member_name(type, i) != (values[i] == 0 ? "FALSE" : "TRUE")) return false;
  return values[0] + values[1] == 1;
}

std::string describe_compound(hid_t type) {
  const int n = H5Tget_nmembers(type);
  if (n == 2 && member_name(type, 0) == "r" && member_name(type, 1) == "i") return "complex numbers";
  return fmt::format("a compound of {} members", n);
}

}  // namespace

CellKind cell_kind(const hdf5::Dataset& dataset) { return cell_kind(hdf5::type_of(dataset)); }

CellKind cell_kind(const hdf5::Datatype& type) {
  const hdf5::Lock lock;
  switch (H5Tget_class(type.id())) {
    case H5T_FLOAT: return float_kind(type.id());
    case H5T_INTEGER: return integer_kind(type.id());
    case H5T_ENUM: return is_bool(type.id()) ? CellKind::boolean : CellKind::other;
    case H5T_STRING: return CellKind::text;
    default: return CellKind::other;
  }
}

std::string describe_cells(const hdf5::Dataset& dataset) {
  constexpr std::array<const char*, 13> kNames = {"float16", "float32", "float64", "int8",   "int16", "int32", "int64",
                                                  "uint8",   "uint16",  "uint32",  "uint64", "bool",  "text"};
  const hdf5::Lock lock;
  if (const CellKind kind = cell_kind(dataset); kind != CellKind::other) return kNames.at(static_cast<std::size_t>(kind));
  const hdf5::Datatype type = hdf5::type_of(dataset);
  switch (H5Tget_class(type.id())) {
    case H5T_FLOAT: return fmt::format("{}-bit floating point of an unusual layout", 8 * H5Tget_size(type.id()));
    case H5T_INTEGER: return "integers of an unusual width";
    case H5T_ENUM: return "an enumeration";
    case H5T_COMPOUND: return describe_compound(type.id());
    case H5T_REFERENCE: return "object references";
    case H5T_OPAQUE: return "opaque bytes";
    case H5T_BITFIELD: return "a bit field";
    case H5T_TIME: return "HDF5 time";
    case H5T_ARRAY: return "arrays";
    case H5T_VLEN: return "lists of varying length";
    default: return "an unknown type";
  }
}

}  // namespace coterie::io
