// What the columns of synthetic customers are called, and what is planted in each.
#include "host/synth_columns.hpp"

#include <algorithm>

namespace coterie {
namespace {

constexpr double kTrendWeight = 0.2;

constexpr const char* kChannelNames[] = {"web", "app", "email", "store", "support"};
constexpr struct {
  const char* name;
  int months;
} kWindows[] = {{"_90d", 3}, {"_365d", 12}};

// Months of the window that lie in month 2 or later, weighted.
double window_drift(double drift, int months, std::int32_t month) {
  const double drifted = std::min(months, month - 1);
  return (drift * drifted + (months - drifted)) / months;
}

void append_touches(std::vector<SynthColumn>& columns, std::int32_t month) {
  for (int channel = 0; channel < synth::kChannels; ++channel) {
    const std::string name = kChannelNames[channel];
    const double drift = synth::touch_drift(channel);
    columns.push_back({.name = name + "_30d", .layer = "touchpoints", .drift = window_drift(drift, 1, month)});
    columns.push_back({.name = name + "_trend_30d", .layer = "touchpoints", .weight = kTrendWeight});
    for (const auto& [window, months] : kWindows)
      columns.push_back({.name = name + window, .layer = "touchpoints", .drift = window_drift(drift, months, month)});
  }
}

}  // namespace

std::vector<SynthPersona> synth_personas() {
  std::vector<SynthPersona> personas;
  for (const synth::Persona& persona : synth::personas()) personas.push_back({persona.name, persona.share, persona.treatment_effect});
  return personas;
}

std::vector<SynthColumn> synth_columns(std::int32_t month) {
  std::vector<SynthColumn> columns;
  for (const char* name :
       {"recency_days", "tenure_days", "signup_days", "orders", "interval_days", "overdue_ratio", "monetary", "order_value", "items",
        "orders_30d", "orders_90d", "orders_trend_90d", "orders_365d", "monetary_90d", "monetary_365d", "discount_share", "returned_share"})
    columns.push_back({.name = name, .layer = "purchase"});
  columns[synth::kIntervalDays].missing = columns[synth::kOverdueRatio].missing = SynthMissing::one_order;
  columns[synth::kOrdersTrend90].weight = kTrendWeight;
  append_touches(columns, month);
  for (const char* name : {"features_used", "active_days_90d", "sessions_per_active_day", "minutes_per_session"})
    columns.push_back({.name = name, .layer = "usage"});
  columns[synth::kSessions].missing = columns[synth::kMinutes].missing = SynthMissing::inactive;
  columns[synth::kMinutes].drift = month > 1 ? synth::kMinutesDrift : 1;
  columns.push_back({.name = "nps", .layer = "survey", .describes = true, .missing = SynthMissing::by_emails});
  columns.push_back({.name = "age", .layer = "demographic", .describes = true, .sensitive = true, .missing = SynthMissing::at_random});
  columns.push_back({.name = "income", .layer = "demographic", .describes = true, .sensitive = true, .missing = SynthMissing::by_value});
  return columns;
}

std::vector<SynthCodeColumn> synth_codes() {
  return {{"region", {"north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"}},
          {"plan", {"free", "basic", "plus", "premium"}},
          {"acquisition", {"search", "social", "referral", "store", "partner"}},
          {"household", {"single", "couple", "family"}},
          {.name = "signup", .is_date = true},
          {.name = "first_order", .is_date = true},
          {.name = "last_order", .is_date = true},
          {"treated"},
          {"churned"},
          {"converted"},
          {"upgraded"},
          {"true_persona"},
          {"true_first_persona"},
          {"true_moved"}};
}

std::vector<std::string> synth_numbers() {
  return {"value",
          "true_churned_probability",
          "true_converted_probability",
          "true_converted_probability_untreated",
          "true_converted_probability_treated",
          "true_upgraded_probability",
          "true_expected_value"};
}

}  // namespace coterie
