#include "host/synth_customers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "host/calibration.hpp"
#include "host/error.hpp"
#include "host/random.hpp"
#include "host/synth_personas.hpp"

namespace coterie {
namespace {

constexpr CustomerSynthOptions kOptions{.rows = 60'000, .seed = 7};

std::unique_ptr<Context> context_with(int threads) {
  return std::make_unique<Context>(Context::Options{.threads = threads, .memory_bytes = std::int64_t{1} << 30});
}

SynthCustomers rows_of(const CustomerSynthOptions& options, std::int64_t first_row, std::int64_t rows, int threads = 2) {
  SynthCustomers customers;
  generate_customers(*context_with(threads), options, first_row, rows, customers);
  return customers;
}

const SynthCustomers& month(int m) {
  const auto make = [](int which) {
    CustomerSynthOptions options = kOptions;
    options.month = which;
    return rows_of(options, 0, options.rows);
  };
  static const SynthCustomers first = make(1), second = make(2);
  return m == 1 ? first : second;
}

std::size_t place(const std::string& name) {
  const std::vector<SynthColumn> columns = synth_columns(1);
  const auto found = std::find_if(columns.begin(), columns.end(), [&](const SynthColumn& column) { return column.name == name; });
  if (found == columns.end()) throw std::out_of_range(name);
  return static_cast<std::size_t>(found - columns.begin());
}

std::vector<double> column(const SynthCustomers& customers, const std::string& name) {
  const std::size_t d = synth_columns(1).size(), j = place(name);
  std::vector<double> values;
  for (std::size_t at = j; at < customers.x.size(); at += d) values.push_back(customers.x[at]);
  return values;
}

template <class T>
double mean(const std::vector<T>& values) {
  double sum = 0, known = 0;
  for (const T value : values) {
    if (std::isnan(static_cast<double>(value))) continue;
    sum += static_cast<double>(value);
    ++known;
  }
  return sum / known;
}

double missing_share(const std::vector<double>& values) {
  return static_cast<double>(std::count_if(values.begin(), values.end(), [](double x) { return std::isnan(x); })) /
         static_cast<double>(values.size());
}

bool same_bits(const SynthCustomers& a, const SynthCustomers& b) {
  return a.x.size() == b.x.size() && std::memcmp(a.x.data(), b.x.data(), a.x.size() * sizeof(float)) == 0 && a.codes == b.codes &&
         a.numbers == b.numbers;
}

TEST(SynthCustomers, IgnoresThreadCountAndTileRows) {
  CustomerSynthOptions options{.rows = 10'007, .seed = 3, .month = 3};
  const SynthCustomers all = rows_of(options, 0, options.rows, 1);
  EXPECT_TRUE(same_bits(all, rows_of(options, 0, options.rows, 3)));
  SynthCustomers tiled;
  for (std::int64_t row = 0; row < options.rows; row += 4096) {
    const SynthCustomers part = rows_of(options, row, std::min<std::int64_t>(4096, options.rows - row));
    tiled.x.insert(tiled.x.end(), part.x.begin(), part.x.end());
    for (std::size_t i = 0; i < part.codes.size(); ++i)
      tiled.codes[i].insert(tiled.codes[i].end(), part.codes[i].begin(), part.codes[i].end());
    for (std::size_t i = 0; i < part.numbers.size(); ++i)
      tiled.numbers[i].insert(tiled.numbers[i].end(), part.numbers[i].begin(), part.numbers[i].end());
  }
  EXPECT_TRUE(same_bits(all, tiled));
  options.first_row = 9'000;
  options.rows = 1'007;
  EXPECT_TRUE(same_bits(rows_of(options, 0, 1'007), rows_of({.rows = 10'007, .seed = 3, .month = 3}, 9'000, 1'007)));
}

// The bits themselves: what is planted may not move unnoticed.
TEST(SynthCustomers, BitsStayAsTheyAre) {
  const auto digest = [](std::int32_t month) {
    std::uint64_t hash = 0;
    const auto add = [&](const auto& cells) {
      for (const auto cell : cells) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, &cell, sizeof cell);
        hash = mix64(hash ^ bits);
      }
    };
    const SynthCustomers customers = rows_of({.rows = 5'000, .seed = 11, .month = month}, 0, 5'000);
    add(customers.x);
    for (const auto& codes : customers.codes) add(codes);
    for (const auto& numbers : customers.numbers) add(numbers);
    return hash;
  };
  EXPECT_EQ(digest(1), 1298220078622191938U);
  EXPECT_EQ(digest(3), 11241347833649336475U);
}

// A billion rows are reached by their number alone.
TEST(SynthCustomers, TheBillionthRowIsLikeTheOthers) {
  const CustomerSynthOptions options{.rows = 5'000'000'000, .seed = 7};
  const SynthCustomers far = rows_of(options, options.rows - 4096, 4096);
  EXPECT_NEAR(mean(far[SynthCode::churned]), mean(month(1)[SynthCode::churned]), 0.04);  // 5 standard errors of 4096 rows: 0.035
  EXPECT_FALSE(same_bits(far, rows_of(options, options.rows - 4096 - (std::int64_t{1} << 32), 4096)));
}

TEST(SynthCustomers, PersonasHaveTheirShares) {
  const std::vector<SynthPersona> personas = synth_personas();
  const auto& labels = month(1)[SynthCode::persona];
  const auto n = static_cast<double>(labels.size());
  for (std::size_t p = 0; p < personas.size(); ++p) {
    const auto count = static_cast<double>(std::count(labels.begin(), labels.end(), static_cast<std::int32_t>(p)));
    EXPECT_NEAR(count / n, personas[p].share, 5 * std::sqrt(personas[p].share / n)) << personas[p].name;
  }
}

TEST(SynthCustomers, AThirdBuysOnce) {
  const std::vector<double> orders = column(month(1), "orders"), interval = column(month(1), "interval_days");
  const auto once = static_cast<double>(std::count(orders.begin(), orders.end(), 1.0)) / static_cast<double>(orders.size());
  EXPECT_NEAR(once, 1.0 / 3, 0.015);
  EXPECT_EQ(missing_share(interval), once);
  EXPECT_GE(*std::max_element(orders.begin(), orders.end()), 60);
}

// Hill's estimate over the 1 % largest; its standard error is index / sqrt(600).
TEST(SynthCustomers, SpendingHasTheTail) {
  for (const char* name : {"order_value", "monetary"}) {
    std::vector<double> values = column(month(1), name);
    std::sort(values.rbegin(), values.rend());
    const std::size_t k = values.size() / 100;
    double sum = 0;
    for (std::size_t i = 0; i < k; ++i) sum += std::log(values[i] / values[k]);
    EXPECT_NEAR(static_cast<double>(k) / sum, kSynthTailIndex, 0.4) << name;
  }
}

TEST(SynthCustomers, DatesAreWhatTheDaysCount) {
  for (const std::int32_t m : {1, 2}) {
    const SynthCustomers& c = month(m);
    const std::pair<SynthCode, const char*> dates[] = {
        {SynthCode::signup, "signup_days"}, {SynthCode::first_order, "tenure_days"}, {SynthCode::last_order, "recency_days"}};
    for (const auto& [date, days] : dates) {
      const std::vector<double> before = column(c, days);
      for (std::size_t i = 0; i < before.size(); ++i) ASSERT_EQ(c[date][i] + before[i], synth_as_of(m)) << days;
    }
    EXPECT_LE(*std::max_element(c[SynthCode::last_order].begin(), c[SynthCode::last_order].end()), synth_as_of(m));
  }
  EXPECT_EQ(month(1)[SynthCode::first_order], month(2)[SynthCode::first_order]);
  EXPECT_EQ(month(1)[SynthCode::signup], month(2)[SynthCode::signup]);
}

// Counts by level against the sums of the probabilities that customers have of it.
void expect_counts(const std::vector<std::int32_t>& codes, const std::vector<std::vector<double>>& probabilities, const char* name) {
  for (std::size_t level = 0; level < probabilities.front().size(); ++level) {
    double seen = 0, expected = 0, variance = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const double p = probabilities[i][level];
      if (std::isnan(p)) continue;
      seen += codes[i] == static_cast<std::int32_t>(level) ? 1 : 0;
      expected += p;
      variance += p * (1 - p);
    }
    EXPECT_NEAR(seen, expected, 5 * std::sqrt(variance)) << name << ' ' << level;
  }
}

TEST(SynthCustomers, TraitsFollowPersonaAndAge) {
  const SynthCustomers& c = month(1);
  const std::vector<double> age = column(c, "age");
  std::vector<std::vector<double>> plan, acquisition, household, region(age.size(), {0.2, 0.16, 0.14, 0.13, 0.12, 0.1, 0.08, 0.07});
  const auto below = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  for (std::size_t i = 0; i < age.size(); ++i) {
    const synth::Persona& persona = synth::personas()[static_cast<std::size_t>(c[SynthCode::persona][i])];
    const auto up_to = [&](double level) { return below((level + 0.5 - persona.plan) / std::hypot(0.5, 0.4)); };
    plan.push_back({up_to(0), up_to(1) - up_to(0), up_to(2) - up_to(1), 1 - up_to(2)});
    acquisition.push_back(persona.age < 35 ? std::vector{0.25, 0.45, 0.2, 0.03, 0.07} : std::vector{0.4, 0.12, 0.13, 0.25, 0.1});
    const double alone = calibration::logistic((30 - age[i]) / 8), couple = std::min(0.25, 1 - alone);  // of known age
    household.push_back({alone, couple, 1 - alone - couple});
  }
  expect_counts(c[SynthCode::region], region, "region");
  expect_counts(c[SynthCode::plan], plan, "plan");
  expect_counts(c[SynthCode::acquisition], acquisition, "acquisition");
  expect_counts(c[SynthCode::household], household, "household");
}

// All channels of a customer swing together, those who left are seldom seen, and the windows hold each other.
TEST(SynthCustomers, ChannelsHaveTrends) {
  const SynthCustomers& c = month(1);
  const std::vector<double> recency = column(c, "recency_days"), app_trend = column(c, "app_trend_30d");
  for (const std::string channel : {"web", "email", "store", "support"}) {
    const std::vector<double> now = column(c, channel + "_30d"), trend = column(c, channel + "_trend_30d"),
                              quarter = column(c, channel + "_90d"), year = column(c, channel + "_365d");
    double together = 0, lately = 0, long_ago = 0, n = 0;
    for (std::size_t i = 0; i < now.size(); ++i) {
      ASSERT_GE(now[i] - trend[i], 0);  // those of the 30 days before
      ASSERT_GE(quarter[i], 2 * now[i] - trend[i]);
      ASSERT_GE(year[i], quarter[i]);
      together += trend[i] * app_trend[i];
      if (recency[i] <= 30) lately += now[i], ++n;
      if (recency[i] > 365) long_ago += now[i];
    }
    const auto gone = static_cast<double>(std::count_if(recency.begin(), recency.end(), [](double r) { return r > 365; }));
    EXPECT_GT(together, 0) << channel;
    EXPECT_LT(long_ago / gone, 0.5 * lately / n) << channel;
    EXPECT_NEAR(mean(trend) / mean(now), 0, 0.05) << channel;  // some rise, as many fall
  }
}

TEST(SynthCustomers, SessionsAndMinutesCorrelate) {
  const std::vector<double> sessions = column(month(1), "sessions_per_active_day"), minutes = column(month(1), "minutes_per_session");
  for (std::int32_t p = 0; p < 4; ++p) {  // personas who are nearly all active
    double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      if (month(1)[SynthCode::persona][i] != p || std::isnan(sessions[i])) continue;
      const double a = std::log(sessions[i] - 1), b = std::log(minutes[i]);
      n += 1, x += a, y += b, xx += a * a, yy += b * b, xy += a * b;
    }
    const double correlation = (n * xy - x * y) / std::sqrt((n * xx - x * x) * (n * yy - y * y));
    EXPECT_NEAR(correlation, 0.5, 5 * 0.75 / std::sqrt(n)) << p;  // the standard error is (1 - r^2) / sqrt(n)
  }
}

TEST(SynthCustomers, CellsAreMissingByTheirMechanisms) {
  const SynthCustomers& customers = month(1);
  const std::vector<double> active = column(customers, "active_days_90d"), minutes = column(customers, "minutes_per_session"),
                            emails = column(customers, "email_90d"), nps = column(customers, "nps");
  EXPECT_NEAR(missing_share(column(customers, "age")), 0.04, 0.005);
  EXPECT_GT(missing_share(column(customers, "income")), 0.1);
  double answered[2] = {}, asked[2] = {};
  for (std::size_t i = 0; i < active.size(); ++i) {
    EXPECT_EQ(std::isnan(minutes[i]), active[i] == 0);
    const int many = emails[i] >= 20 ? 1 : 0;
    asked[many] += 1;
    answered[many] += std::isnan(nps[i]) ? 0 : 1;
  }
  EXPECT_GT(answered[1] / asked[1], 1.5 * answered[0] / asked[0]);
}

TEST(SynthCustomers, OutcomesHappenAsOftenAsTheirProbabilitiesSay) {
  const std::pair<SynthCode, SynthNumber> outcomes[] = {{SynthCode::churned, SynthNumber::churned},
                                                        {SynthCode::converted, SynthNumber::converted},
                                                        {SynthCode::upgraded, SynthNumber::upgraded}};
  for (const auto& [happened, truth] : outcomes) {
    double seen[10] = {}, expected[10] = {}, variance[10] = {};  // by tenths of probability
    for (std::size_t i = 0; i < month(1)[truth].size(); ++i) {
      const double p = month(1)[truth][i];
      const auto bin = static_cast<std::size_t>(std::min(9.0, 10 * p));
      seen[bin] += month(1)[happened][i];
      expected[bin] += p;
      variance[bin] += p * (1 - p);
    }
    for (int bin = 0; bin < 10; ++bin) EXPECT_NEAR(seen[bin], expected[bin], 5 * std::sqrt(variance[bin]) + 1) << bin;
  }
  EXPECT_NEAR(mean(month(1)[SynthNumber::value]), mean(month(1)[SynthNumber::expected_value]),
              0.06 * mean(month(1)[SynthNumber::expected_value]));
}

// The difference between the arms is the mean of the customers' own effects.
TEST(SynthCustomers, TreatmentHasItsEffect) {
  const SynthCustomers& c = month(1);
  double converted[2] = {}, n[2] = {};
  for (std::size_t i = 0; i < c[SynthCode::treated].size(); ++i) {
    const auto arm = static_cast<std::size_t>(c[SynthCode::treated][i]);
    converted[arm] += c[SynthCode::converted][i];
    n[arm] += 1;
  }
  const double effect = mean(c[SynthNumber::converted_treated]) - mean(c[SynthNumber::converted_untreated]);
  EXPECT_GT(effect, 0.03);
  EXPECT_NEAR(converted[1] / n[1] - converted[0] / n[0], effect, 5 * std::sqrt(0.14 * 0.86 * (1 / n[0] + 1 / n[1])));
  EXPECT_NEAR(n[1] / (n[0] + n[1]), 0.5, 0.011);
}

TEST(SynthCustomers, ASecondMonthFollowsTheFirst) {
  const SynthCustomers &a = month(1), &b = month(2);
  EXPECT_EQ(a[SynthCode::persona], b[SynthCode::first_persona]);
  EXPECT_NEAR(mean(b[SynthCode::moved]), kSynthMoveShare, 0.004);
  const auto orders = column(a, "orders"), later = column(b, "orders"), recent = column(b, "orders_30d");
  const auto tenure = column(a, "tenure_days"), later_tenure = column(b, "tenure_days");
  const auto web = column(a, "web_30d"), later_web = column(b, "web_30d"), trend = column(b, "web_trend_30d");
  for (std::size_t i = 0; i < orders.size(); ++i) {
    EXPECT_EQ(later[i], orders[i] + recent[i]);
    EXPECT_EQ(later_tenure[i], tenure[i] + 30);
    EXPECT_EQ(trend[i], later_web[i] - web[i]);
    EXPECT_EQ(b[SynthCode::moved][i] == 1, b[SynthCode::persona][i] != a[SynthCode::persona][i]);
  }
}

TEST(SynthCustomers, ASecondMonthDriftsWhereItIsPlanted) {
  for (const SynthColumn& planted : synth_columns(2)) {
    if (planted.layer != "touchpoints" && planted.name != "minutes_per_session") continue;
    if (planted.name.find("_trend") != std::string::npos) continue;
    const double before = mean(column(month(1), planted.name)), after = mean(column(month(2), planted.name));
    // Movers add traffic of their own, and those who left in month 1 take some away.
    EXPECT_NEAR(after / before, planted.drift, planted.name.starts_with("support") ? 0.12 : 0.08) << planted.name;
  }
}

TEST(SynthCustomers, RefusesWhatDoesNotExist) {
  SynthCustomers customers;
  const auto context = context_with(1);
  EXPECT_THROW(generate_customers(*context, {.rows = 1, .month = 0}, 0, 1, customers), ArgumentError);
  EXPECT_THROW(generate_customers(*context, {.rows = 1, .month = kMostSynthMonths + 1}, 0, 1, customers), ArgumentError);
  EXPECT_THROW(generate_customers(*context, {.rows = 1}, 1, 1, customers), ArgumentError);
}

}  // namespace
}  // namespace coterie
