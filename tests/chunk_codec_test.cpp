#include "io/chunk_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "io/hdf5.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

std::span<const std::byte> bytes_of(const auto& values) { return std::as_bytes(std::span(values)); }

// The definition: both sums modulo 65535, where a multiple of it other than 0 is written as 65535.
std::uint32_t reference_fletcher32(std::span<const std::byte> bytes) {
  const auto reduced = [](std::uint64_t sum) { return sum == 0 ? 0 : (sum - 1) % 65535 + 1; };
  std::uint64_t sum = 0, sum_of_sums = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const auto low = i + 1 < bytes.size() ? std::to_integer<std::uint64_t>(bytes[i + 1]) : 0;
    sum = reduced(sum + std::to_integer<std::uint64_t>(bytes[i]) * 256 + low);
    sum_of_sums = reduced(sum_of_sums + sum);
  }
  return static_cast<std::uint32_t>(sum_of_sums * 65536 + sum);
}

TEST(ChunkCodec, ChecksumMatchesReference) {
  std::mt19937 random(1);
  for (const std::size_t size : {0u, 1u, 2u, 719u, 720u, 8191u, 8192u, 8193u, 100'001u}) {
    std::vector<std::uint8_t> bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    EXPECT_EQ(fletcher32(bytes_of(bytes)), reference_fletcher32(bytes_of(bytes))) << size;
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0xff});
    EXPECT_EQ(fletcher32(bytes_of(bytes)), reference_fletcher32(bytes_of(bytes))) << size;
  }
}

// HDF5's own filters, checksum included, must accept what we stored.
class ChunkCodecFile : public ::testing::Test {
 protected:
  // cells: whole cells of cell_bytes each, of whatever type.
  void expect_read_back(const std::string& name, std::span<const std::byte> cells, std::size_t cell_bytes) {
    const hsize_t n = cells.size() / cell_bytes, offset = 0;
    const auto creation = hdf5::property_list(hdf5::PropertyClass::dataset_creation);
    H5Pset_chunk(creation.id(), 1, &n);
    H5Pset_shuffle(creation.id());
    H5Pset_deflate(creation.id(), 1);
    H5Pset_fletcher32(creation.id());
    const hid_t type = H5Tcreate(H5T_OPAQUE, cell_bytes), space = H5Screate_simple(1, &n, nullptr);
    const hid_t dataset = H5Dcreate2(file_.id(), name.c_str(), type, space, H5P_DEFAULT, creation.id(), H5P_DEFAULT);
    ChunkEncoder encoder(cell_bytes);
    const auto stored = encoder.encode(cells);
    std::vector<std::byte> read(cells.size());
    EXPECT_GE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &offset, stored.size(), stored.data()), 0);
    EXPECT_GE(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data()), 0);
    EXPECT_TRUE(std::ranges::equal(read, cells)) << name;
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
  }

 private:
  coterie::testing::ScratchFolder folder_;
  hdf5::Lock lock_;
  hdf5::File file_ = hdf5::create_file(folder_ / "f.h5", H5F_ACC_TRUNC, hdf5::property_list(hdf5::PropertyClass::file_creation),
                                       hdf5::property_list(hdf5::PropertyClass::file_access));
};

TEST_F(ChunkCodecFile, ReadsBackChunksOfEveryLength) {
  std::mt19937_64 random(2);
  for (const std::size_t n : {1u, 7u, 4096u, 65536u}) {
    std::vector<double> values(n);
    for (double& value : values) value = static_cast<double>(random() >> 40);
    expect_read_back(std::to_string(n), bytes_of(values), sizeof(double));
  }
}

TEST_F(ChunkCodecFile, ReadsBackChunksThatDoNotShrink) {
  std::mt19937_64 random(5);
  std::vector<std::uint64_t> noise(1 << 17);
  for (auto& cell : noise) cell = random();
  expect_read_back("noise", bytes_of(noise), sizeof(std::uint64_t));
}

TEST_F(ChunkCodecFile, ReadsBackCellsOfEverySize) {
  std::mt19937 random(3);
  for (const std::size_t cell_bytes : {1u, 2u, 3u, 4u, 8u, 20u, 26u}) {
    std::vector<std::uint8_t> cells(2500 * cell_bytes);  // two and a half times what is shuffled together
    for (auto& byte : cells) byte = static_cast<std::uint8_t>(random() % 7);
    expect_read_back(std::to_string(cell_bytes), bytes_of(cells), cell_bytes);
  }
}

// Neither what was encoded before nor the thread shows in the file: equal contents, equal bytes.
TEST(ChunkEncoder, GivesEqualBytesForEqualChunks) {
  std::mt19937 random(4);
  std::vector<std::uint32_t> some(20000), noise(200000);
  for (auto& cell : some) cell = random() % 1000;
  for (auto& cell : noise) cell = random();
  const auto encode = [](ChunkEncoder& encoder, const std::vector<std::uint32_t>& cells) {
    const auto stored = encoder.encode(bytes_of(cells));
    return std::vector<std::byte>(stored.begin(), stored.end());
  };
  ChunkEncoder used(4);
  const auto first = encode(used, some);
  EXPECT_GT(encode(used, noise).size(), noise.size() * sizeof(std::uint32_t)) << "longer than the first room";
  EXPECT_EQ(encode(used, some), first);
  std::thread([&] {
    ChunkEncoder other(4);
    EXPECT_EQ(encode(other, some), first);
  }).join();
}

// Small chunks that repeat their first bytes: there one hash in a few hundred could let the compressor's address show.
TEST(ChunkEncoder, GivesEqualBytesWhereverTheCompressorLies) {
  std::mt19937 random(6);
  std::vector<std::vector<std::uint8_t>> chunks(4000, std::vector<std::uint8_t>(256));
  for (auto& chunk : chunks)
    for (std::size_t i = 0; i < chunk.size(); ++i) chunk[i] = i < 64 ? static_cast<std::uint8_t>(random()) : chunk[i - 64];
  const auto encode_all = [&](std::vector<std::byte>& all) {
    ChunkEncoder encoder(1);
    for (const auto& chunk : chunks) {
      const auto stored = encoder.encode(bytes_of(chunk));
      all.insert(all.end(), stored.begin(), stored.end());
    }
  };
  std::vector<std::byte> here, there;
  encode_all(here);
  std::thread([&] { encode_all(there); }).join();
  EXPECT_TRUE(std::ranges::equal(here, there));
}

}  // namespace
}  // namespace coterie::io
