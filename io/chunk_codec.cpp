#include "io/chunk_codec.hpp"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "host/error.hpp"

namespace coterie::io {
namespace {

constexpr int kDeflateLevel = 1;  // codes shrink to little and mantissas to nothing at any level
constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kWordsPerFold = 4096;  // keeps both sums below 2^41

struct FreeCompressor {
  void operator()(libdeflate_compressor* compressor) const { libdeflate_free_compressor(compressor); }
};

// Byte j of some cells goes to planes[j * plane_bytes + i]. `Word` holds a cell, so that the bytes of a plane are made in vectors.
template <class Word>
void shuffle_words(std::span<const std::byte> cells, std::size_t plane_bytes, std::byte* planes) {
  const std::size_t n = cells.size() / sizeof(Word);
  for (std::size_t j = 0; j < sizeof(Word); ++j)
    for (std::size_t i = 0; i < n; ++i) {
      Word word;
      std::memcpy(&word, cells.data() + i * sizeof(Word), sizeof(Word));
      planes[j * plane_bytes + i] = static_cast<std::byte>(word >> 8 * j);
    }
}

void shuffle_bytes(std::span<const std::byte> cells, std::size_t cell_bytes, std::size_t plane_bytes, std::byte* planes) {
  const std::size_t n = cells.size() / cell_bytes;
  for (std::size_t j = 0; j < cell_bytes; ++j)
    for (std::size_t i = 0; i < n; ++i) planes[j * plane_bytes + i] = cells[i * cell_bytes + j];
}

// Byte j of all cells, then byte j + 1 of all cells: equal high bytes come together.
std::vector<std::byte> shuffled(std::span<const std::byte> cells, std::size_t cell_bytes) {
  constexpr std::size_t kNearCells = 1024;  // whose bytes the first cache holds until each has gone to its plane
  std::vector<std::byte> planes(cells.size());
  const std::size_t n = cells.size() / cell_bytes;
  for (std::size_t first = 0; first < n; first += kNearCells) {
    const auto near = cells.subspan(first * cell_bytes, std::min(kNearCells, n - first) * cell_bytes);
    if (cell_bytes == sizeof(std::uint32_t))
      shuffle_words<std::uint32_t>(near, n, planes.data() + first);
    else if (cell_bytes == sizeof(std::uint64_t))
      shuffle_words<std::uint64_t>(near, n, planes.data() + first);
    else
      shuffle_bytes(near, cell_bytes, n, planes.data() + first);
  }
  return planes;
}

// Modulo 65535 by adding the carry, which keeps 65535 itself and turns only 0 into 0.
std::uint64_t folded(std::uint64_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

}  // namespace

std::uint32_t fletcher32(std::span<const std::byte> bytes) {
  const std::size_t n_words = (bytes.size() + 1) / 2;
  std::uint64_t sum = 0, sum_of_sums = 0;
  for (std::size_t begin = 0; begin < n_words; begin += kWordsPerFold) {
    for (std::size_t i = begin; i < std::min(begin + kWordsPerFold, n_words); ++i) {
      const auto low = 2 * i + 1 < bytes.size() ? std::to_integer<std::uint64_t>(bytes[2 * i + 1]) : 0;
      sum += std::to_integer<std::uint64_t>(bytes[2 * i]) << 8 | low;
      sum_of_sums += sum;
    }
    sum = folded(sum);
    sum_of_sums = folded(sum_of_sums);
  }
  return static_cast<std::uint32_t>(sum_of_sums << 16 | sum);
}

std::vector<std::byte> encode_chunk(std::span<const std::byte> cells, std::size_t cell_bytes) {
  thread_local const std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor(libdeflate_alloc_compressor(kDeflateLevel));
  if (!compressor) throw ResourceError("no memory for the compressor of output chunks");
  const std::vector<std::byte> planes = shuffled(cells, cell_bytes);
  std::vector<std::byte> stored(libdeflate_zlib_compress_bound(compressor.get(), planes.size()) + kChecksumBytes);
  const std::size_t size = libdeflate_zlib_compress(compressor.get(), planes.data(), planes.size(), stored.data(), stored.size());
  if (size == 0) throw InternalError("a chunk outgrew the compressor's own bound");
  const std::uint32_t checksum = fletcher32({stored.data(), size});
  for (std::size_t i = 0; i < kChecksumBytes; ++i) stored[size + i] = static_cast<std::byte>(checksum >> 8 * i);
  stored.resize(size + kChecksumBytes);
  return stored;
}

}  // namespace coterie::io
