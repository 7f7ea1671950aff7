// Where tests find files. In a source of its own, so that only that one is compiled anew in another checkout.
#pragma once

#include <filesystem>

namespace coterie::testing {

std::filesystem::path source_dir();  // of the project
std::filesystem::path shared_dir();  // data and fixtures beside it; may be absent
bool has_shared();                   // as a whole: where it is there, a file that is missing fails its tests

}  // namespace coterie::testing
