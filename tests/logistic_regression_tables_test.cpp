// Results that others have published or reached on small real data sets (research tables; R 4.2 glm with epsilon 1e-15,
// brglm2): log-likelihood and deviances to 1e-6, coefficients to 1e-3 and standard errors to 1e-4 of a standard error,
// as far as float32 columns allow.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/fixtures.hpp"
#include "tests/support/outcomes.hpp"

namespace coterie::logistic_regression {
namespace {

struct Table {
  std::vector<double> x;
  std::vector<std::int8_t> y;
  std::int32_t n_columns;
};

Table read_table(const std::string& file, const std::vector<std::size_t>& columns, std::size_t outcome, double yes = 1) {
  Table table{.x = testing::read_columns(testing::fixture(file), columns), .y = {}, .n_columns = static_cast<std::int32_t>(columns.size())};
  for (const double value : testing::read_columns(testing::fixture(file), {outcome})) table.y.push_back(value == yes ? 1 : 0);
  return table;
}

Problem as_problem(const Table& table, Penalty penalty) {
  return {.rows = testing::on_grid(table.x, table.n_columns), .target = table.y, .params = {{.penalty = penalty, .tol = 1e-12}}};
}

void expect_estimates(const Estimates& estimates, const std::vector<double>& values, const std::vector<double>& std_errs) {
  ASSERT_EQ(estimates.values.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(estimates.values[i], values[i], 1e-3 * std_errs[i]) << "parameter " << i;
    EXPECT_NEAR(wald(estimates, i).std_err, std_errs[i], 1e-4 * std_errs[i]) << "parameter " << i;
  }
}

// Coefficients in the order of the columns, the intercept last.
struct Published {
  const char* name;
  const char* file;
  std::vector<std::size_t> columns;
  std::size_t outcome;
  double log_likelihood, null_deviance, deviance, aic;
  std::vector<double> values, std_errs;
};
std::ostream& operator<<(std::ostream& out, const Published& published) { return out << published.name; }

class LogisticRegressionTables : public ::testing::TestWithParam<Published> {};

TEST_P(LogisticRegressionTables, MatchesThePublishedFit) {
  const Published& published = GetParam();
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const Model model = fit_one(as_problem(read_table(published.file, published.columns, published.outcome), Penalty::none));
  EXPECT_TRUE(model.converged);
  EXPECT_NEAR(model.log_likelihood, published.log_likelihood, 1e-6 * -published.log_likelihood);
  EXPECT_NEAR(model.null_deviance(), published.null_deviance, 1e-6 * published.null_deviance);
  EXPECT_NEAR(model.deviance(), published.deviance, 1e-6 * published.deviance);
  EXPECT_NEAR(model.aic(), published.aic, 1e-6 * published.aic);
  EXPECT_TRUE(model.separating.empty());
  expect_estimates(model.estimates, published.values, published.std_errs);
}

INSTANTIATE_TEST_SUITE_P(
    Published, LogisticRegressionTables,
    ::testing::Values(Published{"birthwt",
                                "birthwt_design.csv",
                                {0, 1, 2, 3, 4, 5, 6, 7, 8},
                                9,
                                -100.64239752794,
                                234.671996193,
                                201.284795056,
                                221.284795056,
                                {-.02954902707448, -.01542428397985, 1.27225979775439, .88049592578254, .93884570157826, .54333703112454,
                                 1.86330287037884, .76764814577158, .06530183477943, .48062320910078},
                                {.03703141736094, .00691938106224, .52736370292580, .44078566419559, .40215407656597, .34540543056545,
                                 .69754005899685, .45932147808857, .17239582592432, 1.19690410673577}},
                      Published{"pima",
                                "pima_tr.csv",
                                {0, 1, 2, 3, 4, 5, 6},
                                7,
                                -89.195333233035,
                                256.414191152,
                                178.390666466,
                                194.390666466,
                                {.103183427319110, .032116822893157, -.004767541974991, -.001916631746926, .083623912054650,
                                 1.820410367452339, .041183528816391, -9.773061532912324},
                                {.064694166469151, .006787301718459, .018540745626730, .022499546657441, .042826899078393, .665514005464527,
                                 .022090982532479, 1.770386737872719}},
                      Published{"mtcars",
                                "mtcars_am.csv",
                                {1, 2},
                                0,
                                -5.0295552361335,
                                43.2297332769,
                                10.0591104723,
                                16.0591104723,
                                {-8.08347518244463, .03625559608222, 18.86629871720412},
                                {3.06867511305470, .01773415365077, 7.44355806020529}},
                      Published{"infert",
                                "infert.csv",
                                {1, 2},
                                0,
                                -139.80598941689,
                                316.171110816,
                                279.611978834,
                                285.611978834,
                                {1.1972050352931, .4181293950478, -1.7078600713598},
                                {.2116432846272, .2056274564971, .2677094836882}},
                      Published{"lalonde",
                                "lalonde_design.csv",
                                {1, 2, 3, 4, 5, 6, 7, 8},
                                0,
                                -243.92196565525,
                                751.492080045,
                                487.84393131,
                                505.84393131,
                                {.01577707101755, .1613068773743, -2.081734120001, -3.065367740971, -.8321132753501, .7072968813838,
                                 -7.177668643845e-5, 5.344644707134e-5, -1.663281597733},
                                {.01357705047819, .06512644125874, .3672146794450, .2865261912808, .2903291523258, .3376682683763,
                                 2.874803936275e-5, 4.634884095841e-5, .9708863967843}}),
    [](const auto& published) { return published.param.name; });

TEST(LogisticRegressionTable, IrisVersicolorAgainstVirginica) {
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  Table table = read_table("iris.csv", {0, 1, 2, 3}, 4, 3);
  table.x.erase(table.x.begin(), table.x.begin() + 50 * 4);
  table.y.erase(table.y.begin(), table.y.begin() + 50);
  const Model model = fit_one(as_problem(table, Penalty::none));
  EXPECT_NEAR(model.log_likelihood, -5.9492733956794, 1e-6 * 5.95);
  expect_estimates(model.estimates, {-2.465220195187, -6.680887014079, 9.429385153927, 18.286136887851, -42.637803813022},
                   {2.394301018535, 4.479564566601, 4.737207700317, 9.742612139827, 25.707660833162});
}

// As R prints summary(glm(type ~ ., binomial, Pima.tr)), to the digits it prints.
TEST(LogisticRegressionTable, WaldRowsOfPima) {
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const Model model = fit_one(as_problem(read_table("pima_tr.csv", {0, 1, 2, 3, 4, 5, 6}, 7), Penalty::none));
  constexpr double kZ[] = {1.595, 4.732, -0.257, -0.085, 1.953, 2.735, 1.864},
                   kP[] = {.11073, 2.22e-6, .79707, .93211, .05087, .00623, .06228};
  for (std::size_t j = 0; j < 7; ++j) {
    EXPECT_NEAR(wald(model.estimates, j).z, kZ[j], 6e-4) << "parameter " << j;
    EXPECT_NEAR(wald(model.estimates, j).p_value, kP[j], j == 1 ? 1e-8 : 1e-5) << "parameter " << j;
  }
}

// Grouped counts are rows with weights: what the grouped deviance leaves out is that of the saturated model.
TEST(LogisticRegressionTable, GroupedMenarche) {
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const auto groups = testing::read_columns(testing::fixture("menarche.csv"), {0, 1, 2});
  Table table{.x = {}, .y = {}, .n_columns = 1};
  std::vector<double> weights;
  double saturated = 0;
  for (std::size_t i = 0; i < groups.size(); i += 3) {
    const double total = groups[i + 1], yes = groups[i + 2];
    for (const double count : {total - yes, yes}) {
      table.x.push_back(groups[i]);
      table.y.push_back(table.y.size() % 2 == 1);
      weights.push_back(count);
      if (count > 0) saturated += 2 * count * std::log(count / total);
    }
  }
  Problem problem = as_problem(table, Penalty::none);
  problem.weights = quantise_weights(weights);
  const Model model = fit_one(problem);
  EXPECT_NEAR(model.deviance() + saturated, 26.7034516358, 1e-6 * model.deviance());
  EXPECT_NEAR(model.null_deviance() + saturated, 3693.88357479, 1e-6 * model.null_deviance());
  expect_estimates(model.estimates, {1.631968348228, -21.226394905167}, {.05895317461869, .77068588438741});
}

TEST(LogisticRegressionTable, EndometrialSeparates) {
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const Table table = read_table("endometrial.csv", {0, 1, 2}, 3);
  const Model plain = fit_one(as_problem(table, Penalty::none));
  EXPECT_EQ(plain.separating, std::vector<std::int32_t>{0});
  EXPECT_NEAR(plain.log_likelihood, -27.69663, 1e-5);
  const std::vector<std::string> names{"NV", "PI", "EH"};
  EXPECT_NE(warnings_about(plain, names).front().find("'NV'"), std::string::npos);
}

}  // namespace
}  // namespace coterie::logistic_regression
