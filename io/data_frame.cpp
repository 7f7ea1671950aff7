#include "io/data_frame.hpp"

namespace coterie::io {

std::size_t DataFrame::n_rows() const {
  if (columns.empty()) return index.size();
  return std::visit([](const auto& values) { return values.size(); }, columns.front().second);
}

const DataFrame::Column* DataFrame::find(const std::string& name) const {
  for (const auto& [column_name, column] : columns)
    if (column_name == name) return &column;
  return nullptr;
}

}  // namespace coterie::io
