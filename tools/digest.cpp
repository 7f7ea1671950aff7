#include "tools/digest.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <bit>

#include "host/error.hpp"

namespace coterie::tools {

static_assert(std::endian::native == std::endian::little, "digests are defined over little-endian bytes");

struct Digest::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

namespace {
void check(int result) {
  if (result != 1) throw InternalError("SHA-256 of the OpenSSL library failed");
}
}  // namespace

Digest::Digest() : state_(std::make_unique<State>()) { check(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr)); }
Digest::~Digest() = default;

void Digest::add(std::span<const std::byte> bytes) { check(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size())); }

std::string Digest::hex() {
  std::array<unsigned char, 32> bytes{};
  check(EVP_DigestFinal_ex(state_->context.get(), bytes.data(), nullptr));
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string result_digest(std::span<const std::int32_t> labels, const kmeans::Model& model) {
  Digest digest;
  digest.add(labels);
  digest.add(std::span(model.cluster_centers));
  digest.add(std::span(&model.inertia, 1));
  return digest.hex();
}

}  // namespace coterie::tools
