#include "tools/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace coterie::tools {

namespace {
// Ten lines a second read as motion; more would cost more than they tell.
constexpr std::chrono::milliseconds kInterval{100};
}  // namespace

ProgressLine::ProgressLine() {
  const char* terminal = std::getenv("TERM");
  enabled_ = isatty(STDERR_FILENO) == 1 && (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
}

void ProgressLine::show(const Progress& progress) {
  if (!enabled_) return;
  const auto now = Clock::now();
  if (progress.phase != phase_ || progress.done < last_done_) {  // a new sweep
    phase_ = progress.phase;
    sweep_start_ = now;
    next_ = now + kInterval;
  }
  last_done_ = progress.done;
  if (now < next_) return;
  next_ = now + kInterval;
  std::fprintf(stderr, "\r\033[K%s", line(progress, std::chrono::duration<double>(now - sweep_start_).count()).c_str());
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

std::string ProgressLine::line(const Progress& progress, double seconds) const {
  const double rate = static_cast<double>(progress.done) / std::max(seconds, 1e-9);
  std::string text =
      fmt::format("{}  {:.0f} %  {:.1f} M rows/s", progress.phase,
                  100.0 * static_cast<double>(progress.done) / static_cast<double>(std::max<std::int64_t>(progress.total, 1)), rate * 1e-6);
  if (row_bytes_ > 0) text += fmt::format("  {:.2f} GB/s", rate * static_cast<double>(row_bytes_) * 1e-9);
  return text + fmt::format("  {:.0f} s left", static_cast<double>(progress.total - progress.done) / std::max(rate, 1.0));
}

}  // namespace coterie::tools
