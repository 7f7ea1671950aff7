#include "cuda/emulated/fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(COTERIE_TSAN)  // this file itself is compiled without ThreadSanitizer, so its own macro is not set
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* tag);
void __tsan_release(void* tag);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace coterie::emulated {
namespace {

thread_local Fiber* g_from = nullptr;  // who switched last
thread_local Fiber* g_to = nullptr;    // to whom

#if defined(COTERIE_TSAN)
constexpr unsigned kNoSynchronisation = 1;  // a switch alone orders nothing: only barriers do
#endif

}  // namespace

#if defined(__x86_64__)
// Saves the callee-saved registers and the floating-point control words on the old stack, takes them from the new one.
extern "C" void coterie_switch_stack(void** save_stack_pointer, void* stack_pointer);
asm(R"(
.text
.globl coterie_switch_stack
.type coterie_switch_stack,@function
coterie_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8,%rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size coterie_switch_stack,.-coterie_switch_stack
)");
#endif

Fiber::Fiber() {
#if defined(COTERIE_TSAN)
  race_fiber_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(std::size_t stack_bytes) : stack_bytes_(stack_bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapping_bytes_ = stack_bytes + page;
  void* mapping = mmap(nullptr, mapping_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<std::byte*>(mapping);
  stack_ = mapping_ + page;
  if (mprotect(mapping_ + page, stack_bytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapping_, mapping_bytes_);
    throw std::bad_alloc();
  }
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
#if defined(COTERIE_TSAN)
  if (race_fiber_ != nullptr) __tsan_destroy_fiber(race_fiber_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, stack_bytes_);
#endif
  munmap(mapping_, mapping_bytes_);
}

void Fiber::start(Entry entry, void* argument) {
  entry_ = entry;
  argument_ = argument;
  fake_stack_ = nullptr;
#if defined(COTERIE_TSAN)
  if (race_fiber_ == nullptr) race_fiber_ = __tsan_create_fiber(0);  // a millisecond, so once
#endif
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, stack_bytes_);  // red zones of frames that never returned
#endif
#if defined(__x86_64__)
  // From the top: an end of the call chain, the return address of the first switch, six registers, the control words.
  // The function is entered with the stack pointer 8 below a multiple of 16, as after a call.
  auto* top = reinterpret_cast<std::uint64_t*>(mapping_ + mapping_bytes_);
  *--top = 0;
  *--top = reinterpret_cast<std::uint64_t>(&Fiber::enter);
  for (int i = 0; i < 6; ++i) *--top = 0;
  std::uint32_t control = 0;
  std::uint16_t x87_control = 0;
  asm volatile("stmxcsr %0" : "=m"(control));
  asm volatile("fnstcw %0" : "=m"(x87_control));
  *--top = control | std::uint64_t{x87_control} << 32;
  stack_pointer_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = const_cast<void*>(stack_);
  context_.uc_stack.ss_size = stack_bytes_;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::enter, 0);
#endif
}

void Fiber::enter() {
#if defined(__SANITIZE_ADDRESS__)
  const void* stack = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
  if (g_from->mapping_ == nullptr) {  // only now are the bounds of the host thread's stack known
    g_from->stack_ = stack;
    g_from->stack_bytes_ = bytes;
  }
#endif
  g_to->entry_(g_to->argument_);
  std::abort();
}

void Fiber::switch_to(Fiber& from, Fiber& to, [[maybe_unused]] bool from_ends) {
  g_from = &from;
  g_to = &to;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack_, to.stack_, to.stack_bytes_);
#endif
#if defined(COTERIE_TSAN)
  __tsan_switch_to_fiber(to.race_fiber_, kNoSynchronisation);
#endif
#if defined(__x86_64__)
  coterie_switch_stack(&from.stack_pointer_, to.stack_pointer_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#endif
}

#if defined(COTERIE_TSAN)
void release_memory(void* tag) { __tsan_release(tag); }
void acquire_memory(void* tag) { __tsan_acquire(tag); }
UntouchedMemory::UntouchedMemory() {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
UntouchedMemory::~UntouchedMemory() {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
void release_memory(void*) {}
void acquire_memory(void*) {}
UntouchedMemory::UntouchedMemory() = default;
UntouchedMemory::~UntouchedMemory() = default;
#endif

}  // namespace coterie::emulated
