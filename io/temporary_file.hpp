// Bytes that do not fit memory, in a file without a name beside the output: whatever ends the process, the system takes it back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace coterie::io {

class TemporaryFile {
 public:
  struct Purpose {
    std::string what;        // it holds, for messages: "the piped input"
    std::string other_ways;  // than making room: "or import from a file"
  };
  // OutputError, here and below: the folder takes no file, the disk is full or fails.
  TemporaryFile(const std::filesystem::path& folder, Purpose purpose);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void append(std::span<const std::byte> bytes);
  void read(std::int64_t offset, std::span<std::byte> bytes) const;  // all of them lie within size()
  std::int64_t size() const { return size_; }
  int release();  // the descriptor, from here on the caller's to close

 private:
  [[noreturn]] void fail(const char* verb, int error_number) const;

  Purpose purpose_;
  int fd_;
  std::int64_t size_ = 0;
};

}  // namespace coterie::io
