// The fields of a model inside a result file, each read with a complaint that names file and field.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/data_frame.hpp"
#include "io/input_file.hpp"
#include "io/table_reader.hpp"

namespace coterie::io {

class StoredFields {
 public:
  // root: the group that holds the fields, "uns/segmentation/model". Nothing is read yet.
  StoredFields(std::shared_ptr<const InputFile> file, std::string root) : file_(std::move(file)), root_(std::move(root)) {}

  const InputFile& file() const { return *file_; }
  std::string path(const std::string& field) const { return root_ + "/" + field; }
  [[noreturn]] void refuse(const std::string& field, const std::string& what) const;  // ContentsError

  // ContentsError: the field is missing, or of another type, shape or range than asked for.
  template <class T>
  T get(const std::string& field) const {
    const Value value = this->value(field);
    if (const T* typed = std::get_if<T>(&value)) return *typed;
    refuse(field, "the field is of another type or shape");
  }
  template <class T>
  std::vector<T> list(const std::string& field, std::int64_t length) const {
    std::vector<T> values = get<std::vector<T>>(field);
    if (std::ssize(values) != length) refuse(field, fmt::format("it has {} entries instead of {}", values.size(), length));
    return values;
  }
  template <class T>
  const std::vector<T>& column(const DataFrame& frame, const std::string& field, const std::string& name) const {
    const DataFrame::Column* found = frame.find(name);
    if (found == nullptr || !std::holds_alternative<std::vector<T>>(*found))
      refuse(field + "/" + name, "the field is missing or of another type");
    return std::get<std::vector<T>>(*found);
  }
  bool contains(const std::string& field) const;
  double finite(const std::string& field) const;
  Array finite_array(const std::string& field, std::size_t rank) const;  // not empty
  std::vector<double> finite_values(const std::string& field, const std::vector<std::int64_t>& shape) const;
  std::int64_t count(const std::string& field, std::int64_t least) const;  // at most 2^31 - 1
  std::vector<std::string> unique_names(const std::string& field) const;   // none empty
  void check_unique(const std::string& field, const std::vector<std::string>& names) const;
  DataFrame frame(const std::string& field) const;

 private:
  Value value(const std::string& field) const;

  std::shared_ptr<const InputFile> file_;
  std::string root_;
};

}  // namespace coterie::io
