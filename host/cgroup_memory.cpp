#include "host/cgroup_memory.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace coterie {
namespace {

namespace fs = std::filesystem;

// What the files of a version are called.
struct Version {
  std::string_view folder, limit, used;
  std::array<std::string_view, 2> cache;  // in memory.stat, of the group and those below it
};
constexpr Version kFirst{
    "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_inactive_file", "total_active_file"}};
constexpr Version kSecond{"sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file", "active_file"}};

std::optional<std::int64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;  // missing, or the word "max"
}

std::int64_t read_cache(const fs::path& path, const Version& version) {
  std::ifstream file(path);
  std::string key;
  std::int64_t value = 0, cache = 0;
  while (file >> key >> value)
    if (std::find(version.cache.begin(), version.cache.end(), key) != version.cache.end()) cache += value;
  return cache;
}

// Of one group and all above it. A container may see its own group as the top while /proc tells the path on the machine: what is not
// there has no say.
std::int64_t free_in(const fs::path& root, const Version& version, const fs::path& group) {
  std::int64_t least = INT64_MAX;
  for (fs::path below = group.relative_path();; below = below.parent_path()) {
    const fs::path folder = root / version.folder / below;
    const auto limit = read_number(folder / version.limit), used = read_number(folder / version.used);
    if (limit && used) least = std::min(least, std::max<std::int64_t>(0, *limit - *used + read_cache(folder / "memory.stat", version)));
    if (below.empty()) return least;
  }
}

}  // namespace

std::int64_t cgroup_free_bytes(const fs::path& root) {
  std::int64_t least = INT64_MAX;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = ',' + line.substr(first + 1, second - first - 1) + ',';
    const fs::path group = line.substr(second + 1);
    if (controllers == ",,") least = std::min(least, free_in(root, kSecond, group));
    if (controllers.find(",memory,") != std::string::npos) least = std::min(least, free_in(root, kFirst, group));
  }
  return least;
}

}  // namespace coterie
