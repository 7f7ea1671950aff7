// From a CSV of transactions to the canonical input file: one row per customer (io/customer_rows.hpp). Two passes over the
// rows: the first finds out what the columns are, the second adds up. Memory grows with customers and their orders, not with rows;
// beyond the budget a third pass puts the rows into temporary files beside the output, and the result is the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/context.hpp"

namespace coterie::io {

struct TransactionOptions {
  // Columns of the file; "" finds the id, the date, the amount or price, the quantity and the order by their names and cells.
  std::string id = {}, date = {}, amount = {}, price = {}, quantity = {}, order = {};
  std::string discount = {};             // a number above 0, or the level that says yes; "": none
  std::vector<std::string> shares = {};  // columns such as channel or category whose levels become shares
  std::string as_of = {};                // "2026-10-31": later rows are no features
  std::int64_t target_window = 0;        // days after as_of in which a purchase is the outcome; 0: no outcome
  bool free_orders = false;              // rows of amount 0 are purchases
  char delimiter = 0;                    // one of , ; tab |; 0 detects
  char decimal = '.';                    // or ','
  bool overwrite = false;
};

struct TransactionReport {
  std::int64_t rows = 0;
  std::int64_t without_id = 0, without_date = 0, without_amount = 0;  // rows that count for nothing
  std::int64_t later = 0;                                             // rows after as_of and the target window
  std::int64_t customers = 0;
  std::int64_t no_purchase = 0;                          // ids that never bought up to as_of and are no customers
  std::int64_t bought = 0;                               // customers who bought in the target window
  bool window_is_complete = true;                        // the last row lies at or behind its end
  std::string id, date, amount, price, quantity, order;  // the columns that were taken, "" where there is none
  std::int64_t disk_bytes = 0;                           // of temporary files, where customers exceeded the budget
  std::string outcome;                                   // "bought_60d", or ""
  std::vector<std::string> features;
};

// ArgumentError: an option names no column, or the part of one cannot be told from the names. ContentsError: cells that are not what
// their column is, a column of shares with too many levels, no customer. ResourceError: the orders of one customer beyond the
// budget. OutputError: no room for the temporary files. Otherwise as import_csv.
TransactionReport import_transactions(Context& context, const std::vector<std::filesystem::path>& paths,
                                      const std::filesystem::path& output, const TransactionOptions& options);

}  // namespace coterie::io
