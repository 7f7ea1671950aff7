// The SHA-256 of a file's bytes, found on a thread of its own while others read and work.
#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "io/input_file.hpp"

namespace coterie::io {

class FileDigest {
 public:
  explicit FileDigest(std::shared_ptr<const InputFile> file);  // begins
  ~FileDigest() { given_up_ = true; }                          // and waits for the read that it is in
  FileDigest(const FileDigest&) = delete;
  FileDigest& operator=(const FileDigest&) = delete;

  // 64 lower-case hex digits, once they are known. InputError: the file cannot be read, or has changed.
  const std::string& hex() const { return hex_.get(); }

 private:
  std::atomic<bool> given_up_ = false;
  std::shared_future<std::string> hex_;
};

}  // namespace coterie::io
