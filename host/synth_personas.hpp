// What the personas of synthetic customers are like, and the draws that a customer is made of.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "host/random.hpp"
#include "host/random_deviates.hpp"
#include "host/synth_customers.hpp"

namespace coterie::synth {

inline constexpr int kChannels = 5;  // web, app, email, store, support
inline constexpr int kApp = 1, kEmail = 2, kSupport = 4;
inline constexpr double kMonthDays = 30;

struct Persona {
  const char* name;
  double share;
  double only_once;               // chance that the first purchase was the last
  double leaves;                  // and that each later one was
  double interval;                // mean days between purchases
  double order_value;             // median
  double items;                   // mean per order, at least 1
  double discounted;              // share of orders
  double returned;                // share of orders
  std::array<double, 2> tenure;   // days since the first purchase in month 1: least and most
  std::array<double, 5> touches;  // per month, median
  double breadth, activity;       // log-odds of using a feature, of being active on a day
  double sessions, minutes;       // medians: beyond the first per active day, and per session
  double nps, age, plan;          // means; plan in steps
  double treatment_effect;
};
std::span<const Persona> personas();

// Which draw; numbered draws count orders or months.
enum class Stream : std::uint64_t {
  persona,
  intensity_and_wallet,
  digital_and_contentment,
  touches,       // 3
  usage = 6,     // 3
  traits = 9,    // 2
  answers = 11,  // 3: whether nps, age and income are known
  tenure = 14,
  signup,
  tail,
  swing,
  discounts,
  region,
  acquisition,
  household,
  first_order,
  move,  // from here on numbered
  monthly_touches,
  monthly_usage = monthly_touches + kChannels,
  treatment = monthly_usage + 3,
  churn,
  convert,
  upgrade,
  spending,
  order_amount,
  order_flags,
  order_items,
  order_interval,
  revival,
  end
};

struct Draws {
  std::uint64_t seed, row;
  std::uint64_t bits(Stream stream, int offset = 0, std::int64_t number = 0) const {
    constexpr std::uint64_t kStreams = 64;
    static_assert(static_cast<std::uint64_t>(Stream::end) <= kStreams);
    const std::uint64_t key = static_cast<std::uint64_t>(stream) + static_cast<std::uint64_t>(offset);
    return random_bits(seed, Purpose::synth_customer, row, key + kStreams * static_cast<std::uint64_t>(number));
  }
  double uniform(Stream stream, int offset = 0, std::int64_t number = 0) const { return coterie::uniform(bits(stream, offset, number)); }
  NormalPair normals(Stream stream, int offset = 0, std::int64_t number = 0) const { return normal_pair(bits(stream, offset, number)); }
};

// One customer beyond the persona; all but the tail normal with mean 0 and variance 1.
struct Latent {
  Draws draws;
  double intensity, wallet, digital, contentment;
  double tail;           // at least 1
  double first_day;      // of the first purchase; day 0 ends month 1
  std::int32_t persona;  // in month 1
};
Latent draw_latent(const Draws& draws);

// The persona of month `month` >= 2, from that of the month before.
std::int32_t next_persona(const Draws& draws, std::int32_t persona, std::int32_t month);

// What a customer has bought up to the end of a month.
struct Purchases {
  static constexpr int kMonthsBefore = 13;  // that a window of 365 days reaches back into
  std::int64_t first_day = 0, last_day = 0;
  std::int64_t orders = 0, items = 0, discounted = 0;
  std::int64_t orders_30 = 0, orders_90 = 0, orders_90_before = 0, orders_365 = 0;
  std::int64_t cents = 0, cents_90 = 0, cents_365 = 0, returned_cents = 0;
  // Of the last months, this one at the end: whose persona, and whether the customer had left.
  std::array<std::int8_t, kMonthsBefore> persona{};
  std::array<bool, kMonthsBefore> quiet{};
  std::int32_t now() const { return persona.back(); }
};
Purchases simulate_purchases(const Latent& latent, std::int32_t month);

}  // namespace coterie::synth
