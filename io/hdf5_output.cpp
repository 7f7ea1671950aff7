#include "io/hdf5_output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "host/error.hpp"
#include "io/chunk_codec.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kCompactBytes = 32 << 10;  // an object header takes 64 KiB at most, with everything else in it
constexpr hsize_t kAlignedFrom = 1 << 20;        // matrices of this size start on a page, for direct reads
constexpr hsize_t kAlignment = 4096;

hdf5::File create_file(AtomicOutput& output, WriteLatch& latch) {
  const hdf5::Lock lock;
  const hdf5::PropertyList access = latched_access(latch), creation = hdf5::property_list(hdf5::PropertyClass::file_creation);
  H5Pset_libver_bounds(access.id(), H5F_LIBVER_V110, H5F_LIBVER_V110);  // the first format whose metadata is checksummed throughout
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
  H5Pset_alignment(access.id(), kAlignedFrom, kAlignment);
  H5Pset_obj_track_times(creation.id(), false);
  return hdf5::create_file(output.path(), H5F_ACC_TRUNC, creation, access);
}

void tag(hid_t object, Encoding encoding) {
  hdf5::write_string_attribute(object, "encoding-type", encoding.type);
  hdf5::write_string_attribute(object, "encoding-version", encoding.version);
}

hdf5::PropertyList dataset_creation(H5D_layout_t layout) {
  const hdf5::Lock lock;
  hdf5::PropertyList creation = hdf5::property_list(hdf5::PropertyClass::dataset_creation);
  H5Pset_obj_track_times(creation.id(), false);
  H5Pset_layout(creation.id(), layout);
  H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER);
  return creation;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::size_t size_of(const hdf5::Datatype& type) {
  const hdf5::Lock lock;
  return H5Tget_size(type.id());
}

std::size_t row_size(const Cellblock& cells) {
  std::size_t bytes = size_of(cells.type);
  for (std::size_t i = 1; i < cells.shape.size(); ++i) bytes *= cells.shape[i];
  return bytes;
}

std::size_t total_size(const Cellblock& cells) { return row_size(cells) * (cells.shape.empty() ? 1 : cells.shape[0]); }

}  // namespace

Hdf5Output::Hdf5Output(AtomicOutput& output, std::function<int(std::int64_t nth)> before_write) : output_(output) {
  latch_.fd = output.fd();
  latch_.before_write = std::move(before_write);
  file_ = create_file(output_, latch_);
  check();
}

Hdf5Output::~Hdf5Output() { latch_.abandon(); }

void Hdf5Output::check() const {
  if (latch_.error_number != 0) output_.fail(latch_.error_number);
}

hdf5::Group Hdf5Output::dictionary(const std::string& path) {
  if (path.empty()) return hdf5::open_group(root(), "/");
  if (hdf5::exists(root(), path)) return hdf5::open_group(root(), path);
  return make_group(path, kDictionary);
}

hdf5::Group Hdf5Output::make_group(const std::string& path, Encoding encoding) {
  dictionary(parent_of(path));
  hdf5::Group group = hdf5::create_group(root(), path);
  tag(group.id(), encoding);
  check();
  return group;
}

hdf5::Dataset Hdf5Output::create(const std::string& path, const Cellblock& cells, const hdf5::PropertyList& creation, Encoding encoding) {
  dictionary(parent_of(path));
  const hdf5::Dataspace space = cells.shape.empty() ? hdf5::scalar_space() : hdf5::simple_space(cells.shape);
  hdf5::Dataset dataset = hdf5::create_dataset(root(), path, cells.type, space, creation);
  tag(dataset.id(), encoding);
  check();
  return dataset;
}

hdf5::Dataset Hdf5Output::create_chunked(const std::string& path, const hdf5::Datatype& type, std::span<const hsize_t> shape,
                                         std::int64_t rows_per_chunk, Encoding encoding) {
  const hdf5::Lock lock;
  const hdf5::PropertyList creation = dataset_creation(H5D_CHUNKED);
  std::vector<hsize_t> chunk(shape.begin(), shape.end());
  chunk[0] = static_cast<hsize_t>(rows_per_chunk);
  H5Pset_chunk(creation.id(), static_cast<int>(chunk.size()), chunk.data());
  H5Pset_shuffle(creation.id());  // the order and parameters that ChunkEncoder follows
  H5Pset_deflate(creation.id(), 1);
  H5Pset_fletcher32(creation.id());
  return create(path, {nullptr, type, {shape.begin(), shape.end()}}, creation, encoding);
}

