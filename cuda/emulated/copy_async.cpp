// Compiled without ThreadSanitizer, like collectives.cpp; it still sees the copies, because it intercepts memcpy.
#include "cuda/instructions/copy_async.hpp"

namespace coterie::emulated {

void add_pending_copy(void* shared, const void* global, std::size_t bytes, std::size_t filled) {
  if (reinterpret_cast<std::uintptr_t>(shared) % filled != 0 || reinterpret_cast<std::uintptr_t>(global) % filled != 0) {
    throw std::logic_error("cp.async with a misaligned address");
  }
  const UntouchedMemory bookkeeping;
  Scheduler::running().thread().open_copies.push_back(
      {static_cast<std::byte*>(shared), static_cast<const std::byte*>(global), bytes, filled});
}

void commit_pending_copies() {
  const UntouchedMemory bookkeeping;
  Thread& thread = Scheduler::running().thread();
  thread.copy_groups.push_back(std::move(thread.open_copies));
  thread.open_copies.clear();
}

void finish_pending_copies(std::size_t groups_left) {
  auto& groups = Scheduler::running().thread().copy_groups;
  while (groups.size() > groups_left) {
    for (const PendingCopy& copy : groups.front()) {
      std::memcpy(copy.to, copy.from, copy.bytes);
      std::memset(copy.to + copy.bytes, 0, copy.filled - copy.bytes);
    }
    const UntouchedMemory bookkeeping;
    groups.erase(groups.begin());
  }
}

}  // namespace coterie::emulated
