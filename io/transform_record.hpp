// A transform (transform.hpp) inside a model of a result file: transform_kind, and the dataframe transform with one row per
// clustering column. Read back bit for bit.
#pragma once

#include <cstdint>
#include <string>

#include "host/transform.hpp"
#include "io/h5ad_writer.hpp"
#include "io/stored_fields.hpp"

namespace coterie::io {

// root: the group of the model.
void write_transform(H5adWriter& file, const std::string& root, const Transform& transform);

// ContentsError as StoredFields; also unless it has n_columns rows, whose sources are below n_raw.
Transform read_transform(const StoredFields& fields, std::int64_t n_columns, std::int64_t n_raw);

}  // namespace coterie::io
