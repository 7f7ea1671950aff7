// Runs a test body once per instruction set that this processor has and kernels are compiled for.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>

namespace coterie::testing {

inline void use_instruction_sets(std::int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

template <class F>
void for_each_instruction_set(F&& body) {
  for (std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    use_instruction_sets(target);
    body();
    use_instruction_sets(0);
  }
}

}  // namespace coterie::testing
