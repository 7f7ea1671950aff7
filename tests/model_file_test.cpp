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
using gaussian_mixture::CovarianceType;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

kmeans::Model& clusters(SegmentationModel& model) { return std::get<kmeans::Model>(model.fit); }
gaussian_mixture::Model& mixture(SegmentationModel& model) { return std::get<gaussian_mixture::Model>(model.fit); }

SegmentationModel sample_model() {
  SegmentationModel model;
  kmeans::Model& fit = clusters(model);
  fit.n_clusters = 3;
  fit.n_columns = 2;
  fit.cluster_centers = {0.1f, -0.0f, 1e-40f, 3.4e38f, -1.0f / 3, 0x1.fffffep-1f};
  fit.cluster_sizes = {5'000'000'000, 0, 7};
  fit.cluster_weights = {1.0 / 3, 0.0, 1e300};
  fit.restart = 4;
  fit.n_iter = 17;
  fit.inertia = 0x1.123456789abcdp+10;
  fit.converged = true;
  fit.settled = true;
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

// Odd numbers in every field.
SegmentationModel sample_mixture(CovarianceType type) {
  SegmentationModel model = sample_model();
  gaussian_mixture::Model fit{.covariance_type = type, .n_components = 3, .n_columns = 2};
  fit.weights = {0.5, 1.0 / 3, 1.0 / 6};
  fit.means = {0.1, -0.0, 5e-324, 1.7e308, -1.0 / 3, 0x1.fffffffffffffp-1};
  switch (type) {
    case CovarianceType::full: fit.covariances = {1, 0.1, 0.1, 2, 1, 0, 0, 1, 3, -1, -1, 1e-300}; break;
    case CovarianceType::tied: fit.covariances = {1.0 / 7, 0.1, 0.1, 2}; break;
    case CovarianceType::diag: fit.covariances = {1, 2, 3, 1e-300, 5, 1.0 / 9}; break;
    case CovarianceType::spherical: fit.covariances = {1, 1e-300, 1.0 / 9}; break;
  }
  fit.precisions_cholesky = fit.covariances;
  if (type == CovarianceType::full || type == CovarianceType::tied)
    for (std::size_t i = 2; i < fit.precisions_cholesky.size(); i += 4) fit.precisions_cholesky[i] = 0;  // below the diagonal
  fit.missing_at_random = model.transform.keep_missing = type == CovarianceType::diag;
  fit.restart = 2;
  fit.n_iter = 3;
  fit.converged = true;
  fit.lower_bound = {-3.5, -1.0 / 3, -0x1.123456789abcdp-2};
  fit.reseedings = {{.iteration = 2, .component = 1}};
  fit.at_floor = {0, 2};
  fit.final_parameters = fit.settled = true;
  fit.row_weight = 1e9 / 7;
  fit.log_likelihood = -0x1.123456789abcdp+30;
  fit.aic = 1.0 / 3;
  fit.bic = -2.0 / 3;
  fit.icl = 1e300;
  model.fit = fit;
  model.outlier_log_likelihood = -1e3 / 7;
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

std::vector<std::uint64_t> bits(const std::vector<double>& values) {
  std::vector<std::uint64_t> result;
  for (const double value : values) result.push_back(std::bit_cast<std::uint64_t>(value));
  return result;
}

void expect_same(const kmeans::Model& a, const kmeans::Model& b) {
  EXPECT_EQ(a.n_clusters, b.n_clusters);
  EXPECT_EQ(a.n_columns, b.n_columns);
  EXPECT_EQ(bits(a.cluster_centers), bits(b.cluster_centers));
  EXPECT_EQ(a.cluster_sizes, b.cluster_sizes);
  EXPECT_EQ(a.cluster_weights, b.cluster_weights);
  EXPECT_EQ(a.restart, b.restart);
  EXPECT_EQ(a.n_iter, b.n_iter);
  EXPECT_EQ(bits(std::vector<double>{a.inertia}), bits(std::vector<double>{b.inertia}));
  EXPECT_EQ(a.converged, b.converged);
  EXPECT_EQ(a.settled, b.settled);
}

void expect_same(const gaussian_mixture::Model& a, const gaussian_mixture::Model& b) {
  EXPECT_EQ(a.covariance_type, b.covariance_type);
  EXPECT_EQ(a.missing_at_random, b.missing_at_random);
  EXPECT_EQ(a.n_components, b.n_components);
  EXPECT_EQ(a.n_columns, b.n_columns);
  EXPECT_EQ(bits(a.weights), bits(b.weights));
  EXPECT_EQ(bits(a.means), bits(b.means));
  EXPECT_EQ(bits(a.covariances), bits(b.covariances));
  EXPECT_EQ(bits(a.precisions_cholesky), bits(b.precisions_cholesky));
  EXPECT_EQ(bits(a.lower_bound), bits(b.lower_bound));
  const auto criteria = [](const gaussian_mixture::Model& m) {
    return std::vector<double>{m.row_weight, m.log_likelihood, m.aic, m.bic, m.icl};
  };
  EXPECT_EQ(bits(criteria(a)), bits(criteria(b)));
  EXPECT_EQ(a.restart, b.restart);
  EXPECT_EQ(a.n_iter, b.n_iter);
  EXPECT_EQ(a.converged, b.converged);
  EXPECT_EQ(a.settled, b.settled);
  EXPECT_EQ(a.reseedings, b.reseedings);
  EXPECT_EQ(a.at_floor, b.at_floor);
  EXPECT_EQ(a.too_light, b.too_light);
}

void expect_same(const SegmentationModel& a, const SegmentationModel& b) {
  ASSERT_EQ(algorithm_of(a.fit), algorithm_of(b.fit));
  if (const auto* fit = std::get_if<kmeans::Model>(&a.fit))
    expect_same(*fit, std::get<kmeans::Model>(b.fit));
  else
    expect_same(std::get<gaussian_mixture::Model>(a.fit), std::get<gaussian_mixture::Model>(b.fit));
  EXPECT_EQ(a.outlier_log_likelihood, b.outlier_log_likelihood);
  EXPECT_EQ(a.transform.kind, b.transform.kind);
  EXPECT_EQ(a.transform.names, b.transform.names);
  EXPECT_EQ(a.transform.keep_missing, b.transform.keep_missing);
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
  void expect_refused(const std::function<void(SegmentationModel&)>& change, const std::string& field,
                      SegmentationModel model = sample_model()) {
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

TEST_F(ModelFile, MixturesComeBackBitForBit) {
  for (const auto& [type, name] : gaussian_mixture::kCovarianceTypes) {
    SCOPED_TRACE(name);
    write_result(path, sample_mixture(type));
    expect_same(read_model(path), sample_mixture(type));
  }
}

TEST_F(ModelFile, StoresLikelihoodsInInputUnitsOnlyBehindShiftsAndScales) {
  SegmentationModel model = sample_mixture(CovarianceType::full);
  EXPECT_FALSE(likelihoods_in_input_units(model.fit, model.transform));
  for (ColumnTransform& column : model.transform.columns) column = {.center = 5, .scale = 4, .step = 1};
  gaussian_mixture::Model& fit = mixture(model);
  fit.row_weight = 10;
  fit.lower_bound = {-11, -10.5};
  fit.log_likelihood = -100;
  fit.aic = 210;
  fit.bic = 220;
  fit.icl = 230;
  const double of_row = 2 * std::log(4);
  const Likelihoods likelihoods = likelihoods_in_input_units(model.fit, model.transform).value();
  ASSERT_EQ(likelihoods.lower_bound.size(), 2u);
  EXPECT_NEAR(likelihoods.lower_bound[0], -11 - of_row, 1e-12);
  EXPECT_NEAR(likelihoods.lower_bound[1], -10.5 - of_row, 1e-12);
  EXPECT_NEAR(likelihoods.log_likelihood, -100 - 10 * of_row, 1e-12);
  EXPECT_NEAR(likelihoods.aic, 210 + 20 * of_row, 1e-12);
  EXPECT_NEAR(likelihoods.bic, 220 + 20 * of_row, 1e-12);
  EXPECT_NEAR(likelihoods.icl, 230 + 20 * of_row, 1e-12);
  model.transform.keep_missing = true;  // a row without a cell has another volume
  EXPECT_FALSE(likelihoods_in_input_units(model.fit, model.transform));
  model.transform.keep_missing = false;
  model.transform.columns[0].upper = 3;
  EXPECT_FALSE(likelihoods_in_input_units(model.fit, model.transform));
}

TEST_F(ModelFile, NamesTheFieldOfAMixtureThatIsWrong) {
  using Model = SegmentationModel;
  const auto refused = [&](const std::function<void(gaussian_mixture::Model&)>& change, const std::string& field,
                           CovarianceType type = CovarianceType::full) {
    expect_refused<ContentsError>([&](Model& m) { change(mixture(m)); }, field, sample_mixture(type));
  };
  using Fit = gaussian_mixture::Model;
  refused([](Fit& m) { m.weights = {0.5, 0.5, 0.5}; }, "weights");
  refused([](Fit& m) { m.weights = {1.5, -0.5, 0}; }, "weights");
  refused([](Fit& m) { m.weights[0] = kNaN; }, "weights");
  refused([](Fit& m) { m.weights.pop_back(); }, "weights");
  refused([](Fit& m) { m.means[3] = kInfinity; }, "means");
  refused([](Fit& m) { m.covariances[3] = kNaN; }, "covariances");
  refused([](Fit& m) { m.precisions_cholesky[0] = 0; }, "precisions_cholesky");
  refused([](Fit& m) { m.precisions_cholesky[2] = 1; }, "precisions_cholesky");
  refused([](Fit& m) { m.precisions_cholesky[3] = -1; }, "precisions_cholesky", CovarianceType::diag);
  refused([](Fit& m) { m.lower_bound.pop_back(); }, "lower_bound");
  refused([](Fit& m) { m.row_weight = 0; }, "row_weight");
  refused([](Fit& m) { m.log_likelihood = kNaN; }, "log_likelihood");
  refused([](Fit& m) { m.bic = kInfinity; }, "bic");
  refused([](Fit& m) { m.missing_at_random = true; }, "missing_at_random");
  refused([](Fit& m) { m.at_floor = {3}; }, "at_floor");
  refused([](Fit& m) { m.too_light = {-1}; }, "too_light");
  refused([](Fit& m) { m.reseedings[0].iteration = 4; }, "reseeded_after");
  expect_refused<ContentsError>([](Model& m) { m.outlier_log_likelihood = kNaN; }, "outlier_log_likelihood",
                                sample_mixture(CovarianceType::tied));
}

TEST_F(ModelFile, LargeModelsComeBackToo) {
  SegmentationModel model = sample_model();
  const int k = 300, d = 400;
  clusters(model).n_clusters = k;
  clusters(model).n_columns = d;
  clusters(model).cluster_centers.assign(static_cast<std::size_t>(k) * d, 0.25f);
  clusters(model).cluster_sizes.assign(k, 1);
  clusters(model).cluster_weights.assign(k, 1.0);
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
  expect_refused<ContentsError>([](Model& m) { clusters(m).cluster_centers[2] = static_cast<float>(kNaN); }, "cluster_centers");
  expect_refused<ContentsError>([](Model& m) { clusters(m).cluster_centers[2] = static_cast<float>(kInfinity); }, "cluster_centers");
  expect_refused<ContentsError>([](Model& m) { clusters(m).cluster_sizes[1] = -1; }, "cluster_sizes");
  expect_refused<ContentsError>([](Model& m) { clusters(m).cluster_sizes.pop_back(); }, "cluster_sizes");
  expect_refused<ContentsError>([](Model& m) { clusters(m).cluster_weights[0] = kNaN; }, "cluster_weights");
  expect_refused<ContentsError>([](Model& m) { clusters(m).inertia = kNaN; }, "inertia");
  expect_refused<ContentsError>([](Model& m) { clusters(m).inertia = -1; }, "inertia");
  expect_refused<ContentsError>([](Model& m) { clusters(m).n_iter = -1; }, "n_iter");
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
  const auto expect_missed = [&](const SegmentationModel& model, const std::string& field) {
    write_result(path, model);
    {
      const hdf5::Lock lock;
      const hdf5::File file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
      ASSERT_GE(H5Ldelete(file.id(), ("uns/segmentation/model/" + field).c_str(), H5P_DEFAULT), 0);
    }
    EXPECT_THAT([&] { read_model(path); }, ThrowsMessage<ContentsError>(HasSubstr(field))) << field;
  };
  for (const std::string field :
       {"format_version", "algorithm", "seed", "weight_step", "raw_columns", "segment_names", "cluster_centers", "cluster_sizes",
        "cluster_weights", "inertia", "n_iter", "restart", "converged", "transform_kind", "transform"})
    expect_missed(sample_model(), field);
  for (const std::string field :
       {"covariance_type", "missing_at_random", "weights", "means", "covariances", "precisions_cholesky", "lower_bound", "row_weight",
        "log_likelihood", "aic", "bic", "icl", "n_iter", "restart", "converged", "at_floor", "too_light", "reseeded", "reseeded_after"})
    expect_missed(sample_mixture(CovarianceType::full), field);
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
  rewrite([](hid_t file) {
    H5Ldelete(file, "uns/segmentation/model/algorithm", H5P_DEFAULT);
    H5Lcopy(file, "uns/segmentation/model/transform_kind", file, "uns/segmentation/model/algorithm", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_THAT([&] { read_model(path); }, ThrowsMessage<ContentsError>(AllOf(HasSubstr("algorithm"), HasSubstr("robust"))));
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
