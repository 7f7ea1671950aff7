#include "host/layer_weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "host/error.hpp"

namespace coterie {
namespace {

bool any_weight(const std::vector<RawColumn>& columns) {
  return std::any_of(columns.begin(), columns.end(), [](const RawColumn& column) { return column.active && column.weight.has_value(); });
}

void scale(ColumnPlan& plan, double weight, const std::string& reason) {
  const double factor = std::sqrt(weight);
  plan.column.scale /= factor;
  if (factor != 1) plan.note.decision += fmt::format(", times {:.3g} for {}", factor, reason);
}

void apply_weight(const RawColumn& column, ColumnPlan& plan) {
  constexpr double kMost = 0x1p40;  // beyond, one column is all there is, or nothing
  const double weight = column.weight.value_or(1.0);
  if (weight == 0) {
    plan.dropped = true;
    plan.note.warning = true;
    plan.note.decision += ", weight 0, dropped";
    return;
  }
  if (!(weight >= 1 / kMost && weight <= kMost))
    throw ContentsError(
        fmt::format("column '{}': its weight {:g} lies outside [{:g}, {:g}]; nothing was written. Weights tell how much a column "
                    "counts beside the others, and 0 leaves it out",
                    column.name, weight, 1 / kMost, kMost));
  scale(plan, weight, "its weight");
}

}  // namespace

bool has_layer_weights(const std::vector<RawColumn>& columns) {
  if (any_weight(columns)) return true;
  const RawColumn* first = nullptr;
  for (const RawColumn& column : columns) {
    if (!column.active) continue;
    if (first != nullptr && column.layer != first->layer) return true;
    first = &column;
  }
  return false;
}

void apply_layer_weights(const std::vector<RawColumn>& columns, const std::vector<double>& variances, std::vector<ColumnPlan>& plans) {
  const auto raw = [&](const ColumnPlan& plan) -> const RawColumn& { return columns[static_cast<std::size_t>(plan.column.source)]; };
  if (any_weight(columns)) {
    for (ColumnPlan& plan : plans)
      if (!plan.dropped) apply_weight(raw(plan), plan);
    return;
  }
  std::map<std::string, double> layers;  // their variances
  double total = 0;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (plans[i].dropped) continue;
    layers[raw(plans[i]).layer] += variances[i];
    total += variances[i];
  }
  for (ColumnPlan& plan : plans) {
    const std::string& layer = raw(plan).layer;
    if (plan.dropped || !(layers[layer] > 0)) continue;
    scale(plan, total / static_cast<double>(layers.size()) / layers[layer], layer.empty() ? "having no layer" : "its layer " + layer);
  }
}

}  // namespace coterie
