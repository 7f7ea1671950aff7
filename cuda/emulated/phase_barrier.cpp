// Compiled without ThreadSanitizer, like collectives.cpp; it still sees the copies, because it intercepts memcpy.
#include "cuda/instructions/phase_barrier.hpp"
#include "cuda/emulated/emulator.hpp"

namespace coterie::emulated {
namespace {

void end_phase_if_over(PhaseState& state) {
  if (state.missing > 0 || state.bytes != 0) return;
  Scheduler& scheduler = Scheduler::running();
  state.missing = state.n_threads;
  state.parity ^= 1;
  state.ended_tag = state.tag;
  state.tag = scheduler.new_tag();
  scheduler.wake(state.waiting);
}

void finish_copies(PhaseState& state) {
  acquire_memory(state.tag);
  for (const PendingCopy& copy : state.copies) {
    std::memcpy(copy.to, copy.from, copy.bytes);
    state.bytes -= static_cast<std::int64_t>(copy.bytes);
  }
  release_memory(state.tag);
  const UntouchedMemory bookkeeping;
  state.copies.clear();
  end_phase_if_over(state);
}

PhaseState& state_of(PhaseBarrier& barrier) {
  const auto found = Scheduler::running().phases().find(&barrier);
  if (found == Scheduler::running().phases().end()) throw EmulationError("a barrier of phases that was not started");
  return found->second;
}

}  // namespace

void start_barrier(PhaseBarrier& barrier, unsigned n_threads) {
  const UntouchedMemory bookkeeping;
  PhaseState state{.n_threads = n_threads, .missing = n_threads, .tag = Scheduler::running().new_tag()};
  Scheduler::running().phases().insert_or_assign(&barrier, std::move(state));
}

void arrive(PhaseBarrier& barrier) {
  PhaseState& state = state_of(barrier);
  release_memory(state.tag);
  const UntouchedMemory bookkeeping;
  if (state.missing-- == 0) throw EmulationError("more threads arrive at a barrier of phases than it counts");
  end_phase_if_over(state);
}

void arrive_and_announce(PhaseBarrier& barrier, unsigned bytes) {
  state_of(barrier).bytes += bytes;
  arrive(barrier);
}

void wait_phase(PhaseBarrier& barrier, unsigned parity) {
  PhaseState& state = state_of(barrier);
  void* tag = state.parity == parity ? state.tag : state.ended_tag;
  while (state.parity == parity) {
    if (!state.copies.empty()) {
      finish_copies(state);
    } else {
      Scheduler::running().sleep(state.waiting, "wait_phase");
    }
  }
  if (tag != nullptr) acquire_memory(tag);
}

void copy_bulk(void* shared, const void* global, unsigned bytes, PhaseBarrier& barrier) {
  if ((reinterpret_cast<std::uintptr_t>(shared) | reinterpret_cast<std::uintptr_t>(global) | bytes) % 16 != 0)
    throw EmulationError("cp.async.bulk of what is no multiple of 16 bytes");
  PhaseState& state = state_of(barrier);
  release_memory(state.tag);
  const UntouchedMemory bookkeeping;
  state.copies.push_back({static_cast<std::byte*>(shared), static_cast<const std::byte*>(global), bytes, bytes});
  Scheduler::running().wake(state.waiting);
}

}  // namespace coterie::emulated
