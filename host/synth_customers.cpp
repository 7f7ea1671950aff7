#include "host/synth_customers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/calibration.hpp"
#include "host/error.hpp"
#include "host/row_blocks.hpp"
#include "host/synth_columns.hpp"
#include "host/tile.hpp"

namespace coterie {
namespace {

using namespace synth;
using calibration::logistic;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// One customer on the way into the table.
struct Customer {
  Latent latent;
  std::int32_t month;
  Purchases purchases;
  std::array<double, kNumColumns> x{};
  std::array<std::int32_t, static_cast<int>(SynthCode::end)> codes{};
  std::array<double, static_cast<int>(SynthNumber::end)> numbers{};

  const Draws& draws() const { return latent.draws; }
  const Persona& persona() const { return personas()[static_cast<std::size_t>(purchases.now())]; }
  std::int32_t& code(SynthCode which) { return codes[static_cast<std::size_t>(which)]; }
  double& number(SynthNumber which) { return numbers[static_cast<std::size_t>(which)]; }
};

void fill_purchases(Customer& c) {
  const Purchases& p = c.purchases;
  const double as_of = kMonthDays * (c.month - 1), orders = static_cast<double>(p.orders);
  c.x[kRecencyDays] = as_of - static_cast<double>(p.last_day);
  c.x[kTenureDays] = as_of - static_cast<double>(p.first_day);
  const double lead = 30 * exponential(c.draws().bits(Stream::signup));
  c.x[kSignupDays] = c.x[kTenureDays] + round_to_even(std::min(lead, 365.0));
  c.x[kOrders] = orders;
  c.x[kIntervalDays] = p.orders > 1 ? (c.x[kTenureDays] - c.x[kRecencyDays]) / (orders - 1) : kNaN;
  c.x[kOverdueRatio] = c.x[kRecencyDays] / std::max(c.x[kIntervalDays], 0.5);  // two orders may fall on one day
  if (p.orders == 1) c.x[kOverdueRatio] = kNaN;
  c.x[kMonetary] = 0.01 * static_cast<double>(p.cents);
  c.x[kOrderValue] = c.x[kMonetary] / orders;
  c.x[kItems] = static_cast<double>(p.items);
  c.x[kOrders30] = static_cast<double>(p.orders_30);
  c.x[kOrders90] = static_cast<double>(p.orders_90);
  c.x[kOrdersTrend90] = static_cast<double>(p.orders_90 - p.orders_90_before);
  c.x[kOrders365] = static_cast<double>(p.orders_365);
  c.x[kMonetary90] = 0.01 * static_cast<double>(p.cents_90);
  c.x[kMonetary365] = 0.01 * static_cast<double>(p.cents_365);
  c.x[kDiscountShare] = static_cast<double>(p.discounted) / orders;
  c.x[kReturnedShare] = static_cast<double>(p.returned_cents) / static_cast<double>(std::max<std::int64_t>(1, p.cents));
}

// Touches of channel `channel` in the month at `place` of Purchases; the mean of a month depends on nothing later.
std::int32_t touches(const Customer& c, int channel, int place, double own, double phase) {
  constexpr double kSwing = 0.35, kQuietShare = 0.25, kMonthsPerQuarterTurn = 4;
  const auto at = static_cast<std::size_t>(place);
  const std::int32_t month = c.month - (Purchases::kMonthsBefore - 1 - place);
  const double end = kMonthDays * (month - 1);
  if (end < c.latent.first_day) return 0;
  const double quarters = phase + (month + 16) / kMonthsPerQuarterTurn;
  const double swing = direction(quarters - 4 * std::floor(quarters / 4)).cosine;
  const bool complains = channel == kSupport;  // those who left have no more to complain about
  const double quiet = c.purchases.quiet[at] ? kQuietShare * (complains ? 0.2 : 1) : 1;
  const double drift = month > 1 ? touch_drift(channel) : 1;
  const double median = personas()[static_cast<std::size_t>(c.purchases.persona[at])].touches[static_cast<std::size_t>(channel)];
  return poisson(median * own * quiet * drift * exp(kSwing * swing), c.draws().bits(Stream::monthly_touches, channel, month + 16));
}

void fill_touches(Customer& c) {
  const double phase = 4 * c.draws().uniform(Stream::swing);
  std::array<double, kChannels + 1> noise{};
  for (int i = 0; i < kChannels; i += 2) {
    const auto [first, second] = c.draws().normals(Stream::touches, i / 2);
    noise[static_cast<std::size_t>(i)] = first;
    noise[static_cast<std::size_t>(i) + 1] = second;
  }
  constexpr double kDigital[kChannels] = {0.15, 0.3, 0.1, -0.2, 0};
  for (int channel = 0; channel < kChannels; ++channel) {
    const double unhappy = channel == kSupport ? -0.5 * c.latent.contentment : 0;
    const double own =
        exp(0.35 * c.latent.intensity + kDigital[channel] * c.latent.digital + unhappy + 0.3 * noise[static_cast<std::size_t>(channel)]);
    std::array<std::int32_t, Purchases::kMonthsBefore> counts{};
    for (int place = 0; place < Purchases::kMonthsBefore; ++place)
      counts[static_cast<std::size_t>(place)] = touches(c, channel, place, own, phase);
    double* x = &c.x[kTouches + 4 * static_cast<std::size_t>(channel)];
    x[0] = counts[12];
    x[1] = counts[12] - counts[11];
    x[2] = counts[12] + counts[11] + counts[10];
    const std::int32_t last_days = counts[0] / 6;
    x[3] = x[2] + last_days;  // 12 months and the last five days of the one before
    for (std::size_t place = 1; place < 10; ++place) x[3] += counts[place];
  }
}

// Normal with variance 1: most of it stays, some is this month's.
double monthly(const Customer& c, double lasting, int which) {
  return 0.8 * lasting + 0.6 * c.draws().normals(Stream::monthly_usage, which, c.month).first;
}

void fill_usage(Customer& c) {
  constexpr double kFeatures = 25, kDays = 90, kShared = 0.70710678118654752;  // a shared half of the variance: correlation 0.5
  const Persona& persona = c.persona();
  const auto [breadth, activity] = c.draws().normals(Stream::usage, 0);
  const auto [sessions, minutes] = c.draws().normals(Stream::usage, 1);
  const bool quiet = c.purchases.quiet.back();
  const double digital = 0.5 * c.latent.digital + 0.3 * c.latent.intensity;
  const double used = logistic(persona.breadth + digital + 0.4 * monthly(c, breadth, 0) - (quiet ? 0.7 : 0));
  c.x[kFeaturesUsed] = std::min(kFeatures - 1, round_to_even(kFeatures * used));
  c.x[kActiveDays] = round_to_even(kDays * logistic(persona.activity + digital + 0.4 * monthly(c, activity, 1) - (quiet ? 2 : 0)));
  const double drift = c.month > 1 ? kMinutesDrift : 1;
  const bool active = c.x[kActiveDays] > 0;
  c.x[kSessions] = active ? 1 + persona.sessions * exp(0.4 * kShared * (c.latent.digital + sessions)) : kNaN;
  c.x[kMinutes] = active ? drift * persona.minutes * exp(0.6 * kShared * (c.latent.digital + monthly(c, minutes, 2))) : kNaN;
}

void fill_answers(Customer& c) {
  const Persona& persona = c.persona();
  const auto [nps, other] = c.draws().normals(Stream::traits, 0);
  const auto [age, income] = c.draws().normals(Stream::traits, 1);
  const double email = c.x[kTouches + 4 * kEmail + 2];
  const bool answers = c.draws().uniform(Stream::answers, 0) < logistic(-1.8 + 0.4 * log1p(email));
  c.x[kNps] = answers ? std::clamp(round_to_even(persona.nps + 1.6 * c.latent.contentment + nps), 0.0, 10.0) : kNaN;
  const Persona& first = personas()[static_cast<std::size_t>(c.latent.persona)];  // traits stay when customers move
  const bool tells_age = c.draws().uniform(Stream::answers, 1) >= 0.04;
  c.x[kAge] = tells_age ? std::clamp(round_to_even(first.age + 11 * age), 18.0, 95.0) : kNaN;
  const double z = 0.8 * c.latent.wallet + 0.6 * income;
  const bool tells_income = c.draws().uniform(Stream::answers, 2) >= logistic(-2 + 1.2 * z);
  c.x[kIncome] = tells_income ? round_to_even(320 * exp(0.4 * z)) * 100 : kNaN;
  const double plan = round_to_even(first.plan + 0.5 * c.latent.wallet + 0.4 * other);
  c.code(SynthCode::plan) = static_cast<std::int32_t>(std::clamp(plan, 0.0, 3.0));
  const double known_age = first.age + 11 * age, home = c.draws().uniform(Stream::household);
  c.code(SynthCode::household) = home < logistic((30 - known_age) / 8) ? 0 : home < 0.75 ? 2 : 1;
}

// The first number with u below the sum of its share and those before.
std::int32_t choose(std::span<const double> shares, double u) {
  std::int32_t choice = 0;
  for (; choice + 1 < std::ssize(shares) && u >= shares[static_cast<std::size_t>(choice)]; ++choice)
    u -= shares[static_cast<std::size_t>(choice)];
  return choice;
}

void fill_codes(Customer& c) {
  constexpr double kRegions[] = {0.2, 0.16, 0.14, 0.13, 0.12, 0.1, 0.08, 0.07};
  constexpr double kYoung[] = {0.25, 0.45, 0.2, 0.03, 0.07}, kOld[] = {0.4, 0.12, 0.13, 0.25, 0.1};
  c.code(SynthCode::region) = choose(kRegions, c.draws().uniform(Stream::region));
  const Persona& first = personas()[static_cast<std::size_t>(c.latent.persona)];
  c.code(SynthCode::acquisition) = choose(first.age < 35 ? kYoung : kOld, c.draws().uniform(Stream::acquisition));
  const auto days_ago = [&](Column column) { return synth_as_of(c.month) - static_cast<std::int32_t>(c.x[column]); };
  c.code(SynthCode::signup) = days_ago(kSignupDays);
  c.code(SynthCode::first_order) = days_ago(kTenureDays);
  c.code(SynthCode::last_order) = days_ago(kRecencyDays);
  c.code(SynthCode::persona) = c.purchases.now();
  c.code(SynthCode::first_persona) = c.latent.persona;
  c.code(SynthCode::moved) = c.purchases.now() != c.latent.persona ? 1 : 0;
  c.code(SynthCode::treated) = c.draws().uniform(Stream::treatment, 0, c.month) < 0.5 ? 1 : 0;
}

std::int32_t happens(const Customer& c, Stream stream, double probability) {
  return c.draws().uniform(stream, 0, c.month) < probability ? 1 : 0;
}

void fill_outcomes(Customer& c) {
  const double recent = log1p(c.x[kRecencyDays]), visits = log1p(c.x[kTouches + 2] + c.x[kTouches + 4 * kApp + 2]);
  const double complaints = log1p(c.x[kTouches + 4 * kSupport + 2]), used = c.x[kFeaturesUsed] / 10, spent = log(c.x[kOrderValue]);
  const double churn = logistic(-4.6 + 0.75 * recent + 0.6 * complaints - 0.25 * visits - 0.5 * c.latent.contentment);
  const double readiness = -3.4 + 0.5 * visits + 0.4 * used - 0.15 * recent;
  const double untreated = logistic(readiness), treated = logistic(readiness + c.persona().treatment_effect);
  const double converted = c.code(SynthCode::treated) == 1 ? treated : untreated;
  const double upgrade = logistic(-6.2 + 0.7 * spent + 0.5 * log1p(c.x[kOrders365]) + 0.3 * used);
  c.number(SynthNumber::churned) = churn;
  c.number(SynthNumber::converted) = converted;
  c.number(SynthNumber::converted_untreated) = untreated;
  c.number(SynthNumber::converted_treated) = treated;
  c.number(SynthNumber::upgraded) = upgrade;
  c.code(SynthCode::churned) = happens(c, Stream::churn, churn);
  c.code(SynthCode::converted) = happens(c, Stream::convert, converted);
  c.code(SynthCode::upgraded) = happens(c, Stream::upgrade, upgrade);
  // What the next year brings from those who stay.
  const double spending = 0.6 * c.x[kMonetary365] + 0.2 * c.x[kOrderValue], z = c.draws().normals(Stream::spending, 0, c.month).first;
  c.number(SynthNumber::expected_value) = (1 - churn) * spending;
  c.number(SynthNumber::value) = c.code(SynthCode::churned) == 1 ? 0 : spending * exp(0.5 * z - 0.125);
}

Customer make_customer(const Draws& draws, std::int32_t month) {
  Customer customer{.latent = draw_latent(draws), .month = month, .purchases = {}};
  customer.purchases = simulate_purchases(customer.latent, month);
  fill_purchases(customer);
  fill_touches(customer);
  fill_usage(customer);
  fill_answers(customer);
  fill_codes(customer);
  fill_outcomes(customer);
  return customer;
}

void check(const CustomerSynthOptions& options, std::int64_t first_row, std::int64_t rows) {
  if (options.month < 1 || options.month > kMostSynthMonths)
    throw ArgumentError(fmt::format("Synthetic customers have months 1 to {}; {} was asked for.", kMostSynthMonths, options.month));
  if (first_row < 0 || rows < 0 || options.first_row < 0 || first_row > options.rows - rows)
    throw ArgumentError(fmt::format("Rows {} to {} were asked for, the synthetic table has {} from row {} on.", first_row, first_row + rows,
                                    options.rows, options.first_row));
}

void put(const Customer& customer, std::size_t row, SynthCustomers& customers) {
  for (std::size_t j = 0; j < kNumColumns; ++j) customers.x[row * kNumColumns + j] = static_cast<float>(customer.x[j]);
  for (std::size_t i = 0; i < customer.codes.size(); ++i) customers.codes[i][row] = customer.codes[i];
  for (std::size_t i = 0; i < customer.numbers.size(); ++i) customers.numbers[i][row] = customer.numbers[i];
}

}  // namespace

void generate_customers(Context& context, const CustomerSynthOptions& options, std::int64_t first_row, std::int64_t rows,
                        SynthCustomers& customers) {
  check(options, first_row, rows);
  customers.x.resize(static_cast<std::size_t>(rows) * kNumColumns);
  for (auto& codes : customers.codes) codes.resize(static_cast<std::size_t>(rows));
  for (auto& numbers : customers.numbers) numbers.resize(static_cast<std::size_t>(rows));
  for_each_block(context, rows, [&](std::int64_t first, std::int64_t last, std::size_t) {
    for (std::int64_t i = first; i < last; ++i) {
      const auto row = static_cast<std::uint64_t>(options.first_row + first_row + i);
      put(make_customer({options.seed, row}, options.month), static_cast<std::size_t>(i), customers);
    }
  });
}

}  // namespace coterie
