// Small tables, matrices and values on their way into or out of a file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace coterie::io {

struct DataFrame {
  using Column = std::variant<std::vector<std::string>, std::vector<double>, std::vector<std::int64_t>, std::vector<bool>>;

  std::string index_name;                               // "" when the frame has no index
  std::vector<std::string> index;                       // (n_rows)
  std::vector<std::pair<std::string, Column>> columns;  // (n_rows) each

  std::size_t n_rows() const;
  const Column* find(const std::string& name) const;  // nullptr when there is no such column
};

struct Matrix {
  std::int64_t n_rows = 0;
  std::int64_t n_columns = 0;
  std::vector<double> values;  // (n_rows, n_columns)
};

struct Array {
  std::vector<std::int64_t> shape;
  std::vector<double> values;  // row-major
};

// One entry of a dictionary in uns.
using Value = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<float>, std::vector<double>,
                           std::vector<std::string>>;

}  // namespace coterie::io
