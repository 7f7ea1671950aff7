#include "host/row_filter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <optional>

#include "host/error.hpp"

namespace coterie {
namespace {

// Truth in Kleene's logic: and is the smaller, or the larger, not the complement.
constexpr std::uint8_t kFalse = 0, kUnknown = 1, kTrue = 2;

// Parentheses and negations within each other, and tests and their connections: nobody reads more, and the stack holds them.
constexpr int kDeepest = 200;
constexpr std::size_t kMostNodes = 2000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80; }
bool continues_name(char c) { return starts_name(c) || is_digit(c) || c == '.'; }

[[noreturn]] void fail(std::size_t position, const std::string& problem) {
  throw ArgumentError(fmt::format("the condition, character {}: {}. Nothing was written", position, problem));
}

enum class Kind { end, number, text, name, quoted_name, symbol };
struct Token {
  Kind kind = Kind::end;
  std::string text;  // of a text or quoted name without its quotes
  double number = 0;
  std::size_t position = 0;
};

class Tokenizer {
 public:
  explicit Tokenizer(std::string_view text) : text_(text) {}

  Token next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
    Token token{Kind::end, {}, 0, at_ + 1};
    if (at_ == text_.size()) return token;
    const char c = text_[at_];
    const char following = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c == '"' || c == '\'' || c == '`')
      read_quoted(token, c);
    else if (is_digit(c) || c == '.' || (c == '-' && (is_digit(following) || following == '.')))
      read_number(token);
    else if (starts_name(c))
      read_name(token);
    else
      read_symbol(token);
    return token;
  }

 private:
  // A quote within quotes is written twice.
  void read_quoted(Token& token, char quote) {
    token.kind = quote == '`' ? Kind::quoted_name : Kind::text;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == quote && (at_ + 1 == text_.size() || text_[at_ + 1] != quote)) {
        ++at_;
        return;
      }
      if (text_[at_] == quote) ++at_;
      token.text += text_[at_];
    }
    fail(token.position, fmt::format("the quote {} is never closed", quote));
  }

  void read_number(Token& token) {
    token.kind = Kind::number;
    const char* const first = text_.data() + at_;
    const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), token.number);
    at_ = static_cast<std::size_t>(end - text_.data());
    if (error != std::errc() || (at_ < text_.size() && continues_name(text_[at_])))
      fail(token.position, "this is no number; a column whose name starts like one stands in backquotes");
  }

  void read_name(Token& token) {
    token.kind = Kind::name;
    while (at_ < text_.size() && continues_name(text_[at_])) token.text += text_[at_++];
  }

  void read_symbol(Token& token) {
    token.kind = Kind::symbol;
    for (const std::string_view symbol : {"==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")"}) {
      if (!text_.substr(at_).starts_with(symbol)) continue;
      token.text = symbol;
      at_ += symbol.size();
      return;
    }
    const char c = text_[at_];
    if (c == '=' || c == '&' || c == '|') fail(token.position, fmt::format("{0} stands alone; write {0}{0}", c));
    fail(token.position,
         fmt::format("{} has no meaning here; a name with other characters than letters, digits, _ and . stands in backquotes",
                     c >= ' ' && c < '\x7f' ? std::string(1, c) : "a control character"));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string shown(const Token& token) {
  switch (token.kind) {
    case Kind::end: return "the end";
    case Kind::number: return "a number";
    case Kind::text: return "a text";
    default: return token.text;
  }
}

}  // namespace

class RowFilterParser {
 public:
  explicit RowFilterParser(RowFilter& filter) : filter_(filter), tokens_(filter.text_) { advance(); }

  void parse() {
    condition();
    if (token_.kind != Kind::end) fail(token_.position, fmt::format("expected && or ||, found {}", shown(token_)));
  }

 private:
  using Test = RowFilter::Test;
  using Operand = RowFilter::Operand;

  void advance() { token_ = tokens_.next(); }
  bool is(std::string_view symbol, std::string_view word) const {
    return (token_.kind == Kind::symbol && token_.text == symbol) || (!word.empty() && token_.kind == Kind::name && token_.text == word);
  }
  bool take(std::string_view symbol, std::string_view word = {}) {
    const bool found = is(symbol, word);
    if (found) advance();
    return found;
  }

