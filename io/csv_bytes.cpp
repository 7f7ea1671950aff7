#include "io/csv_bytes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <isa-l/igzip_lib.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "host/error.hpp"
#include "io/temporary_file.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kStoredBytes = std::size_t{1} << 18;  // compressed ones per system call
constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::size_t kSpoolBuffer = std::size_t{1} << 20;

int open_input(const std::filesystem::path& path, const std::string& name) {
  // Without O_NONBLOCK a named pipe that nobody writes to would hold open() up, and read_pipe() is what a signal can end.
  const int fd = path == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0 && path != "-") fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  if (fd < 0) throw InputError(fmt::format("{} cannot be opened: {}. Check the path and its permissions.", name, std::strerror(errno)));
  return fd;
}

ssize_t read_some(int fd, void* to, std::size_t capacity) {
  ssize_t n;
  do n = ::read(fd, to, capacity);
  while (n < 0 && errno == EINTR);
  return n;
}

// A pipe may be silent for minutes, and a signal that comes meanwhile does not end a read.
ssize_t read_pipe(const Context& context, int fd, std::byte* to, std::size_t capacity) {
  constexpr int kMilliseconds = 100;
  pollfd source{fd, POLLIN, 0};
  int ready;
  do {
    context.check_cancelled();
    ready = poll(&source, 1, kMilliseconds);
  } while (ready == 0 || (ready < 0 && errno == EINTR));
  return read_some(fd, to, capacity);
}

[[noreturn]] void refuse(const std::string& name, std::string_view reason) {
  throw InputError(fmt::format("{} cannot be read to its end: {}. Nothing was written; fetch the file again.", name, reason));
}

std::size_t read_file(int fd, void* to, std::size_t capacity, const std::string& name) {
  const ssize_t n = read_some(fd, to, capacity);
  if (n < 0) refuse(name, std::strerror(errno));
  return static_cast<std::size_t>(n);
}

bool is_gzip(int fd) {
  std::array<char, kGzipMagic.size()> head{};
  return pread(fd, head.data(), head.size(), 0) == std::ssize(head) && std::string_view(head.data(), head.size()) == kGzipMagic;
}

}  // namespace

// The content of a gzip file, of one member or several; zeros that follow the last one, as on tape, are passed over.
class CsvBytes::Inflater {
 public:
  explicit Inflater(int fd) : fd_(fd) {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;
  }

  // As CsvBytes::read(); `name` is for messages.
  std::size_t read(char* to, std::size_t capacity, const std::string& name) {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // counted in 32 bits
    const auto wanted = static_cast<std::uint32_t>(std::min(capacity, kMost));
    state_.next_out = reinterpret_cast<std::uint8_t*>(to);
    state_.avail_out = wanted;
    for (;;) {
      const bool is_member = state_.block_state != ISAL_BLOCK_FINISH || begin_member(name);
      if (!is_member) return 0;
      const int status = isal_inflate(&state_);
      if (status < 0)
        refuse(name, status == ISAL_INCORRECT_CHECKSUM ? "the checksum of its gzip data is wrong" : "its gzip data is damaged");
      if (state_.avail_out < wanted) return wanted - state_.avail_out;
      if (state_.block_state != ISAL_BLOCK_FINISH && !load(name)) refuse(name, "the gzip data is cut off");
    }
  }

 private:
  // More of the file behind what is left of it; false at its end.
  bool load(const std::string& name) {
    const auto left = static_cast<std::size_t>(state_.avail_in);
    std::copy_n(state_.next_in, left, stored_.data());
    const std::size_t n = read_file(fd_, stored_.data() + left, stored_.size() - left, name);
    state_.next_in = stored_.data();
    state_.avail_in = static_cast<std::uint32_t>(left + n);
    return n > 0;
  }

  bool begin_member(const std::string& name) {
    while (state_.avail_in < kGzipMagic.size() && load(name)) {
    }
    if (state_.avail_in >= kGzipMagic.size() && std::memcmp(state_.next_in, kGzipMagic.data(), kGzipMagic.size()) == 0) {
      isal_inflate_reset(&state_);
      return true;
    }
    pass_over_zeros(name);
    return false;
  }

  void pass_over_zeros(const std::string& name) {
    do {
      if (std::any_of(state_.next_in, state_.next_in + state_.avail_in, [](std::uint8_t byte) { return byte != 0; }))
        refuse(name, "behind its gzip data lie bytes that are none");
      state_.avail_in = 0;
    } while (load(name));
  }

  int fd_;
  inflate_state state_{};
  std::vector<std::uint8_t> stored_ = std::vector<std::uint8_t>(kStoredBytes);
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
    close(fd_);
    throw;
  }
}

CsvBytes::~CsvBytes() { close(fd_); }

CsvBytes::Stamp CsvBytes::stamp() const {
  struct stat status {};
  fstat(fd_, &status);
  return {status.st_size, static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

void CsvBytes::check_unchanged() const {
  if (stamp() != opened_) refuse_changed();
}

void CsvBytes::refuse_changed() const {
  throw InputError(
      fmt::format("{} changed while it was being read. Nothing was written; run the import again when the file is complete.", name_));
}

void CsvBytes::spool(const Context& context, const std::filesystem::path& folder) {
  TemporaryFile copy(folder, {"the piped input", "or import from a file"});
  std::vector<std::byte> buffer(kSpoolBuffer);
  ssize_t n;
  while ((n = read_pipe(context, fd_, buffer.data(), buffer.size())) > 0) copy.append(std::span(buffer).first(static_cast<std::size_t>(n)));
  if (n < 0) throw InputError(fmt::format("{} cannot be read: {}.", name_, std::strerror(errno)));
  close(fd_);
  fd_ = copy.release();
}

void CsvBytes::rewind() {
  check_unchanged();
  lseek(fd_, 0, SEEK_SET);
  inflater_ = is_gzip(fd_) ? std::make_unique<Inflater>(fd_) : nullptr;
}

std::size_t CsvBytes::read(char* to, std::size_t capacity) {
  const std::size_t n = inflater_ ? inflater_->read(to, capacity, name_) : read_file(fd_, to, capacity, name_);
  if (n == 0) check_unchanged();
  return n;
}

}  // namespace coterie::io
