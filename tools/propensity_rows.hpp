// What a propensity says about each customer, as columns beside the matrix, for a result file and a CSV. Of target T:
//   T_probability    0 to 1, calibrated
//   T_score          0 to 100: the probability as it would be if half of the fitted customers had the outcome, so 50 is a customer
//                    like the average; 75 has three times the average odds, 25 a third of them
//   T_band           low below a score of 25, medium, high from 75 on
//   T_percentile     1 to 100 among the customers of the fit's file, 100 the likeliest; T_decile 1 to 10, 1 the likeliest; in the
//                    middle, 50 and 6, where everybody has one probability
//   T_reason1 .. 3   what moves this customer's log-odds most away from the mean customer's, with T_reason1_contribution
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "host/logistic_regression.hpp"
#include "io/propensity_file.hpp"
#include "io/row_stream.hpp"

namespace coterie::tools {

inline constexpr std::int32_t kReasons = 3;

// How many rows at a time are predicted, and what their predictions, as columns too where reasons are wanted, take of memory: at most
// 16 MiB, unless a block of rows takes more.
constexpr std::int64_t prediction_row_bytes(std::int64_t n_models, std::int32_t n_reasons) {
  return n_models * (16 + (n_reasons > 0 ? 24 + 20 * n_reasons : 0));
}
constexpr std::int64_t prediction_rows(std::int64_t n_models, std::int32_t n_reasons) {
  constexpr std::int64_t kBytes = std::int64_t{16} << 20;
  return std::max<std::int64_t>(kBytes / prediction_row_bytes(n_models, n_reasons) / kBlockRows, 1) * kBlockRows;
}
constexpr std::int64_t prediction_bytes(std::int64_t n_rows, std::int64_t n_models, std::int32_t n_reasons) {
  return std::min(n_rows, prediction_rows(n_models, n_reasons)) * prediction_row_bytes(n_models, n_reasons);
}

struct Reason {
  std::string feature, direction;
  std::string label() const { return feature + " " + direction; }
};
// By code: feature = code / 2, raises where it is even, else lowers.
std::vector<Reason> reasons_of(const std::vector<std::string>& features);

class PropensityRows {
 public:
  // Targets below their min_events are left out. `models` must outlive this object.
  explicit PropensityRows(const io::PropensityModels& models);

  bool empty() const { return targets_.empty(); }
  std::vector<const logistic_regression::Model*> fits() const;  // for a predictor with kReasons
  std::vector<io::RowColumn> columns() const;
  // One entry per column, of the rows of one tile; valid until the next call.
  std::vector<io::Cells> cells(Context& context, const logistic_regression::Prediction& prediction);

 private:
  struct Scratch {  // of one target
    std::vector<double> probability;
    std::vector<float> score;
    std::vector<std::int32_t> band, percentile, decile;
    std::vector<std::int32_t> reason[kReasons];
    std::vector<float> contribution[kReasons];
    void resize(std::size_t n_rows);
  };
  void fill(const logistic_regression::Prediction& prediction, std::size_t t, std::size_t first, std::size_t last);

  const io::PropensityModels& models_;
  std::vector<const io::StoredTarget*> targets_;
  std::vector<Scratch> scratch_;
};

}  // namespace coterie::tools
