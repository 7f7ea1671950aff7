#include "io/input_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "host/error.hpp"
#include "io/file_signature.hpp"

namespace coterie::io {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& what) {
  throw InputError(fmt::format("file '{}': {}; nothing was written", path.string(), what));
}

// Up to five HDF5-like names beside a path that does not exist.
std::string neighbours(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 4> kEndings = {".h5ad", ".h5", ".hdf5", ".hdf"};
  std::vector<std::string> names;
  std::error_code ignored;
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (std::find(kEndings.begin(), kEndings.end(), entry.path().extension().string()) != kEndings.end())
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  names.resize(std::min<std::size_t>(names.size(), 5));
  return names.empty() ? "" : fmt::format(". The folder holds {}", fmt::join(names, ", "));
}

// Opens without waiting: a pipe without a writer would block for ever.
int open_descriptor(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (descriptor >= 0) return descriptor;
  if (errno == ENOENT) refuse(path, "there is no such file" + neighbours(path));
  if (errno == EMFILE || errno == ENFILE)
    throw ResourceError(fmt::format("file '{}': too many open files; raise the limit with `ulimit -n`", path.string()));
  refuse(path, fmt::format("it cannot be opened ({})", std::strerror(errno)));
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

hdf5::PropertyList reading_access() {
  hdf5::PropertyList access = hdf5::property_list(hdf5::PropertyClass::file_access);
  const hdf5::Lock lock;
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
  H5Pset_file_locking(access.id(), true, true);  // lock, but read on where the file system knows no locks
  // 16 MiB of chunk cache for each open dataset hold a chunk of a million ids, so that reading ids in ranges does not
  // inflate it again and again; 4001 slots, a prime, serve chunks down to 4 KiB; 0: the oldest goes first. The matrix has a cache of its
  // own.
  H5Pset_cache(access.id(), 0, 4001, 16 << 20, 0);
  return access;
}

}  // namespace

InputFile::InputFile(std::filesystem::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {
  if (::fstat(descriptor_, &identity_) != 0) identity_.st_mode = 0;
}

InputFile::~InputFile() { ::close(descriptor_); }

std::shared_ptr<const InputFile> InputFile::open(const std::filesystem::path& path) {
  const std::shared_ptr<InputFile> file(new InputFile(path, open_descriptor(path)));
  file->check_kind();
  file->check_signature();
  file->file_ = hdf5::open_file(path, reading_access());
  return file;
}

void InputFile::check_kind() const {
  if (!S_ISREG(identity_.st_mode)) refuse(path_, fmt::format("this is {}, not a regular file", kind_of(identity_.st_mode)));
  if (size() == 0) refuse(path_, "the file is empty (0 bytes)");
}

void InputFile::check_signature() const {
  std::array<char, kHdf5Signature.size()> bytes{};
  for (std::int64_t offset = 0; offset < size(); offset = std::max<std::int64_t>(512, 2 * offset))  // where the format allows it
    if (read_bytes(*this, offset, bytes.size(), bytes.data()) && std::string_view(bytes.data(), bytes.size()) == kHdf5Signature) return;
  std::string head(static_cast<std::size_t>(std::min<std::int64_t>(size(), 512)), '\0');
  read_bytes(*this, 0, static_cast<std::int64_t>(head.size()), head.data());
  const LookAlike looks = recognise(head, path_.string());
  refuse(path_, fmt::format("this is not an HDF5 file; it looks like {}{}", looks.name,
                            looks.converter.empty() ? "" : ". To convert it: " + looks.converter));
}

void InputFile::check_unchanged() const {
  struct stat now {};
  if (::fstat(descriptor_, &now) != 0 || now.st_size != identity_.st_size || now.st_mtim.tv_sec != identity_.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != identity_.st_mtim.tv_nsec)
    refuse(path_, "the file has changed while it was being read. Run again when nothing writes it");
}

bool read_bytes(const InputFile& file, std::int64_t offset, std::int64_t n_bytes, void* bytes) {
  for (std::int64_t done = 0; done < n_bytes;) {
    const ssize_t got =
        ::pread(file.descriptor(), static_cast<char*>(bytes) + done, static_cast<std::size_t>(n_bytes - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(file.path(), fmt::format("reading {} bytes at byte {} failed ({})", n_bytes, offset, std::strerror(errno)));
    if (got == 0) return false;
    done += got;
  }
  return true;
}

}  // namespace coterie::io
