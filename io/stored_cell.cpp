#include "io/stored_cell.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "host/error.hpp"
#include "io/hdf5_output.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

template <class T>
std::span<const T> cells_of(const Cells& cells, const std::string& column) {
  if (const auto* typed = std::get_if<std::span<const T>>(&cells)) return *typed;
  throw InternalError(fmt::format("column {} was given cells of another type than it was opened with", shown(column)));
}

template <class T>
StoredCell number_cell(const RowColumn& column) {
  return {sizeof(T), hdf5::native_type<T>(),
          [name = column.name](const Cells& cells, std::size_t begin, std::size_t n, std::byte* to, std::size_t stride) {
            const T* from = cells_of<T>(cells, name).data() + begin;
            for (std::size_t i = 0; i < n; ++i) std::memcpy(to + i * stride, from + i, sizeof(T));
          }};
}

StoredCell boolean_cell(const RowColumn& column) {
  return {1, hdf5::bool_type(),
          [name = column.name](const Cells& cells, std::size_t begin, std::size_t n, std::byte* to, std::size_t stride) {
            const std::uint8_t* from = cells_of<std::uint8_t>(cells, name).data() + begin;
            for (std::size_t i = 0; i < n; ++i) to[i * stride] = from[i] != 0 ? std::byte{1} : std::byte{0};
          }};
}

StoredCell text_cell(const RowColumn& column) {
  const auto width = static_cast<std::size_t>(std::max<std::int64_t>(1, column.text_bytes));
  return {width, hdf5::fixed_string_type(width),
          [name = column.name, width](const Cells& cells, std::size_t begin, std::size_t n, std::byte* to, std::size_t stride) {
            const std::string* from = cells_of<std::string>(cells, name).data() + begin;
            for (std::size_t i = 0; i < n; ++i) pad(from[i], width, reinterpret_cast<char*>(to + i * stride));
          }};
}

std::int32_t checked_code(std::int32_t code, std::size_t n_categories, const std::string& column) {
  if (code < -1 || code >= static_cast<std::int64_t>(n_categories))
    throw InternalError(fmt::format("a code of column {} is outside of its {} categories", shown(column), n_categories));
  return code;
}

template <class T>
StoredCell code_cell(const RowColumn& column) {
  return {sizeof(T), hdf5::native_type<T>(),
          [name = column.name, n_categories = column.categories.size()](const Cells& cells, std::size_t begin, std::size_t n, std::byte* to,
                                                                        std::size_t stride) {
            const std::int32_t* from = cells_of<std::int32_t>(cells, name).data() + begin;
            for (std::size_t i = 0; i < n; ++i) {
              const T code = static_cast<T>(checked_code(from[i], n_categories, name));
              std::memcpy(to + i * stride, &code, sizeof(T));
            }
          }};
}

StoredCell label_cell(const RowColumn& column) {
  const std::size_t width = longest(column.categories);
  std::vector<char> labels(width, '\0');  // the first is for missing
  const std::vector<char> named = padded(column.categories, width, "category");
  labels.insert(labels.end(), named.begin(), named.end());
  return {width, hdf5::fixed_string_type(width),
          [name = column.name, n_categories = column.categories.size(), labels = std::move(labels), width](
              const Cells& cells, std::size_t begin, std::size_t n, std::byte* to, std::size_t stride) {
            const std::int32_t* from = cells_of<std::int32_t>(cells, name).data() + begin;
            for (std::size_t i = 0; i < n; ++i) {
              const auto slot = static_cast<std::size_t>(std::int64_t{checked_code(from[i], n_categories, name)} + 1);
              std::memcpy(to + i * stride, labels.data() + slot * width, width);
            }
          }};
}

StoredCell plain_cell(const RowColumn& column) {
  switch (column.type) {
    case CellType::boolean: return boolean_cell(column);
    case CellType::int32: return number_cell<std::int32_t>(column);
    case CellType::int64: return number_cell<std::int64_t>(column);
    case CellType::float32: return number_cell<float>(column);
    case CellType::float64: return number_cell<double>(column);
    case CellType::text: return text_cell(column);
  }
  throw InternalError("a column has no cell type");
}

}  // namespace

StoredCell as_dataset(const RowColumn& column) {
  if (column.categories.empty()) return plain_cell(column);
  const auto n = static_cast<std::int64_t>(column.categories.size());
  if (n <= std::numeric_limits<std::int8_t>::max()) return code_cell<std::int8_t>(column);
  if (n <= std::numeric_limits<std::int16_t>::max()) return code_cell<std::int16_t>(column);
  return code_cell<std::int32_t>(column);
}

StoredCell as_digits(const RowColumn& column) {
  constexpr std::size_t kWidth = 20;  // of -2^63
  return {kWidth, hdf5::fixed_string_type(kWidth),
          [name = column.name](const Cells& cells, std::size_t begin, std::size_t n, std::byte* to, std::size_t stride) {
            const std::int64_t* from = cells_of<std::int64_t>(cells, name).data() + begin;
            for (std::size_t i = 0; i < n; ++i) {
              char* text = reinterpret_cast<char*>(to + i * stride);
              char* const end = std::to_chars(text, text + kWidth, from[i]).ptr;
              std::fill(end, text + kWidth, '\0');
            }
          }};
}

StoredCell as_member(const RowColumn& column) { return column.categories.empty() ? plain_cell(column) : label_cell(column); }

std::size_t n_cells(const Cells& cells) {
  return std::visit([](const auto& span) { return span.size(); }, cells);
}

}  // namespace coterie::io
