// A file that appears whole or not at all. Bytes go to a temporary beside the target; commit() makes them durable and
// renames, so the target is the complete old file or the complete new one whatever happens in between
// (research/reliability.md section 4: 138 of 138 kill points).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace coterie::io {

struct OutputRequest {
  std::filesystem::path path;                      // a symbolic link is followed once; its target is replaced, the link stays
  bool overwrite = false;                          // replace an existing file, keeping its mode; else new files are 0600
  std::vector<std::filesystem::path> inputs = {};  // files the target must not be
  std::int64_t estimated_bytes = 0;                // refused at once where less is free
};

struct OutputSlot;  // what a signal handler needs to know about one live output

class AtomicOutput {
 public:
  // Everything that can be refused is refused here, before any work. ArgumentError: the target is an input, or exists and
  // is no regular file. OutputError: no such folder, not writable, target exists, too little space, or another run
  // is writing the same target (found by a lock of our own, which ends with the run).
  explicit AtomicOutput(const OutputRequest& request);
  ~AtomicOutput();  // without commit() nothing is left behind
  AtomicOutput(const AtomicOutput&) = delete;
  AtomicOutput& operator=(const AtomicOutput&) = delete;

  int fd() const { return fd_; }                               // of the temporary, open for reading and writing
  const std::filesystem::path& path() const { return path_; }  // the file that commit() creates or replaces

  // All that a full or failing disk can refuse, so that of several outputs none appears before each is on the disk. OutputError leaves
  // the old file as it was.
  void sync();
  // Syncs unless that is done, renames, syncs the folder. OutputError leaves the old file as it was, save when only the last step failed.
  void commit();

  // Throws the OutputError for a failed write: path, reason, needed and free space where space is the reason.
  [[noreturn]] void fail(int error_number) const;

 private:
  void release() noexcept;
  void open_folder();
  void check_target(const OutputRequest& request);
  void check_space() const;
  void lock();
  bool try_lock();
  void remove_stale_temporaries() const;
  void create_temporary();
  void keep_mode() const;

  std::filesystem::path path_;
  std::string name_;  // of the target in its folder
  std::int64_t estimated_bytes_ = 0;
  int folder_ = -1;
  int fd_ = -1;
  int lock_fd_ = -1;
  OutputSlot* slot_ = nullptr;
  bool replaces_ = false;
  bool synced_ = false;
  unsigned mode_ = 0600;
  unsigned group_ = 0;  // of the file that is replaced
};

// Unlinks the temporaries of every live AtomicOutput of this process. Async-signal-safe: for signal handlers and aborts.
void remove_temporaries() noexcept;

}  // namespace coterie::io
