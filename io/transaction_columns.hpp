// Which column of a table of transactions is what: as the options say, else by names and cells. Part of transactions.
#pragma once

#include <optional>
#include <vector>

#include "io/column_tally.hpp"
#include "io/transactions.hpp"

namespace coterie::io {

struct TransactionColumns {
  std::size_t id = 0, date = 0;
  std::optional<std::size_t> amount, price, quantity, order, discount;  // an amount, or a price
  std::vector<std::size_t> shares;
};

// tallies: (columns of the header), complete. Errors: see import_transactions.
TransactionColumns settle_columns(const std::vector<std::string>& header, const std::vector<ColumnTally>& tallies,
                                  const TransactionOptions& options);

}  // namespace coterie::io
