// Runs a grid, block after block, each CUDA thread a fiber. A thread runs until it must wait for others; when nobody can
// run and some have not ended, that is a deadlock and the launch throws. Limits: one memory order (a missing
// __threadfence() does not show), no waiting between blocks, no timing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda/emulated/fiber.hpp"
#include "cuda/emulated/shared_memory.hpp"

namespace coterie::emulated {

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

inline constexpr unsigned kWarpSize = 32;

struct PendingCopy {  // a cp.async that has not happened yet
  std::byte* to;
  const std::byte* from;
  std::size_t bytes, filled;  // bytes to copy; zeros up to `filled`
};

struct PendingProduct {  // of a warpgroup, the thread's share
  float (*sums)[4];
  const std::byte *a, *b;
};

struct PhaseState {  // of a PhaseBarrier
  unsigned n_threads = 0, missing = 0, parity = 0;
  std::int64_t bytes = 0;  // announced less copied
  std::vector<PendingCopy> copies;
  std::vector<unsigned> waiting;
  void* tag = nullptr;        // of the phase that runs
  void* ended_tag = nullptr;  // of the one before
};

struct Thread {
  uint3 index;
  unsigned linear = 0, lane = 0, warp = 0;
  Fiber* fiber = nullptr;  // which of the stacks it runs on in this block
  bool ended = false;
  const char* waits_for = "";
  std::vector<std::vector<PendingCopy>> copy_groups;  // committed, oldest first
  std::vector<PendingCopy> open_copies;               // not yet committed
  std::vector<std::vector<PendingProduct>> product_groups;
  std::vector<PendingProduct> open_products;
};

struct Grid {
  uint3 block_index;
  dim3 block_dim, grid_dim;
  std::byte* dynamic_shared = nullptr;
};

class Scheduler {
 public:
  using Kernel = void (*)(void* argument);
  // What the last lane to arrive does for all lanes of `mask`; arguments: (32) what each lane passed to meet().
  using Complete = void (*)(void* const* arguments, unsigned mask);

  static Scheduler& get();
  static Scheduler& running() { return *running_; }  // inside a kernel

  // Throws what the kernel threw, or EmulationError.
  void run(Kernel kernel, void* argument, dim3 grid, dim3 block, std::size_t dynamic_shared_bytes);

  Thread& thread() { return *current_; }
  const Grid& grid() const { return grid_; }
  SharedMemory& shared() { return shared_; }

  void wait_block();  // __syncthreads: every thread that has not ended
  // A collective of the lanes of `mask` in the caller's warp. Lanes that name the same mask meet; operation is compared.
  // Only where orders_memory is true does it also order what the lanes wrote before with what they read after.
  void meet(unsigned mask, const char* operation, void* argument, Complete complete, bool orders_memory);

  // For collectives that keep their own state, by address.
  std::map<const void*, PhaseState>& phases() { return phases_; }
  void sleep(std::vector<unsigned>& waiting, const char* what);
  void wake(std::vector<unsigned>& waiting);
  void* new_tag();

 private:
  struct Meeting {
    unsigned mask = 0, arrived = 0;
    const char* operation = "";
    void* arguments[kWarpSize] = {};
    void* tag = nullptr;
  };
  struct Warp {
    std::vector<Meeting> meetings;
    unsigned ended = 0;  // lanes
  };

  static void run_thread(void* scheduler);
  void run_block(std::size_t dynamic_shared_bytes);
  void start_threads();
  void end_thread();
  void wait(const char* what);
  void make_ready(unsigned thread);
  unsigned next_ready();
  void resume_next(Fiber& from, bool from_ends);
  void release_block();
  Meeting& find_meeting(unsigned mask, const char* operation);
  std::string describe_deadlock() const;
  std::uint64_t random();

  // Read at every use of threadIdx, so without the function call that the general model of thread-local variables makes.
  static constinit thread_local Scheduler* running_ __attribute__((tls_model("initial-exec")));
  Kernel kernel_ = nullptr;
  void* argument_ = nullptr;
  Grid grid_;
  Fiber host_;
  std::vector<Thread> threads_;
  std::vector<std::unique_ptr<Fiber>> fibers_;  // set after set
  std::vector<Warp> warps_;
  std::vector<unsigned> ready_;  // a ring
  std::size_t first_ready_ = 0, n_ready_ = 0;
  Thread* current_ = nullptr;
  SharedMemory shared_;
  unsigned alive_ = 0, at_barrier_ = 0;
  void* barrier_tag_ = nullptr;
  std::vector<unsigned> waiting_at_barrier_;
  std::map<const void*, PhaseState> phases_;
  std::exception_ptr error_;
  std::uint64_t random_state_ = 0;
  // A fresh tag for every barrier: with one tag per barrier object, a later barrier would hide a race before it.
  std::vector<std::uint64_t> tags_;
  std::size_t next_tag_ = 0;
  std::uint64_t launch_tag_ = 0, end_tag_ = 0;
  std::size_t n_launches_ = 0, n_blocks_ = 0;  // so far, and of the launch
};

}  // namespace coterie::emulated
