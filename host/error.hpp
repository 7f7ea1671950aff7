// The one family of exceptions. Every class carries the exit code that the command line ends with; the library itself
// neither prints nor exits. A message says what, which file, dataset, row or column, and what to do next; it never
// shows a customer's value or id.
#pragma once

#include <stdexcept>
#include <string>

namespace coterie {

enum class ExitCode : int {
  ok = 0,
  internal = 1,       // a bug of ours
  arguments = 2,      // options, paths given on the command line
  input_file = 3,     // the file cannot be opened, read or understood
  contents = 4,       // the file is sound, what it holds is refused
  numeric = 5,        // arithmetic failed or did not converge where that was required
  resource = 6,       // memory, file descriptors
  output = 7,         // the result cannot be written
  device = 8,         // GPU
  distributed = 9,    // ranks
  policy = 10,        // refused for safety or privacy
  interrupted = 130,  // SIGINT
  terminated = 143,   // SIGTERM
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

template <ExitCode kCode>
class ErrorWithCode : public Error {
 public:
  explicit ErrorWithCode(const std::string& message) : Error(kCode, message) {}
};

using InternalError = ErrorWithCode<ExitCode::internal>;
using ArgumentError = ErrorWithCode<ExitCode::arguments>;
using InputError = ErrorWithCode<ExitCode::input_file>;
using ContentsError = ErrorWithCode<ExitCode::contents>;
using NumericError = ErrorWithCode<ExitCode::numeric>;
using ResourceError = ErrorWithCode<ExitCode::resource>;
using OutputError = ErrorWithCode<ExitCode::output>;
using DeviceError = ErrorWithCode<ExitCode::device>;
using DistributedError = ErrorWithCode<ExitCode::distributed>;
using PolicyError = ErrorWithCode<ExitCode::policy>;

// Apart from other device errors because it can be answered: smaller tiles, rows that do not stay on the device.
class OutOfDeviceMemory : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

// Thrown inside a sweep after Context::cancel(); carries 130 or 143.
class Cancelled : public Error {
 public:
  explicit Cancelled(ExitCode signal) : Error(signal, "stopped on request; nothing was written") {}
};

}  // namespace coterie
