// A verdict on the health of a feature matrix before anything is fitted: what every column is, what will trouble a
// clustering, and what to do about it. Two sweeps and no output; the command line prints it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/context.hpp"
#include "host/repeated_rows.hpp"
#include "host/tile_source.hpp"
#include "host/transform.hpp"

namespace coterie {

enum class ValueType { empty, constant, two_valued, whole, real };
enum class Advice { keep, profile, ignore };  // keep: the role the column has

struct ColumnHealth {
  std::string name;
  bool active = true;
  ValueType type = ValueType::empty;
  std::int64_t missing = 0;   // cells, as the next three
  std::int64_t infinite = 0;  // or beyond float32
  std::int64_t zero = 0;
  std::int64_t negative = 0;
  double min = 0, median = 0, max = 0;  // of known, finite cells; NaN where there is none
  double spike = 0;                     // the value that most rows share,
  double spike_share = 0;               // and their share of all rows, where it is above 20 %; else 0
  bool heavy_tail = false;              // the automatic transform takes the logarithm or a robust scale
  bool outliers = false;                // or cuts extreme values off
  bool looks_like_code = false;         // an id, postcode, phone: whole numbers that are no amounts
  std::int32_t near_duplicate_of = -1;  // an earlier active column with |correlation| > 0.999
  double correlation = 0;               // with it
  Advice advice = Advice::keep;
  std::string transform;              // what `automatic` would do, "" for columns that are not active
  std::vector<std::string> findings;  // one clause each, worst first; empty: nothing to say
};

struct Inspection {
  std::int64_t n_rows = 0;
  std::int64_t sampled_rows = 0;      // behind median, spikes, tails and correlations; all of them in a small table
  std::vector<ColumnHealth> columns;  // of X
  RepeatedRows repeated_rows;
  std::int64_t resident_bytes = 0;  // clustering rows in memory: 4 bytes per row and active column
  bool fits_memory = true;          // within what the ledger has left; otherwise every sweep reads the file
};

// `columns` names the columns of raw and says which are active. ResourceError: the sample does not fit the budget.
Inspection inspect(Context& context, TileSource& raw, const std::vector<RawColumn>& columns);

}  // namespace coterie
