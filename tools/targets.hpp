// What a propensity is about: outcome columns as 1, 0 and unknown, and which customers are held out to judge it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "host/memory_ledger.hpp"
#include "tools/input.hpp"
#include "tools/session.hpp"

namespace coterie::tools {

struct Target {
  std::string name;
  std::string positive;                         // the level or number that counts as 1
  std::int64_t n_positive = 0, n_negative = 0;  // customers whose outcome is known, held out or not
  std::int64_t events() const { return std::min(n_positive, n_negative); }
};

class Targets {
 public:
  // wanted: "NAME" or "NAME=LEVEL", columns of obs or of the matrix; positive: LEVEL of those without one, or "". Without LEVEL the
  // positive one of two is the level that says yes, or the larger number; with it, every other level counts as 0. A missing outcome is
  // unknown. ArgumentError: no such column or level, a name twice, two levels of which neither says yes. ContentsError: an outcome without
  // a known value, of one class, of three or more, or of free text.
  Targets(Session& session, Input& input, const std::vector<std::string>& wanted, const std::string& positive);

  // PolicyError where no target has so many customers of its rarer outcome: there are no scores for a CSV.
  void require_events(std::int64_t min_events, const std::string& csv) const;

  std::int32_t size() const { return static_cast<std::int32_t>(targets_.size()); }
  const Target& operator[](std::int32_t t) const { return targets_[static_cast<std::size_t>(t)]; }
  std::span<const std::int8_t> outcomes() const { return outcomes_; }  // (n_rows, size())
  std::int8_t outcome(std::size_t row, std::int32_t t) const { return outcomes_[row * targets_.size() + static_cast<std::size_t>(t)]; }

 private:
  std::vector<Target> targets_;
  std::vector<std::int8_t> outcomes_;
  Reservation memory_;
};

struct SplitOptions {
  double holdout = 0.2;    // share of the customers that no fit sees
  std::string column;      // obs column of a given split: rows of level `train` are fitted, all other levels held out
  std::string found;       // the column that find_split found, which predicts nothing even where it is not used
  std::int32_t folds = 0;  // of cross-fitting; 0 or 1: none
};
// Of a file whose column `split` has rows of level `train` and others: that is its split unless another column is named or nobody is to
// be held out.
void find_split(Session& session, Input& input, SplitOptions& options);

// (n_rows) -1: held out, else the fold. By a hash of seed and id, so a customer stays on one side whatever the order of the
// rows; rows that a given split leaves open are held out. ArgumentError: no such split
// column. ContentsError: it has no level `train`, or no other.
std::vector<std::int8_t> split_rows(Session& session, Input& input, const SplitOptions& options);

}  // namespace coterie::tools
