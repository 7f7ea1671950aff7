// Text cells of a dataset, of variable or fixed length, scalar or one-dimensional.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/hdf5.hpp"

namespace coterie::io {

// Called row by row; no text where the cell was never written.
using TextSink = std::function<void(std::int64_t row, std::optional<std::string_view> text)>;

// Hands over `n_rows` cells from `first_row` on, in slabs of bounded memory. ContentsError: a row that is not UTF-8, or text of
// absurd length. A scalar dataset has one row.
void for_each_text(const hdf5::Dataset& dataset, std::int64_t first_row, std::int64_t n_rows, const TextSink& sink);

}  // namespace coterie::io
