// What HDF5's filters shuffle, deflate (level 1) and fletcher32 make of a chunk, so that chunks can be encoded on any
// thread and handed to H5Dwrite_chunk. Every HDF5 reads the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace coterie::io {

// Of the chunks of one dataset, one after another: its memory, twice a chunk, is touched but once.
class ChunkEncoder {
 public:
  explicit ChunkEncoder(std::size_t cell_bytes) : cell_bytes_(cell_bytes) {}
  // cells: a whole chunk. Returns the stored form, which is valid until the next call.
  std::span<const std::byte> encode(std::span<const std::byte> cells);

 private:
  std::size_t cell_bytes_;
  std::vector<std::byte> planes_;  // the chunk, shuffled
  std::vector<std::byte> stored_;  // larger than what is stored
};

// Fletcher's checksum over big-endian 16-bit words, as HDF5 stores it.
std::uint32_t fletcher32(std::span<const std::byte> bytes);

}  // namespace coterie::io
