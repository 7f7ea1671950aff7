#include "cuda/emulated/scheduler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <numeric>

#include "cuda/emulated/emulator.hpp"

namespace coterie::emulated {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(COTERIE_TSAN)
constexpr std::size_t kStackBytes = 256 * 1024;  // red zones and instrumented frames are larger
#else
constexpr std::size_t kStackBytes = 64 * 1024;
#endif
// A fiber orders all that ran on it. What earlier launches did is ordered anyway, but races between blocks of one launch show only if
// they run on different fibers: on several sets of them, each of which ThreadSanitizer takes a while to create and a megabyte to keep.
#if defined(COTERIE_TSAN)
constexpr std::size_t kFibers = 512, kLeastSets = 2;
#else
constexpr std::size_t kFibers = 0, kLeastSets = 1;
#endif
constexpr std::size_t kTags = 4096;  // barriers until a tag is used again

}  // namespace

constinit thread_local Scheduler* Scheduler::running_ = nullptr;

Scheduler& Scheduler::get() {
  static thread_local Scheduler scheduler;
  return scheduler;
}

std::uint64_t Scheduler::random() {  // xorshift64: order only, no statistics hang on it
  random_state_ ^= random_state_ << 13;
  random_state_ ^= random_state_ >> 7;
  random_state_ ^= random_state_ << 17;
  return random_state_;
}

void* Scheduler::new_tag() {
  if (tags_.empty()) tags_.resize(kTags);
  return &tags_[next_tag_++ % kTags];
}

void Scheduler::run(Kernel kernel, void* argument, dim3 grid, dim3 block, std::size_t dynamic_shared_bytes) {
  kernel_ = kernel;
  argument_ = argument;
  grid_.grid_dim = grid;
  grid_.block_dim = block;
  random_state_ = emulator().seed;
  error_ = nullptr;
  running_ = this;
  std::vector<std::uint64_t> order(grid.count());
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  if (random_state_ != 0) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  }
  ++n_launches_;
  n_blocks_ = 0;
  release_memory(&launch_tag_);
  for (const std::uint64_t i : order) {
    grid_.block_index = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                         static_cast<unsigned>(i / grid.x / grid.y)};
    run_block(dynamic_shared_bytes);
    if (error_) break;
  }
  acquire_memory(&end_tag_);
  running_ = nullptr;
  if (!error_) return;
  fibers_.clear();  // some threads have not ended
  std::rethrow_exception(error_);
}

void Scheduler::run_block(std::size_t dynamic_shared_bytes) {
  {
    const UntouchedMemory untouched;
    shared_.clear();
    grid_.dynamic_shared = shared_.dynamic(dynamic_shared_bytes);
    barrier_tag_ = new_tag();
    phases_.clear();
    start_threads();
  }
  resume_next(host_, false);
}

void Scheduler::start_threads() {
  const dim3 block = grid_.block_dim;
  const auto n = static_cast<unsigned>(block.count());
  const std::size_t n_sets = std::max(kFibers / n, kLeastSets), round = n_blocks_ / n_sets;
  const std::size_t first_fiber =
      (n_blocks_++ + round * n_launches_) % n_sets * n;  // blocks that share a set in a launch rarely do so again
  while (fibers_.size() < first_fiber + n) fibers_.push_back(std::make_unique<Fiber>(kStackBytes));
  threads_.clear();
  threads_.resize(n);
  warps_.clear();
  warps_.resize((n + kWarpSize - 1) / kWarpSize);
  // Nothing below grows while the threads run: their allocations would look like races.
  for (Warp& warp : warps_) warp.meetings.reserve(kWarpSize);
  ready_.resize(n);
  first_ready_ = n_ready_ = 0;
  waiting_at_barrier_.clear();
  waiting_at_barrier_.reserve(n);
  alive_ = n;
  at_barrier_ = 0;
  for (unsigned i = 0; i < n; ++i) {
    Thread& thread = threads_[i];
    thread.index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    thread.linear = i;
    thread.lane = i % kWarpSize;
    thread.warp = i / kWarpSize;
    thread.fiber = fibers_[first_fiber + i].get();
    thread.fiber->start(&Scheduler::run_thread, this);
    make_ready(i);
  }
}

void Scheduler::run_thread(void* self) {
  auto& scheduler = *static_cast<Scheduler*>(self);
  acquire_memory(&scheduler.launch_tag_);
  try {
    scheduler.kernel_(scheduler.argument_);
  } catch (...) {
    scheduler.error_ = std::current_exception();
  }
  release_memory(&scheduler.end_tag_);
  if (scheduler.error_) Fiber::switch_to(*scheduler.current_->fiber, scheduler.host_, true);  // the other threads stay where they are
  scheduler.end_thread();
}

