#include "io/latching_driver.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "host/error.hpp"
#include "io/writeback.hpp"

namespace coterie::io {
namespace {

// Metadata that HDF5 believes is in the file. It may read it back before it closes, and must then find what it wrote.
struct Withheld {
  haddr_t address;
  std::vector<char> bytes;
};

struct LatchedFile {
  H5FD_t base{};  // first: HDF5 knows the file by this member
  WriteLatch* latch = nullptr;
  haddr_t end_of_allocation = 0;
  haddr_t end_of_file = 0;
  std::vector<Withheld> withheld;  // in the order of writing
  Writeback writeback;
};

// What a file access list carries to open_file.
struct DriverInformation {
  WriteLatch* latch;
};

LatchedFile& self(H5FD_t* file) { return *reinterpret_cast<LatchedFile*>(file); }
const LatchedFile& self(const H5FD_t* file) { return *reinterpret_cast<const LatchedFile*>(file); }

// True when `operation` may go to the disk; else the latch is closed, perhaps just now.
bool may_write(WriteLatch& latch) {
  ++latch.n_writes;
  if (latch.error_number == 0 && latch.before_write) latch.error_number = latch.before_write(latch.n_writes);
  return latch.error_number == 0;
}

// 0 or the error. Short writes and interruptions are carried on.
int write_fully(int fd, const char* bytes, std::size_t size, haddr_t address) {
  while (size > 0) {
    const ssize_t written = ::pwrite(fd, bytes, size, static_cast<off_t>(address));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    bytes += written;
    size -= static_cast<std::size_t>(written);
    address += static_cast<haddr_t>(written);
  }
  return 0;
}

// 0 or the error. Bytes past the end read as zeros.
int read_fully(int fd, char* bytes, std::size_t size, haddr_t address) {
  while (size > 0) {
    const ssize_t got = ::pread(fd, bytes, size, static_cast<off_t>(address));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    bytes += got;
    size -= static_cast<std::size_t>(got);
    address += static_cast<haddr_t>(got);
  }
  std::fill_n(bytes, size, '\0');
  return 0;
}

void overlay(const Withheld& withheld, char* bytes, std::size_t size, haddr_t address) {
  const haddr_t begin = std::max(address, withheld.address);
  const haddr_t end = std::min(address + size, withheld.address + withheld.bytes.size());
  if (begin < end) std::memcpy(bytes + (begin - address), withheld.bytes.data() + (begin - withheld.address), end - begin);
}

H5FD_t* open_file(const char*, unsigned, hid_t access, haddr_t) {
  const auto* information = static_cast<const DriverInformation*>(H5Pget_driver_info(access));
  if (information == nullptr) return nullptr;
  auto* file = new (std::nothrow) LatchedFile;
  if (file == nullptr) return nullptr;
  file->latch = information->latch;
  return &file->base;
}

herr_t close_file(H5FD_t* file) {
  delete &self(file);
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_AGGREGATE_SMALLDATA;
  return 0;
}

haddr_t get_end_of_allocation(const H5FD_t* file, H5FD_mem_t) { return self(file).end_of_allocation; }
herr_t set_end_of_allocation(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  self(file).end_of_allocation = address;
  return 0;
}
haddr_t get_end_of_file(const H5FD_t* file, H5FD_mem_t) { return self(file).end_of_file; }

herr_t read_bytes(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t size, void* buffer) {
  const LatchedFile& own = self(file);
  auto* bytes = static_cast<char*>(buffer);
  if (read_fully(own.latch->fd, bytes, size, address) != 0) return -1;
  for (const Withheld& withheld : own.withheld) overlay(withheld, bytes, size, address);
  return 0;
}

herr_t write_bytes(H5FD_t* file, H5FD_mem_t type, hid_t, haddr_t address, std::size_t size, const void* buffer) {
  LatchedFile& own = self(file);
  const auto* bytes = static_cast<const char*>(buffer);
  if (may_write(*own.latch)) own.latch->error_number = write_fully(own.latch->fd, bytes, size, address);
  own.writeback.note(own.latch->fd, size);
  own.end_of_file = std::max(own.end_of_file, address + size);
  if (own.latch->error_number == 0 || type == H5FD_MEM_DRAW) return 0;  // raw data is not needed for closing
  try {
    own.withheld.push_back({address, std::vector<char>(bytes, bytes + size)});
  } catch (const std::bad_alloc&) {
    return -1;
  }
  return 0;
}

herr_t truncate_file(H5FD_t* file, hid_t, hbool_t) {
  LatchedFile& own = self(file);
  if (own.end_of_file == own.end_of_allocation) return 0;
  if (may_write(*own.latch) && ::ftruncate(own.latch->fd, static_cast<off_t>(own.end_of_allocation)) != 0) own.latch->error_number = errno;
  own.end_of_file = own.end_of_allocation;
  return 0;
}

// HDF5 keeps a copy of this. No lock callbacks: the temporary is nobody else's.
H5FD_class_t driver_class() {
  H5FD_class_t driver{};
  driver.name = "coterie_latching";
  driver.maxaddr = static_cast<haddr_t>(std::numeric_limits<off_t>::max());
  driver.fc_degree = H5F_CLOSE_STRONG;
  driver.fapl_size = sizeof(DriverInformation);
  driver.open = open_file;
  driver.close = close_file;
  driver.query = query;
  driver.get_eoa = get_end_of_allocation;
  driver.set_eoa = set_end_of_allocation;
  driver.get_eof = get_end_of_file;
  driver.read = read_bytes;
  driver.write = write_bytes;
  driver.truncate = truncate_file;
  std::fill(std::begin(driver.fl_map), std::end(driver.fl_map), H5FD_MEM_SUPER);  // one free list for all kinds of bytes
  return driver;
}

}  // namespace

void WriteLatch::abandon() {
  if (error_number == 0) error_number = ECANCELED;
}

hdf5::PropertyList latched_access(WriteLatch& latch) {
  const hdf5::Lock lock;
  static const hid_t driver = [] {
    static const H5FD_class_t description = driver_class();
    return H5FDregister(&description);
  }();
  hdf5::PropertyList access = hdf5::property_list(hdf5::PropertyClass::file_access);
  const DriverInformation information{&latch};
  if (driver < 0 || H5Pset_driver(access.id(), driver, &information) < 0)
    throw InternalError("the HDF5 library refuses our file driver (" + hdf5::last_reason() + ")");
  return access;
}

}  // namespace coterie::io
