// Small real data sets of the shared folder, where there is one.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/paths.hpp"

namespace coterie::testing {

inline std::filesystem::path fixture(const std::string& name) { return shared_dir() / "fixtures" / name; }

// The chosen columns of a CSV file, row by row; has_header skips the first line.
inline std::vector<double> read_columns(const std::filesystem::path& path, const std::vector<std::size_t>& columns,
                                        bool has_header = true) {
  std::ifstream file(path);
  std::vector<double> values;
  std::string line;
  if (has_header) std::getline(file, line);
  while (std::getline(file, line)) {
    std::vector<std::string> cells;
    std::istringstream cut(line);
    for (std::string cell; std::getline(cut, cell, ',');) cells.push_back(cell);
    for (const std::size_t column : columns) values.push_back(std::strtod(cells.at(column).c_str(), nullptr));
  }
  return values;
}

}  // namespace coterie::testing
