#include "host/communicator.hpp"

#include <algorithm>

namespace coterie {
namespace {

template <class T>
void merge_entries(std::span<T> to, std::span<const T> from, Merge merge) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    switch (merge) {
      case Merge::sum: to[i] += from[i]; break;
      case Merge::min: to[i] = std::min(to[i], from[i]); break;
      case Merge::max: to[i] = std::max(to[i], from[i]); break;
    }
  }
}

}  // namespace

void merge_into(std::span<std::int64_t> to, std::span<const std::int64_t> from, Merge merge) { merge_entries(to, from, merge); }
void merge_into(std::span<double> to, std::span<const double> from, Merge merge) { merge_entries(to, from, merge); }

std::vector<std::vector<std::byte>> SelfCommunicator::all_gather(std::span<const std::byte> bytes) {
  return {std::vector<std::byte>(bytes.begin(), bytes.end())};
}

void AllReduce::first_rows(FirstRows& rows) {
  if (communicator_.size() > 1) {
    FirstRows merged(rows.capacity(), rows.n_values());
    for (const auto& bytes : communicator_.all_gather(rows.serialize())) merged.merge(FirstRows::deserialize(bytes));
    rows = std::move(merged);
  }
  rows.sort();
}

}  // namespace coterie
