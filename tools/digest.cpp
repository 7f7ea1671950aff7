#include "tools/digest.hpp"

#include <bit>

namespace coterie::tools {

static_assert(std::endian::native == std::endian::little, "the digest is defined over little-endian bytes");

void ResultDigest::add(const kmeans::Model& model) {
  sha256_.update(std::as_bytes(std::span(model.cluster_centers)));
  add_reals({&model.inertia, 1});
}

void ResultDigest::add(const gaussian_mixture::Model& model) {
  add_reals(model.weights);
  add_reals(model.means);
  add_reals(model.covariances);
  add_reals({&model.log_likelihood, 1});
}

std::string ResultDigest::finish(const io::FittedModel& model) {
  std::visit([&](const auto& fit) { add(fit); }, model);
  return sha256_.hex();
}

}  // namespace coterie::tools