void Scheduler::end_thread() {
  Thread& thread = *current_;
  thread.ended = true;
  warps_[thread.warp].ended |= 1u << thread.lane;
  --alive_;
  if (at_barrier_ > 0 && at_barrier_ == alive_) release_block();
  resume_next(*thread.fiber, true);
}

void Scheduler::make_ready(unsigned thread) { ready_[(first_ready_ + n_ready_++) % ready_.size()] = thread; }

unsigned Scheduler::next_ready() {
  if (random_state_ != 0) std::swap(ready_[first_ready_], ready_[(first_ready_ + random() % n_ready_) % ready_.size()]);
  const unsigned next = ready_[first_ready_];
  first_ready_ = (first_ready_ + 1) % ready_.size();
  --n_ready_;
  return next;
}

void Scheduler::resume_next(Fiber& from, bool from_ends) {
  if (n_ready_ == 0) {
    if (alive_ > 0) error_ = std::make_exception_ptr(EmulationError(describe_deadlock()));
    release_memory(&end_tag_);
    Fiber::switch_to(from, host_, from_ends);
    return;
  }
  current_ = &threads_[next_ready()];
  if (current_->fiber != &from) Fiber::switch_to(from, *current_->fiber, from_ends);
}

void Scheduler::wait(const char* what) {
  current_->waits_for = what;
  release_memory(&end_tag_);  // this may be where the thread stays for ever
  resume_next(*current_->fiber, false);
}

void Scheduler::sleep(std::vector<unsigned>& waiting, const char* what) {
  {
    const UntouchedMemory bookkeeping;
    waiting.push_back(current_->linear);
  }
  wait(what);
}

void Scheduler::wake(std::vector<unsigned>& waiting) {
  for (const unsigned thread : waiting) make_ready(thread);
  waiting.clear();
}

void Scheduler::release_block() {
  wake(waiting_at_barrier_);
  at_barrier_ = 0;
  barrier_tag_ = new_tag();
}

void Scheduler::wait_block() {
  void* tag = barrier_tag_;
  release_memory(tag);
  waiting_at_barrier_.push_back(current_->linear);
  if (++at_barrier_ == alive_) release_block();
  wait("__syncthreads");
  acquire_memory(tag);
}

Scheduler::Meeting& Scheduler::find_meeting(unsigned mask, const char* operation) {
  Warp& warp = warps_[current_->warp];
  for (Meeting& meeting : warp.meetings) {
    if (meeting.mask != mask) continue;
    if (meeting.arrived != 0 && meeting.operation != operation && std::strcmp(meeting.operation, operation) != 0) {
      throw EmulationError(fmt::format("lanes of one mask meet in different collectives: {} and {}", meeting.operation, operation));
    }
    return meeting;
  }
  warp.meetings.push_back({.mask = mask});
  return warp.meetings.back();
}

void Scheduler::meet(unsigned mask, const char* operation, void* argument, Complete complete, bool orders_memory) {
  const unsigned lane_bit = 1u << current_->lane;
  if ((mask & lane_bit) == 0) throw EmulationError(fmt::format("{}: the calling lane is not in its own mask", operation));
  if ((mask & warps_[current_->warp].ended) != 0) throw EmulationError(fmt::format("{}: the mask names lanes that have ended", operation));
  Meeting& meeting = find_meeting(mask, operation);
  if (meeting.arrived == 0) meeting.tag = new_tag();
  meeting.operation = operation;
  meeting.arguments[current_->lane] = argument;
  meeting.arrived |= lane_bit;
  void* tag = meeting.tag;
  if (orders_memory) release_memory(tag);
  if (meeting.arrived == mask) {
    if (complete != nullptr) complete(meeting.arguments, mask);
    meeting.arrived = 0;
    const unsigned first = current_->warp * kWarpSize;
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) make_ready(first + static_cast<unsigned>(std::countr_zero(rest)));
  }
  wait(operation);
  if (orders_memory) acquire_memory(tag);
}

std::string Scheduler::describe_deadlock() const {
  std::map<std::string, int> waiting;
  for (const Thread& thread : threads_) {
    if (!thread.ended) ++waiting[thread.waits_for];
  }
  const uint3 b = grid_.block_index;
  std::string text = fmt::format("deadlock in block ({}, {}, {}):", b.x, b.y, b.z);
  for (const auto& [what, count] : waiting) text += fmt::format(" {} threads wait at {},", count, what);
  return text + fmt::format(" {} have ended", threads_.size() - alive_);
}

}  // namespace coterie::emulated
