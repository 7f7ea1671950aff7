// What a file looks like from its first bytes.
#pragma once

#include <string>
#include <string_view>

namespace coterie::io {

// HDF5 files begin with this, after a user block of 0, 512, 1024, 2048, ... bytes.
inline constexpr std::string_view kHdf5Signature = "\x89HDF\r\n\x1a\n";

struct LookAlike {
  std::string name;       // "a Parquet file"
  std::string converter;  // one line that makes something we read of it, or ""
};

// `head`: the first bytes of a file that holds no HDF5 signature (512 are enough); `path` goes into the converter.
LookAlike recognise(std::string_view head, const std::string& path);

}  // namespace coterie::io
