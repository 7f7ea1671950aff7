// Who holds how much of `--memory`. Large buffers are reserved here before they are allocated, before the first sweep.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace coterie {

class MemoryLedger;

// Gives its bytes back when it goes away.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { release(); }
  void release() noexcept;
  std::int64_t bytes() const { return bytes_; }

 private:
  friend class MemoryLedger;
  Reservation(MemoryLedger& ledger, std::int64_t bytes) : ledger_(&ledger), bytes_(bytes) {}
  MemoryLedger* ledger_ = nullptr;
  std::int64_t bytes_ = 0;
};

class MemoryLedger {
 public:
  explicit MemoryLedger(std::int64_t budget) : budget_(budget), available_(budget) {}
  std::int64_t budget() const { return budget_; }
  std::int64_t available() const { return available_.load(); }

  // Throws ResourceError (needed, available, budget, and what to do) when `bytes` do not fit.
  Reservation reserve(std::string_view what, std::int64_t bytes);
  // True and a reservation if it fits, else false and nothing changes: for caches that can be given up.
  bool try_reserve(std::int64_t bytes, Reservation& reservation);

 private:
  friend class Reservation;
  std::int64_t budget_;
  std::atomic<std::int64_t> available_;
};

// Half of what the cgroup or, without one, the machine has free.
std::int64_t default_memory_budget();
// "512M", "2G", "1.5GiB", "800000000" -> bytes; ArgumentError names `option`.
std::int64_t parse_bytes(std::string_view text, std::string_view option);
std::string format_bytes(std::int64_t bytes);  // "1.50 GiB"

}  // namespace coterie
