#include "io/file_signature.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace coterie::io {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view bytes;
  std::string_view name;
  std::string_view converter;  // {} stands for the path
};

constexpr std::array kSignatures = {
    Signature{"PAR1"sv, "a Parquet file",
              R"(python3 -c 'import pandas; pandas.read_parquet("{}").to_csv("out.csv")', then coterie import out.csv -o out.h5ad)"},
    Signature{"ARROW1"sv, "an Arrow (Feather) file",
              R"(python3 -c 'import pandas; pandas.read_feather("{}").to_csv("out.csv")', then coterie import out.csv -o out.h5ad)"},
    Signature{"SQLite format 3\0"sv, "an SQLite database",
              R"(sqlite3 -header -csv '{}' 'select * from YOUR_TABLE' | coterie import - -o out.h5ad)"},
    Signature{"\x1f\x8b"sv, "a gzip file", "coterie import '{}' -o out.h5ad when it holds a CSV, else gunzip it first"},
    Signature{"PK\x03\x04"sv, "a zip archive, or an .xlsx or .npz file", "unzip it, or save the sheet as CSV for coterie import ({})"},
    Signature{"BZh"sv, "a bzip2 file", "bunzip2 -k '{}'"},
    Signature{"\xfd\x37zXZ"sv, "an xz file", "unxz -k '{}'"},
    Signature{"\x28\xb5\x2f\xfd"sv, "a Zstandard file", "unzstd '{}'"},
    Signature{"\x0e\x03\x13\x01"sv, "an HDF4 file, a format of the same family that is not HDF5", "h4toh5 '{}' out.h5"},
    Signature{"\x93NUMPY"sv, "a NumPy .npy file", R"(python3 -c 'import h5py, numpy; h5py.File("out.h5", "w")["X"] = numpy.load("{}")')"},
    Signature{"MATLAB 5.0"sv, "a MATLAB file older than v7.3", "load('{}') in MATLAB, then writematrix(X, 'out.csv') and coterie import"},
    Signature{"version https://git-lfs."sv, "a Git LFS pointer, which stands for a file that was not fetched",
              "git lfs pull (fetches '{}')"},
    Signature{"CDF\x01"sv, "a classic NetCDF file", "nccopy -k nc4 '{}' out.nc"},
    Signature{"CDF\x02"sv, "a classic NetCDF file", "nccopy -k nc4 '{}' out.nc"},
};

bool is_text(std::string_view head) {
  return std::none_of(head.begin(), head.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t';  // bytes of UTF-8 and Latin-1 are all above
  });
}

bool is_table(std::string_view text) {
  return text.substr(0, text.find('\n')).find_first_of(",;\t|") != std::string_view::npos;  // some separator in the first line
}

}  // namespace

LookAlike recognise(std::string_view head, const std::string& path) {
  for (const Signature& signature : kSignatures)
    if (head.starts_with(signature.bytes)) return {std::string(signature.name), fmt::format(fmt::runtime(signature.converter), path)};
  if (kHdf5Signature.starts_with(head.substr(0, kHdf5Signature.size()))) return {"the beginning of an HDF5 file that was cut off", ""};
  if (!is_text(head)) return {"a file of unknown format", ""};
  if (!is_table(head)) return {"a text file", ""};
  return {"a CSV or another text table", fmt::format("coterie import '{}' -o out.h5ad", path)};
}

}  // namespace coterie::io
