#include "host/context.hpp"

#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#ifdef COTERIE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#include <exception>
#include <limits>
#include <mutex>

#include "host/error.hpp"

namespace coterie {
namespace {

// oneTBB's library is not instrumented, so ThreadSanitizer sees neither that tasks begin after the call nor that they end before it
// returns. It is told here, with an address for each of the two; tasks stay unordered among themselves. This file, the only one that
// uses oneTBB, is compiled without instrumentation, and with COTERIE_TSAN.
#ifdef COTERIE_TSAN
void tell_before(const void* address) { __tsan_release(const_cast<void*>(address)); }
void tell_after(const void* address) { __tsan_acquire(const_cast<void*>(address)); }
#else
void tell_before(const void*) {}
void tell_after(const void*) {}
#endif

// The exception of the first task that threw. Those before it still run, for one of them may throw as well.
class FirstFailure {
 public:
  bool came_before(std::int64_t task) const { return task_.load(std::memory_order_relaxed) < task; }
  void note(std::int64_t task) {  // in a handler
    const std::lock_guard lock(mutex_);
    if (came_before(task)) return;
    exception_ = std::current_exception();
    task_.store(task, std::memory_order_relaxed);
  }
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::mutex mutex_;
  std::atomic<std::int64_t> task_{std::numeric_limits<std::int64_t>::max()};
  std::exception_ptr exception_;
};

}  // namespace

struct Context::Arena {
  explicit Arena(int threads) : limit(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), workers(threads) {}
  tbb::global_control limit;  // more threads than cores are allowed when they are asked for
  tbb::task_arena workers;
  std::recursive_mutex only_worker;  // of one thread: oneTBB gives such an arena a second place, and two callers would run at once
};

Context::Context(Options options)
    : threads_(options.threads > 0 ? options.threads : tbb::info::default_concurrency()),
      seed_(options.seed),
      memory_(options.memory_bytes > 0 ? options.memory_bytes : default_memory_budget()),
      progress_(std::move(options.progress)),
      communicator_(options.communicator != nullptr ? options.communicator : &self_),
      arena_(std::make_unique<Arena>(threads_)) {}

Context::~Context() = default;

void Context::check_cancelled() const {
  if (const int signal = cancelled_.load(std::memory_order_relaxed); signal != 0)
    throw Cancelled(signal == 15 ? ExitCode::terminated : ExitCode::interrupted);
}

void Context::parallel_for(std::int64_t n_tasks, const std::function<void(std::int64_t, int)>& f) {
  check_cancelled();
  if (threads_ == 1) {
    const std::lock_guard lock(arena_->only_worker);
    for (std::int64_t task = 0; task < n_tasks; ++task) f(task, 0);
    return;
  }
  const char begin = 0, end = 0;
  FirstFailure failure;
  const auto run = [&](std::int64_t task) {
    if (failure.came_before(task)) return;
    try {
      f(task, tbb::this_task_arena::current_thread_index());
    } catch (...) {
      failure.note(task);
    }
  };
  tell_before(&begin);
  arena_->workers.execute([&] {
    // Grain 1 and the simple partitioner: tasks are blocks of thousands of rows, far above the cost of a steal.
    tbb::parallel_for(
        tbb::blocked_range<std::int64_t>(0, n_tasks, 1),
        [&](const tbb::blocked_range<std::int64_t>& range) {
          tell_after(&begin);
          for (std::int64_t task = range.begin(); task != range.end(); ++task) run(task);
          tell_before(&end);
        },
        tbb::simple_partitioner{});
  });
  tell_after(&end);
  failure.rethrow();
}

}  // namespace coterie
