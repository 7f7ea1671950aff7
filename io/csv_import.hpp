// CSV to the canonical input file (feature_writer.hpp). Two passes over the data: the first decides types from all rows
// (type_rules.hpp), the second writes; repeated ids take one or two more before them (import_rows.hpp). Memory does not depend on the
// number of rows, but for 16 bytes per row of a column that may be the id.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/context.hpp"
#include "io/import_rows.hpp"
#include "io/type_rules.hpp"

namespace coterie::io {

struct ImportReport {
  std::int64_t n_rows = 0;
  RowCounts rows;             // what was left out
  std::int64_t n_active = 0;  // columns of X
  std::int64_t n_profile = 0;
  bool is_wide = false;                 // X is float64, because some number has more digits than float32 keeps
  std::string id_name;                  // of the index of obs
  bool ids_are_row_numbers = false;     // from 0, because no column holds ids
  std::vector<ImportedColumn> columns;  // of the CSV file, in its order
};

// Several paths are the shards of one table and have the same header; "-" is standard input, gzip is recognised.
// ArgumentError, InputError, ContentsError: see CsvTable, check(ImportOptions), decide_columns; a table without
// rows or features; see ImportRows. OutputError: see AtomicOutput.
ImportReport import_csv(Context& context, const std::vector<std::filesystem::path>& paths, const std::filesystem::path& output,
                        const ImportOptions& options = {});

}  // namespace coterie::io
