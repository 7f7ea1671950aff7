// What exists once per process: the threads, the memory ledger, the ranks, the seed, cancellation and progress.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "host/communicator.hpp"
#include "host/memory_ledger.hpp"

namespace coterie {

// One line of news on long work. `done` and `total` count rows of the current sweep.
struct Progress {
  std::string_view phase;  // "read", "fit", ...
  std::int64_t done = 0;
  std::int64_t total = 0;
};

class Context {
 public:
  struct Options {
    int threads = 0;                // 0: every core this process may use
    std::int64_t memory_bytes = 0;  // 0: half of what the cgroup or the machine has free
    std::uint64_t seed = 0;
    std::function<void(const Progress&)> progress;  // called from the thread that sweeps; may be empty
    Communicator* communicator = nullptr;           // nullptr: this process alone
  };

  explicit Context(Options options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int threads() const { return threads_; }
  std::uint64_t seed() const { return seed_; }
  MemoryLedger& memory() { return memory_; }
  Communicator& communicator() { return *communicator_; }

  // Runs f(task, worker) for every task in [0, n_tasks) in the arena; worker is in [0, threads()), and two tasks never
  // run under the same worker at once, so scratch is indexed by worker. Throws Cancelled at entry after cancel().
  // Of tasks that throw, the first one's exception is rethrown here, whatever the threads; later tasks may then not have run.
  void parallel_for(std::int64_t n_tasks, const std::function<void(std::int64_t task, int worker)>& f);

  // Runs f(first, last) over stretches of [0, n) likewise. What is no more than one stays with the caller: threads would cost more.
  template <class F>
  void parallel_stretches(std::int64_t n, std::int64_t stretch, F&& f) {
    if (n <= stretch) return f(std::int64_t{0}, n);
    parallel_for((n + stretch - 1) / stretch, [&](std::int64_t i, int) { f(i * stretch, std::min(n, (i + 1) * stretch)); });
  }

  void report(const Progress& progress) const {
    if (progress_) progress_(progress);
  }

  void cancel(int signal) noexcept { cancelled_.store(signal, std::memory_order_relaxed); }  // async-signal-safe
  void check_cancelled() const;                                                              // throws Cancelled

 private:
  struct Arena;
  int threads_;
  std::uint64_t seed_;
  MemoryLedger memory_;
  std::function<void(const Progress&)> progress_;
  SelfCommunicator self_;
  Communicator* communicator_;
  std::unique_ptr<Arena> arena_;
  std::atomic<int> cancelled_{0};
};

}  // namespace coterie
