// One stack that can be left and resumed: the CUDA thread of the emulated device. On x86-64 a switch is twenty
// instructions of our own; elsewhere ucontext does it (four times slower). Tells AddressSanitizer and ThreadSanitizer
// about every switch.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace coterie::emulated {

class Fiber {
 public:
  using Entry = void (*)(void* argument);  // never returns: it ends by switch_to(..., from_ends = true)

  Fiber();                                  // stands for the stack of the host thread that calls
  explicit Fiber(std::size_t stack_bytes);  // with an inaccessible page below the stack
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next switch to this fiber calls entry(argument) on an empty stack. Whatever ran there before is forgotten.
  void start(Entry entry, void* argument);
  static void switch_to(Fiber& from, Fiber& to, bool from_ends = false);

 private:
  [[noreturn]] static void enter();

  std::byte* mapping_ = nullptr;  // guard page, then the stack; nullptr for a host thread's own stack
  std::size_t mapping_bytes_ = 0;
  const void* stack_ = nullptr;  // lowest address
  std::size_t stack_bytes_ = 0;
  Entry entry_ = nullptr;
  void* argument_ = nullptr;
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_{};
#endif
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* race_fiber_ = nullptr;  // ThreadSanitizer's
};

// Edges for ThreadSanitizer; nothing without it. What happened before release(tag) happened before what follows acquire(tag).
void release_memory(void* tag);
void acquire_memory(void* tag);

// While one lives, ThreadSanitizer sees no access of the caller, and takes what it allocates, maps or frees as memory that
// nobody has touched: for the bookkeeping of the emulated device itself.
class UntouchedMemory {
 public:
  UntouchedMemory();
  ~UntouchedMemory();
  UntouchedMemory(const UntouchedMemory&) = delete;
  UntouchedMemory& operator=(const UntouchedMemory&) = delete;
};

}  // namespace coterie::emulated
