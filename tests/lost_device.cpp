// Linked into the command line on the emulated device: COTERIE_LOST_AT_CALL=N has the device fail from its Nth call on.
#include <cstdlib>

#include "cuda/emulated/emulator.hpp"

namespace coterie::emulated {
namespace {

[[maybe_unused]] const bool kLost = [] {
  const char* const nth = std::getenv("COTERIE_LOST_AT_CALL");
  if (nth != nullptr) emulator().fail_call(std::atoll(nth), cudaErrorLaunchFailure, true);
  return nth != nullptr;
}();

}  // namespace
}  // namespace coterie::emulated
