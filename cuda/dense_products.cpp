#include "cuda/dense_products.hpp"

#include <cublas_v2.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstddef>
#include <optional>
#include <string>

#include "cuda/device_buffer.hpp"

namespace coterie::gpu {
namespace {

struct Functions {
  decltype(&cublasCreate_v2) create;
  decltype(&cublasDestroy_v2) destroy;
  decltype(&cublasSetStream_v2) set_stream;
  decltype(&cublasSetWorkspace_v2) set_workspace;
  decltype(&cublasDgemmBatched) multiply;
  decltype(&cublasGetStatusString) status_text;
};

// Not every build of the library looks beside itself for the one that it needs; what is loaded already is found.
void* open_library(const std::string& folder) {
  (void)dlopen(fmt::format("{}libcublasLt.so.{}", folder, CUBLAS_VER_MAJOR).c_str(), RTLD_LAZY | RTLD_LOCAL);
  return dlopen(fmt::format("{}libcublas.so.{}", folder, CUBLAS_VER_MAJOR).c_str(), RTLD_LAZY | RTLD_LOCAL);
}

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

// Never closed again.
std::optional<Functions> find_functions() {
  void* library = open_library("");
  if (library == nullptr) library = open_library("/usr/local/cuda/lib64/");
  if (library == nullptr) return std::nullopt;
  Functions found{};
  const bool complete = find(library, "cublasCreate_v2", found.create) && find(library, "cublasDestroy_v2", found.destroy) &&
                        find(library, "cublasSetStream_v2", found.set_stream) &&
                        find(library, "cublasSetWorkspace_v2", found.set_workspace) &&
                        find(library, "cublasDgemmBatched", found.multiply) && find(library, "cublasGetStatusString", found.status_text);
  return complete ? std::optional(found) : std::nullopt;
}

class CublasProducts final : public DenseProducts {
 public:
  CublasProducts(const Functions& cublas, cudaStream_t stream) : cublas_(cublas), workspace_(kWorkspaceBytes) {
    check(cublas_.create(&handle_), "cublasCreate");
    try {
      check(cublas_.set_stream(handle_, stream), "cublasSetStream");  // takes the workspace away
      check(cublas_.set_workspace(handle_, workspace_.data(), kWorkspaceBytes), "cublasSetWorkspace");
    } catch (...) {
      (void)cublas_.destroy(handle_);
      throw;
    }
  }
  ~CublasProducts() override { (void)cublas_.destroy(handle_); }
  CublasProducts(const CublasProducts&) = delete;
  CublasProducts& operator=(const CublasProducts&) = delete;

  void multiply(const ProductShape& shape, const double* const* left, const double* const* right, double* const* product) override {
    const double one = 1, zero = 0;
    check(cublas_.multiply(handle_, CUBLAS_OP_N, CUBLAS_OP_T, shape.rows, shape.columns, shape.depth, &one, left, shape.left_stride, right,
                           shape.right_stride, &zero, product, shape.product_stride, shape.count),
          "cublasDgemmBatched");
  }

 private:
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what NVIDIA advises on Hopper; a fixed one, for bits hang on it

  void check(cublasStatus_t status, const char* function) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw_device_error(fmt::format("{} in {}", cublas_.status_text(status), function), status == CUBLAS_STATUS_ALLOC_FAILED);
  }

  Functions cublas_;
  DeviceBuffer<std::byte> workspace_;
  cublasHandle_t handle_ = nullptr;
};

}  // namespace

std::unique_ptr<DenseProducts> open_dense_products(cudaStream_t stream) {
  static const std::optional<Functions> cublas = find_functions();
  return cublas ? std::make_unique<CublasProducts>(*cublas, stream) : nullptr;
}

}  // namespace coterie::gpu
