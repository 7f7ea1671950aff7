#include "io/temporary_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "host/error.hpp"

namespace coterie::io {
namespace {

std::string reason(int error_number) { return std::generic_category().message(error_number); }

// Has no name once this function returns.
int open_nameless(const std::filesystem::path& folder, const std::string& what) {
  const std::filesystem::path where = folder.empty() ? "." : folder;
  std::string name = where / ".coterie-temporary-XXXXXX";
  const int fd = mkostemp(name.data(), O_CLOEXEC);  // creates it exclusively, mode 0600
  if (fd < 0)
    throw OutputError(
        fmt::format("A temporary file for {} cannot be created in '{}': {}. Choose an output in a folder that can be written.", what,
                    where.string(), reason(errno)));
  unlink(name.c_str());
  return fd;
}

}  // namespace

TemporaryFile::TemporaryFile(const std::filesystem::path& folder, Purpose purpose)
    : purpose_(std::move(purpose)), fd_(open_nameless(folder, purpose_.what)) {}

TemporaryFile::~TemporaryFile() {
  if (fd_ >= 0) close(fd_);
}

int TemporaryFile::release() { return std::exchange(fd_, -1); }

void TemporaryFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), size_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    size_ += n;
  }
}

void TemporaryFile::read(std::int64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::pread(fd_, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("read back", n < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += n;
  }
}

void TemporaryFile::fail(const char* verb, int error_number) const {
  throw OutputError(
      fmt::format("The temporary file for {} cannot be {}: {}. It is removed and nothing was written; make room beside the output, {}.",
                  purpose_.what, verb, reason(error_number), purpose_.other_ways));
}

}  // namespace coterie::io
