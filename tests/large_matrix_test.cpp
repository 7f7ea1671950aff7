// Matrices beyond 2^31 cells and 2^32 rows, in sparse files: contiguous datasets of which a few cells were written.
#include <gtest/gtest.h>
#include <hdf5.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "io/matrix_reader.hpp"
#include "tests/support/hdf5_fixture.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

// (n_rows, n_columns) float32 of zeros but for `cells` in the rows that end the matrix.
void write_sparse(const std::filesystem::path& path, hsize_t n_rows, hsize_t n_columns, const std::vector<float>& cells) {
  hdf5::File file = testing::new_file(path, 0);
  const hsize_t shape[] = {n_rows, n_columns}, count[] = {cells.size() / n_columns, n_columns}, start[] = {n_rows - count[0], 0};
  const hid_t space = H5Screate_simple(2, shape, nullptr), memory = H5Screate_simple(2, count, nullptr);
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  ASSERT_GE(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY), 0);
  ASSERT_GE(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER), 0);  // holes read as zeros
  const hid_t dataset = H5Dcreate2(file.id(), "X", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  ASSERT_GE(dataset, 0);
  ASSERT_GE(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, count, nullptr), 0);
  ASSERT_GE(H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, cells.data()), 0);
  H5Dclose(dataset), H5Pclose(creation), H5Sclose(memory), H5Sclose(space);
  file.close();
}

struct Shape {
  hsize_t rows, columns;
};

TEST(LargeMatrix, EndsWhereItShould) {
  constexpr Shape kShapes[] = {{(hsize_t{1} << 32) + 77, 1}, {(hsize_t{1} << 27) + 5, 20}};  // > 2^32 rows; > 2^31 cells
  const testing::ScratchFolder folder;
  Context context({.threads = 1, .memory_bytes = std::int64_t{64} << 20});
  for (const auto& [rows, columns] : kShapes) {
    std::vector<float> cells(3 * columns), read(4 * columns, -1.0F);
    for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = static_cast<float>(i + 1);
    write_sparse(folder / "large.h5", rows, columns, cells);
    const auto file = InputFile::open(folder / "large.h5");
    const StoredMatrix matrix = inspect_matrix(*file, "/X");
    ASSERT_EQ(matrix.n_rows, static_cast<std::int64_t>(rows));
    MatrixReader(context, file, matrix).read(matrix.n_rows - 4, 4, read.data());
    EXPECT_EQ(std::vector<float>(read.begin(), read.begin() + static_cast<std::ptrdiff_t>(columns)), std::vector<float>(columns));
    EXPECT_EQ(std::vector<float>(read.begin() + static_cast<std::ptrdiff_t>(columns), read.end()), cells);
    std::filesystem::remove(folder / "large.h5");
  }
}

}  // namespace
}  // namespace coterie::io
