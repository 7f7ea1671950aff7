#include "io/chunk_codec.hpp"

#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "host/error.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kBlockBytes = 64 << 10;  // room for what a stream adds to bytes that do not shrink
constexpr std::size_t kLeadBytes = 8;
constexpr std::size_t kWordsPerFold = 4096;  // keeps both sums below 2^41

// ISA-L's stream at level 1: codes shrink to little and mantissas to nothing at any level.
class Compressor {
 public:
  // A zlib stream of `bytes` to the front of `to`, which grows as it must. Returns its size.
  std::size_t compress(std::span<std::byte> bytes, std::vector<std::byte>& to) {
    isal_deflate_init(&stream_);
    stream_.level = 1;
    stream_.level_buf = level_buffer_.data();
    stream_.level_buf_size = static_cast<std::uint32_t>(level_buffer_.size());
    stream_.gzip_flag = IGZIP_ZLIB;
    // ISA-L 2.30 begins a stream with a hash of the stream's own address, unless a few bytes went before by its path for ends.
    const auto lead = bytes.first(std::min(bytes.size(), kLeadBytes));
    stream_.flush = SYNC_FLUSH;
    deflate(lead, to);
    stream_.flush = NO_FLUSH;
    stream_.end_of_stream = 1;
    deflate(bytes.subspan(lead.size()), to);
    return stream_.total_out;
  }

 private:
  void deflate(std::span<std::byte> bytes, std::vector<std::byte>& to) {
    stream_.next_in = reinterpret_cast<std::uint8_t*>(bytes.data());
    stream_.avail_in = static_cast<std::uint32_t>(bytes.size());
    do {
      const std::size_t size = stream_.total_out;
      to.resize(std::max(to.size(), size + bytes.size() / 2 + kBlockBytes));
      stream_.next_out = reinterpret_cast<std::uint8_t*>(to.data()) + size;
      stream_.avail_out = static_cast<std::uint32_t>(to.size() - size);
      if (isal_deflate(&stream_) != COMP_OK) throw InternalError("the compressor of output chunks refuses them");
    } while (stream_.end_of_stream != 0 && stream_.internal_state.state != ZSTATE_END);
  }

  isal_zstream stream_;
  std::array<std::uint8_t, ISAL_DEF_LVL1_DEFAULT> level_buffer_;
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
void shuffle_chunk(std::span<const std::byte> cells, std::size_t cell_bytes, std::byte* planes) {
  constexpr std::size_t kNearCells = 1024;  // whose bytes the first cache holds until each has gone to its plane
  const std::size_t n = cells.size() / cell_bytes;
  for (std::size_t first = 0; first < n; first += kNearCells) {
    const auto near = cells.subspan(first * cell_bytes, std::min(kNearCells, n - first) * cell_bytes);
    if (cell_bytes == sizeof(std::uint32_t))
      shuffle_words<std::uint32_t>(near, n, planes + first);
    else if (cell_bytes == sizeof(std::uint64_t))
      shuffle_words<std::uint64_t>(near, n, planes + first);
    else
      shuffle_bytes(near, cell_bytes, n, planes + first);
  }
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

std::span<const std::byte> ChunkEncoder::encode(std::span<const std::byte> cells) {
  thread_local const auto compressor = std::make_unique<Compressor>();
  planes_.resize(cells.size());
  shuffle_chunk(cells, cell_bytes_, planes_.data());
  const std::size_t size = compressor->compress(planes_, stored_);
  const std::uint32_t checksum = fletcher32({stored_.data(), size});
  stored_.resize(std::max(stored_.size(), size + kChecksumBytes));
  for (std::size_t i = 0; i < kChecksumBytes; ++i) stored_[size + i] = static_cast<std::byte>(checksum >> 8 * i);
  return std::span(stored_).first(size + kChecksumBytes);
}

}  // namespace coterie::io
