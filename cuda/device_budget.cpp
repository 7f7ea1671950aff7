#include "cuda/device_budget.hpp"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "host/error.hpp"
#include "host/memory_ledger.hpp"

namespace coterie::COTERIE_GPU {
namespace {

struct Account {
  std::int64_t most = std::numeric_limits<std::int64_t>::max(), taken = 0;
};
thread_local Account account;

}  // namespace

DeviceBudget::DeviceBudget(std::int64_t bytes) : before_(std::exchange(account.most, bytes)) {}
DeviceBudget::~DeviceBudget() { account.most = before_; }

void DeviceBudget::take(std::size_t bytes) {
  const auto more = static_cast<std::int64_t>(bytes);
  if (more > account.most - account.taken)
    throw OutOfDeviceMemory(
        fmt::format("The budget of GPU memory is too small: of {}, {} are in use, and {} more are needed at once. No output was written. "
                    "Raise --gpu-memory, which may be 90 % of what is free, free the GPU, or use --device cpu.",
                    format_bytes(account.most), format_bytes(account.taken), format_bytes(more)));
  account.taken += more;
}

std::int64_t DeviceBudget::left() noexcept { return account.most - account.taken; }
void DeviceBudget::give_back(std::size_t bytes) noexcept { account.taken -= static_cast<std::int64_t>(bytes); }

}  // namespace coterie::COTERIE_GPU
