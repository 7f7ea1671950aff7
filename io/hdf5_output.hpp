// An HDF5 file on its way to an AtomicOutput: how groups, small values and chunked arrays are stored and tagged so that
// anndata opens them, and where a full disk is noticed. The writers of io build on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/atomic_output.hpp"
#include "io/hdf5.hpp"
#include "io/latching_driver.hpp"

namespace coterie::io {

inline constexpr std::size_t kMatrixChunkBytes = 1 << 20;  // HDF5's default chunk cache: readers need no larger one

// The kind and version of an anndata element. Packed tables are plain arrays: the reader of "rec-array" takes fixed-length
// text for ASCII and fails on the first umlaut (anndata 0.8).
struct Encoding {
  const char* type;
  const char* version;
};
inline constexpr Encoding kDictionary{"dict", "0.1.0"}, kFrame{"dataframe", "0.2.0"}, kCategorical{"categorical", "0.2.0"},
    kArray{"array", "0.2.0"}, kStringArray{"string-array", "0.2.0"}, kNumber{"numeric-scalar", "0.2.0"}, kString{"string", "0.2.0"};

// Cells in memory as they are to lie in the file, little-endian and packed.
struct Cellblock {
  const void* bytes = nullptr;
  const hdf5::Datatype& type;
  std::vector<hsize_t> shape;  // {} for a scalar
};

class Hdf5Output {
 public:
  // `output` must outlive this object; before_write as in WriteLatch.
  explicit Hdf5Output(AtomicOutput& output, std::function<int(std::int64_t nth)> before_write = {});
  ~Hdf5Output();  // gives the file up unless commit() has published it
  Hdf5Output(const Hdf5Output&) = delete;
  Hdf5Output& operator=(const Hdf5Output&) = delete;

  hid_t root() const { return file_.id(); }

  // OutputError when a write has failed since the file was opened; called after everything that writes.
  void check() const;

  // The group at `path` relative to the root; missing ones on the way, and itself, are made and tagged as dictionaries.
  hdf5::Group dictionary(const std::string& path);
  hdf5::Group make_group(const std::string& path, Encoding encoding);  // below existing or new dictionaries

  // A dataset in one call: inside the object header when small, else chunked and checksummed. `chunked` forces chunks.
  void write_array(const std::string& path, const Cellblock& cells, Encoding encoding, bool chunked = false);

  hdf5::Dataset create_chunked(const std::string& path, const hdf5::Datatype& type, std::span<const hsize_t> shape,
                               std::int64_t rows_per_chunk, Encoding encoding);
  hdf5::Dataset create_contiguous(const std::string& path, const hdf5::Datatype& type, std::span<const hsize_t> shape, Encoding encoding);
  // Stored bytes of the chunk that begins at first_row (chunk_codec.hpp).
  void write_chunk(const hdf5::Dataset& dataset, std::int64_t first_row, std::span<const std::byte> stored);
  void write_rows(const hdf5::Dataset& dataset, const hdf5::Datatype& type, std::int64_t first_row, std::int64_t n_rows, const void* cells);

  void close();   // with checks, and on the disk: nothing can be written any more
  void commit();  // closes unless that is done, and publishes the file

 private:
  hdf5::Dataset create(const std::string& path, const Cellblock& cells, const hdf5::PropertyList& creation, Encoding encoding);

  AtomicOutput& output_;
  WriteLatch latch_;
  hdf5::File file_;
};

// Strings as a fixed-length array, NUL-padded to `width` bytes each. ContentsError when one is no UTF-8, with
// `what` it is and its position counted from `first`.
void pad(const std::string& text, std::size_t width, char* to);
std::size_t longest(std::span<const std::string> texts);  // in bytes, at least 1
std::vector<char> padded(std::span<const std::string> texts, std::size_t width, std::string_view what);

}  // namespace coterie::io
