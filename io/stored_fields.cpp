#include "io/stored_fields.hpp"

#include <fmt/ranges.h>

#include <algorithm>
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

bool StoredFields::contains(const std::string& field) const { return hdf5::is_dataset(file_->id(), path(field)); }

Value StoredFields::value(const std::string& field) const {
  if (!contains(field)) refuse(field, "the field is missing");
  return read_value(*file_, path(field));
}

double StoredFields::finite(const std::string& field) const {
  const double value = get<double>(field);
  if (!std::isfinite(value)) refuse(field, "it is not a finite number");
  return value;
}

Array StoredFields::finite_array(const std::string& field, std::size_t rank) const {
  if (!contains(field)) refuse(field, "the field is missing");
  Array array = read_array(*file_, path(field), rank);
  if (array.values.empty()) refuse(field, "it is empty");
  if (!std::all_of(array.values.begin(), array.values.end(), [](double value) { return std::isfinite(value); }))
    refuse(field, "a value is no finite number");
  return array;
}

std::vector<double> StoredFields::finite_values(const std::string& field, const std::vector<std::int64_t>& shape) const {
  Array array = finite_array(field, shape.size());
  if (array.shape != shape)
    refuse(field, fmt::format("it has the shape {} instead of {}", fmt::join(array.shape, " x "), fmt::join(shape, " x ")));
  return std::move(array.values);
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
