// Products of a batch beside plain loops.
#include "cuda/dense_products.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/stream.hpp"
#include "tests/support/backends.hpp"

namespace coterie::COTERIE_GPU {
namespace {

std::vector<double> draw(std::size_t size) {
  std::mt19937 generator(7);
  std::normal_distribution<double> normal;
  std::vector<double> drawn(size);
  for (double& value : drawn) value = normal(generator);
  return drawn;
}

template <class T>
DeviceBuffer<T> on_device(const std::vector<T>& values, const Stream& stream) {
  DeviceBuffer<T> buffer(values.size());
  copy_to_device(buffer.data(), values.data(), values.size(), stream.get());
  stream.synchronize();
  return buffer;
}

TEST(DenseProducts, AreThoseOfPlainLoops) {
  Stream stream;
  const auto products = open_dense_products(stream.get());
  ASSERT_TRUE(products) << "cuBLAS of the CUDA Toolkit could not be opened";
  const ProductShape shape{
      .rows = 24, .columns = 16, .depth = 300, .left_stride = 40, .right_stride = 40, .product_stride = 24, .count = 3};
  const std::vector<double> factors = draw(std::size_t{40} * 300);
  const DeviceBuffer<double> x = on_device(factors, stream), found(std::size_t{3} * 24 * 16);
  std::vector<const double*> left, right;
  std::vector<double*> place;
  for (std::ptrdiff_t i = 0; i < shape.count; ++i) {
    left.push_back(x.data() + 8 * i);
    right.push_back(x.data() + 24 - 8 * i);
    place.push_back(found.data() + 24 * 16 * i);
  }
  const DeviceBuffer<const double*> lefts = on_device(left, stream), rights = on_device(right, stream);
  const DeviceBuffer<double*> places = on_device(place, stream);
  products->multiply(shape, lefts.data(), rights.data(), places.data());
  std::vector<double> product(found.size());
  copy_to_host(product.data(), found.data(), product.size(), stream.get());
  stream.synchronize();
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t row = 0; row < 24; ++row)
      for (std::size_t column = 0; column < 16; ++column) {
        double expected = 0;
        for (std::size_t k = 0; k < 300; ++k) expected += factors[40 * k + 8 * i + row] * factors[40 * k + 24 - 8 * i + column];
        EXPECT_NEAR(product[(i * 16 + column) * 24 + row], expected, 1e-12) << i << " " << row << " " << column;
      }
}

}  // namespace
}  // namespace coterie::COTERIE_GPU
