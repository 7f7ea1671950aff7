// How much memory the control groups of this process leave it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace coterie {

// The least that the group of this process and those above it have free, page cache that can be dropped counted as free; INT64_MAX where
// none has a limit. Versions 1 and 2; `root`: where proc and sys lie.
std::int64_t cgroup_free_bytes(const std::filesystem::path& root = "/");

}  // namespace coterie
