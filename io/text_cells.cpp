#include "io/text_cells.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/error.hpp"
#include "io/global_heap.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

constexpr std::int64_t kSlabRows = 4096;                 // bounds the memory below; a slab costs one call of some 10 us
constexpr std::size_t kLongest = std::size_t{64} << 10;  // bytes; a thousand times an id or name, and no file can ask for more memory

[[noreturn]] void refuse_length(const hdf5::Dataset& dataset, std::int64_t row, std::size_t n_bytes) {
  throw ContentsError(fmt::format("{}: the text in row {} is {} bytes long, and {} is the limit; nothing was written",
                                  hdf5::describe(dataset.id()), row, n_bytes, kLongest));
}

void hand_over(const hdf5::Dataset& dataset, std::int64_t row, std::string_view text, const TextSink& sink) {
  text = text.substr(0, text.find('\0'));
  if (text.size() > kLongest) refuse_length(dataset, row, text.size());
  if (!is_utf8(text))
    throw ContentsError(
        fmt::format("{}: the text in row {} is not UTF-8; nothing was written. Write it anew as UTF-8", hdf5::describe(dataset.id()), row));
  sink(row, text);
}

// Rows [first, first + n) of a one-dimensional dataset, or all of a scalar one.
void read_slab(const hdf5::Dataset& dataset, const hdf5::Datatype& type, std::int64_t first, std::int64_t n, void* cells) {
  const hsize_t count = static_cast<hsize_t>(n);
  hdf5::Dataspace file_space = hdf5::space_of(dataset), memory_space = hdf5::scalar_space();
  if (H5Sget_simple_extent_ndims(file_space.id()) > 0) {
    memory_space = hdf5::simple_space({&count, 1});
    hdf5::select_rows(file_space, first, n);
  }
  hdf5::check(H5Dread(dataset.id(), type.id(), memory_space.id(), file_space.id(), H5P_DEFAULT, cells), dataset.id(),
              fmt::format("read rows {} to {}", first, first + n - 1));
}

class VariableLength {
 public:
  explicit VariableLength(const hdf5::Dataset& dataset)
      : dataset_(dataset), heap_(dataset.id()), type_(heap_.reference_type()), references_(kSlabRows * heap_.reference_bytes()) {}

  void slab(std::int64_t first, std::int64_t n, const TextSink& sink) {
    read_slab(dataset_, type_, first, n, references_.data());
    for (std::int64_t i = 0; i < n; ++i) {
      const auto text = heap_.text(references_.data() + static_cast<std::size_t>(i) * heap_.reference_bytes(), dataset_.id(), first + i);
      text ? hand_over(dataset_, first + i, *text, sink) : sink(first + i, std::nullopt);
    }
  }

 private:
  const hdf5::Dataset& dataset_;
  hdf5::GlobalHeap heap_;
  hdf5::Datatype type_;
  std::vector<std::byte> references_;  // (kSlabRows, reference_bytes)
};

class FixedLength {
 public:
  FixedLength(const hdf5::Dataset& dataset, hdf5::Datatype type)
      : dataset_(dataset), type_(std::move(type)), width_(H5Tget_size(type_.id())) {
    if (width_ > kLongest) refuse_length(dataset, 0, width_);
    padded_with_spaces_ = H5Tget_strpad(type_.id()) == H5T_STR_SPACEPAD;
    cells_.resize(kSlabRows * width_);
  }

  void slab(std::int64_t first, std::int64_t n, const TextSink& sink) {
    read_slab(dataset_, type_, first, n, cells_.data());
    for (std::int64_t i = 0; i < n; ++i) hand_over(dataset_, first + i, cell(i), sink);
  }

 private:
  std::string_view cell(std::int64_t i) const {
    const std::string_view text(cells_.data() + static_cast<std::size_t>(i) * width_, width_);
    return padded_with_spaces_ ? text.substr(0, text.find_last_not_of(' ') + 1) : text;
  }
  const hdf5::Dataset& dataset_;
  hdf5::Datatype type_;
  std::size_t width_;
  bool padded_with_spaces_ = false;
  std::vector<char> cells_;  // (kSlabRows, width)
};

template <class Reader>
void read_in_slabs(Reader reader, std::int64_t first_row, std::int64_t n_rows, const TextSink& sink) {
  for (std::int64_t row = first_row; row < first_row + n_rows; row += kSlabRows)
    reader.slab(row, std::min(kSlabRows, first_row + n_rows - row), sink);
}

}  // namespace

void for_each_text(const hdf5::Dataset& dataset, std::int64_t first_row, std::int64_t n_rows, const TextSink& sink) {
  const hdf5::Lock lock;
  hdf5::Datatype type = hdf5::type_of(dataset);
  if (H5Tis_variable_str(type.id()) > 0)
    read_in_slabs(VariableLength(dataset), first_row, n_rows, sink);
  else
    read_in_slabs(FixedLength(dataset, std::move(type)), first_row, n_rows, sink);
}

}  // namespace coterie::io
