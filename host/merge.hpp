// Statistics of two workers become one: field by field, by the rule that each field declares.
#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "host/communicator.hpp"
#include "host/per_worker.hpp"
#include "host/statistics.hpp"

namespace coterie {

class MergeFrom {
 public:
  // Remembers where the fields of `from` lie; `from` must outlive this object.
  template <Statistics S>
  explicit MergeFrom(S& from) {
    Collector collector(*this);
    from.for_each_field(collector);
  }

  // `to` has the same fields of the same sizes.
  template <Statistics S>
  void into(S& to) const {
    Merger merger(*this);
    to.for_each_field(merger);
  }

 private:
  class Collector final : public FieldVisitor {
   public:
    explicit Collector(MergeFrom& from) : from_(from) {}
    void integers(std::span<std::int64_t> values, Merge) override { from_.integers_.push_back(values); }
    void reals(std::span<double> values, Merge) override { from_.reals_.push_back(values); }
    void first_rows(FirstRows& rows) override { from_.first_rows_.push_back(&rows); }

   private:
    MergeFrom& from_;
  };

  class Merger final : public FieldVisitor {
   public:
    explicit Merger(const MergeFrom& from) : from_(from) {}
    void integers(std::span<std::int64_t> values, Merge merge) override { merge_into(values, from_.integers_[integers_++], merge); }
    void reals(std::span<double> values, Merge merge) override { merge_into(values, from_.reals_[reals_++], merge); }
    void first_rows(FirstRows& rows) override { rows.merge(*from_.first_rows_[first_rows_++]); }

   private:
    const MergeFrom& from_;
    std::size_t integers_ = 0, reals_ = 0, first_rows_ = 0;
  };

  std::vector<std::span<std::int64_t>> integers_;
  std::vector<std::span<double>> reals_;
  std::vector<FirstRows*> first_rows_;
};

// The statistics of all workers, or of that part of what they gathered, as one.
template <class T, class Part = std::identity>
auto merge_workers(PerWorker<T>&& workers, Part part = {}) {
  PerWorker<T> gathered = std::move(workers);
  const std::vector<T*> made = gathered.made();
  auto& merged = std::invoke(part, *made.front());
  for (std::size_t i = 1; i < made.size(); ++i) MergeFrom(std::invoke(part, *made[i])).into(merged);
  return std::move(merged);
}

}  // namespace coterie