hdf5::Dataset Hdf5Output::create_contiguous(const std::string& path, const hdf5::Datatype& type, std::span<const hsize_t> shape,
                                            Encoding encoding) {
  const hdf5::Lock lock;
  const hdf5::PropertyList creation = dataset_creation(H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_EARLY);  // its place must not depend on what else is written first
  return create(path, {nullptr, type, {shape.begin(), shape.end()}}, creation, encoding);
}

void Hdf5Output::write_chunk(const hdf5::Dataset& dataset, std::int64_t first_row, std::span<const std::byte> stored) {
  const hdf5::Lock lock;
  const std::array<hsize_t, H5S_MAX_RANK> offset{static_cast<hsize_t>(first_row)};
  hdf5::check(H5Dwrite_chunk(dataset.id(), H5P_DEFAULT, 0, offset.data(), stored.size(), stored.data()), dataset.id(), "write it");
  check();
}

void Hdf5Output::write_rows(const hdf5::Dataset& dataset, const hdf5::Datatype& type, std::int64_t first_row, std::int64_t n_rows,
                            const void* cells) {
  std::vector<hsize_t> shape = hdf5::shape_of(dataset);
  shape.at(0) = static_cast<hsize_t>(n_rows);
  const hdf5::Dataspace space = hdf5::space_of(dataset);
  hdf5::select_rows(space, first_row, n_rows);
  hdf5::write(dataset, type, hdf5::simple_space(shape), space, cells);
  check();
}

void Hdf5Output::write_array(const std::string& path, const Cellblock& cells, Encoding encoding, bool chunked) {
  const std::size_t bytes = total_size(cells), row = row_size(cells);
  if (bytes == 0 || cells.shape.empty() || (!chunked && bytes <= kCompactBytes)) {
    const hdf5::PropertyList creation = dataset_creation(bytes <= kCompactBytes ? H5D_COMPACT : H5D_CONTIGUOUS);
    const hdf5::Dataset dataset = create(path, cells, creation, encoding);
    if (bytes > 0) hdf5::write(dataset, cells.type, {}, {}, cells.bytes);
    return check();
  }
  const std::size_t rows = cells.shape.at(0), rows_per_chunk = std::clamp<std::size_t>(kMatrixChunkBytes / row, 1, rows);
  const hdf5::Dataset dataset = create_chunked(path, cells.type, cells.shape, static_cast<std::int64_t>(rows_per_chunk), encoding);
  std::vector<std::byte> chunk(rows_per_chunk * row);
  ChunkEncoder encoder(size_of(cells.type));
  for (std::size_t first = 0; first < rows; first += rows_per_chunk) {
    const std::size_t filled = std::min(rows_per_chunk, rows - first) * row;
    std::memcpy(chunk.data(), static_cast<const std::byte*>(cells.bytes) + first * row, filled);
    std::fill(chunk.begin() + static_cast<std::ptrdiff_t>(filled), chunk.end(), std::byte{0});
    write_chunk(dataset, static_cast<std::int64_t>(first), encoder.encode(chunk));
  }
}

void Hdf5Output::close() {
  file_.close();
  check();
  output_.sync();
}

void Hdf5Output::commit() {
  close();
  output_.commit();
}

void pad(const std::string& text, std::size_t width, char* to) {
  char* const end = std::copy_n(text.data(), std::min(text.size(), width), to);
  std::fill(end, to + width, '\0');
}

std::size_t longest(std::span<const std::string> texts) {
  std::size_t width = 1;
  for (const std::string& text : texts) width = std::max(width, text.size());
  return width;
}

std::vector<char> padded(std::span<const std::string> texts, std::size_t width, std::string_view what) {
  std::vector<char> bytes(texts.size() * width);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!is_utf8(texts[i]))
      throw ContentsError(fmt::format("{} {} is not valid UTF-8. No output was written; convert the names to UTF-8", what, i));
    pad(texts[i], width, bytes.data() + i * width);
  }
  return bytes;
}

}  // namespace coterie::io
