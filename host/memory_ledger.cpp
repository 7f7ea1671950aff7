#include "host/memory_ledger.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <utility>

#include "host/cgroup_memory.hpp"
#include "host/error.hpp"

namespace coterie {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

std::int64_t machine_free_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::int64_t kib = 0;
  while (file >> key >> kib >> unit)
    if (key == "MemAvailable:") return kib * 1024;
  return static_cast<std::int64_t>(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

int binary_exponent(char unit) {
  switch (unit) {
    case 'k':
    case 'K': return 10;
    case 'm':
    case 'M': return 20;
    case 'g':
    case 'G': return 30;
    case 't':
    case 'T': return 40;
    default: return -1;
  }
}

}  // namespace

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    release();
    ledger_ = std::exchange(other.ledger_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void Reservation::release() noexcept {
  if (ledger_ != nullptr) ledger_->available_ += bytes_;
  ledger_ = nullptr;
  bytes_ = 0;
}

bool MemoryLedger::try_reserve(std::int64_t bytes, Reservation& reservation) {
  std::int64_t available = available_.load();
  do {
    if (bytes > available) return false;
  } while (!available_.compare_exchange_weak(available, available - bytes));
  reservation = Reservation(*this, bytes);
  return true;
}

Reservation MemoryLedger::reserve(std::string_view what, std::int64_t bytes) {
  Reservation reservation;
  if (!try_reserve(bytes, reservation))
    throw ResourceError(
        fmt::format("not enough memory for {}: {} needed, {} of the --memory budget of {} left; nothing was written. Raise --memory", what,
                    format_bytes(bytes), format_bytes(available()), format_bytes(budget_)));
  return reservation;
}

std::int64_t default_memory_budget() { return std::max(64 * kMiB, std::min(machine_free_bytes(), cgroup_free_bytes()) / 2); }

std::int64_t parse_bytes(std::string_view text, std::string_view option) {
  const auto refuse = [&]() -> std::int64_t {
    throw ArgumentError(
        fmt::format("{}: '{}' is not an amount of memory; write bytes or a number with K, M, G or T, such as 512M or 1.5G", option, text));
  };
  double number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !(number > 0) || number > 1e15) return refuse();
  const std::string_view unit(rest, text.data() + text.size());
  if (unit.empty()) return static_cast<std::int64_t>(number);
  const int exponent = binary_exponent(unit.front());
  if (exponent < 0 || (unit.size() > 1 && unit.substr(1) != "B" && unit.substr(1) != "iB")) return refuse();
  const double bytes = number * static_cast<double>(std::int64_t{1} << exponent);
  return bytes < 1e18 ? static_cast<std::int64_t>(bytes) : refuse();
}

std::string format_bytes(std::int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) value /= 1024, ++unit;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

}  // namespace coterie
