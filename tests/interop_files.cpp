// Writes the files that interop_test.py opens: interop_files FOLDER
#include <cstdio>
#include <exception>

#include "tests/support/sample_features.hpp"
#include "tests/support/sample_result.hpp"

namespace {

void write_result(const std::filesystem::path& path, bool integer_ids) {
  const coterie::testing::SampleResult sample{.n_rows = 70'000, .integer_ids = integer_ids};
  coterie::io::AtomicOutput output({.path = path, .overwrite = true});
  coterie::io::H5adWriter file(output, coterie::io::result_options(sample.n_rows, "customer_id"));
  coterie::testing::write_sample_result(file, sample, 4096);
  file.commit();
}

void write_features(const std::filesystem::path& path, const coterie::testing::SampleFeatures& sample) {
  const coterie::io::FeatureFileLayout layout = coterie::testing::sample_layout(sample);
  coterie::io::AtomicOutput output({.path = path, .overwrite = true});
  coterie::io::FeatureWriter writer(output, layout);
  coterie::testing::write_sample_features(writer, layout, 4096);
  writer.commit();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) return 2;
    const std::filesystem::path folder = argv[1];
    std::filesystem::create_directories(folder);
    write_result(folder / "numbers.h5ad", true);
    write_result(folder / "texts.h5ad", false);
    write_features(folder / "features.h5ad", {});
    write_features(folder / "wide.h5ad", {.is_wide = true, .compressed = true, .integer_ids = false});
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
