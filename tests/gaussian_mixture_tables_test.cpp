// Results that others have published or reached on small real data sets (research tables, mclust 6.0, scikit-learn 1.2).
#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "tests/support/fixtures.hpp"
#include "tests/support/mixtures.hpp"
#include "tests/support/paths.hpp"

namespace coterie::gaussian_mixture {
namespace {

// Converged maxima that mclust 6.0 and scikit-learn 1.2 agree on (tol 1e-12); galaxies and acidity to the four decimals
// that mclust publishes.
struct Published {
  const char* name;
  const char* file;
  std::vector<std::size_t> columns;
  CovarianceType type;
  std::int32_t n_components;
  double log_likelihood;
  double bic;
  std::optional<double> icl = std::nullopt;  // see below
  double tolerance = 1e-6;                   // relative
  bool has_header = true;
  Init init = Init::random;
};
// ICL where mclust publishes one, 2357.824 (faithful) and 4749.16 (diabetes): of runs that its default tol ends 0.02 and 0.05 of BIC before
// the maximum, where ICL, which the maximum of the likelihood does not hold still, is 0.57 and 0.38 away from what a plain EM in double,
// run to its standstill, comes to. That is what stands in the table.
std::ostream& operator<<(std::ostream& out, const Published& table) { return out << table.name; }

class GaussianMixtureTables : public ::testing::TestWithParam<Published> {};

TEST_P(GaussianMixtureTables, ReachesThePublishedMaximum) {
  const Published& table = GetParam();
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const auto values = testing::read_columns(testing::fixture(table.file), table.columns, table.has_header);
  const Problem problem{.rows = testing::on_grid(values, static_cast<std::int32_t>(table.columns.size())),
                        .weights = {},
                        .params = {{.n_components = table.n_components,
                                    .covariance_type = table.type,
                                    .n_init = table.init == Init::random ? 20 : 1,
                                    .max_iter = 3000,
                                    .tol = 1e-12,
                                    .reg_covar = 0,
                                    .init = table.init}}};
  const Model model = fit_one(problem);
  EXPECT_TRUE(model.converged);
  EXPECT_NEAR(model.log_likelihood, table.log_likelihood, table.tolerance * std::abs(table.log_likelihood));
  EXPECT_NEAR(model.bic, table.bic, table.tolerance * std::abs(table.bic));
  if (table.icl) {
    EXPECT_NEAR(model.icl, *table.icl, table.tolerance * *table.icl);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Published, GaussianMixtureTables,
    ::testing::Values(
        Published{"faithful_full_2", "faithful.csv", {0, 1}, CovarianceType::full, 2, -1130.263960, 2322.191743},
        Published{"faithful_tied_3", "faithful.csv", {0, 1}, CovarianceType::tied, 3, -1126.315928, 2314.295678, 2358.389488},
        Published{"faithful_diag_2", "faithful.csv", {0, 1}, CovarianceType::diag, 2, -1147.806353, 2346.064924},
        Published{"faithful_spherical_2", "faithful.csv", {0, 1}, CovarianceType::spherical, 2, -1709.529282, 3458.299179},
        Published{"faithful_tied_2", "faithful.csv", {0, 1}, CovarianceType::tied, 2, -1140.186759, 2325.219935},
        Published{"iris_full_2", "iris.csv", {0, 1, 2, 3}, CovarianceType::full, 2, -214.354704, 574.017832},
        Published{"iris_full_3", "iris.csv", {0, 1, 2, 3}, CovarianceType::full, 3, -180.185477, 580.838907},
        // Random starts find -306.860491, which is higher; the published maximum is the one above the k-means start.
        Published{"iris_diag_3",
                  "iris.csv",
                  {0, 1, 2, 3},
                  CovarianceType::diag,
                  3,
                  -307.177572,
                  744.631661,
                  std::nullopt,
                  1e-6,
                  true,
                  Init::kmeans},
        Published{"iris_tied_3", "iris.csv", {0, 1, 2, 3}, CovarianceType::tied, 3, -256.354043, 632.963333},
        Published{"iris_spherical_3", "iris.csv", {0, 1, 2, 3}, CovarianceType::spherical, 3, -384.314095, 853.808990},
        Published{"iris_full_1", "iris.csv", {0, 1, 2, 3}, CovarianceType::full, 1, -379.914630, 829.978154},
        Published{"diabetes_corrected_full_3",
                  "diabetes_corrected.csv",
                  {1, 2, 3},
                  CovarianceType::full,
                  3,
                  -2295.093456,
                  4734.512190,
                  4748.777276},
        Published{"diabetes_as_shipped_full_3", "diabetes_as_shipped.csv", {1, 2, 3}, CovarianceType::full, 3, -2303.491843, 4751.308965},
        Published{"galaxies_full_3", "galaxies.csv", {0}, CovarianceType::full, 3, -203.1792, 441.6122},
        Published{"acidity_tied_2", "acidity.csv", {0}, CovarianceType::tied, 2, -185.949264, 392.072229},
        Published{
            "onedal_full_2", "onedal_em_gmm.csv", {0, 1, 2}, CovarianceType::full, 2, -591.055272, 1269.608778, std::nullopt, 1e-6, false}),
    [](const auto& table) { return table.param.name; });

TEST(GaussianMixtureParametersOf, FaithfulAreThePublishedOnes) {
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const auto values = testing::read_columns(testing::fixture("faithful.csv"), {0, 1});
  Problem problem{
      .rows = testing::on_grid(values, 2), .weights = {}, .params = {{.n_components = 2, .max_iter = 3000, .tol = 1e-12, .reg_covar = 0}}};
  const double kGridStep = 0x1p-20;  // of the eruptions; a mean or variance moves by no more
  const Outcome outcome = run(problem);
  const Model& model = outcome.fit.best.front();
  const std::vector<double> weights{.644127140312, .355872859688}, means{4.28966197866, 79.96811524111, 2.0363884609, 54.4785164402},
      covariances{.169968428688,  .940609229484, .940609229484, 36.046210306669,
                  .0691676775483, .435167676502, .435167676502, 33.697282427214};
  for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(model.weights[i], weights[i], kGridStep);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(model.means[i], means[i], 4 * kGridStep);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(model.covariances[i], covariances[i], 16 * kGridStep);
  EXPECT_EQ(std::count(outcome.rows.label.begin(), outcome.rows.label.end(), 0), 175);
}

TEST(GaussianMixtureParametersOf, WeightedFaithfulAreThePublishedOnes) {
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const auto values = testing::read_columns(testing::fixture("faithful.csv"), {0, 1});
  std::vector<double> weights;
  for (int i = 0; i < 272; ++i) weights.push_back(1 + i % 4);
  Problem problem{.rows = testing::on_grid(values, 2),
                  .weights = quantise_weights(weights),
                  .params = {{.n_components = 2, .max_iter = 3000, .tol = 1e-12, .reg_covar = 0}}};
  const Model model = fit_one(problem);
  EXPECT_NEAR(model.log_likelihood, -2798.060778, 1e-6 * 2798);
  EXPECT_NEAR(model.bic, 2 * 2798.060778 + 11 * std::log(680), 1e-6 * 5668);
  EXPECT_NEAR(model.weights[0], .660821316878, 1e-6);
  EXPECT_NEAR(model.means[0], 4.28986129895, 1e-5);
  EXPECT_NEAR(model.means[1], 80.06050251303, 1e-5);
}

// Recency in days before 2011-12-10, invoices and money of every customer with a purchase, as log1p and z-score (n - 1).
std::vector<double> online_retail_rfm(const std::filesystem::path& path) {
  struct Customer {
    std::string last;  // a date of ISO 8601 sorts as text
    std::set<std::string> invoices;
    double money = 0;
  };
  std::map<std::string, Customer> customers;
  const gzFile file = gzopen(path.c_str(), "rb");
  std::array<char, 1 << 12> line{};
  gzgets(file, line.data(), static_cast<int>(line.size()));
  while (gzgets(file, line.data(), static_cast<int>(line.size())) != nullptr) {
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (const char* c = line.data(); *c != 0 && *c != '\n'; ++c) {
      if (*c == '"') quoted = !quoted;
      if (*c == ',' && !quoted)
        cells.emplace_back();
      else
        cells.back() += *c;
    }
    const double quantity = std::strtod(cells[3].c_str(), nullptr), price = std::strtod(cells[5].c_str(), nullptr);
    if (cells[6].empty() || quantity <= 0 || price <= 0 || cells[0].starts_with('C')) continue;
    Customer& customer = customers[cells[6]];
    customer.last = std::max(customer.last, cells[4].substr(0, 10));
    customer.invoices.insert(cells[0]);
    customer.money += quantity * price;
  }
  gzclose(file);
  std::vector<double> values;
  for (const auto& [id, customer] : customers) {
    const std::chrono::year_month_day last{std::chrono::year(std::stoi(customer.last.substr(0, 4))),
                                           std::chrono::month(static_cast<unsigned>(std::stoi(customer.last.substr(5, 2)))),
                                           std::chrono::day(static_cast<unsigned>(std::stoi(customer.last.substr(8, 2))))};
    const auto recency = std::chrono::sys_days(std::chrono::year(2011) / 12 / 10) - std::chrono::sys_days(last);
    for (const double value : {static_cast<double>(recency.count()), static_cast<double>(customer.invoices.size()), customer.money})
      values.push_back(std::log1p(value));
  }
  const std::size_t n = values.size() / 3;
  for (std::size_t j = 0; j < 3; ++j) {
    double mean = 0, square = 0;
    for (std::size_t i = j; i < values.size(); i += 3) mean += values[i] / static_cast<double>(n);
    for (std::size_t i = j; i < values.size(); i += 3) square += (values[i] - mean) * (values[i] - mean) / static_cast<double>(n - 1);
    for (std::size_t i = j; i < values.size(); i += 3) values[i] = (values[i] - mean) / std::sqrt(square);
  }
  return values;
}

TEST(GaussianMixtureOnlineRetail, ReachesTheReferenceAndSurvivesThePointMass) {
  const auto path = testing::shared_dir() / "data" / "online_retail" / "online_retail.csv.gz";
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  Problem problem{.rows = testing::on_grid(online_retail_rfm(path), 3), .weights = {}, .params = {}};
  const auto add = [&](CovarianceType type, std::int32_t k) {
    problem.params.push_back(
        {.n_components = k, .covariance_type = type, .n_init = k > 1 ? 5 : 1, .max_iter = 2000, .tol = 1e-9, .reg_covar = 0});
  };
  add(CovarianceType::diag, 1);
  add(CovarianceType::full, 1);
  add(CovarianceType::diag, 2);
  add(CovarianceType::full, 2);
  add(CovarianceType::diag, 4);
  const Fit fit = run(problem).fit;
  EXPECT_NEAR(fit.best[0].log_likelihood, -18464.566, 1e-3);
  EXPECT_NEAR(fit.best[1].log_likelihood, -15307.410, 1e-3);
  EXPECT_GE(fit.best[2].log_likelihood, -15814.176 - 1e-3);
  for (const Model& model : fit.best) EXPECT_TRUE(std::isfinite(model.log_likelihood));
  EXPECT_FALSE(fit.best[4].at_floor.empty());  // 34.4 % of the customers bought exactly once
}

}  // namespace
}  // namespace coterie::gaussian_mixture
