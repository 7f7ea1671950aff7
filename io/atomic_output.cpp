#include "io/atomic_output.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>

#include "host/error.hpp"
#include "host/memory_ledger.hpp"

namespace coterie::io {

// What a signal handler needs to clean up: plain memory, no allocation. A slot belongs to the process that claimed it, so
// a forked child never removes its parent's files.
struct OutputSlot {
  std::atomic<pid_t> owner{0};
  int folder = -1;
  std::array<char, 256> temporary{};
  std::array<char, 256> lock{};
  std::atomic<bool> has_temporary{false};
  std::atomic<bool> has_lock{false};

  void remove() noexcept {
    if (has_temporary.exchange(false)) ::unlinkat(folder, temporary.data(), 0);
    if (has_lock.exchange(false)) ::unlinkat(folder, lock.data(), 0);
  }
};

namespace {

constexpr std::size_t kRandomLetters = 8;     // 32^8 names: a collision is no concern, and O_EXCL would catch it
constexpr std::size_t kLongestName = 230;     // NAME_MAX is 255; the temporary's name adds 18 bytes
constexpr int kMostSymbolicLinks = 40;        // as the kernel
constexpr std::size_t kMostLiveOutputs = 16;  // a run writes a result, a table and a report

std::string reason(int error_number) { return std::generic_category().message(error_number); }

[[noreturn]] void refuse(const std::filesystem::path& path, std::string_view why, std::string_view next) {
  throw OutputError(fmt::format("cannot write '{}': {}. Nothing was written; {}", path.string(), why, next));
}

std::filesystem::path follow_links(std::filesystem::path path) {
  for (int i = 0; i < kMostSymbolicLinks; ++i) {
    std::error_code error;
    if (!std::filesystem::is_symlink(path, error)) return path;
    path = path.parent_path() / std::filesystem::read_symlink(path, error);
  }
  throw ArgumentError(
      fmt::format("output '{}' is a chain of symbolic links without an end; give the path of the file itself", path.string()));
}

bool same_file(const struct stat& a, const std::filesystem::path& b) {
  struct stat other {};
  return ::stat(b.c_str(), &other) == 0 && a.st_dev == other.st_dev && a.st_ino == other.st_ino;
}

std::string random_letters() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<unsigned char, kRandomLetters> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw ResourceError("the system gives no random bytes for the name of a temporary file: " + reason(errno));
  std::string letters;
  for (const unsigned char byte : bytes) letters += kLetters[byte % kLetters.size()];
  return letters;
}

std::string lock_name(const std::string& name) { return "." + name + ".coterie-lock"; }
std::string temporary_prefix(const std::string& name) { return "." + name + ".coterie-"; }

void close_quietly(int& fd) noexcept {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

std::array<OutputSlot, kMostLiveOutputs> slots;

OutputSlot* claim_slot() {
  for (OutputSlot& slot : slots) {
    pid_t nobody = 0;
    if (slot.owner.compare_exchange_strong(nobody, getpid())) return &slot;
  }
  throw ResourceError(fmt::format("more than {} output files are open at once", kMostLiveOutputs));
}

void keep_name(std::array<char, 256>& to, const std::string& name, std::atomic<bool>& is_set) {
  std::memcpy(to.data(), name.c_str(), name.size() + 1);
  is_set.store(true);
}

}  // namespace

void remove_temporaries() noexcept {
  for (OutputSlot& slot : slots)
    if (slot.owner.load() == getpid()) slot.remove();
}

AtomicOutput::AtomicOutput(const OutputRequest& request)
    : path_(follow_links(request.path)), name_(path_.filename().string()), estimated_bytes_(request.estimated_bytes) {
  try {
    open_folder();
    check_target(request);
    check_space();
    slot_ = claim_slot();
    slot_->folder = folder_;
    lock();
    create_temporary();
  } catch (...) {
    release();
    throw;
  }
}

AtomicOutput::~AtomicOutput() { release(); }

void AtomicOutput::release() noexcept {
  if (slot_ != nullptr && slot_->owner.load() == getpid()) {
    slot_->remove();
    slot_->owner.store(0);
  }
  slot_ = nullptr;
  close_quietly(fd_);
  close_quietly(lock_fd_);
  close_quietly(folder_);
}

void AtomicOutput::open_folder() {
  if (name_.empty() || name_ == "." || name_ == "..")
    throw ArgumentError(fmt::format("output '{}' names a folder; give the name of a file", path_.string()));
  if (name_.size() > kLongestName)
    throw ArgumentError(
        fmt::format("the output name has {} bytes; at most {} leave room for the temporary beside it", name_.size(), kLongestName));
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  folder_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_ < 0)
    refuse(path_, fmt::format("its folder cannot be opened ({})", reason(errno)), "create the folder or choose another with -o");
}

