#include "io/chunk_decoder.hpp"

#include <libdeflate.h>

#include <cstring>
#include <utility>

#include "host/error.hpp"
#include "io/chunk_codec.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kChecksumBytes = 4;

// The bytes before the checksum at the end, or nothing when it is wrong.
std::span<const std::byte> without_checksum(std::span<const std::byte> bytes) {
  if (bytes.size() < kChecksumBytes) return {};
  const auto body = bytes.first(bytes.size() - kChecksumBytes);
  std::uint32_t stored = 0;
  for (std::size_t i = 0; i < kChecksumBytes; ++i) stored |= std::to_integer<std::uint32_t>(bytes[body.size() + i]) << 8 * i;
  return fletcher32(body) == stored ? body : std::span<const std::byte>();
}

// planes: byte 0 of all n cells, then byte 1 of all cells, ... -> cells.
template <class Word>
void interleave(const std::byte* planes, std::size_t n, std::byte* cells) {
  for (std::size_t i = 0; i < n; ++i) {
    Word word = 0;
    for (std::size_t j = 0; j < sizeof(Word); ++j) word |= static_cast<Word>(std::to_integer<Word>(planes[j * n + i]) << 8 * j);
    std::memcpy(cells + i * sizeof(Word), &word, sizeof(Word));
  }
}

}  // namespace

void ChunkDecoder::Free::operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }

ChunkDecoder::ChunkDecoder(std::vector<H5Z_filter_t> filters, std::size_t cell_bytes, std::size_t chunk_bytes)
    : filters_(std::move(filters)), cell_bytes_(cell_bytes), chunk_bytes_(chunk_bytes), decompressor_(libdeflate_alloc_decompressor()) {
  if (!decompressor_) throw ResourceError("there is no memory left to decompress the input; nothing was written");
}

std::size_t ChunkDecoder::memory_bytes(std::size_t chunk_bytes) { return 2 * (chunk_bytes + kChecksumBytes); }

std::vector<std::byte>& ChunkDecoder::spare(std::span<const std::byte> in_use) {
  std::vector<std::byte>& buffer = in_use.data() == buffers_[0].data() ? buffers_[1] : buffers_[0];
  buffer.resize(chunk_bytes_ + kChecksumBytes);  // a checksum may have been put before the compression
  return buffer;
}

std::span<const std::byte> ChunkDecoder::decode(std::span<const std::byte> stored, std::uint32_t skipped) {
  std::span<const std::byte> bytes = stored;
  for (std::size_t i = filters_.size(); i-- > 0;)
    if ((skipped >> i & 1) == 0) bytes = undo(filters_[i], bytes);
  return bytes.size() == chunk_bytes_ ? bytes : std::span<const std::byte>();
}

std::span<const std::byte> ChunkDecoder::undo(H5Z_filter_t filter, std::span<const std::byte> bytes) {
  if (filter == H5Z_FILTER_DEFLATE) return inflated(bytes);
  return filter == H5Z_FILTER_SHUFFLE ? unshuffled(bytes) : without_checksum(bytes);
}

std::span<const std::byte> ChunkDecoder::inflated(std::span<const std::byte> bytes) {
  std::vector<std::byte>& buffer = spare(bytes);
  std::size_t size = 0;
  const auto result = libdeflate_zlib_decompress(decompressor_.get(), bytes.data(), bytes.size(), buffer.data(), buffer.size(), &size);
  if (result != LIBDEFLATE_SUCCESS) return {};
  return {buffer.data(), size};
}

std::span<const std::byte> ChunkDecoder::unshuffled(std::span<const std::byte> bytes) {
  const std::size_t n = bytes.size() / cell_bytes_;
  if (cell_bytes_ == 1 || bytes.size() > chunk_bytes_ + kChecksumBytes) return bytes;
  std::vector<std::byte>& buffer = spare(bytes);
  switch (cell_bytes_) {
    case 2: interleave<std::uint16_t>(bytes.data(), n, buffer.data()); break;
    case 4: interleave<std::uint32_t>(bytes.data(), n, buffer.data()); break;
    default: interleave<std::uint64_t>(bytes.data(), n, buffer.data()); break;
  }
  const std::size_t whole = n * cell_bytes_;  // a checksum that was shuffled along stays behind the cells
  if (whole < bytes.size()) std::memcpy(buffer.data() + whole, bytes.data() + whole, bytes.size() - whole);
  return {buffer.data(), bytes.size()};
}

}  // namespace coterie::io
