// The shared memory of the block that runs: variables with poisoned gaps between them, filled with NaN patterns, so that
// stale or missing data shows and AddressSanitizer sees an index one past the end.
#pragma once

#include <cstddef>
#include <vector>

namespace coterie::emulated {

class SharedMemory {
 public:
  static constexpr std::size_t kStaticBytes = 48 * 1024;  // what a kernel may declare
  static constexpr std::size_t kBlockBytes = 227 * 1024;  // what a block of sm_90 may have in all

  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void clear();  // a new block begins: nothing is declared, nobody has touched anything
  // The variable declared at `site`; the first thread of the block that gets there makes it. Throws EmulationError
  // beyond kStaticBytes.
  void* variable(const void* site, std::size_t bytes, std::size_t alignment);
  // Dynamic shared memory of the block; nullptr for 0 bytes.
  std::byte* dynamic(std::size_t bytes);

 private:
  void* allocate(std::size_t bytes, std::size_t alignment);

  struct Variable {
    const void* site;
    void* address;
  };
  std::byte* arena_ = nullptr;
  std::size_t used_ = 0;          // of the arena, gaps included
  std::size_t static_bytes_ = 0;  // declared
  std::vector<Variable> variables_;
};

}  // namespace coterie::emulated
