// Synthetic customers as analysts meet them, with the truth beside them. A customer is a pure function of (seed, row, month), so
// any range of rows, in any tiles and on any number of threads, gives the same bits.
//
//   personas     six, named; a customer's own intensity, wallet, digital affinity and contentment are normal around the persona
//   purchases    a renewal process: exponential intervals around the customer's own mean, and after each purchase a chance that it
//                was the last (P. Fader, B. Hardie, K. Lee, 2005); a third of all customers buy exactly once
//   spending     log-normal, times u^(-1/2.5) per customer: a Pareto tail of index 2.5
//   touchpoints  counts of five channels per month of 30 days, Poisson around the customer's own rate, which swings over 16 months
//                and falls after the last purchase
//   usage        breadth, activity and depth; the logarithms of sessions beyond the first and of minutes correlate by 0.5
//   missing      by structure (no second order, no active day), completely at random (age), by what is known (nps, by e-mails), and by
//                the hidden value itself (income)
//   outcomes     churned, converted and upgraded happen with the probabilities that are given; a fair coin says who is treated, and
//                treatment adds the persona's treatment effect to the log-odds of converted
//   dates        of signing up and of the first and the last order, in days since 1970-01-01; month 1 ends with 2025
//   months       the same customers a month of 30 days later: events go on, 3 % a month move to another persona, and from month 2 on
//                app visits are 1.6 and e-mails 0.6 times as many, and sessions 1.3 times as long
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "host/context.hpp"

namespace coterie {

struct CustomerSynthOptions {
  std::int64_t rows = 0;
  std::uint64_t seed = 0;
  std::int64_t first_row = 0;  // rows of the endless table to leave out: other customers
  std::int32_t month = 1;      // 1 to kMostSynthMonths
};
inline constexpr std::int32_t kMostSynthMonths = 24;
// The last day that a month knows of, since 1970-01-01.
constexpr std::int32_t synth_as_of(std::int32_t month) { return 20453 + 30 * (month - 1); }
inline constexpr double kSynthTailIndex = 2.5, kSynthMoveShare = 0.03;

struct SynthPersona {
  std::string name;
  double share;             // of all customers in month 1
  double treatment_effect;  // on the log-odds of converted
};
std::vector<SynthPersona> synth_personas();

enum class SynthMissing { none, one_order, inactive, at_random, by_emails, by_value };
struct SynthColumn {
  std::string name;
  std::string layer;
  bool describes = false;  // a survey answer or a trait: no behaviour
  bool sensitive = false;
  SynthMissing missing = SynthMissing::none;
  double weight = 1;  // trends of small counts are mostly noise
  double drift = 1;   // planted in this month: times the mean that month 1 would lead to
};
std::vector<SynthColumn> synth_columns(std::int32_t month);  // of x

// Codes beside x; for categories their names, in the order of the codes. Personas are numbers, in the order of synth_personas():
// as a category the truth would describe segments and predict outcomes.
enum class SynthCode {
  region,
  plan,
  acquisition,
  household,
  signup,
  first_order,
  last_order,
  treated,
  churned,
  converted,
  upgraded,
  persona,
  first_persona,
  moved,
  end
};
struct SynthCodeColumn {
  std::string name;
  std::vector<std::string> categories = {};
  bool is_date = false;
};
std::vector<SynthCodeColumn> synth_codes();

// Numbers beside x. converted has two probabilities, of which the one of the customer's own arm is true.
enum class SynthNumber { value, churned, converted, converted_untreated, converted_treated, upgraded, expected_value, end };
std::vector<std::string> synth_numbers();  // names

struct SynthCustomers {
  std::vector<float> x;                                                           // (rows, columns) row-major, NaN where missing
  std::array<std::vector<std::int32_t>, static_cast<int>(SynthCode::end)> codes;  // (rows) each
  std::array<std::vector<double>, static_cast<int>(SynthNumber::end)> numbers;    // (rows) each
  const std::vector<std::int32_t>& operator[](SynthCode code) const { return codes[static_cast<std::size_t>(code)]; }
  const std::vector<double>& operator[](SynthNumber number) const { return numbers[static_cast<std::size_t>(number)]; }
};

// Rows [first_row, first_row + rows) of the table. ArgumentError: no such month, or rows outside [0, options.rows).
void generate_customers(Context& context, const CustomerSynthOptions& options, std::int64_t first_row, std::int64_t rows,
                        SynthCustomers& customers);

}  // namespace coterie
