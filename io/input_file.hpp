// An HDF5 file of the user's, open for reading only. What lies at the path is decided before the HDF5 library sees it:
// a pipe would block it and a CSV file would only be "no signature".
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <memory>

#include "io/hdf5.hpp"

namespace coterie::io {

class InputFile {
 public:
  // InputError: missing (names what is there), not a regular file, not permitted, empty, no HDF5 (names what it looks
  // like and the way to convert it), truncated, in use, not closed by its writer.
  static std::shared_ptr<const InputFile> open(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  hid_t id() const { return file_.id(); }
  int descriptor() const { return descriptor_; }  // for pread; its own, the library has another
  std::int64_t size() const { return identity_.st_size; }

  void check_unchanged() const;  // InputError when size or modification time are no longer those of open()

 private:
  InputFile(std::filesystem::path path, int descriptor);
  void check_kind() const;
  void check_signature() const;

  std::filesystem::path path_;
  int descriptor_;
  struct stat identity_ {};
  hdf5::File file_;
};

// Reads n_bytes at `offset` into `bytes`; false at the end of the file. InputError names the file and the system's reason.
bool read_bytes(const InputFile& file, std::int64_t offset, std::int64_t n_bytes, void* bytes);

}  // namespace coterie::io
