// Records of one size in the order of their keys, more of them than memory holds: an external merge sort (Knuth, The Art of Computer
// Programming, volume 3, section 5.4). A full buffer is sorted and appended to a file as a run; at the end all runs are merged at once.
// The reading buffers of the merge share the memory: 64 MiB sort 100 GiB in about 1,600 runs, each read by 40 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <vector>

#include "host/context.hpp"
#include "host/id_key.hpp"
#include "io/temporary_file.hpp"

namespace coterie::io {

struct SortKey {
  IdKey group;
  std::int64_t row = 0;
  bool operator<(const SortKey& other) const { return group == other.group ? row < other.row : group < other.group; }
};

class ExternalSort {
 public:
  struct Options {
    std::filesystem::path folder;    // of the file
    TemporaryFile::Purpose purpose;  // of the file, and of the memory
    std::size_t record_bytes = 0;    // beside the key
    std::int64_t memory_bytes = 0;   // reserved from here on, at first for the buffer, then for the merge
  };
  // ResourceError: the memory, here and in finish(), where it takes a record of every run. OutputError, everywhere: the file.
  // Cancelled: everywhere. `context` must outlive this.
  ExternalSort(Context& context, Options options);

  // Where to write the next record, (record_bytes), until the next call. No two keys are the same.
  std::byte* add(const SortKey& key);
  // After the last record: afterwards they can be read.
  void finish();
  // The next record, valid until the next call, or nullptr after the last.
  const std::byte* next(SortKey& key);

  std::int64_t n_records() const { return n_records_; }
  std::int64_t file_bytes() const { return file_.size(); }

 private:
  struct Entry {
    SortKey key;
    std::size_t record;  // in records_
  };
  struct Run {
    std::int64_t next, end;         // in the file: what is not in the buffer yet
    std::vector<std::byte> buffer;  // (records, key and record)
    std::size_t position = 0;       // in the buffer
  };
  struct Head {  // the first record of a run
    SortKey key;
    std::size_t run;
    bool operator<(const Head& other) const { return other.key < key; }  // a priority queue has its greatest on top
  };

  void write_run();
  void push_head(std::size_t run);

  Context& context_;
  Options options_;
  Reservation memory_;
  TemporaryFile file_;
  std::int64_t n_records_ = 0;
  std::size_t most_entries_;
  std::vector<Entry> entries_;
  std::unique_ptr<std::byte[]> records_;  // (most_entries_, record_bytes)
  std::vector<Run> runs_;
  std::size_t run_buffer_bytes_ = 0;
  std::priority_queue<Head> heads_;
  std::size_t current_ = 0;  // the run of the record that was handed out, n_runs: none
};

}  // namespace coterie::io
