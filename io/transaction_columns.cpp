#include "io/transaction_columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "host/column_names.hpp"
#include "host/error.hpp"
#include "io/named_columns.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

using Names = std::span<const std::string_view>;
constexpr std::string_view kAmounts[]{"amount", "total", "totalamount", "revenue", "sales", "spend", "value", "dollarvalue", "linetotal"};
constexpr std::string_view kPrices[]{"price", "unitprice"};
constexpr std::string_view kQuantities[]{"quantity", "qty", "units", "items"};
constexpr std::string_view kOrders[]{"order",     "orderid",   "orderno",  "ordernumber",  "invoice",
                                     "invoiceid", "invoiceno", "basketid", "transactionid"};

// Lower case, letters and digits alone: "Invoice_No" is invoiceno.
std::string plain(const std::string& name) {
  std::string text = lower_case(name);
  std::erase_if(text, [](char c) { return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')); });
  return text;
}

class Settler {
 public:
  Settler(const std::vector<std::string>& header, const std::vector<ColumnTally>& tallies) : header_(header), tallies_(tallies) {}

  std::optional<std::size_t> named(const std::string& name, const char* option) const {
    if (name.empty()) return std::nullopt;
    const auto found = std::find(header_.begin(), header_.end(), name);
    if (found == header_.end())
      throw ArgumentError(fmt::format("{} names the column {}, which the file does not have. Its columns are {}. Nothing was written.",
                                      option, shown(name), fmt::join(header_, ", ")));
    return static_cast<std::size_t>(found - header_.begin());
  }

  // The option's column, or the first whose name is among `names`.
  std::optional<std::size_t> find(const std::string& name, const char* option, Names names) const {
    if (const auto column = named(name, option)) return column;
    for (const std::string_view known : names)
      for (std::size_t i = 0; i < header_.size(); ++i)
        if (plain(header_[i]) == known) return i;
    return std::nullopt;
  }

  std::optional<std::size_t> numbers(const std::string& name, const char* option, Names names) const {
    const auto column = find(name, option, names);
    if (column && tallies_[*column].numbers < tallies_[*column].known())
      refuse(header_[*column],
             fmt::format("is taken for {} and holds other things than numbers, the first in {}", option + 2,
                         tallies_[*column].first_no_number.place),
             fmt::format("Correct them, or name another column in {}.", option));
    return column;
  }

  std::size_t id(const std::string& name, std::optional<std::size_t> order) const {
    if (const auto column = named(name, "--id")) return *column;
    std::size_t best = header_.size();
    for (std::size_t i = 0; i < header_.size(); ++i)
      if (id_rank(header_[i]) > 0 && i != order && (best == header_.size() || id_rank(header_[i]) > id_rank(header_[best]))) best = i;
    if (best == header_.size()) throw ArgumentError("No column is called like an id of customers. Nothing was written; name it in --id.");
    return best;
  }

  std::size_t date(const std::string& name) const {
    const auto is_date = [&](std::size_t i) { return tallies_[i].known() > 0 && tallies_[i].dates == tallies_[i].known(); };
    if (const auto column = named(name, "--date")) {
      if (!is_date(*column))
        refuse(name,
               fmt::format("is the date and holds other things than days such as 2026-10-31, the first in {}",
                           tallies_[*column].first_no_date.place),
               "Correct them, or name another column in --date.");
      return *column;
    }
    std::vector<std::string> dates;
    for (std::size_t i = 0; i < header_.size(); ++i)
      if (is_date(i)) dates.push_back(header_[i]);
    if (dates.size() == 1) return *named(dates.front(), "--date");
    throw ArgumentError(fmt::format("{}. Nothing was written; name the day of the transaction in --date.",
                                    dates.empty() ? "No column holds days such as 2026-10-31 and nothing else"
                                                  : fmt::format("Several columns hold days: {}", fmt::join(dates, ", "))));
  }

  std::size_t levels(const std::string& name, const char* option) const {
    const std::size_t column = *named(name, option);
    if (!tallies_[column].levels.few())
      refuse(name, fmt::format("has more than {} levels", kMostLevels), fmt::format("Take it out of {}, or merge levels.", option));
    return column;
  }

 private:
  const std::vector<std::string>& header_;
  const std::vector<ColumnTally>& tallies_;
};

}  // namespace

TransactionColumns settle_columns(const std::vector<std::string>& header, const std::vector<ColumnTally>& tallies,
                                  const TransactionOptions& options) {
  const Settler settler(header, tallies);
  TransactionColumns columns;
  columns.order = settler.find(options.order, "--order", kOrders);
  columns.id = settler.id(options.id, columns.order);
  columns.date = settler.date(options.date);
  columns.quantity = settler.numbers(options.quantity, "--quantity", kQuantities);
  if (options.price.empty()) columns.amount = settler.numbers(options.amount, "--amount", kAmounts);
  if (!options.amount.empty() && !options.price.empty())
    throw ArgumentError("--amount is what a row came to, --price what one piece cost: give one of them.");
  if (!columns.amount) columns.price = settler.numbers(options.price, "--price", kPrices);
  if (!columns.amount && !columns.price)
    throw ArgumentError("No column is called like an amount or a price. Nothing was written; name one in --amount, or in --price.");
  if (columns.price && !columns.quantity)
    throw ArgumentError("--price counts per piece, and no column is called like a quantity. Nothing was written; name it in --quantity.");
  if (!options.discount.empty()) {
    columns.discount = settler.named(options.discount, "--discount");
    const ColumnTally& tally = tallies[*columns.discount];
    if (tally.numbers < tally.known() && (tally.levels.size() != 2 || affirmative(tally.levels.sorted()).empty()))
      refuse(options.discount, "is the discount and holds neither numbers nor yes and no", "Name another column in --discount.");
  }
  for (const std::string& name : options.shares) columns.shares.push_back(settler.levels(name, "--share"));
  return columns;
}

}  // namespace coterie::io
