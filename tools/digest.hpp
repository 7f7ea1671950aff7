// The digest that `cluster --json` promises: SHA-256 of int32 labels | float32 centers in clustering units | float64
// inertia, or for a mixture int32 labels | float64 weights, means and covariances in clustering units | float64
// log-likelihood, all little-endian. Equal digests are equal results, bit for bit.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/fitted_model.hpp"
#include "io/sha256.hpp"

namespace coterie::tools {

class ResultDigest {
 public:
  void add_labels(std::span<const std::int32_t> labels) { sha256_.update(std::as_bytes(labels)); }  // in row order
  std::string finish(const io::FittedModel& model);

 private:
  void add_reals(std::span<const double> values) { sha256_.update(std::as_bytes(values)); }
  void add(const kmeans::Model& model);
  void add(const gaussian_mixture::Model& model);

  io::Sha256 sha256_;
};

}  // namespace coterie::tools
