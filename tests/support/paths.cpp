#include "tests/support/paths.hpp"

namespace coterie::testing {

std::filesystem::path source_dir() { return COTERIE_SOURCE_DIR; }
std::filesystem::path shared_dir() { return COTERIE_SHARED_DIR; }
bool has_shared() { return std::filesystem::is_directory(shared_dir()); }

}  // namespace coterie::testing
