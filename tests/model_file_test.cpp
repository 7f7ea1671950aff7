#include "io/model_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "host/error.hpp"
#include "io/hdf5.hpp"
#include "io/result_file.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/files.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using coterie::testing::read_file;
using coterie::testing::ScratchFolder;
using coterie::testing::write_file;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

SegmentationModel sample_model() {
  SegmentationModel model;
  model.kmeans.n_clusters = 3;
  model.kmeans.n_columns = 2;
  model.kmeans.cluster_centers = {0.1f, -0.0f, 1e-40f, 3.4e38f, -1.0f / 3, 0x1.fffffep-1f};
  model.kmeans.cluster_sizes = {5'000'000'000, 0, 7};
  model.kmeans.cluster_weights = {1.0 / 3, 0.0, 1e300};
  model.kmeans.restart = 4;
  model.kmeans.n_iter = 17;
  model.kmeans.inertia = 0x1.123456789abcdp+10;
  model.kmeans.converged = true;
  model.kmeans.settled = true;
  model.transform.kind = TransformKind::robust;
  model.transform.columns = {
      {.source = 2, .log1p = true, .lower = -0.5, .upper = 1e9, .fill = 3.25, .center = 1.0 / 7, .scale = 0.3, .step = 0x1p-20},
      {.source = 0, .answered = true, .step = 0x1p-900}};
  model.transform.names = {"spend/month", "\xc3\xa4ge answered"};
  model.raw_columns = {"\xc3\xa4ge", "unused", "spend/month"};
  model.segment_names = {"Careful", "Loyal", "New"};
  model.weight_step = 0x1p-30;
  model.seed = 0xfedcba9876543210u;
  return model;
}

void write_result(const std::filesystem::path& path, const SegmentationModel& model) {
  AtomicOutput output({.path = path, .overwrite = true});
  H5adWriter file(output, result_options(1, "id"));
  const std::int64_t id = 1;
  const Cells cells = std::span<const std::int64_t>(&id, 1);
  file.open_rows({{.name = "id", .type = CellType::int64}}).write(0, {&cells, 1});
  write_model(file, model);
  file.commit();
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> result;
  for (const float value : values) result.push_back(std::bit_cast<std::uint32_t>(value));
  return result;
}

std::vector<std::uint64_t> bits(const ColumnTransform& c) {
  std::vector<std::uint64_t> result = {static_cast<std::uint64_t>(c.source), c.answered, c.log1p};
  for (const double value : {c.lower, c.upper, c.fill, c.center, c.scale, c.step}) result.push_back(std::bit_cast<std::uint64_t>(value));
  return result;
}

void expect_same(const SegmentationModel& a, const SegmentationModel& b) {
  EXPECT_EQ(a.algorithm, b.algorithm);
  EXPECT_EQ(a.kmeans.n_clusters, b.kmeans.n_clusters);
  EXPECT_EQ(a.kmeans.n_columns, b.kmeans.n_columns);
  EXPECT_EQ(bits(a.kmeans.cluster_centers), bits(b.kmeans.cluster_centers));
  EXPECT_EQ(a.kmeans.cluster_sizes, b.kmeans.cluster_sizes);
  EXPECT_EQ(a.kmeans.cluster_weights, b.kmeans.cluster_weights);
  EXPECT_EQ(a.kmeans.restart, b.kmeans.restart);
  EXPECT_EQ(a.kmeans.n_iter, b.kmeans.n_iter);
  EXPECT_EQ(std::bit_cast<std::uint64_t>(a.kmeans.inertia), std::bit_cast<std::uint64_t>(b.kmeans.inertia));
  EXPECT_EQ(a.kmeans.converged, b.kmeans.converged);
  EXPECT_EQ(a.kmeans.settled, b.kmeans.settled);
  EXPECT_EQ(a.transform.kind, b.transform.kind);
  EXPECT_EQ(a.transform.names, b.transform.names);
  ASSERT_EQ(a.transform.columns.size(), b.transform.columns.size());
  for (std::size_t i = 0; i < a.transform.columns.size(); ++i) EXPECT_EQ(bits(a.transform.columns[i]), bits(b.transform.columns[i]));
  EXPECT_EQ(a.raw_columns, b.raw_columns);
  EXPECT_EQ(a.segment_names, b.segment_names);
  EXPECT_EQ(a.weight_step, b.weight_step);
  EXPECT_EQ(a.seed, b.seed);
}

class ModelFile : public ::testing::Test {
 protected:
  // Writes a model that `change` has spoiled; reading it must be refused with the name of the field.
  template <class E>
  void expect_refused(const std::function<void(SegmentationModel&)>& change, const std::string& field) {
    SegmentationModel model = sample_model();
    change(model);
    write_result(path, model);
    EXPECT_THAT([&] { read_model(path); }, ThrowsMessage<E>(AllOf(HasSubstr(field), HasSubstr("result.h5ad")))) << field;
  }

  const ScratchFolder folder;
  const std::filesystem::path path = folder / "result.h5ad";
};

TEST_F(ModelFile, ComesBackBitForBit) {
  for (const TransformKind kind :
       {TransformKind::none, TransformKind::zscore, TransformKind::log1p, TransformKind::robust, TransformKind::automatic}) {
    SegmentationModel model = sample_model();
    model.transform.kind = kind;
    write_result(path, model);
    expect_same(read_model(path), model);
  }
}

TEST_F(ModelFile, LargeModelsComeBackToo) {
  SegmentationModel model = sample_model();
  const int k = 300, d = 400;
  model.kmeans.n_clusters = k;
  model.kmeans.n_columns = d;
  model.kmeans.cluster_centers.assign(static_cast<std::size_t>(k) * d, 0.25f);
  model.kmeans.cluster_sizes.assign(k, 1);
  model.kmeans.cluster_weights.assign(k, 1.0);
  model.segment_names.clear();
  model.raw_columns.clear();
  model.transform = {};
  for (int i = 0; i < k; ++i) model.segment_names.push_back("segment " + std::to_string(i));
  for (int i = 0; i < d; ++i) {
    model.raw_columns.push_back("column " + std::to_string(i));
    model.transform.columns.push_back({.source = i});
    model.transform.names.push_back(model.raw_columns.back());
  }
  write_result(path, model);
  expect_same(read_model(path), model);
}

TEST_F(ModelFile, NamesTheFieldThatIsWrong) {
  using Model = SegmentationModel;
  expect_refused<ContentsError>([](Model& m) { m.algorithm = "gmm"; }, "algorithm");
  expect_refused<ContentsError>([](Model& m) { m.kmeans.cluster_centers[2] = static_cast<float>(kNaN); }, "cluster_centers");
  expect_refused<ContentsError>([](Model& m) { m.kmeans.cluster_centers[2] = static_cast<float>(kInfinity); }, "cluster_centers");
  expect_refused<ContentsError>([](Model& m) { m.kmeans.cluster_sizes[1] = -1; }, "cluster_sizes");
  expect_refused<ContentsError>([](Model& m) { m.kmeans.cluster_sizes.pop_back(); }, "cluster_sizes");
  expect_refused<ContentsError>([](Model& m) { m.kmeans.cluster_weights[0] = kNaN; }, "cluster_weights");
  expect_refused<ContentsError>([](Model& m) { m.kmeans.inertia = kNaN; }, "inertia");
  expect_refused<ContentsError>([](Model& m) { m.kmeans.inertia = -1; }, "inertia");
  expect_refused<ContentsError>([](Model& m) { m.kmeans.n_iter = -1; }, "n_iter");
  expect_refused<ContentsError>([](Model& m) { m.raw_columns[1] = m.raw_columns[0]; }, "raw_columns");
  expect_refused<ContentsError>([](Model& m) { m.segment_names.pop_back(); }, "segment_names");
  expect_refused<ContentsError>([](Model& m) { m.segment_names[0] = m.segment_names[1]; }, "segment_names");
  expect_refused<ContentsError>([](Model& m) { m.weight_step = 0; }, "weight_step");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns.pop_back(), m.transform.names.pop_back(); }, "transform");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].source = 3; }, "transform/source");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].source = -1; }, "transform/source");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].step = 0.3; }, "transform/step");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].step = 0; }, "transform/step");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].scale = 0; }, "transform/scale");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].scale = kNaN; }, "transform/scale");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].center = kInfinity; }, "transform/center");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].lower = kNaN; }, "transform/lower");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].upper = -kInfinity; }, "transform/lower");
  expect_refused<ContentsError>([](Model& m) { m.transform.columns[0].fill = kInfinity; }, "transform/fill");
}

