// Writes an AnnData .h5ad (on-disk specification 0.1.0 / 0.2.0): everything is tagged with encoding-type and
// encoding-version, so anndata, pandas, h5py, R and h5dump open the file without our code.
//
// Durable by construction: checksummed metadata (libver v110), checksums on all chunked data, small data inside the object
// header, no time stamps (equal contents, equal bytes), no HDF5 file locks (AtomicOutput has its own). A disk that fills
// up is noticed at once and reported as OutputError; HDF5 itself never sees it (latching_driver.hpp).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/atomic_output.hpp"
#include "io/data_frame.hpp"
#include "io/matrix_stream.hpp"
#include "io/row_stream.hpp"

namespace coterie::io {

// Paths are relative to the root ("uns/run/seed"); groups on the way are made as dictionaries. Nothing is written twice.
class H5adWriter {
 public:
  struct Options {
    std::string schema;          // root attribute, "coterie-results"
    std::string schema_version;  // "1.0"
    std::int64_t n_rows = 0;     // customers, at least 1
    std::string id_name;         // the column of obs that is its index; noted in uns/coterie/roles/id
    bool text_index = false;     // int64 ids stay a column and the index is their text: anndata warns at integer indices
    Context* context = nullptr;  // encodes chunks in parallel when given; must outlive the writer
    std::function<int(std::int64_t nth)> before_write = {};  // fault injection, see WriteLatch
  };
  H5adWriter(AtomicOutput& output, Options options);  // `output` must outlive the writer
  ~H5adWriter();                                      // without commit() the file is given up
  H5adWriter(const H5adWriter&) = delete;
  H5adWriter& operator=(const H5adWriter&) = delete;

  std::int64_t n_rows() const;

  // Columns of obs that are written together, and with table_path also a packed table of their members that have a
  // table_name, which pandas.read_hdf opens. The stream lives as long as the writer; several may be open at once.
  RowStream& open_rows(std::vector<RowColumn> columns, const std::string& table_path = {});

  // A matrix with one row per customer ("X", "obsm/segment_proba").
  MatrixStream& open_matrix(const std::string& path, const MatrixLayout& layout);

  void write_frame(const std::string& path, const DataFrame& frame);  // an anndata dataframe; the frame has an index
  void write_table(const std::string& path, const DataFrame& frame);  // a packed table for pandas.read_hdf, in uns only
  void write_matrix(const std::string& path, std::int64_t n_rows, std::int64_t n_columns, std::span<const double> values);
  void write_matrix(const std::string& path, std::int64_t n_rows, std::int64_t n_columns, std::span<const float> values);
  void write_array(const std::string& path, std::span<const std::int64_t> shape, std::span<const double> values);  // row-major
  void write_value(const std::string& path, const Value& value);

  // With checks, and on the disk: nothing can be written any more. InternalError when a stream has not received all rows.
  void close();
  void commit();  // closes unless that is done, and publishes the file

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::io
