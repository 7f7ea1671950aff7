#include "io/global_heap.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "host/error.hpp"

namespace coterie::io::hdf5 {
namespace {

constexpr const char* kTag = "coterie global heap reference";
// Collections are 4 KiB each unless a text is longer. Cached ones are given up at 4 MiB: text in row order comes from one at a time.
constexpr std::size_t kCachedBytes = std::size_t{4} << 20;
constexpr std::uint64_t kLargestCollection = std::uint64_t{64} << 20;  // the library makes 64 KiB at most for texts we accept

// Accepts only references of the right width, and leaves their bytes alone.
herr_t keep_reference(hid_t from, hid_t to, H5T_cdata_t* data, std::size_t, std::size_t, std::size_t, void*, void*, hid_t) {
  if (data->command != H5T_CONV_INIT) return 0;
  data->need_bkg = H5T_BKG_NO;
  char* tag = H5Tget_tag(to);
  const bool is_ours =
      tag != nullptr && std::strcmp(tag, kTag) == 0 && H5Tis_variable_str(from) > 0 && H5Tget_size(from) == H5Tget_size(to);
  H5free_memory(tag);
  return is_ours ? 0 : -1;
}

std::uint64_t little_endian(const std::byte* bytes, std::size_t n) {
  std::uint64_t value = 0;
  for (std::size_t i = n; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}

std::size_t aligned(std::size_t bytes) { return (bytes + 7) / 8 * 8; }

bool read_fully(int descriptor, std::uint64_t offset, std::size_t n_bytes, std::byte* bytes) {
  for (std::size_t done = 0; done < n_bytes;) {
    const ssize_t got = ::pread(descriptor, bytes + done, n_bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

void register_references() {
  const hid_t text = H5Tcopy(H5T_C_S1), reference = H5Tcreate(H5T_OPAQUE, 16);
  H5Tset_size(text, H5T_VARIABLE);
  H5Tset_tag(reference, kTag);
  H5Tregister(H5T_PERS_SOFT, "keep heap references", text, reference, keep_reference);
  H5Tclose(text);
  H5Tclose(reference);
}

GlobalHeap::GlobalHeap(hid_t object) {
  const Lock lock;
  const File file(check_id(H5Iget_file_id(object), object, "find its file"));
  const PropertyList creation(check_id(H5Fget_create_plist(file.id()), object, "read how its file is stored"));
  hsize_t user_block = 0;
  check(H5Pget_userblock(creation.id(), &user_block), object, "read the user block");
  check(H5Pget_sizes(creation.id(), &address_bytes_, &length_bytes_), object, "read the size of addresses");
  if (address_bytes_ > 8 || length_bytes_ > 8) throw InputError(describe(object) + ": addresses of more than 8 bytes; nothing was written");
  void* handle = nullptr;
  check(H5Fget_vfd_handle(file.id(), H5P_DEFAULT, &handle), object, "find the descriptor");
  descriptor_ = *static_cast<int*>(handle);
  base_ = user_block;
  struct stat status {};
  if (::fstat(descriptor_, &status) == 0) file_bytes_ = static_cast<std::uint64_t>(status.st_size);
}

Datatype GlobalHeap::reference_type() const {
  const Lock lock;
  Datatype type(H5Tcreate(H5T_OPAQUE, reference_bytes()));
  if (H5Tset_tag(type.id(), kTag) < 0) throw InternalError("the HDF5 library cannot make a type (" + last_reason() + ")");
  return type;
}

std::optional<std::string_view> GlobalHeap::text(const std::byte* reference, hid_t object, std::int64_t row) {
  const std::uint64_t length = little_endian(reference, 4);
  const std::uint64_t address = little_endian(reference + 4, address_bytes_);
  const std::uint64_t index = little_endian(reference + 4 + address_bytes_, 4);
  if (address == 0) return std::nullopt;
  if (const Collection* collection = find(address)) {
    const auto found = collection->objects.find(index);
    if (found != collection->objects.end() && length <= found->second.size()) return found->second.substr(0, length);
  }
  throw InputError(
      fmt::format("{}: the text in row {} lies nowhere in the file; the file is damaged; nothing was written", describe(object), row));
}

const GlobalHeap::Collection* GlobalHeap::find(std::uint64_t address) {
  if (const auto known = collections_.find(address); known != collections_.end()) return &known->second;
  Collection collection;
  if (!load(address, collection)) return nullptr;
  if (cached_bytes_ > kCachedBytes) {
    collections_.clear();
    cached_bytes_ = 0;
  }
  cached_bytes_ += collection.bytes.size();
  return &collections_.emplace(address, std::move(collection)).first->second;
}

bool GlobalHeap::load(std::uint64_t address, Collection& collection) const {
  const std::size_t header = aligned(8 + length_bytes_);  // signature, version, 3 reserved bytes, size
  std::vector<std::byte>& bytes = collection.bytes;
  bytes.resize(header);
  if (address > file_bytes_ || base_ > file_bytes_ - address || !read_fully(descriptor_, base_ + address, header, bytes.data()))
    return false;
  const std::uint64_t size = little_endian(bytes.data() + 8, length_bytes_);
  if (std::memcmp(bytes.data(), "GCOL\1", 5) != 0 || size < header || size > kLargestCollection || size > file_bytes_ - base_ - address)
    return false;
  bytes.resize(size);
  if (!read_fully(descriptor_, base_ + address, size, bytes.data())) return false;
  list_objects(collection);
  return true;
}

// An object: index (2 bytes), reference count (2), reserved (4), size, then its bytes, padded to a multiple of 8. Index 0 is free
// space and the end.
void GlobalHeap::list_objects(Collection& collection) const {
  const std::vector<std::byte>& bytes = collection.bytes;
  const std::size_t header = aligned(8 + length_bytes_);
  for (std::size_t at = header; at + header <= bytes.size();) {
    const std::uint64_t index = little_endian(bytes.data() + at, 2), size = little_endian(bytes.data() + at + 8, length_bytes_);
    at += header;
    if (index == 0 || size > bytes.size() - at) return;
    collection.objects.emplace(index, std::string_view(reinterpret_cast<const char*>(bytes.data() + at), size));
    at += aligned(size);
  }
}

}  // namespace coterie::io::hdf5
