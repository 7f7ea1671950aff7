#include "io/chunk_decoder.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/chunk_codec.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kBytes = 1024;
std::vector<H5Z_filter_t> encoder_filters() { return {H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE, H5Z_FILTER_FLETCHER32}; }

std::vector<std::byte> some_cells() {
  std::vector<std::byte> cells(kBytes);
  for (std::size_t i = 0; i < kBytes; ++i) cells[i] = static_cast<std::byte>(i * i / 7);
  return cells;
}

std::vector<std::byte> encoded(std::size_t cell_bytes) {
  ChunkEncoder encoder(cell_bytes);
  const auto stored = encoder.encode(some_cells());
  return {stored.begin(), stored.end()};
}

bool equal(std::span<const std::byte> a, const std::vector<std::byte>& b) { return std::ranges::equal(a, b); }

TEST(ChunkDecoder, UndoesWhatTheEncoderDoes) {
  const std::vector<std::byte> cells = some_cells();
  for (const std::size_t cell_bytes : {1, 2, 4, 8}) {
    const std::vector<std::byte> stored = encoded(cell_bytes);
    ChunkDecoder decoder(encoder_filters(), cell_bytes, kBytes);
    EXPECT_TRUE(equal(decoder.decode(stored, 0), cells)) << cell_bytes;
    EXPECT_TRUE(equal(decoder.decode(stored, 0), cells)) << "a second time, " << cell_bytes;
  }
}

TEST(ChunkDecoder, LeavesSkippedFiltersAlone) {
  const std::vector<std::byte> cells = some_cells();
  ChunkDecoder decoder(encoder_filters(), 4, kBytes);
  EXPECT_TRUE(equal(decoder.decode(cells, 0b111), cells));
}

TEST(ChunkDecoder, GivesNothingForAnyDamagedByte) {
  const std::vector<std::byte> stored = encoded(4);
  ChunkDecoder decoder(encoder_filters(), 4, kBytes);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    std::vector<std::byte> damaged = stored;
    damaged[i] ^= std::byte{0x10};
    EXPECT_TRUE(decoder.decode(damaged, 0).empty()) << "byte " << i;
  }
}

TEST(ChunkDecoder, GivesNothingForAnotherLength) {
  const std::vector<std::byte> stored = encoded(4);
  for (const std::size_t chunk_bytes : {kBytes - 4, kBytes + 4, std::size_t{4}})
    EXPECT_TRUE(ChunkDecoder(encoder_filters(), 4, chunk_bytes).decode(stored, 0).empty()) << chunk_bytes;
  ChunkDecoder decoder(encoder_filters(), 4, kBytes);
  for (std::size_t size = 0; size < stored.size(); ++size) EXPECT_TRUE(decoder.decode(std::span(stored).first(size), 0).empty()) << size;
}

}  // namespace
}  // namespace coterie::io
