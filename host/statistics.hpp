// What a sweep leaves behind. Statistics are fields that merge by sum, min, max or `first m rows`, and nothing else, so
// threads, tiles, GPUs and ranks all merge alike.
//
// Precision and determinism policy: an int64 field is a count or a sum of integers (rows lie on a grid, transform.hpp)
// and is exact whatever the order. Sums that outgrow 64 bits are WideSums: two int64 limbs, each merged by plain sum.
// A double field may only merge by min or max. No field ever holds a rounded sum.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace coterie {

__extension__ typedef __int128 int128;  // -Wpedantic objects to the bare keyword

enum class Merge { sum, min, max };

// Integers of up to 110 bits as value = high * 2^48 + low. Limbs merge by addition for up to 2^15 partials; value()
// does not need them normalised.
class WideSums {
 public:
  WideSums() = default;
  explicit WideSums(std::size_t size) : WideSums(std::make_shared<std::int64_t[]>(2 * size), size) {}
  // Limbs that are filled already, (size) each, in memory that lives as long as `owner`: nobody else writes there until then.
  WideSums(std::shared_ptr<void> owner, std::size_t size, std::int64_t* high, std::int64_t* low)
      : owner_(std::move(owner)), size_(size), high_(high), low_(low) {}
  WideSums(const WideSums& other) : WideSums(std::make_shared_for_overwrite<std::int64_t[]>(2 * other.size_), other.size_) { copy(other); }
  WideSums(WideSums&& other) noexcept { swap(other); }
  WideSums& operator=(const WideSums& other) {
    if (size_ == other.size_)
      copy(other);
    else
      *this = WideSums(other);
    return *this;
  }
  WideSums& operator=(WideSums&& other) noexcept {
    swap(other);
    return *this;
  }

  std::size_t size() const { return size_; }
  void add(std::size_t i, int128 value) {
    high_[i] += static_cast<std::int64_t>(value >> kLowBits);
    low_[i] += static_cast<std::int64_t>(value & kLowMask);
    high_[i] += low_[i] >> kLowBits;
    low_[i] &= kLowMask;
  }
  int128 value(std::size_t i) const { return (static_cast<int128>(high_[i]) << kLowBits) + low_[i]; }
  // value(i), rounded to double. Of limbs that are doubles the sum rounds once, and in a fraction of the time.
  double real(std::size_t i) const {
    constexpr std::int64_t kLargest = std::int64_t{1} << 53;
    const auto is_double = [](std::int64_t limb) { return -kLargest <= limb && limb <= kLargest; };
    if (!is_double(high_[i]) || !is_double(low_[i])) return static_cast<double>(value(i));
    return static_cast<double>(high_[i]) * static_cast<double>(std::int64_t{1} << kLowBits) + static_cast<double>(low_[i]);
  }
  std::span<std::int64_t> high() { return {high_, size_}; }
  std::span<std::int64_t> low() { return {low_, size_}; }

 private:
  static constexpr int kLowBits = 48;
  static constexpr std::int64_t kLowMask = (std::int64_t{1} << kLowBits) - 1;

  WideSums(const std::shared_ptr<std::int64_t[]>& limbs, std::size_t size) : WideSums(limbs, size, limbs.get(), limbs.get() + size) {}
  void copy(const WideSums& other) {
    std::copy_n(other.high_, size_, high_);
    std::copy_n(other.low_, size_, low_);
  }
  void swap(WideSums& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(size_, other.size_);
    std::swap(high_, other.high_);
    std::swap(low_, other.low_);
  }

  std::shared_ptr<void> owner_;
  std::size_t size_ = 0;
  std::int64_t *high_ = nullptr, *low_ = nullptr;  // (size)
};

// The `capacity` rows smallest under (key, global row), with `n_values` floats each. Any order of offers and merges
// gives the same rows.
class FirstRows {
 public:
  FirstRows() = default;
  FirstRows(std::int64_t capacity, std::int32_t n_values) : capacity_(capacity), n_values_(n_values) {}

  std::int64_t capacity() const { return capacity_; }
  std::int32_t n_values() const { return n_values_; }
  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }

  bool wants(std::uint64_t key, std::int64_t row) const;                 // cheap: would offer() keep it now
  void offer(std::uint64_t key, std::int64_t row, const float* values);  // values: (n_values)
  void merge(const FirstRows& other);
  std::uint64_t largest_key() const { return entries_.front().key; }  // of a full heap, before sort()
  void sort();  // ascending by (key, row); only then do key(i), row(i), values(i) follow that order

  std::uint64_t key(std::int64_t i) const { return entries_[static_cast<std::size_t>(i)].key; }
  std::int64_t row(std::int64_t i) const { return entries_[static_cast<std::size_t>(i)].row; }
  std::span<const float> values(std::int64_t i) const {  // (n_values)
    return stored(entries_[static_cast<std::size_t>(i)].slot);
  }
  std::span<const float> stored(std::int64_t slot) const {  // (n_values) of any row, slot < size(): in the order of memory
    return {values_.data() + slot * n_values_, static_cast<std::size_t>(n_values_)};
  }

  std::vector<std::byte> serialize() const;  // for Communicator::all_gather
  static FirstRows deserialize(std::span<const std::byte> bytes);

 private:
  struct Entry {
    std::uint64_t key;
    std::int64_t row;
    std::int64_t slot;  // values lie at slot * n_values
    bool operator<(const Entry& other) const { return key != other.key ? key < other.key : row < other.row; }
  };
  std::int64_t capacity_ = 0;
  std::int32_t n_values_ = 0;
  std::vector<Entry> entries_;  // a max-heap until sort()
  std::vector<float> values_;   // (size, n_values) by slot
};

// Of n_rows rows with random keys, `capacity` or more have one of at most this: eight standard deviations more than fit. So a sample
// fills without offers that others would push out again, and workers' samples together stay about as large as the merged one.
std::uint64_t sample_threshold(std::int64_t capacity, std::int64_t n_rows);

// Order-preserving 64-bit keys for `first m` fields: smaller double, smaller key.
std::uint64_t ascending_key(double value);
std::uint64_t descending_key(double value);

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void integers(std::span<std::int64_t> values, Merge merge) = 0;
  virtual void reals(std::span<double> values, Merge merge) = 0;  // min or max only
  virtual void first_rows(FirstRows& rows) = 0;
  void wide(WideSums& sums) {
    integers(sums.high(), Merge::sum);
    integers(sums.low(), Merge::sum);
  }
};

// A statistics type lists its fields, always in the same order; merging and all-reduce follow from the list.
template <class S>
concept Statistics = requires(S statistics, FieldVisitor& visitor) {
  statistics.for_each_field(visitor);
};

}  // namespace coterie
