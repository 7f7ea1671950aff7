// Batches of products of dense matrices in double, by cuBLAS. On the emulated device plain loops stand for it.
#pragma once

#include <memory>

#include "cuda/namespace.hpp"
#include "cuda/runtime.hpp"

namespace coterie::COTERIE_GPU {

// C = A B^T, (rows, depth) by (columns, depth). The numbers of a column are neighbours; from column to column there are stride many.
struct ProductShape {
  int rows, columns, depth;
  int left_stride, right_stride, product_stride;
  int count;  // of the batch
};

class DenseProducts {
 public:
  virtual ~DenseProducts() = default;
  // left, right, product: (count) and on the device, as what they point to is. Neither allocates nor waits. The bits of a product depend
  // on its factors, the shape and the device.
  virtual void multiply(const ProductShape& shape, const double* const* left, const double* const* right, double* const* product) = 0;
};

// For work in `stream`, which must outlive the result. cuBLAS is opened here: linked, it would cost 150 MB of resident memory at start.
// nullptr: this machine has none.
std::unique_ptr<DenseProducts> open_dense_products(cudaStream_t stream);

}  // namespace coterie::COTERIE_GPU
