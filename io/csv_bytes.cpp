#include "io/csv_bytes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "host/error.hpp"
#include "io/temporary_file.hpp"

namespace coterie::io {
namespace {

constexpr unsigned kInflateBuffer = 1u << 18;  // compressed bytes per system call; zlib's 8 KiB costs a call per row group
constexpr std::size_t kSpoolBuffer = std::size_t{1} << 20;

int open_input(const std::filesystem::path& path, const std::string& name) {
  const int fd = path == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw InputError(fmt::format("{} cannot be opened: {}. Check the path and its permissions.", name, std::strerror(errno)));
  return fd;
}

ssize_t read_some(const Context& context, int fd, std::byte* to, std::size_t capacity) {
  ssize_t n;
  do {
    context.check_cancelled();
    n = ::read(fd, to, capacity);
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

// zlib's reader passes bytes that are not gzip through as they are, so one path serves both.
struct CsvBytes::Inflater {
  explicit Inflater(int fd) : file(gzdopen(fd, "rb")) {
    if (file == nullptr) {
      close(fd);
      throw ResourceError("There is not enough memory to read a CSV file.");
    }
    gzbuffer(file, kInflateBuffer);
  }
  ~Inflater() { gzclose_r(file); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  gzFile file;
};

CsvBytes::CsvBytes(const Context& context, const std::filesystem::path& path, const std::filesystem::path& spool_folder)
    : name_(path == "-" ? "standard input" : fmt::format("file '{}'", path.string())), fd_(open_input(path, name_)) {
  try {
    struct stat status {};
    fstat(fd_, &status);
    if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || (path == "-" && S_ISCHR(status.st_mode))) {
      spool(context, spool_folder);
    } else if (!S_ISREG(status.st_mode)) {
      throw InputError(fmt::format("{} is a folder or a device, not a CSV file. Name a file, or '-' for standard input.", name_));
    }
    opened_ = stamp();
    if (opened_.size == 0) throw InputError(fmt::format("{} is empty. A CSV file starts with a line of column names.", name_));
    rewind();
  } catch (...) {
    inflater_.reset();
    close(fd_);
    throw;
  }
}

CsvBytes::~CsvBytes() {
  inflater_.reset();
  close(fd_);
}

CsvBytes::Stamp CsvBytes::stamp() const {
  struct stat status {};
  fstat(fd_, &status);
  return {status.st_size, static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

void CsvBytes::check_unchanged() const {
  if (stamp() == opened_) return;
  throw InputError(
      fmt::format("{} changed while it was being read. Nothing was written; run the import again when the file is complete.", name_));
}

void CsvBytes::spool(const Context& context, const std::filesystem::path& folder) {
  TemporaryFile copy(folder, {"the piped input", "or import from a file"});
  std::vector<std::byte> buffer(kSpoolBuffer);
  ssize_t n;
  while ((n = read_some(context, fd_, buffer.data(), buffer.size())) > 0) copy.append(std::span(buffer).first(static_cast<std::size_t>(n)));
  if (n < 0) throw InputError(fmt::format("{} cannot be read: {}.", name_, std::strerror(errno)));
  close(fd_);
  fd_ = copy.release();
}

void CsvBytes::rewind() {
  check_unchanged();
  inflater_.reset();
  const int fd = fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) throw ResourceError(fmt::format("{} cannot be read again: {}.", name_, std::strerror(errno)));
  lseek(fd, 0, SEEK_SET);
  inflater_ = std::make_unique<Inflater>(fd);
}

std::size_t CsvBytes::read(char* to, std::size_t capacity) {
  constexpr std::size_t kMost = std::size_t{1} << 30;  // gzread counts in int
  const int n = gzread(inflater_->file, to, static_cast<unsigned>(std::min(capacity, kMost)));
  if (n > 0) return static_cast<std::size_t>(n);
  int status = Z_OK;
  const char* reason = gzerror(inflater_->file, &status);
  if (n < 0 || status != Z_OK) {
    const bool truncated = status == Z_BUF_ERROR;
    throw InputError(fmt::format("{} cannot be read to its end: {}. Nothing was written; fetch the file again.", name_,
                                 truncated           ? "the gzip data is cut off"
                                 : status == Z_ERRNO ? std::strerror(errno)
                                                     : reason));
  }
  check_unchanged();
  return 0;
}

}  // namespace coterie::io
