#include "tools/digest.hpp"

#include <bit>

namespace coterie::tools {

static_assert(std::endian::native == std::endian::little, "the digest is defined over little-endian bytes");

std::string ResultDigest::finish(const kmeans::Model& model) {
  sha256_.update(std::as_bytes(std::span(model.cluster_centers)));
  sha256_.update(std::as_bytes(std::span(&model.inertia, 1)));
  return sha256_.hex();
}

}  // namespace coterie::tools
