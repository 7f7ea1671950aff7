// Ranks without processes: n threads, each with a Communicator, that meet at every collective call. A rank that throws
// releases the others with a DistributedError, and run_ranks() rethrows the exception of the lowest rank that failed
// by itself.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "host/communicator.hpp"
#include "host/error.hpp"

namespace coterie::testing {

// Where the ranks of one run leave their bytes and pick up everybody's.
class Meeting {
 public:
  explicit Meeting(int size) : brought_(static_cast<std::size_t>(size)) {}
  int size() const { return static_cast<int>(brought_.size()); }

  std::vector<std::vector<std::byte>> exchange(int rank, std::span<const std::byte> bytes) {
    std::unique_lock lock(mutex_);
    const std::int64_t round = round_;
    brought_[static_cast<std::size_t>(rank)].assign(bytes.begin(), bytes.end());
    if (++arrived_ == size()) {
      arrived_ = 0;
      taken_ = brought_;
      ++round_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return round_ != round || abandoned_; });
    if (round_ == round) throw DistributedError("another rank failed");
    return taken_;  // no later round can end before this rank arrives again, so nobody overwrites it
  }

  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<std::byte>> brought_, taken_;  // by rank
  int arrived_ = 0;
  std::int64_t round_ = 0;
  bool abandoned_ = false;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return meeting_.size(); }
  void all_reduce(std::span<std::int64_t> values, Merge merge) override { reduce(values, merge); }
  void all_reduce(std::span<double> values, Merge merge) override { reduce(values, merge); }
  std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) override { return meeting_.exchange(rank_, bytes); }

 private:
  template <class T>
  void reduce(std::span<T> values, Merge merge) {
    const auto by_rank = meeting_.exchange(rank_, std::as_bytes(values));
    std::vector<T> other(values.size());
    for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
      if (by_rank[rank].size() != values.size_bytes()) throw DistributedError("ranks reduce spans of different sizes");
      if (!values.empty()) std::memcpy(other.data(), by_rank[rank].data(), values.size_bytes());
      if (rank == 0) std::copy(other.begin(), other.end(), values.begin());
      if (rank != 0) merge_into(values, std::span<const T>(other), merge);
    }
  }

  Meeting& meeting_;
  int rank_;
};

// Runs body(communicator) once per rank, all at the same time.
inline void run_ranks(int size, const std::function<void(Communicator&)>& body) {
  Meeting meeting(size);
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      try {
        ThreadCommunicator communicator(meeting, rank);
        body(communicator);
      } catch (...) {
        failures[static_cast<std::size_t>(rank)] = std::current_exception();
        meeting.abandon();
      }
    });
  for (std::thread& thread : threads) thread.join();
  std::exception_ptr consequence;
  for (const std::exception_ptr& failure : failures) {
    if (!failure) continue;
    try {
      std::rethrow_exception(failure);
    } catch (const DistributedError&) {
      if (!consequence) consequence = failure;
    }
  }
  if (consequence) std::rethrow_exception(consequence);
}

}  // namespace coterie::testing
