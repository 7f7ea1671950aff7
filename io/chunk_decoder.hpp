// Undoes what HDF5's filters shuffle, deflate and fletcher32 have made of a chunk, in any order they were applied. libdeflate is
// three times as fast as the zlib of the library, and runs on all threads instead of one under the library's lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/hdf5.hpp"

struct libdeflate_decompressor;

namespace coterie::io {

class ChunkDecoder {
 public:
  // filters: in the order they were applied; supports() each. chunk_bytes: of the decoded chunk.
  ChunkDecoder(std::vector<H5Z_filter_t> filters, std::size_t cell_bytes, std::size_t chunk_bytes);

  static bool supports(H5Z_filter_t filter) {
    return filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_FLETCHER32;
  }
  static std::size_t memory_bytes(std::size_t chunk_bytes);  // of one decoder

  // The chunk's cells (chunk_bytes), valid until the next call; empty when checksum or compression are damaged. Bit i of
  // `skipped` tells that filter i was left out for this chunk.
  std::span<const std::byte> decode(std::span<const std::byte> stored, std::uint32_t skipped);

 private:
  std::span<const std::byte> undo(H5Z_filter_t filter, std::span<const std::byte> bytes);
  std::span<const std::byte> inflated(std::span<const std::byte> bytes);
  std::span<const std::byte> unshuffled(std::span<const std::byte> bytes);
  std::vector<std::byte>& spare(std::span<const std::byte> in_use);  // the buffer that does not hold `in_use`

  struct Free {
    void operator()(libdeflate_decompressor* decompressor) const;
  };
  std::vector<H5Z_filter_t> filters_;
  std::size_t cell_bytes_, chunk_bytes_;
  std::unique_ptr<libdeflate_decompressor, Free> decompressor_;
  std::vector<std::byte> buffers_[2];  // (chunk_bytes and a checksum) each
};

}  // namespace coterie::io
