// The disk begins while we still compute, so that the sync at the end has little to wait for. Where this is refused, nothing is lost.
#pragma once

#include <fcntl.h>

#include <cstddef>

namespace coterie::io {

class Writeback {
 public:
  // So many bytes more have been written to the file.
  void note(int fd, std::size_t n_bytes) {
    constexpr std::size_t kAtOnce = std::size_t{8} << 20;
    waiting_ += n_bytes;
    if (waiting_ < kAtOnce) return;
    waiting_ = 0;
    ::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  }

 private:
  std::size_t waiting_ = 0;
};

}  // namespace coterie::io
