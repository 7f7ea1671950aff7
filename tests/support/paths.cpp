#include "tests/support/paths.hpp"

namespace coterie::testing {

std::filesystem::path source_dir() { return COTERIE_SOURCE_DIR; }
std::filesystem::path shared_dir() { return COTERIE_SHARED_DIR; }

}  // namespace coterie::testing
