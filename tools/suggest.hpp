// The nearest known word to a mistyped one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coterie::tools {

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate of least edit distance, the first of several; empty when none is near (a third of the word's length).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// " Did you mean ...?", or nothing where none is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace coterie::tools