void AtomicOutput::check_target(const OutputRequest& request) {
  struct stat target {};
  if (::fstatat(folder_, name_.c_str(), &target, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) refuse(path_, reason(errno), "choose another path with -o");
    return;
  }
  if (!S_ISREG(target.st_mode))
    throw ArgumentError(fmt::format("output '{}' exists and is no regular file; give the path of a file", path_.string()));
  for (const auto& input : request.inputs)
    if (same_file(target, input))
      throw ArgumentError(
          fmt::format("output '{}' is the same file as the input '{}'; inputs are never changed. Choose another path with -o",
                      path_.string(), input.string()));
  if (!request.overwrite) refuse(path_, "it exists already", "pass --overwrite to replace it or choose another path with -o");
  replaces_ = true;
  mode_ = target.st_mode & 0777;
  group_ = target.st_gid;
}

void AtomicOutput::check_space() const {
  struct statvfs space {};
  if (::fstatvfs(folder_, &space) != 0) return;  // only a forecast: a write that fails is reported all the same
  if (static_cast<double>(space.f_bavail) * static_cast<double>(space.f_frsize) < static_cast<double>(estimated_bytes_)) fail(ENOSPC);
}

// Held until the run ends, by whatever end: the kernel drops it with the process. A run without locks (some network file
// systems) goes on, and leaves the temporaries of others alone.
void AtomicOutput::lock() {
  bool locked = try_lock();
  while (!locked && errno == ESTALE) locked = try_lock();
  keep_name(slot_->lock, lock_name(name_), slot_->has_lock);
  if (locked) remove_stale_temporaries();
}

// False with errno ESTALE when the run that held the lock has just ended and unlinked the file that was opened here.
bool AtomicOutput::try_lock() {
  close_quietly(lock_fd_);
  const std::string name = lock_name(name_);
  lock_fd_ = ::openat(folder_, name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) refuse(path_, fmt::format("its folder takes no new file ({})", reason(errno)), "choose another folder with -o");
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) refuse(path_, "another run is writing the same file", "wait for it or choose another path with -o");
    return false;
  }
  struct stat held {};
  struct stat named {};
  const bool current = ::fstat(lock_fd_, &held) == 0 && ::fstatat(folder_, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                       held.st_dev == named.st_dev && held.st_ino == named.st_ino;
  if (!current) errno = ESTALE;
  return current;
}

// Under the lock, every temporary of this target belongs to a run that was killed.
void AtomicOutput::remove_stale_temporaries() const {
  const int copy = ::openat(folder_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(copy < 0 ? nullptr : ::fdopendir(copy), &::closedir);
  if (!folder) return;
  const std::string prefix = temporary_prefix(name_);
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() == prefix.size() + kRandomLetters && name.starts_with(prefix)) ::unlinkat(folder_, entry->d_name, 0);
  }
}

void AtomicOutput::create_temporary() {
  const std::string name = temporary_prefix(name_) + random_letters();
  keep_name(slot_->temporary, name, slot_->has_temporary);
  fd_ = ::openat(folder_, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd_ < 0) fail(errno);
}

// The new file is never more readable than the old one: when the group cannot be kept, its rights go.
void AtomicOutput::keep_mode() const {
  unsigned mode = mode_;
  if (replaces_ && ::fchown(fd_, static_cast<uid_t>(-1), group_) != 0) mode &= ~070u;
  if (::fchmod(fd_, mode) != 0) fail(errno);
}

void AtomicOutput::sync() {
  if (synced_) return;
  keep_mode();
  if (::fsync(fd_) != 0) fail(errno);  // never retried: after a failure the kernel has dropped the bytes
  synced_ = true;
}

void AtomicOutput::commit() {
  sync();
  const char* temporary = slot_->temporary.data();
  int result = ::renameat2(folder_, temporary, folder_, name_.c_str(), replaces_ ? 0 : RENAME_NOREPLACE);
  const bool no_flags = result != 0 && (errno == EINVAL || errno == ENOSYS);  // a file system that cannot rename without replacing
  if (no_flags) result = ::renameat(folder_, temporary, folder_, name_.c_str());
  if (result != 0) fail(errno);
  slot_->has_temporary.store(false);
  const bool durable = ::fsync(folder_) == 0 || errno == EINVAL;  // EINVAL: a file system that does not sync folders
  const int error = errno;
  release();
  if (!durable)
    throw OutputError(fmt::format("'{}' is complete and in place, but the system could not confirm that it is on disk ({}). Check the disk",
                                  path_.string(), reason(error)));
}

void AtomicOutput::fail(int error_number) const {
  std::string why = reason(error_number);
  const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
  struct statvfs space {};
  if (full && ::fstatvfs(folder_, &space) == 0)
    why += fmt::format(" ({} needed, {} free)", estimated_bytes_ > 0 ? "about " + format_bytes(estimated_bytes_) : "more",
                       format_bytes(static_cast<std::int64_t>(space.f_bavail) * static_cast<std::int64_t>(space.f_frsize)));
  throw OutputError(fmt::format("cannot write '{}': {}. {}; {}choose another folder with -o", path_.string(), why,
                                replaces_ ? "The old file is unchanged" : "Nothing was left behind", full ? "make room or " : ""));
}

}  // namespace coterie::io
