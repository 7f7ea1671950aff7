// Small tables, matrices and values of our own files, read back. Every dataset passes guard_dataset first.
#pragma once

#include <string>

#include "io/data_frame.hpp"
#include "io/input_file.hpp"

namespace coterie::io {

// InputError names file and object: there is none at `path`, it is damaged, or it is of a kind that we do not write.
DataFrame read_frame(const InputFile& file, const std::string& path);  // an anndata dataframe, or a packed table without an index
Array read_array(const InputFile& file, const std::string& path, std::size_t rank);  // of numbers
Matrix read_matrix(const InputFile& file, const std::string& path);
Value read_value(const InputFile& file, const std::string& path);  // a scalar or a list

// InputError unless the root attribute schema is `schema` and the major number of schema_version is that of `version`.
void check_schema(const InputFile& file, const std::string& schema, const std::string& version);

}  // namespace coterie::io
