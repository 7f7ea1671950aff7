// Where the columns of synthetic customers stand in a row of x.
#pragma once

#include "host/synth_personas.hpp"

namespace coterie::synth {

enum Column : int {
  kRecencyDays,
  kTenureDays,
  kSignupDays,
  kOrders,
  kIntervalDays,
  kOverdueRatio,
  kMonetary,
  kOrderValue,
  kItems,
  kOrders30,
  kOrders90,
  kOrdersTrend90,
  kOrders365,
  kMonetary90,
  kMonetary365,
  kDiscountShare,
  kReturnedShare,
  kTouches,  // 30d, trend_30d, 90d and 365d of every channel
  kFeaturesUsed = kTouches + 4 * kChannels,
  kActiveDays,
  kSessions,
  kMinutes,
  kNps,
  kAge,
  kIncome,
  kNumColumns
};

// What month 2 and later ones change.
inline constexpr double kAppDrift = 1.6, kEmailDrift = 0.6, kMinutesDrift = 1.3;
inline double touch_drift(int channel) { return channel == kApp ? kAppDrift : channel == kEmail ? kEmailDrift : 1.0; }

}  // namespace coterie::synth