TEST_F(ModelFile, NamesTheFieldThatIsMissing) {
  for (const std::string field :
       {"format_version", "algorithm", "seed", "weight_step", "raw_columns", "segment_names", "cluster_centers", "cluster_sizes",
        "cluster_weights", "inertia", "n_iter", "restart", "converged", "transform_kind", "transform"}) {
    write_result(path, sample_model());
    {
      const hdf5::Lock lock;
      const hdf5::File file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
      ASSERT_GE(H5Ldelete(file.id(), ("uns/segmentation/model/" + field).c_str(), H5P_DEFAULT), 0);
    }
    EXPECT_THAT([&] { read_model(path); }, ThrowsMessage<ContentsError>(HasSubstr(field))) << field;
  }
}

TEST_F(ModelFile, RefusesWhatIsNoModelOfThisFormat) {
  const auto rewrite = [&](const std::function<void(hid_t)>& change) {
    write_result(path, sample_model());
    const hdf5::Lock lock;
    const hdf5::File file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
    change(file.id());
  };
  rewrite([](hid_t file) {
    const std::int64_t version = 2;
    const auto dataset = hdf5::open_dataset(file, "uns/segmentation/model/format_version");
    H5Dwrite(dataset.id(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &version);
  });
  EXPECT_THAT([&] { read_model(path); }, ThrowsMessage<InputError>(AllOf(HasSubstr("format_version"), HasSubstr("format 2"))));
  rewrite([](hid_t file) { H5Ldelete(file, "uns/segmentation/model", H5P_DEFAULT); });
  EXPECT_THAT([&] { read_model(path); }, ThrowsMessage<InputError>(HasSubstr("no model")));
  rewrite([](hid_t file) {
    H5Adelete(file, "schema_version");
    hdf5::write_string_attribute(file, "schema_version", "2.0");
  });
  EXPECT_THAT([&] { read_model(path); }, ThrowsMessage<InputError>(HasSubstr("schema_version")));
  rewrite([](hid_t file) { H5Adelete(file, "schema"); });
  EXPECT_THAT([&] { read_model(path); }, ThrowsMessage<InputError>(HasSubstr("schema")));
  EXPECT_THROW(read_model(folder / "none"), InputError);
}

// One changed byte anywhere is refused or changes nothing that is read.
TEST_F(ModelFile, NoDamageGoesUnnoticed) {
  write_result(path, sample_model());
  const SegmentationModel intact = read_model(path);
  EXPECT_TRUE(coterie::testing::passes_in_child([&] {
    std::string bytes = read_file(path);
    int refused = 0;
    for (std::size_t at = 0; at < bytes.size(); at += 31) {
      const char old = bytes[at];
      bytes[at] = static_cast<char>(old ^ 0x41);
      write_file(folder / "damaged", bytes);
      bytes[at] = old;
      try {
        expect_same(read_model(folder / "damaged"), intact);
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ExitCode::input_file || error.code() == ExitCode::contents) << error.what();
        ++refused;
      }
    }
    EXPECT_GT(refused, 30);
  }));
}

TEST_F(ModelFile, EveryTruncationIsRefused) {
  write_result(path, sample_model());
  const std::string bytes = read_file(path);
  for (std::size_t size = 0; size < bytes.size(); size += 97) {
    write_file(folder / "short", bytes.substr(0, size));
    EXPECT_THROW(read_model(folder / "short"), InputError) << size;
  }
}

}  // namespace
}  // namespace coterie::io
