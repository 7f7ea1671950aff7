#include "host/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "host/ordered_key.hpp"

namespace coterie {

bool FirstRows::wants(std::uint64_t key, std::int64_t row) const {
  if (size() < capacity_) return true;
  return capacity_ > 0 && Entry{key, row, 0} < entries_.front();
}

void FirstRows::offer(std::uint64_t key, std::int64_t row, const float* values) {
  if (!wants(key, row)) return;
  std::int64_t slot = size();
  if (size() == capacity_) {
    std::pop_heap(entries_.begin(), entries_.end());
    slot = entries_.back().slot;
    entries_.pop_back();
  } else {
    values_.resize(values_.size() + static_cast<std::size_t>(n_values_));
  }
  if (n_values_ > 0) std::copy_n(values, n_values_, values_.begin() + slot * n_values_);
  entries_.push_back({key, row, slot});
  std::push_heap(entries_.begin(), entries_.end());
}

void FirstRows::merge(const FirstRows& other) {
  for (std::int64_t i = 0; i < other.size(); ++i) offer(other.key(i), other.row(i), other.values(i).data());
}

void FirstRows::sort() { std::sort(entries_.begin(), entries_.end()); }

std::vector<std::byte> FirstRows::serialize() const {
  const std::int64_t head[3] = {capacity_, n_values_, size()};
  std::vector<std::byte> bytes(sizeof head + entries_.size() * sizeof(Entry) + values_.size() * sizeof(float));
  std::byte* to = bytes.data();
  std::memcpy(to, head, sizeof head);
  to += sizeof head;
  if (!entries_.empty()) std::memcpy(to, entries_.data(), entries_.size() * sizeof(Entry));
  to += entries_.size() * sizeof(Entry);
  if (!values_.empty()) std::memcpy(to, values_.data(), values_.size() * sizeof(float));
  return bytes;
}

FirstRows FirstRows::deserialize(std::span<const std::byte> bytes) {
  std::int64_t head[3];
  std::memcpy(head, bytes.data(), sizeof head);
  FirstRows rows(head[0], static_cast<std::int32_t>(head[1]));
  rows.entries_.resize(static_cast<std::size_t>(head[2]));
  rows.values_.resize(static_cast<std::size_t>(head[2] * head[1]));
  const std::byte* from = bytes.data() + sizeof head;
  if (!rows.entries_.empty()) std::memcpy(rows.entries_.data(), from, rows.entries_.size() * sizeof(Entry));
  from += rows.entries_.size() * sizeof(Entry);
  if (!rows.values_.empty()) std::memcpy(rows.values_.data(), from, rows.values_.size() * sizeof(float));
  return rows;
}

std::uint64_t sample_threshold(std::int64_t capacity, std::int64_t n_rows) {
  const double offered = static_cast<double>(capacity) + 8.0 * std::sqrt(static_cast<double>(capacity));
  const double share = offered / static_cast<double>(std::max<std::int64_t>(n_rows, 1));
  return share < 1 ? static_cast<std::uint64_t>(share * 0x1p64) : std::numeric_limits<std::uint64_t>::max();
}

std::uint64_t ascending_key(double value) { return ordered_key(value); }

std::uint64_t descending_key(double value) { return ~ascending_key(value); }

}  // namespace coterie
