// The digest that `cluster --json` promises: SHA-256 of int32 labels | float32 centers in clustering units | float64
// inertia, all little-endian. Equal digests are equal results, bit for bit.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "host/kmeans.hpp"
#include "io/sha256.hpp"

namespace coterie::tools {

class ResultDigest {
 public:
  void add_labels(std::span<const std::int32_t> labels) { sha256_.update(std::as_bytes(labels)); }  // in row order
  std::string finish(const kmeans::Model& model);

 private:
  io::Sha256 sha256_;
};

}  // namespace coterie::tools
