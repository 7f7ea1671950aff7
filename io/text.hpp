// Small questions about bytes that claim to be text.
#pragma once

#include <string>
#include <string_view>

namespace coterie::io {

// True for well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
bool is_utf8(std::string_view bytes);
// How many bytes come before the first sequence that is not well-formed.
std::size_t utf8_prefix(std::string_view bytes);

// Without leading and trailing spaces and tabs.
inline std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower_case(std::string_view text);  // ASCII letters only

// A name from a file made fit for a message: in single quotes, control characters as \xNN, and cut after 80 bytes.
std::string shown(std::string_view name);

}  // namespace coterie::io
