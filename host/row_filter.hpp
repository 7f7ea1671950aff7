// A condition that chooses customers, such as   paying == 1 && (recency_days <= 365 || plan == "Gold")
//
//   condition   both { "||" both }                       or: the word `or`
//   both        one { "&&" one }                         or: `and`
//   one         "!" one | "(" condition ")" | test       or: `not`
//   test        value ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) value | column [ "is" [ "not" ] "missing" ]
//   value       number | "text" | 'text' | column | `column with other characters`
//
// A column alone says that it is not 0. Texts know == and != only. What depends on a missing cell is neither true nor false
// (the three-valued logic of SQL), and only customers for whom the whole condition is true are chosen.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coterie {

class RowFilter {
 public:
  // ArgumentError: what is wrong and at which character, counted from 1.
  explicit RowFilter(std::string_view text);

  struct Column {
    std::string name;
    std::size_t position = 0;         // its first character in the text, from 1
    std::vector<std::string> levels;  // the texts it is compared with
  };
  const std::string& text() const { return text_; }
  const std::vector<Column>& columns() const { return columns_; }  // each once, in the order of the text

  // The cells of one column: numbers, NaN where missing, or codes into `levels`, -1 where missing.
  struct Cells {
    std::span<const double> numbers = {};
    std::span<const std::int32_t> codes = {};
    const std::vector<std::string>* levels = nullptr;  // not nullptr: the column holds codes
    bool are_narrow = false;                           // numbers are stored as float32: constants that they meet are rounded likewise
  };
  // 1 for rows that are chosen, else 0: (n_rows). cells: one entry for every column. ArgumentError: numbers compared with text.
  std::vector<char> evaluate(std::span<const Cells> cells, std::int64_t n_rows) const;

 private:
  friend class RowFilterParser;
  enum class Test { is_true, is_missing, both, either, negated, equal, unequal, less, less_equal, greater, greater_equal };
  struct Operand {
    enum class Kind { none, number, text, column } kind = Kind::none;
    double number = 0;
    std::string text;
    std::size_t column = 0;
    std::size_t position = 0;  // in the text, from 1
  };
  struct Node {  // the operands of both, either and negated are nodes, those of tests values
    Test test = Test::is_true;
    std::size_t left = 0, right = 0;  // nodes
    Operand first, second;
  };
  std::vector<std::uint8_t> evaluate_node(const Node& node, std::span<const Cells> cells, std::size_t n_rows) const;
  std::function<double(std::size_t)> numbers_of(const Operand& operand, const Operand& other, std::span<const Cells> cells) const;
  std::vector<std::uint8_t> compare_numbers(const Node& node, std::span<const Cells> cells, std::size_t n_rows) const;
  std::vector<std::uint8_t> compare_text(const Node& node, const Cells& cells, const std::string& text, std::size_t n_rows) const;

  std::string text_;
  std::vector<Column> columns_;
  std::vector<Node> nodes_;  // children before parents; the last is the condition
};

}  // namespace coterie
