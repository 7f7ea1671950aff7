// From the cells of one CSV column to numbers in X and a column in obs: the second pass of an import.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "io/csv_table.hpp"
#include "io/feature_file.hpp"
#include "io/row_stream.hpp"
#include "io/type_rules.hpp"

namespace coterie::io {

// A column's name in obs, where '/' would separate HDF5 groups.
std::string obs_name(std::string name);

class ColumnEncoder {
 public:
  // `column` is the csv_column-th of `table`, and both must outlive the encoder; its columns of X begin at first_x.
  ColumnEncoder(const CsvTable& table, const ImportedColumn& column, std::size_t csv_column, std::int64_t first_x,
                const ImportOptions& options);

  std::vector<FeatureColumn> features() const;  // what it adds to X
  std::optional<RowColumn> obs() const;         // what it adds to obs

  // Makes room for the next n_rows, of which several threads may then encode some at once: rows [first, last) of a batch to those from `at`
  // on. x: (n_rows, n_columns) row-major; writes the own columns. A missing cell is NaN. InputError: a cell that the first
  // pass cannot have seen.
  void make_room(std::int64_t n_rows);
  template <class T>
  void encode(const CsvBatch& batch, std::int64_t first, std::int64_t last, std::int64_t at, T* x, std::int64_t n_columns);
  Cells cells() const;  // of the obs column, of those rows

 private:
  bool is_feature() const { return column_.use == ColumnUse::active || column_.use == ColumnUse::profile; }
  std::int32_t level(const CsvBatch& batch, std::int64_t row) const;  // -1 where missing
  double number(const CsvBatch& batch, std::int64_t row) const;       // NaN where missing
  double feature(const CsvBatch& batch, std::int64_t row) const;      // of a kind that is one column of X
  double outcome(const CsvBatch& batch, std::int64_t row) const;
  std::int64_t integer_id(const CsvBatch& batch, std::int64_t row) const;
  void encode_obs(const CsvBatch& batch, std::int64_t first, std::int64_t last, std::size_t at);

  const CsvTable& table_;
  const ImportedColumn& column_;
  std::optional<CellType> obs_type_;  // of the column in obs, if there is one
  std::size_t csv_column_;
  std::int64_t first_x_;
  char decimal_;
  std::int64_t as_of_ = 0;      // days since 1970-01-01
  double positive_number_ = 0;  // of a numeric outcome
  std::variant<std::vector<std::int32_t>, std::vector<std::int64_t>, std::vector<double>, std::vector<std::string>> obs_;
};

}  // namespace coterie::io
