// Reads a result file back, for export, profile and assign. Opened read-only; whole small tables, and rows by range.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "host/context.hpp"
#include "io/data_frame.hpp"
#include "io/row_stream.hpp"

namespace coterie::io {

// Cells that are owned; a Cells of the same type views them.
using ColumnCells = std::variant<std::vector<std::uint8_t>, std::vector<std::int32_t>, std::vector<std::int64_t>, std::vector<float>,
                                 std::vector<double>, std::vector<std::string>>;
Cells view(const ColumnCells& cells);

class ResultReader {
 public:
  // InputError: missing, damaged, not HDF5, no result file of ours, a newer major version (with the name of the field).
  // `context`, when given, on whose threads rows are decoded, must outlive this.
  explicit ResultReader(const std::filesystem::path& path, Context* context = nullptr);
  ~ResultReader();
  ResultReader(ResultReader&&) noexcept;

  std::filesystem::path path() const;
  std::int64_t n_rows() const;
  std::string id_name() const;
  const std::vector<RowColumn>& columns() const;  // of obs, the ids first

  ColumnCells rows(const RowColumn& column, std::int64_t first_row, std::int64_t n_rows) const;

  bool contains(const std::string& path) const;                   // "uns/sweep"
  DataFrame frame(const std::string& path) const;                 // a dataframe or a packed table
  Matrix matrix(const std::string& path) const;                   // "varm/segment_mean"
  Value value(const std::string& path) const;                     // "uns/run/seed"
  std::vector<std::string> names(const std::string& path) const;  // what a dictionary holds

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::io
