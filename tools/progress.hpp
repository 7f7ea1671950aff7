// One status line on stderr for long work: phase, share, rows/s, GB/s, time left. Silent when stderr is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "host/context.hpp"

namespace coterie::tools {

class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const Progress& progress);
  void clear();                                                   // before anything else is written to the terminal
  void set_row_bytes(std::int64_t bytes) { row_bytes_ = bytes; }  // 0: no GB/s

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(const Progress& progress, double seconds) const;

  bool enabled_;
  bool shown_ = false;
  std::int64_t row_bytes_ = 0;
  std::int64_t last_done_ = 0;
  std::string phase_;
  Clock::time_point sweep_start_;
  Clock::time_point next_;
};

}  // namespace coterie::tools
