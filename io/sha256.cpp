#include "io/sha256.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "host/error.hpp"

namespace coterie::io {
namespace {

void check(int result) {
  if (result != 1) throw InternalError("the cryptographic library cannot compute SHA-256");
}

}  // namespace

struct Sha256::State {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) { check(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr)); }
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) { check(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size())); }

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned n_bytes = 0;
  check(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &n_bytes));
  std::string text;
  for (unsigned i = 0; i < n_bytes; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace coterie::io
