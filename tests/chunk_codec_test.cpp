#include "io/chunk_codec.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

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
TEST(ChunkCodec, Hdf5ReadsItsChunks) {
  const coterie::testing::ScratchFolder folder;
  const hdf5::Lock lock;
  const auto access = hdf5::property_list(hdf5::PropertyClass::file_access);
  const auto file = hdf5::create_file(folder / "f.h5", H5F_ACC_TRUNC, hdf5::property_list(hdf5::PropertyClass::file_creation), access);
  std::mt19937_64 random(2);
  for (const hsize_t n : {1u, 7u, 4096u, 65536u}) {
    const auto creation = hdf5::property_list(hdf5::PropertyClass::dataset_creation);
    H5Pset_chunk(creation.id(), 1, &n);
    H5Pset_shuffle(creation.id());
    H5Pset_deflate(creation.id(), 1);
    H5Pset_fletcher32(creation.id());
    const auto dataset =
        hdf5::create_dataset(file.id(), std::to_string(n), hdf5::native_type<double>(), hdf5::simple_space({&n, 1}), creation);
    std::vector<double> values(n);
    for (double& value : values) value = static_cast<double>(random() >> 40);
    const auto stored = encode_chunk(bytes_of(values), sizeof(double));
    const hsize_t offset = 0;
    ASSERT_GE(H5Dwrite_chunk(dataset.id(), H5P_DEFAULT, 0, &offset, stored.size(), stored.data()), 0);
    EXPECT_EQ(hdf5::read_all<double>(dataset), values);
  }
}

TEST(ChunkCodec, Hdf5ReadsCellsOfEverySize) {
  const coterie::testing::ScratchFolder folder;
  const hdf5::Lock lock;
  const auto access = hdf5::property_list(hdf5::PropertyClass::file_access);
  const auto file = hdf5::create_file(folder / "f.h5", H5F_ACC_TRUNC, hdf5::property_list(hdf5::PropertyClass::file_creation), access);
  std::mt19937 random(3);
  const hsize_t n = 2500;  // cells: two and a half times what is shuffled together
  for (const std::size_t cell_bytes : {1u, 2u, 3u, 4u, 8u, 20u, 26u}) {
    const hid_t type = H5Tcreate(H5T_OPAQUE, cell_bytes), space = H5Screate_simple(1, &n, nullptr);
    const auto creation = hdf5::property_list(hdf5::PropertyClass::dataset_creation);
    H5Pset_chunk(creation.id(), 1, &n);
    H5Pset_shuffle(creation.id());
    H5Pset_deflate(creation.id(), 1);
    H5Pset_fletcher32(creation.id());
    const hid_t dataset = H5Dcreate2(file.id(), std::to_string(cell_bytes).c_str(), type, space, H5P_DEFAULT, creation.id(), H5P_DEFAULT);
    std::vector<std::uint8_t> cells(n * cell_bytes), read(cells.size());
    for (auto& byte : cells) byte = static_cast<std::uint8_t>(random() % 7);
    const auto stored = encode_chunk(bytes_of(cells), cell_bytes);
    const hsize_t offset = 0;
    EXPECT_GE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &offset, stored.size(), stored.data()), 0);
    EXPECT_GE(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data()), 0);
    EXPECT_EQ(read, cells) << cell_bytes;
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
  }
}

}  // namespace
}  // namespace coterie::io
