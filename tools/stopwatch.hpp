// Wall-clock seconds of the parts of a job.
#pragma once

#include <chrono>

namespace coterie::tools {

struct Seconds {
  double read = 0;     // the first sweep, the transform and what else happens before the fit
  double fit = 0;      // all restarts and models
  double predict = 0;  // the sweep that places or scores every customer
  double judge = 0;    // comparisons, calibrations, evaluations and the search for leaks
  double write = 0;    // profiles and output files
};

// Adds the time it lives to `seconds`.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds), start_(Clock::now()) {}
  ~Stopwatch() { seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  double& seconds_;
  Clock::time_point start_;
};

}  // namespace coterie::tools
