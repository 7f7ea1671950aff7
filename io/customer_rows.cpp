#include "io/customer_rows.hpp"

#include <algorithm>

namespace coterie::io {
namespace {

class CustomersInMemory final : public CustomerRows {
 public:
  CustomersInMemory(Context& context, const CustomerFeatureOptions& options, std::size_t text_bytes)
      : memory_(context.memory()), features_(memory_, options), text_bytes_(text_bytes) {}

  void add(const CustomerId& id, Transaction transaction) override {
    const std::int64_t before = features_.n_customers();
    transaction.customer = features_.customer(id.key);
    if (features_.n_customers() > before) add_id(id);
    features_.add(transaction);
  }

  CustomerCounts finish() override {
    features_.finish();
    CustomerCounts counts;
    for (std::int64_t i = 0; i < features_.n_customers(); ++i) {
      const bool is_customer = features_.has_purchase(i);
      ++(is_customer ? counts.customers : counts.no_purchase);
      counts.bought += is_customer && features_.bought(i) ? 1 : 0;
    }
    counts.last_day = features_.last_day();
    return counts;
  }

  bool next(CustomerRow& row) override {
    while (next_ < features_.n_customers() && !features_.has_purchase(next_)) ++next_;
    if (next_ == features_.n_customers()) return false;
    const auto i = static_cast<std::size_t>(next_);
    text_bytes_ == 0 ? void(row.number = numbers_[i]) : void(row.text = texts_[i]);
    row.bought = features_.bought(next_);
    row.features = features_.features(next_++);
    return true;
  }

 private:
  void add_id(const CustomerId& id) {
    if (n_ids_ == room_) {
      room_ = std::max<std::size_t>(1024, 2 * room_);
      const std::size_t each = text_bytes_ == 0 ? sizeof(std::int64_t) : sizeof(std::string) + text_bytes_ + 1;
      ids_memory_ = memory_.reserve("the ids of customers", static_cast<std::int64_t>(room_ * each));
    }
    ++n_ids_;
    text_bytes_ == 0 ? numbers_.push_back(id.number) : void(texts_.emplace_back(id.text));
  }

  MemoryLedger& memory_;
  CustomerFeatures features_;
  std::size_t text_bytes_, n_ids_ = 0, room_ = 0;
  Reservation ids_memory_;
  std::vector<std::int64_t> numbers_;  // (n_customers), or else
  std::vector<std::string> texts_;     // (n_customers)
  std::int64_t next_ = 0;
};

}  // namespace

std::unique_ptr<CustomerRows> customers_in_memory(Context& context, const CustomerFeatureOptions& options, std::size_t text_bytes) {
  return std::make_unique<CustomersInMemory>(context, options, text_bytes);
}

}  // namespace coterie::io
