// What propensities are predicted from: the columns of the matrix and, behind them, an indicator for every level of the
// text columns that the matrix does not hold yet.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "host/indicator_source.hpp"
#include "host/transform.hpp"
#include "io/propensity_file.hpp"
#include "tools/input.hpp"
#include "tools/session.hpp"
#include "tools/targets.hpp"

namespace coterie::tools {

class Predictors {
 public:
  // wanted: columns that must be there even when no row has their level; names not to be used, such as outcomes, in `excluded`.
  Predictors(Session& session, Input& input, const std::vector<io::PredictorColumn>& wanted, const std::vector<std::string>& excluded);

  TileSource& source() { return categories_.empty() ? input_.raw() : *source_; }
  const std::vector<io::FeatureColumn>& columns() const { return columns_; }  // of source()
  bool allows_sensitive() const { return input_.allows_sensitive(); }

 private:
  void add_category(const std::string& name, const std::vector<io::PredictorColumn>& wanted);

  Input& input_;
  std::vector<io::FeatureColumn> columns_;
  std::vector<IndicatorColumns> categories_;
  Reservation memory_;
  std::unique_ptr<IndicatorSource> source_;
};

// By column of `predictors`, whether a fit uses it: active columns and, unless --active names them, indicators of text columns;
// of each text column's indicators not the first in byte order, which the others are compared with. Never the excluded, and
// sensitive ones where they are allowed only.
std::vector<RawColumn> chosen_predictors(const Predictors& predictors, bool only_active, const std::vector<std::string>& excluded);
// Text columns whose indicators would have been used if they were not sensitive.
std::set<std::string> barred_texts(const Predictors& predictors, bool only_active, const std::vector<std::string>& excluded);

// Columns that alone tell an outcome apart, with at least 20 sampled rows of each class. Behaviour before an outcome hardly ever does; a
// column that was written after it, or because of it, does. Either the area under the ROC curve of its sampled cells (missing ones as
// lowest) is at least 0.99 or at most 0.01; or beyond one cut lie at least 20 sampled rows of one class, and of it 0.9 more than of
// the other, or a quarter of it nearly alone: 1 % of the other class at most and one row in twenty. The last is asked of classes of up to
// two thirds of the rows only: in a larger one, honest columns are as pure (who never visits never buys).
inline constexpr double kLeakAuc = 0.99;
struct Leak {
  std::string column;
  double auc;
  double share = 0, other_share = 0;  // of the classes beyond the cut; 0 where there is none such
  bool by_area() const { return auc >= kLeakAuc || auc <= 1 - kLeakAuc; }
};
// By target, of columns of `predictors` that are active, and of the level that the others of its text are compared with.
std::vector<std::vector<Leak>> find_leaks(Context& context, const ColumnSurvey& survey, const Predictors& predictors,
                                          const std::vector<RawColumn>& columns, const Targets& targets);

}  // namespace coterie::tools
