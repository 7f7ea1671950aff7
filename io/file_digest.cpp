#include "io/file_digest.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "io/sha256.hpp"

namespace coterie::io {
namespace {

constexpr std::int64_t kBytesAtOnce = 1 << 20;  // few system calls, and still in the second cache when they are digested

std::string digest(const InputFile& file, const std::atomic<bool>& given_up) {
  std::vector<std::byte> buffer(static_cast<std::size_t>(kBytesAtOnce));
  Sha256 digest;
  for (std::int64_t offset = 0; offset < file.size() && !given_up; offset += kBytesAtOnce) {
    const std::int64_t n = std::min(file.size() - offset, kBytesAtOnce);
    read_bytes(file, offset, n, buffer.data());
    digest.update({buffer.data(), static_cast<std::size_t>(n)});
  }
  file.check_unchanged();
  return digest.hex();
}

}  // namespace

FileDigest::FileDigest(std::shared_ptr<const InputFile> file)
    : hex_(std::async(std::launch::async, [this, file = std::move(file)] { return digest(*file, given_up_); })) {}

}  // namespace coterie::io
