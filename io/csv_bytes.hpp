// The bytes of a CSV file, plain or gzip, that can be read from the start any number of times. Pipes and standard input
// are copied first into a nameless file beside the output, so that nothing is left behind however the process ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "host/context.hpp"

namespace coterie::io {

class CsvBytes {
 public:
  // `path` "-" is standard input. InputError: missing, unreadable, a directory or device, empty. OutputError: the copy
  // of a pipe cannot be written to `spool_folder`. Cancelled: between two reads of a pipe.
  CsvBytes(const Context& context, const std::filesystem::path& path, const std::filesystem::path& spool_folder);
  ~CsvBytes();
  CsvBytes(const CsvBytes&) = delete;
  CsvBytes& operator=(const CsvBytes&) = delete;

  const std::string& name() const { return name_; }  // for messages: "file 'x.csv'" or "standard input"

  // InputError that says that the file changed while it was read.
  [[noreturn]] void refuse_changed() const;
  // Back to the first byte. InputError when the file has changed since it was opened.
  void rewind();
  // Up to `capacity` (>= 1) bytes, uncompressed; 0 at the end. InputError: read error, damaged or truncated gzip, and, at
  // the end, a file that has changed while it was read.
  std::size_t read(char* to, std::size_t capacity);

 private:
  struct Stamp {
    std::int64_t size = 0;
    std::int64_t modified_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  class Inflater;
  Stamp stamp() const;
  void check_unchanged() const;
  void spool(const Context& context, const std::filesystem::path& folder);

  std::string name_;
  int fd_ = -1;
  Stamp opened_;
  std::unique_ptr<Inflater> inflater_;  // of a gzip file
};

}  // namespace coterie::io
