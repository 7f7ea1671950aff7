#include "io/stored_fields.hpp"

#include <cmath>
#include <limits>
#include <set>

#include "host/error.hpp"
#include "io/hdf5.hpp"

namespace coterie::io {

void StoredFields::refuse(const std::string& field, const std::string& what) const {
  throw ContentsError(
      fmt::format("file '{}', '/{}': {}. The model cannot be used; nothing was written", file_->path().string(), path(field), what));
}

Value StoredFields::value(const std::string& field) const {
  if (!hdf5::is_dataset(file_->id(), path(field))) refuse(field, "the field is missing");
  return read_value(*file_, path(field));
}

double StoredFields::finite(const std::string& field) const {
  const double value = get<double>(field);
  if (!std::isfinite(value)) refuse(field, "it is not a finite number");
  return value;
}

std::int64_t StoredFields::count(const std::string& field, std::int64_t least) const {
  const auto value = get<std::int64_t>(field);
  if (value < least || value > std::numeric_limits<std::int32_t>::max()) refuse(field, fmt::format("{} is out of range", value));
  return value;
}

std::vector<std::string> StoredFields::unique_names(const std::string& field) const {
  std::vector<std::string> names = get<std::vector<std::string>>(field);
  check_unique(field, names);
  return names;
}

void StoredFields::check_unique(const std::string& field, const std::vector<std::string>& names) const {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i].empty() || !seen.insert(names[i]).second) refuse(field, fmt::format("name {} is empty or not unique", i));
}

DataFrame StoredFields::frame(const std::string& field) const {
  if (!hdf5::is_group(file_->id(), path(field))) refuse(field, "the field is missing");
  return read_frame(*file_, path(field));
}

}  // namespace coterie::io
