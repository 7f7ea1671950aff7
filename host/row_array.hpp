// Memory that starts at a line of the cache, so that rows and vectors of whole lines do not straddle two. Large pieces (4 MiB) are
// whole huge pages, which are asked for: their first touch and translation cost less.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

namespace coterie {

void* allocate_rows(std::size_t bytes);  // std::bad_alloc where there is none; for std::free

struct FreeRows {
  void operator()(void* rows) const { std::free(rows); }
};
// For something of every row, written in full.
template <class T>
using RowArray = std::unique_ptr<T[], FreeRows>;

// Not initialised.
template <class T>
RowArray<T> make_row_array(std::size_t n) {
  return RowArray<T>(static_cast<T*>(allocate_rows(n * sizeof(T))));
}

// Equal pieces, handed out one by one: address space is asked for many at a time, for huge pages' sake, and memory is taken by what is
// written only.
template <class T>
class RowPieces {
 public:
  // size: of a piece, always the same, not initialised. n_to_come: pieces that will be wanted, this one with them.
  T* take(std::int64_t size, std::int64_t n_to_come) {
    if (left_ == 0) {
      left_ = n_to_come;
      next_ = arrays_.emplace_back(make_row_array<T>(static_cast<std::size_t>(left_ * size))).get();
    }
    --left_;
    return std::exchange(next_, next_ + size);
  }

 private:
  std::vector<RowArray<T>> arrays_;
  T* next_ = nullptr;
  std::int64_t left_ = 0;  // pieces
};

// For vectors that SIMD reads again and again.
template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class U>
  explicit LineAllocator(const LineAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_rows(n * sizeof(T))); }
  void deallocate(T* values, std::size_t) { std::free(values); }
  bool operator==(const LineAllocator&) const { return true; }
};
template <class T>
using LineVector = std::vector<T, LineAllocator<T>>;

// For vectors that threads write in full: resize() leaves new elements as they are.
template <class T>
struct UnwrittenAllocator : LineAllocator<T> {
  template <class U>
  struct rebind {
    using other = UnwrittenAllocator<U>;
  };
  template <class U>
  void construct(U*) noexcept {}
  template <class U, class... Values>
  void construct(U* at, Values&&... values) {
    std::construct_at(at, std::forward<Values>(values)...);
  }
};
template <class T>
using UnwrittenVector = std::vector<T, UnwrittenAllocator<T>>;

}  // namespace coterie
