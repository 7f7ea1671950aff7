#include "cuda/dense_products.hpp"

#include <algorithm>
#include <cstddef>

#include "cuda/kernel.hpp"

namespace coterie::emulated {
namespace {

// Grid: the batch.
__global__ void multiply_kernel(ProductShape shape, const double* const* left, const double* const* right, double* const* product) {
  const double *const a = left[blockIdx.x], *const b = right[blockIdx.x];
  double* const c = product[blockIdx.x];
  for (int j = 0; j < shape.columns; ++j) std::fill_n(c + std::ptrdiff_t{j} * shape.product_stride, shape.rows, 0.0);
  for (int k = 0; k < shape.depth; ++k) {
    for (int j = 0; j < shape.columns; ++j) {
      const double factor = b[std::ptrdiff_t{k} * shape.right_stride + j];
      if (factor == 0) continue;  // most of what few rows are padded to
      for (int i = 0; i < shape.rows; ++i)
        c[std::ptrdiff_t{j} * shape.product_stride + i] += a[std::ptrdiff_t{k} * shape.left_stride + i] * factor;
    }
  }
}

class LoopProducts final : public DenseProducts {
 public:
  explicit LoopProducts(cudaStream_t stream) : stream_(stream) {}
  void multiply(const ProductShape& shape, const double* const* left, const double* const* right, double* const* product) override {
    launch(multiply_kernel, {static_cast<unsigned>(shape.count), 1, 0, stream_}, shape, left, right, product);
  }

 private:
  cudaStream_t stream_;
};

}  // namespace

std::unique_ptr<DenseProducts> open_dense_products(cudaStream_t stream) { return std::make_unique<LoopProducts>(stream); }

}  // namespace coterie::emulated
