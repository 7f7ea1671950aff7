// A virtual file driver that writes an HDF5 file through a descriptor of ours and never tells HDF5 that the disk is full.
// HDF5 1.10 crashes when a write fails while it closes a file (research/reliability.md: 65 of 69 injected ENOSPC end in
// SIGSEGV). Here the first failure is latched, later bytes go nowhere, HDF5 closes calmly, and the caller asks the latch.
#pragma once

#include <cstdint>
#include <functional>

#include "io/hdf5.hpp"

namespace coterie::io {

// Shared by the caller and the driver; must outlive the open file.
struct WriteLatch {
  int fd = -1;                                        // open for reading and writing, empty at first; the caller's to close
  int error_number = 0;                               // of the first write or truncation that failed; 0 while all is well
  std::int64_t n_writes = 0;                          // writes and truncations asked for so far
  std::function<int(std::int64_t nth)> before_write;  // fault injection: the error to meet instead of the nth; 0 for none

  // From here on nothing reaches the descriptor: for a file that is given up.
  void abandon();
};

// A file access list for hdf5::create_file(name, H5F_ACC_TRUNC, ...); the name serves messages only.
hdf5::PropertyList latched_access(WriteLatch& latch);

}  // namespace coterie::io
