// A test's body in a process of its own, for what damaged files do to HDF5 1.10: it forgets memory when it meets damaged
// metadata, which the leak checker would lay at our door.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace coterie::testing {

// True when `body` ends without a failed expectation, an exception or a signal; what failed is printed as usual.
inline bool passes_in_child(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      body();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace coterie::testing
