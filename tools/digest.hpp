// SHA-256 over typed values as their little-endian bytes.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "host/kmeans.hpp"

namespace coterie::tools {

class Digest {
 public:
  Digest();
  ~Digest();
  void add(std::span<const std::byte> bytes);
  template <class T>
  void add(std::span<const T> values) {
    add(std::as_bytes(values));
  }
  std::string hex();  // ends the digest

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What `cluster --json` promises: int32 labels | float32 centers in clustering units | float64 inertia.
std::string result_digest(std::span<const std::int32_t> labels, const kmeans::Model& model);

}  // namespace coterie::tools
