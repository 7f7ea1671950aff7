// The purchases of a synthetic customer, one after the other.
#include <algorithm>

#include "host/calibration.hpp"
#include "host/synth_personas.hpp"

namespace coterie::synth {
namespace {

using calibration::logistic;

constexpr double kLeastInterval = 1;  // days

class Process {
 public:
  Process(const Latent& latent, double as_of) : latent_(latent), as_of_(as_of), next_(latent.first_day) {
    // Customers who wait for discounts do so in all their orders.
    discount_habit_ = 0.8 * latent.draws.normals(Stream::discounts).first;
  }

  // All purchases up to and with day `end`.
  void advance(const Persona& persona, double end) {
    for (; !gone_ && next_ <= end; ++number_) {
      record(persona);
      const double leaves = number_ == 0 ? persona.only_once : persona.leaves;
      gone_ = latent_.draws.uniform(Stream::order_flags, 0, number_) < leaves;
      if (gone_)
        left_ = next_;
      else
        next_ += interval(persona, Stream::order_interval);
    }
  }

  // Somebody who becomes another kind of customer starts anew.
  void revive(const Persona& persona, double day) {
    gone_ = false;
    next_ = day + interval(persona, Stream::revival);
  }

  bool is_gone_before(double day) const { return gone_ && left_ <= day; }
  Purchases& purchases() { return purchases_; }

 private:
  double interval(const Persona& persona, Stream stream) const {
    const double mean = persona.interval * exp(-0.4 * latent_.intensity);
    return std::max(kLeastInterval, mean * exponential(latent_.draws.bits(stream, 0, number_)));
  }

  void record(const Persona& persona) {
    const Draws& draws = latent_.draws;
    const auto [amount, habit] = draws.normals(Stream::order_amount, 0, number_);
    const bool discounted = logistic(log(persona.discounted / (1 - persona.discounted)) + discount_habit_ + 0.5 * habit) >
                            draws.uniform(Stream::order_items, 0, number_);
    const double value = persona.order_value * latent_.tail * exp(0.35 * latent_.wallet + 0.3 * amount) * (discounted ? 0.8 : 1.0);
    const auto cents = static_cast<std::int64_t>(round_to_even(100 * std::min(value, 1e9)));
    const std::uint64_t flags = mix64(draws.bits(Stream::order_items, 0, number_));
    add(cents, static_cast<std::int64_t>(-floor_of(-next_)), discounted, uniform(flags) < persona.returned,
        1 + poisson(persona.items - 1, mix64(flags)));
  }

  static double floor_of(double x) {
    const double nearest = round_to_even(x);
    return nearest > x ? nearest - 1 : nearest;
  }

  void add(std::int64_t cents, std::int64_t day, bool discounted, bool returned, std::int64_t items) {
    Purchases& all = purchases_;
    if (all.orders++ == 0) all.first_day = day;
    all.last_day = day;
    all.items += items;
    all.discounted += discounted ? 1 : 0;
    all.cents += cents;
    if (returned) all.returned_cents += cents;
    const std::int64_t age = static_cast<std::int64_t>(as_of_) - day;
    all.orders_30 += age < 30 ? 1 : 0;
    all.orders_90 += age < 90 ? 1 : 0;
    all.orders_90_before += age >= 90 && age < 180 ? 1 : 0;
    all.orders_365 += age < 365 ? 1 : 0;
    all.cents_90 += age < 90 ? cents : 0;
    all.cents_365 += age < 365 ? cents : 0;
  }

  const Latent& latent_;
  double as_of_, next_;
  double left_ = 0, discount_habit_ = 0;
  std::int64_t number_ = 0;
  bool gone_ = false;
  Purchases purchases_;
};

}  // namespace

Purchases simulate_purchases(const Latent& latent, std::int32_t month) {
  Process process(latent, kMonthDays * (month - 1));
  Purchases& result = process.purchases();
  const auto note = [&](std::int32_t m, std::int32_t persona) {  // month m, which starts after day 30 (m - 2)
    const std::int32_t place = m - month + Purchases::kMonthsBefore - 1;
    if (place < 0) return;
    result.persona[static_cast<std::size_t>(place)] = static_cast<std::int8_t>(persona);
    result.quiet[static_cast<std::size_t>(place)] = process.is_gone_before(kMonthDays * (m - 2));
  };
  std::int32_t persona = latent.persona;
  process.advance(personas()[static_cast<std::size_t>(persona)], 0);
  for (std::int32_t m = month - Purchases::kMonthsBefore + 1; m <= 1; ++m) note(m, persona);
  for (std::int32_t m = 2; m <= month; ++m) {
    const std::int32_t before = persona;
    persona = next_persona(latent.draws, persona, m);
    const Persona& now = personas()[static_cast<std::size_t>(persona)];
    if (persona != before) process.revive(now, kMonthDays * (m - 2));
    note(m, persona);
    process.advance(now, kMonthDays * (m - 1));
  }
  return result;
}

}  // namespace coterie::synth