  std::size_t add(RowFilter::Node node) {
    if (filter_.nodes_.size() == kMostNodes)
      fail(token_.position, "the condition is too long; add a column that says the same to the file");
    filter_.nodes_.push_back(std::move(node));
    return filter_.nodes_.size() - 1;
  }
  std::size_t join(Test test, std::size_t left, std::size_t right) { return add({test, left, right, {}, {}}); }

  std::size_t condition() {
    std::size_t node = both();
    while (take("||", "or")) node = join(Test::either, node, both());
    return node;
  }

  std::size_t both() {
    std::size_t node = one();
    while (take("&&", "and")) node = join(Test::both, node, one());
    return node;
  }

  std::size_t one() {
    if (++depth_ > kDeepest) fail(token_.position, fmt::format("more than {} parentheses and negations within each other", kDeepest));
    std::size_t node = 0;
    if (take("!", "not")) {
      const std::size_t inner = one();
      node = join(Test::negated, inner, inner);
    } else if (const std::size_t opened = token_.position; take("(")) {
      node = condition();
      if (!is(")", "")) fail(token_.position, fmt::format("expected the ) of the ( at character {}, found {}", opened, shown(token_)));
      advance();
    } else {
      node = test();
    }
    --depth_;
    return node;
  }

  std::size_t test() {
    const Operand first = value();
    if (token_.kind == Kind::name && token_.text == "is") return missing_test(first);
    if (const std::optional<Test> comparison = comparison_of(token_)) {
      advance();
      return compare(*comparison, first, value());
    }
    if (first.kind != Operand::Kind::column)
      fail(token_.position, fmt::format("expected a comparison such as ==, found {}", shown(token_)));
    return add({Test::is_true, 0, 0, first, {}});
  }

  std::size_t missing_test(const Operand& first) {
    if (first.kind != Operand::Kind::column) fail(token_.position, "only a column can be missing");
    advance();
    const bool negated = token_.kind == Kind::name && token_.text == "not";
    if (negated) advance();
    if (token_.kind != Kind::name || token_.text != "missing")
      fail(token_.position, fmt::format("expected missing, found {}", shown(token_)));
    advance();
    const std::size_t node = add({Test::is_missing, 0, 0, first, {}});
    return negated ? join(Test::negated, node, node) : node;
  }

  static std::optional<Test> comparison_of(const Token& token) {
    static const std::vector<std::pair<std::string_view, Test>> comparisons = {{"==", Test::equal},  {"!=", Test::unequal},
                                                                               {"<", Test::less},    {"<=", Test::less_equal},
                                                                               {">", Test::greater}, {">=", Test::greater_equal}};
    if (token.kind != Kind::symbol) return std::nullopt;
    for (const auto& [symbol, test] : comparisons)
      if (token.text == symbol) return test;
    return std::nullopt;
  }

  std::size_t compare(Test test, Operand first, Operand second) {
    if (first.kind == Operand::Kind::text) std::swap(first, second);  // only == and != follow, which do not mind
    if (second.kind == Operand::Kind::text) {
      if (test != Test::equal && test != Test::unequal) fail(second.position, "a text is compared with == or !=");
      if (first.kind != Operand::Kind::column) fail(second.position, "a text is compared with a column");
      filter_.columns_[first.column].levels.push_back(second.text);
    } else if (first.kind != Operand::Kind::column && second.kind != Operand::Kind::column) {
      fail(second.position, "one side of a comparison is a column");
    }
    return add({test, 0, 0, std::move(first), std::move(second)});
  }

  Operand value() {
    Operand operand;
    operand.position = token_.position;
    switch (token_.kind) {
      case Kind::number:
        operand.kind = Operand::Kind::number;
        operand.number = token_.number;
        break;
      case Kind::text:
        operand.kind = Operand::Kind::text;
        operand.text = token_.text;
        break;
      case Kind::name:
      case Kind::quoted_name:
        operand.kind = Operand::Kind::column;
        operand.column = column(token_);
        break;
      default: fail(token_.position, fmt::format("expected a column, a number or a quoted text, found {}", shown(token_)));
    }
    advance();
    return operand;
  }

  std::size_t column(const Token& token) {
    auto& columns = filter_.columns_;
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const RowFilter::Column& c) { return c.name == token.text; });
    if (found != columns.end()) return static_cast<std::size_t>(found - columns.begin());
    columns.push_back({token.text, token.position, {}});
    return columns.size() - 1;
  }

  RowFilter& filter_;
  Tokenizer tokens_;
  Token token_;
  int depth_ = 0;
};

