// Writes the canonical input file, schema coterie-features 1.0: an .h5ad with
//   X      (n_rows, n_columns) float32 or float64, contiguous unless compression is asked for
//   obs    the ids and the columns beside X; indexed by the ids, or by _index, their text, where ids are numbers
//   var    name (index), role, layer, weight, onehot_of, and sensitive where a column is
//   uns/coterie/roles    which obs column is the id, the row weight, the outcomes, the value, the treatment, dates
// Rows are streamed, so a file may be any size.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/feature_file.hpp"
#include "io/h5ad_writer.hpp"

namespace coterie::io {

inline constexpr char kFeatureSchema[] = "coterie-features";
inline constexpr char kFeatureSchemaVersion[] = "1.0";

std::string role_name(Role role);  // as var/role holds it

struct FeatureFileLayout {
  std::int64_t n_rows = 0;
  std::vector<FeatureColumn> columns;  // of X; names unique and not empty
  std::vector<RowColumn> obs;          // ids first: int64 or text, its name becomes the index's
  ObsRoles roles;
  bool is_wide = false;     // X is float64
  bool compressed = false;  // chunks of about 1 MiB, shuffle + gzip-1 + fletcher32
};

// The size of the file before compression, for OutputRequest::estimated_bytes.
std::int64_t estimated_bytes(const FeatureFileLayout& layout);

class FeatureWriter {
 public:
  // ArgumentError: no rows or columns, duplicate names, ids that are neither int64 nor text. `output`, and `context` when given,
  // which encodes chunks in parallel, must outlive the writer.
  FeatureWriter(AtomicOutput& output, FeatureFileLayout layout, Context* context = nullptr);
  ~FeatureWriter();

  // x: (n rows, n_columns) of the layout's precision; obs: the columns beside it, in the layout's order. Rows in order.
  void write(std::int64_t first_row, std::span<const float> x, std::span<const Cells> obs);
  void write(std::int64_t first_row, std::span<const double> x, std::span<const Cells> obs);
  H5adWriter& file();  // for what else goes into uns
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::io
