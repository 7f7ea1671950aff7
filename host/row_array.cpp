#include "host/row_array.hpp"

#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace coterie {

void* allocate_rows(std::size_t bytes) {
  constexpr std::size_t kLine = 64, kHugePage = std::size_t{2} << 20;
  const bool is_large = bytes >= 2 * kHugePage;
  const std::size_t alignment = is_large ? kHugePage : kLine;
  void* const rows = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (rows == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (is_large) madvise(rows, bytes, MADV_HUGEPAGE);  // advice: a system without them says no, and small pages do
#endif
  return rows;
}

}  // namespace coterie
