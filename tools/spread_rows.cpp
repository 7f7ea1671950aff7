#include "tools/spread_rows.hpp"

#include <limits>
#include <type_traits>
#include <variant>

namespace coterie::tools {

namespace {

template <class T>
T filler() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::quiet_NaN();
  if constexpr (std::is_same_v<T, std::int32_t> || std::is_same_v<T, std::int64_t>) return -1;
  return {};
}

// The cells that a piece of the file owns, one entry per column.
using Owned = std::variant<std::vector<std::uint8_t>, std::vector<std::int32_t>, std::vector<std::int64_t>, std::vector<float>,
                           std::vector<double>, std::vector<std::string>>;

// probabilities: (chosen rows of the piece, n_segments)
std::vector<float> spread_probabilities(const RowSelection& selection, std::span<const float> probabilities, std::int64_t n_segments,
                                        std::int64_t begin, std::int64_t end) {
  std::vector<float> all(static_cast<std::size_t>((end - begin) * n_segments), filler<float>());
  auto next = probabilities.begin();
  for (std::int64_t row = begin; row < end; ++row) {
    if (!selection.contains(row)) continue;
    std::copy_n(next, n_segments, all.begin() + (row - begin) * n_segments);
    next += n_segments;
  }
  return all;
}

}  // namespace

void spread_rows(const RowSelection* selection, const PlacedRows& placed, const std::function<void(const PlacedRows&)>& sink) {
  if (selection == nullptr) return sink(placed);
  const std::int64_t n_placed = std::ssize(placed.label), n_segments = std::ssize(placed.probabilities) / n_placed;
  selection->for_each_piece(placed.first_row, n_placed, [&](std::int64_t begin, std::int64_t end, std::int64_t done, std::int64_t n) {
    const auto part = [&](const auto& values, std::int64_t width) {
      return values.subspan(static_cast<std::size_t>(done * width), static_cast<std::size_t>(n * width));
    };
    const auto spread = [&]<class T>(std::span<const T> values) { return selection->spread(part(values, 1), begin, end, filler<T>()); };
    const std::vector<std::int32_t> label = spread(placed.label);
    const std::vector<std::int32_t> second = placed.second.empty() ? std::vector<std::int32_t>() : spread(placed.second);
    std::vector<Owned> owned;
    for (const io::Cells& cells : placed.cells)
      owned.push_back(std::visit([&](const auto& values) -> Owned { return spread(values); }, cells));
    PlacedRows piece{begin, label, second, {}, {}};
    for (const Owned& cells : owned)
      piece.cells.push_back(std::visit([](const auto& values) -> io::Cells { return std::span(values); }, cells));
    const std::vector<float> probabilities =
        spread_probabilities(*selection, part(placed.probabilities, n_segments), n_segments, begin, end);
    piece.probabilities = probabilities;
    sink(piece);
  });
}

}  // namespace coterie::tools
