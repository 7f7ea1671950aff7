// What strips and their scans take of memory (group_scan.hpp).
#include <algorithm>
#include <bit>

#include "host/group_errors.hpp"
#include "host/group_scan.hpp"

namespace coterie::nearest {

std::int64_t choose_strip_rows(std::int32_t n_groups, std::int32_t n_columns) {
  constexpr std::int64_t kCacheBytes = 320 << 10, kWordsOfEntry = 14, kWord = sizeof(float);
  const std::int64_t row_bytes = kWord * (n_columns + pairs_of(n_columns) + 3 * std::int64_t{n_groups} + kWordsOfEntry);
  const auto rows = static_cast<std::uint64_t>(std::clamp(kCacheBytes / row_bytes, kLeastStripRows, kBlockRows));
  return static_cast<std::int64_t>(std::bit_floor(rows));
}

StripScan::StripScan(std::int32_t n_groups, std::int64_t strip_rows_)
    : strip_rows(strip_rows_),
      doubtful(strip_rows),
      needing(strip_rows),
      lowest(static_cast<std::size_t>(n_groups * strip_rows)),
      next(lowest.size()),
      moves(strip_rows),
      ambiguous(strip_rows) {
  const auto n_entries = static_cast<std::size_t>(strip_rows + kSlack);
  for (auto* column : {&reach, &least, &length, &unit, &rho, &limit}) column->resize(n_entries);
  for (auto* column : {&label, &own, &place}) column->resize(n_entries);
}

void StripBounds::copy_labels(std::span<std::int32_t> to) const {
  if (slack != nullptr)
    std::transform(slack, slack + to.size(), to.begin(), RowSlack::label);
  else
    std::copy_n(label, to.size(), to.begin());
}

void StripBounds::keep_label_only(std::int64_t row, std::int32_t its_label, std::int32_t n_groups) const {
  if (slack != nullptr) {
    slack[row] = RowSlack::with_label(its_label);
    return;
  }
  label[row] = its_label;
  upper[row] = kInfinity;
  for (std::int64_t g = 0; g < n_groups; ++g) lower[g * stride + row] = 0;
}

NoBounds::NoBounds(std::int32_t n_groups, std::int64_t strip_rows)
    : label_(static_cast<std::size_t>(strip_rows)), upper_(label_.size()), lower_(static_cast<std::size_t>(n_groups * strip_rows)) {}

StripBounds NoBounds::forget(const CenterGroups& groups) {
  if (groups.keeps_slack()) {
    std::fill(label_.begin(), label_.end(), RowSlack::kNothing);
    return {label_.data(), nullptr, nullptr, nullptr, 0};
  }
  std::fill(label_.begin(), label_.end(), -1);
  std::fill(upper_.begin(), upper_.end(), kInfinity);
  return {nullptr, label_.data(), upper_.data(), lower_.data(), std::ssize(label_)};
}

}  // namespace coterie::nearest
