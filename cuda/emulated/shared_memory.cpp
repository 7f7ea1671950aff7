#include "cuda/emulated/shared_memory.hpp"

#include <sys/mman.h>

#include <new>

#include "cuda/emulated/emulator.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace coterie::emulated {
namespace {

constexpr std::size_t kGap = 64;                                           // bytes before and after every variable
constexpr std::size_t kArenaBytes = 2 * SharedMemory::kBlockBytes + 4096;  // room for gaps

// A fresh mapping in place of the old one: ThreadSanitizer then knows that no thread has touched these bytes.
std::byte* map_arena(void* where, std::size_t bytes) {
  void* mapping = mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (where != nullptr ? MAP_FIXED : 0), -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(mapping);
}

}  // namespace

SharedMemory::SharedMemory() : arena_(map_arena(nullptr, kArenaBytes)) {}

SharedMemory::~SharedMemory() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(arena_, kArenaBytes);
#endif
  munmap(arena_, kArenaBytes);
}

void SharedMemory::clear() {
#if defined(COTERIE_TSAN)
  if (used_ > 0) map_arena(arena_, used_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(arena_, kArenaBytes);
#endif
  used_ = static_bytes_ = 0;
  variables_.clear();
}

void* SharedMemory::allocate(std::size_t bytes, std::size_t alignment) {
  const std::size_t offset = (used_ + kGap + alignment - 1) / alignment * alignment;
  if (offset + bytes + kGap > kArenaBytes) throw EmulationError("a block asked for more shared memory than there is");
  used_ = offset + bytes;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(arena_ + offset, bytes);
#endif
  // Not memset: ThreadSanitizer would take it for a write by the thread that got here first.
  volatile std::byte* to = arena_ + offset;
  for (std::size_t i = 0; i < bytes; ++i) to[i] = kPoison;
  return arena_ + offset;
}

void* SharedMemory::variable(const void* site, std::size_t bytes, std::size_t alignment) {
  for (const Variable& known : variables_) {
    if (known.site == site) return known.address;
  }
  static_bytes_ += bytes;
  if (static_bytes_ > kStaticBytes) throw EmulationError("a kernel declares more than 48 KiB of shared memory");
  variables_.push_back({site, allocate(bytes, alignment)});
  return variables_.back().address;
}

std::byte* SharedMemory::dynamic(std::size_t bytes) {
  constexpr std::size_t kAlignment = 1024;  // what the strictest consumer of shared memory, a swizzled bulk copy, asks for
  return bytes == 0 ? nullptr : static_cast<std::byte*>(allocate(bytes, kAlignment));
}

}  // namespace coterie::emulated
