// Gzip files of tests.
#pragma once

#include <zlib.h>

#include <filesystem>
#include <string_view>

namespace coterie::testing {

// mode: of gzopen(); "ab" adds a member.
inline void write_gzip(const std::filesystem::path& path, std::string_view text, const char* mode = "wb") {
  gzFile file = gzopen(path.c_str(), mode);
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
}

}  // namespace coterie::testing
