// Arrays that know how they are freed: on the GPU, and in host memory that the GPU can read and write without the CPU.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda/check.hpp"
#include "cuda/device_budget.hpp"

namespace coterie::COTERIE_GPU {

struct DeviceMemory {
  static void* allocate(std::size_t bytes) {
    DeviceBudget::take(bytes);
    void* address = nullptr;
    if (const cudaError_t status = cudaMalloc(&address, bytes); status != cudaSuccess) {
      DeviceBudget::give_back(bytes);
      check(status);
    }
    return address;
  }
  static void release(void* address, std::size_t bytes) noexcept {
    (void)cudaFree(address);
    DeviceBudget::give_back(bytes);
  }
};
struct PinnedMemory {
  static void* allocate(std::size_t bytes) {
    void* address = nullptr;
    check(cudaHostAlloc(&address, bytes, cudaHostAllocDefault));
    return address;
  }
  static void release(void* address, std::size_t) noexcept { (void)cudaFreeHost(address); }
};

// `size` uninitialised elements. OutOfDeviceMemory when they do not fit.
template <class T, class Where>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : data_(size == 0 ? nullptr : static_cast<T*>(Where::allocate(size * sizeof(T)))), size_(size) {}
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) Where::release(data_, size_ * sizeof(T));
  }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }

  // At least `size` elements; what they held is lost when they move. Never inside a sweep.
  void ensure(std::size_t size) {
    if (size <= size_) return;
    *this = Buffer();  // free first: both may not fit
    *this = Buffer(size);
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

template <class T>
using DeviceBuffer = Buffer<T, DeviceMemory>;
template <class T>
using PinnedBuffer = Buffer<T, PinnedMemory>;

// The host side must live and, going to the device, stay unchanged until the stream has got there: only where pageable memory has to be
// staged does the runtime wait for it.
template <class T>
void copy_to_device(T* to, const T* from, std::size_t size, cudaStream_t stream) {
  if (size > 0) check(cudaMemcpyAsync(to, from, size * sizeof(T), cudaMemcpyHostToDevice, stream));
}
// What `from` holds, which may then change or end.
template <class T>
void upload(DeviceBuffer<T>& to, const std::vector<T>& from, cudaStream_t stream) {
  to.ensure(from.size());
  copy_to_device(to.data(), from.data(), from.size(), stream);
  check(cudaStreamSynchronize(stream));
}
template <class T>
void copy_to_host(T* to, const T* from, std::size_t size, cudaStream_t stream) {
  if (size > 0) check(cudaMemcpyAsync(to, from, size * sizeof(T), cudaMemcpyDeviceToHost, stream));
}
template <class T>
void copy_on_device(T* to, const T* from, std::size_t size, cudaStream_t stream) {
  if (size > 0) check(cudaMemcpyAsync(to, from, size * sizeof(T), cudaMemcpyDeviceToDevice, stream));
}
template <class T>
void fill_zero(T* to, std::size_t size, cudaStream_t stream) {
  if (size > 0) check(cudaMemsetAsync(to, 0, size * sizeof(T), stream));
}

}  // namespace coterie::COTERIE_GPU