RowFilter::RowFilter(std::string_view text) : text_(text) { RowFilterParser(*this).parse(); }

std::vector<char> RowFilter::evaluate(std::span<const Cells> cells, std::int64_t n_rows) const {
  const std::vector<std::uint8_t> truth = evaluate_node(nodes_.back(), cells, static_cast<std::size_t>(n_rows));
  std::vector<char> chosen(truth.size());
  std::transform(truth.begin(), truth.end(), chosen.begin(), [](std::uint8_t value) { return value == kTrue ? 1 : 0; });
  return chosen;
}

std::vector<std::uint8_t> RowFilter::evaluate_node(const Node& node, std::span<const Cells> cells, std::size_t n_rows) const {
  if (node.test == Test::both || node.test == Test::either) {
    std::vector<std::uint8_t> left = evaluate_node(nodes_[node.left], cells, n_rows);
    const std::vector<std::uint8_t> right = evaluate_node(nodes_[node.right], cells, n_rows);
    for (std::size_t row = 0; row < n_rows; ++row)
      left[row] = node.test == Test::both ? std::min(left[row], right[row]) : std::max(left[row], right[row]);
    return left;
  }
  if (node.test == Test::negated) {
    std::vector<std::uint8_t> truth = evaluate_node(nodes_[node.left], cells, n_rows);
    for (std::uint8_t& value : truth) value = static_cast<std::uint8_t>(kTrue - value);
    return truth;
  }
  if (node.second.kind == Operand::Kind::text) return compare_text(node, cells[node.first.column], node.second.text, n_rows);
  if (node.test != Test::is_missing) return compare_numbers(node, cells, n_rows);
  const Cells& column = cells[node.first.column];
  std::vector<std::uint8_t> truth(n_rows);
  for (std::size_t row = 0; row < n_rows; ++row)
    truth[row] = (column.levels != nullptr ? column.codes[row] < 0 : std::isnan(column.numbers[row])) ? kTrue : kFalse;
  return truth;
}

std::vector<std::uint8_t> RowFilter::compare_text(const Node& node, const Cells& cells, const std::string& text, std::size_t n_rows) const {
  if (cells.levels == nullptr)
    fail(node.second.position, fmt::format("the column {} holds numbers and is compared with a text", columns_[node.first.column].name));
  const auto code = std::find(cells.levels->begin(), cells.levels->end(), text) - cells.levels->begin();
  std::vector<std::uint8_t> truth(n_rows);
  for (std::size_t row = 0; row < n_rows; ++row) {
    const bool same = cells.codes[row] == code;
    truth[row] = cells.codes[row] < 0 ? kUnknown : same == (node.test == Test::equal) ? kTrue : kFalse;
  }
  return truth;
}

// By row. A constant is rounded as the cells are that it is compared with: else no float32 would equal 0.7.
std::function<double(std::size_t)> RowFilter::numbers_of(const Operand& operand, const Operand& other, std::span<const Cells> cells) const {
  if (operand.kind != Operand::Kind::column) {
    const bool narrow = other.kind == Operand::Kind::column && cells[other.column].are_narrow;
    return [number = narrow ? static_cast<double>(static_cast<float>(operand.number)) : operand.number](std::size_t) { return number; };
  }
  const Cells& column = cells[operand.column];
  if (column.levels != nullptr)
    fail(operand.position,
         fmt::format("the column {0} holds texts; compare it with a quoted one: {0} == \"...\"", columns_[operand.column].name));
  return [numbers = column.numbers](std::size_t row) { return numbers[row]; };
}

std::vector<std::uint8_t> RowFilter::compare_numbers(const Node& node, std::span<const Cells> cells, std::size_t n_rows) const {
  const auto holds = [test = node.test](double a, double b) {
    switch (test) {
      case Test::equal: return a == b;
      case Test::less: return a < b;
      case Test::less_equal: return a <= b;
      case Test::greater: return a > b;
      case Test::greater_equal: return a >= b;
      default: return a != b;  // unequal, and is_true against 0
    }
  };
  const auto first = numbers_of(node.first, node.second, cells), second = numbers_of(node.second, node.first, cells);
  std::vector<std::uint8_t> truth(n_rows);
  for (std::size_t row = 0; row < n_rows; ++row) {
    const double a = first(row), b = second(row);
    truth[row] = std::isnan(a) || std::isnan(b) ? kUnknown : holds(a, b) ? kTrue : kFalse;
  }
  return truth;
}

}  // namespace coterie
