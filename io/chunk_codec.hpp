// What HDF5's filters shuffle, deflate (level 1) and fletcher32 make of a chunk, so that chunks can be encoded on any
// thread and handed to H5Dwrite_chunk. Every HDF5 reads the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace coterie::io {

// cells: a whole chunk; cell_bytes: size of one cell. Returns the stored form.
std::vector<std::byte> encode_chunk(std::span<const std::byte> cells, std::size_t cell_bytes);

// Fletcher's checksum over big-endian 16-bit words, as HDF5 stores it.
std::uint32_t fletcher32(std::span<const std::byte> bytes);

}  // namespace coterie::io
