// How ranks agree: every rank contributes its statistics and every rank gets the same merged ones.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "host/statistics.hpp"

namespace coterie {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void all_reduce(std::span<std::int64_t> values, Merge merge) = 0;
  virtual void all_reduce(std::span<double> values, Merge merge) = 0;
  virtual std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) = 0;  // by rank
};

class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(std::span<std::int64_t>, Merge) override {}
  void all_reduce(std::span<double>, Merge) override {}
  std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) override;
};

// Merges `from` into `to`, entry by entry; both have the same size.
void merge_into(std::span<std::int64_t> to, std::span<const std::int64_t> from, Merge merge);
void merge_into(std::span<double> to, std::span<const double> from, Merge merge);

class AllReduce final : public FieldVisitor {
 public:
  explicit AllReduce(Communicator& communicator) : communicator_(communicator) {}
  void integers(std::span<std::int64_t> values, Merge merge) override { communicator_.all_reduce(values, merge); }
  void reals(std::span<double> values, Merge merge) override { communicator_.all_reduce(values, merge); }
  void first_rows(FirstRows& rows) override;

 private:
  Communicator& communicator_;
};

}  // namespace coterie
