// Synthetic customers with a known answer: every row belongs to a planted persona and scatters around its center with
// independent normal deviations. A row is a pure function of (seed, features, personas, row), so any range of rows, in
// any tiles and on any number of threads, gives the same bits.
//
//   x[row][j] = center[persona(row)][j] + z,  z normal with mean 0 and standard deviation 1
//   centers uniform in a cube so wide that two of them lie 6 apart in the root mean square, whatever the dimension: the
//   personas touch, as real segments do, and can still be found
//   share of persona p of m proportional to 3 m - 2 p: the first is about three times as large as the last
//
// Outcomes are planted on top, without a change to any row: outcome o happens with probability
//
//   logistic(intercept[o] + sum_j coefficient[o][j] x[row][j])
//
// coefficients uniform, scaled so that log-odds have the standard deviation 1.25 over rows and personas: the best possible model
// reaches an AUC of about 0.8. A customer of average log-odds does outcome o with probability 0.2 / (o + 1).
#pragma once

#include <cstdint>
#include <vector>

#include "host/context.hpp"

namespace coterie {

struct SynthOptions {
  std::int64_t rows = 0;
  std::int32_t features = 32;
  std::int32_t personas = 8;
  std::uint64_t seed = 0;
  std::int64_t first_row = 0;  // rows of the endless table to leave out: the same personas, other customers
};

std::vector<double> synth_centers(const SynthOptions& options);  // (personas, features)
std::vector<double> synth_shares(const SynthOptions& options);   // (personas) they sum to 1

struct SynthOutcome {
  double intercept = 0;
  std::vector<double> coefficients;  // (features)
};
SynthOutcome synth_outcome(const SynthOptions& options, std::int32_t o);  // of outcome o = 0, 1, ...

// Rows [first_row, first_row + rows) of the table: x (rows, features) row-major, persona (rows) in [0, personas).
// ArgumentError: no feature or persona, or rows outside [0, options.rows).
void generate(Context& context, const SynthOptions& options, std::int64_t first_row, std::int64_t rows, float* x, std::int32_t* persona);

// Outcome o of the rows that generate() gave for the same arguments: its true probability and what happened, 0 or 1; (rows) each.
void plant_outcome(Context& context, const SynthOptions& options, std::int32_t o, std::int64_t first_row, std::int64_t rows, const float* x,
                   double* probability, std::int32_t* happened);

}  // namespace coterie
