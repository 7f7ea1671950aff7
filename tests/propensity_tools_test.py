"""End-to-end tests of propensities: COTERIE=build/release/coterie /usr/bin/python3 tests/propensity_tools_test.py [Class]."""

import csv
import json
import math
import sys
import unittest

import anndata
import h5py
import numpy as np
import pandas
from sklearn.datasets import load_breast_cancer
from statsmodels.datasets import spector

from tools_test import SHARED, Case, digest, write_h5ad

NEEDS_SHARED = unittest.skipUnless((SHARED / "fixtures").is_dir(), "no ../shared")

# Published to some 13 digits; the matrix is float32, so cells are off by up to 6e-8 of themselves.
LIKELIHOOD = 1e-6  # relative
STANDARD_ERRORS = 1e-3  # a coefficient, in its own
STD_ERR = 1e-4  # relative


class PropensityCase(Case):
    def fit(self, *arguments, **options):
        return json.loads(self.succeed("propensity", *arguments, "--json", **options).stdout)

    def imported(self, path, *arguments, name="data.h5ad"):
        self.succeed("import", path, "-o", name, "--overwrite", *arguments)
        return self.folder / name

    def maximum_likelihood(self, path, target, *arguments):
        return self.fit(path, "-o", "r.h5ad", "--overwrite", "--target", target, "--penalty", "none", "--holdout", 0, "--transform", "none",
                        *arguments)


# name, target, rows, log-likelihood, null and residual deviance, AUC, {column: (coefficient, standard error)}
PUBLISHED = [
    ("birthwt_design", "y", 189, -100.64239752794, 234.671996193, 201.284795056, .746153846154,
     {"(intercept)": (.48062320910078, 1.19690410673577), "age": (-.02954902707448, .03703141736094), "lwt": (-.01542428397985, .00691938106224),
      "smoke": (.93884570157826, .40215407656597), "ht": (1.86330287037884, .69754005899685), "ftv": (.06530183477943, .17239582592432)}),
    ("pima_tr", "type", 200, -89.195333233035, 256.414191152, 178.390666466, .850267379679,
     {"(intercept)": (-9.773061532912324, 1.770386737872719), "npreg": (.103183427319110, .064694166469151),
      "glu": (.032116822893157, .006787301718459), "bp": (-.004767541974991, .018540745626730), "skin": (-.001916631746926, .022499546657441),
      "bmi": (.083623912054650, .042826899078393), "ped": (1.820410367452339, .665514005464527), "age": (.041183528816391, .022090982532479)}),
    ("mtcars_am", "am", 32, -5.0295552361335, 43.2297332769, 10.0591104723, .983805668016,
     {"(intercept)": (18.86629871720412, 7.44355806020529), "wt": (-8.08347518244463, 3.06867511305470), "hp": (.03625559608222, .01773415365077)}),
    ("infert", "case", 248, -139.80598941689, 316.171110816, 279.611978834, .7285505659,
     {"(intercept)": (-1.7078600713598, .2677094836882), "spontaneous": (1.1972050352931, .2116432846272),
      "induced": (.4181293950478, .2056274564971)}),
    ("lalonde_design", "treat", 614, -243.92196565525, 751.492080045, 487.84393131, .874226674227,
     {"(intercept)": (-1.663281597733, .9708863967843), "educ": (.1613068773743, .06512644125874), "racehispan": (-2.081734120001, .3672146794450),
      "married": (-.8321132753501, .2903291523258), "re74": (-7.177668643845e-5, 2.874803936275e-5)}),
]


@NEEDS_SHARED
class Published(PropensityCase):
    """Maximum likelihood as R prints it, from CSV to JSON."""

    def check(self, json_object, expected):
        _, target, n_rows, log_likelihood, null_deviance, deviance, auc, coefficients = expected
        self.assertEqual(json_object["target"], target)
        self.assertEqual(json_object["n_fit"], n_rows)
        self.assertEqual(json_object["judged"], "in-sample")
        self.assertAlmostEqual(json_object["log_likelihood"] / log_likelihood, 1, delta=LIKELIHOOD)
        self.assertAlmostEqual(json_object["deviance"] / deviance, 1, delta=LIKELIHOOD)
        self.assertAlmostEqual(json_object["null_deviance"] / null_deviance, 1, delta=LIKELIHOOD)
        self.assertAlmostEqual(json_object["log_loss"], -log_likelihood / n_rows, delta=LIKELIHOOD)
        self.assertAlmostEqual(json_object["auc"], auc, delta=5e-11)  # a ratio of counts, as printed
        by_name = {row["feature"]: row for row in json_object["coefficients"]}
        for name, (coefficient, standard_error) in coefficients.items():
            self.assertAlmostEqual(by_name[name]["coef"], coefficient, delta=STANDARD_ERRORS * standard_error, msg=name)
            self.assertAlmostEqual(by_name[name]["std_err"] / standard_error, 1, delta=STD_ERR, msg=name)
            self.assertAlmostEqual(by_name[name]["raw_coef"], by_name[name]["coef"], delta=1e-9 * abs(coefficient), msg=name)

    def test_wald_rows_of_r(self):
        """z and p as R prints summary(glm(type ~ ., binomial, Pima.tr))."""
        path = self.imported(SHARED / "fixtures/pima_tr.csv", "--outcome", "type")
        rows = {row["feature"]: row for row in self.maximum_likelihood(path, "type")["coefficients"]}
        for name, z, p in (("(intercept)", -5.520, 3.38e-8), ("npreg", 1.595, .11073), ("glu", 4.732, 2.22e-6), ("bp", -.257, .79707),
                           ("skin", -.085, .93211), ("bmi", 1.953, .05087), ("ped", 2.735, .00623), ("age", 1.864, .06228)):
            self.assertAlmostEqual(rows[name]["z"], z, delta=5e-4 + 1e-5, msg=name)
            self.assertAlmostEqual(rows[name]["p_value"], p, delta=max(5e-6 + 1e-6, .003 * p) if p > 1e-3 else .005 * p, msg=name)

    def test_ridge_of_scikit_learn(self):
        """The default penalty on standardised columns: LogisticRegression(C, newton-cholesky) of scikit-learn 1.2.1, converged."""
        path = self.imported(SHARED / "fixtures/pima_tr.csv", "--outcome", "type")
        for arguments, log_likelihood, intercept, coefficients in (
                ((), -89.2396869071, -.93896194,
                 (.3355793907, .9704966464, -.0365453658, .0008119098, .4769966494, .5291802231, .4359810555)),
                (("--C", .01), -104.6842056633, -.71076378,
                 (.1269969790, .2684709639, .0723689862, .0886121475, .1330666110, .1296597753, .1714717089))):
            fit = self.fit(path, "--target", "type", "--holdout", 0, "--transform", "zscore", *arguments)
            self.assertAlmostEqual(fit["log_likelihood"] / log_likelihood, 1, delta=LIKELIHOOD)
            self.assertAlmostEqual(fit["intercept"], intercept, delta=STANDARD_ERRORS * fit["intercept_std_err"])
            for coefficient, expected, standard_error in zip(fit["coef"], coefficients, fit["std_err"]):
                self.assertAlmostEqual(coefficient, expected, delta=STANDARD_ERRORS * standard_error)

    def test_ridge_of_breast_cancer(self):
        """C = 1, converged (a gradient of 1e-12); its lbfgs stops at .2145657, 3e-6 short in the likelihood."""
        data = load_breast_cancer()
        write_h5ad(self.input, (data.data - data.data.mean(0)) / data.data.std(0), {"benign": data.target.astype(float)})
        fit = self.fit(self.input, "--target", "benign", "--holdout", 0, "--transform", "none")
        self.assertAlmostEqual(fit["log_likelihood"] / -30.37996691876642, 1, delta=LIKELIHOOD)
        self.assertAlmostEqual(fit["intercept"], .21450272, delta=STANDARD_ERRORS * fit["intercept_std_err"])
        for coefficient, expected, standard_error in zip(fit["coef"], (-.36309253, -.38767544, -.35106212, -.4356098, -.1618311), fit["std_err"]):
            self.assertAlmostEqual(coefficient, expected, delta=STANDARD_ERRORS * standard_error)

    def test_spector_and_mazzeo(self):
        """Whether the grades of 32 students rose, as statsmodels documents its fit."""
        data = spector.load_pandas().data
        write_h5ad(self.input, data[["GPA", "TUCE", "PSI"]].to_numpy(), {"rose": data["GRADE"].to_numpy()})
        fit = self.fit(self.input, "--target", "rose", "--holdout", 0, "--transform", "none", "--penalty", "none")
        self.assertAlmostEqual(fit["log_likelihood"] / -12.889634222131, 1, delta=LIKELIHOOD)
        expected = ((2.82611259, 1.26294108), (.09515766, .14155421), (2.37868766, 1.06456425), (-13.02134686, 4.93132421))
        found = zip([*fit["coef"], fit["intercept"]], [*fit["std_err"], fit["intercept_std_err"]])
        for (coefficient, std_err), (beta, error) in zip(found, expected, strict=True):
            self.assertAlmostEqual(coefficient, beta, delta=STANDARD_ERRORS * error)
            self.assertAlmostEqual(std_err / error, 1, delta=STD_ERR)

    def test_pima_model_judged_on_those_it_has_not_seen(self):
        """Both files in one, parted by its column `split`: the published evaluation and gains of Pima.te."""
        lines = [(SHARED / f"fixtures/pima_{name}.csv").read_text().splitlines() for name in ("tr", "te")]
        (self.folder / "both.csv").write_text("\n".join(
            [lines[0][0] + ",split"] + [line + ",train" for line in lines[0][1:]] + [line + ",test" for line in lines[1][1:]]) + "\n")
        path = self.imported("both.csv", "--outcome", "type")
        fit = self.fit(path, "-o", "r.h5ad", "--target", "type", "--penalty", "none", "--transform", "none", "--calibration", "none",
                       "--min-events", 50)
        self.assertEqual((fit["n_fit"], fit["n_judged"], len(fit["features"])), (200, 332, 7))
        self.assertAlmostEqual(fit["log_likelihood"] / -89.195333233035, 1, delta=LIKELIHOOD)
        for field, expected in (("auc", .86588225614), ("auc_variance", .000406712847996), ("brier", .139310593981), ("log_loss", .440698584138),
                                ("ks", .5849755215), ("calibration_intercept", -.0881742545334), ("calibration_slope", .9533818773467)):
            self.assertAlmostEqual(fit[field], expected, delta=LIKELIHOOD if field[:3] in ("bri", "log", "cal") else 5e-11, msg=field)
        gains = {name: [row[name] for row in fit["gains"]] for name in fit["gains"][0]}
        self.assertEqual(gains["n"], [33, 33, 33, 33, 34, 33, 33, 33, 33, 34])
        self.assertEqual(gains["positives"], [29, 24, 18, 13, 13, 4, 6, 1, 1, 0])
        for name, expected in (
                ("score", [.903402, .737307, .553876, .402958, .277960, .191321, .136190, .094431, .057430, .028932]),
                ("cumulative_capture_rate", [.266055, .486239, .651376, .770642, .889908, .926606, .981651, .990826, 1, 1]),
                ("lift", [2.676675, 2.215179, 1.661384, 1.199889, 1.164598, .369197, .553795, .092299, .092299, 0])):
            np.testing.assert_allclose(gains[name], expected, atol=1e-6, err_msg=name)

    def test_glm_of_r(self):
        for expected in PUBLISHED:
            with self.subTest(expected[0]):
                arguments = ["--ignore", "re78"] if expected[0] == "lalonde_design" else []
                path = self.imported(SHARED / "fixtures" / f"{expected[0]}.csv", "--outcome", expected[1], *arguments)
                self.check(self.maximum_likelihood(path, expected[1]), expected)

    def test_grouped_menarche(self):
        """Two rows per age, weighted by the girls who had and had not: the same coefficients as the grouped fit."""
        with open(SHARED / "fixtures/menarche.csv") as source, open(self.folder / "m.csv", "w") as target:
            target.write("age,yes,count\n")
            for row in csv.DictReader(source):
                total, yes = float(row["Total"]), float(row["Menarche"])
                target.write(f"{row['Age']},1,{yes}\n{row['Age']},0,{total - yes}\n")
        path = self.imported("m.csv", "--outcome", "yes", "--weight", "count")
        fit = {row["feature"]: row for row in self.maximum_likelihood(path, "yes")["coefficients"]}
        self.assertAlmostEqual(fit["age"]["coef"], 1.631968348228, delta=STANDARD_ERRORS * .05895317461869)
        self.assertAlmostEqual(fit["age"]["std_err"] / .05895317461869, 1, delta=STD_ERR)
        self.assertAlmostEqual(fit["(intercept)"]["coef"], -21.226394905167, delta=STANDARD_ERRORS * .77068588438741)

    def test_separation_is_named_and_firth_is_finite(self):
        path = self.imported(SHARED / "fixtures/endometrial.csv", "--outcome", "HG")
        separated = self.fit(path, "--target", "HG", "--penalty", "none", "--holdout", 0, "--transform", "none")
        self.assertIn("NV", " ".join(separated["warnings"]))
        self.assertIn("firth", " ".join(separated["warnings"]))
        fit = self.fit(path, "--target", "HG", "--penalty", "firth", "--holdout", 0, "--transform", "none")
        by_name = {row["feature"]: row for row in fit["coefficients"]}
        for name, coefficient, standard_error in (("(intercept)", 3.77455971364710, 1.48869166343567), ("NV", 2.92927335319712, 1.55076372945305),
                                                  ("PI", -.03475175987044, .03957814734776), ("EH", -2.60416392529368, .77601764250157)):
            self.assertAlmostEqual(by_name[name]["coef"], coefficient, delta=STANDARD_ERRORS * standard_error, msg=name)
            self.assertAlmostEqual(by_name[name]["std_err"] / standard_error, 1, delta=STD_ERR, msg=name)

    def test_pima_model_on_new_customers(self):
        """The model of one file scores another: the published evaluation of Pima.te."""
        train = self.imported(SHARED / "fixtures/pima_tr.csv", "--outcome", "type", name="tr.h5ad")
        new = self.imported(SHARED / "fixtures/pima_te.csv", "--outcome", "type", name="te.h5ad")
        self.maximum_likelihood(train, "type", "--min-events", 50)
        self.succeed("assign", new, "--model", "r.h5ad", "-o", "new.h5ad")
        obs = anndata.read_h5ad(self.folder / "new.h5ad").obs
        with open(SHARED / "fixtures/pima_te.csv") as source:
            outcome = np.array([float(row["type"]) for row in csv.DictReader(source)])
        p = obs["type_probability"].to_numpy()
        self.assertAlmostEqual(np.mean((p - outcome) ** 2), .139310593981, delta=LIKELIHOOD)
        positive, negative = p[outcome == 1], p[outcome == 0]
        self.assertAlmostEqual(np.mean(np.greater.outer(positive, negative) + np.equal.outer(positive, negative) / 2), .86588225614, delta=5e-12)


@NEEDS_SHARED
class Goldens(PropensityCase):
    """Whole tables with text columns, against ../shared/data/REFERENCE.md."""

    def telco(self, *arguments):
        with open(SHARED / "data/telco_churn/Telco-Customer-Churn.csv") as source, open(self.folder / "telco.csv", "w") as target:
            rows = list(csv.DictReader(source))
            for row in rows:
                row["TotalCharges"] = row["TotalCharges"].strip() or "0"
            writer = csv.DictWriter(target, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return self.imported("telco.csv", "--outcome", "Churn=Yes", "--id", "customerID", *arguments)

    def test_telco(self):
        fit = self.maximum_likelihood(self.telco(), "Churn")
        self.assertEqual(fit["n_parameters"], 24)
        self.assertAlmostEqual(fit["auc"], .84845, delta=5e-6)
        self.assertAlmostEqual(fit["deviance"], 5828.284, delta=5e-4)
        self.assertAlmostEqual(fit["null_deviance"], 8150.146, delta=5e-4)
        self.assertAlmostEqual(fit["brier"], .13417, delta=5e-6)
        self.assertAlmostEqual(fit["gains"][0]["lift"], 2.890, delta=5e-4)

    def test_telco_five_parameters(self):
        fit = self.maximum_likelihood(self.telco(), "Churn", "--active", "tenure,MonthlyCharges,TotalCharges,SeniorCitizen")
        self.assertEqual(fit["n_parameters"], 5)
        self.assertAlmostEqual(fit["auc"], .81303, delta=5e-6)
        self.assertAlmostEqual(fit["deviance"], 6325.810, delta=5e-4)
        self.assertAlmostEqual(fit["brier"], .14645, delta=5e-6)
        best = fit["gains"][0]  # of two equal scores at its end the tenth takes both, R the first
        self.assertEqual(best["n"], 705)
        self.assertAlmostEqual(best["positives"] / 704 / fit["evaluation"][0]["base_rate"], 2.698, delta=5e-4)
        expected = {"tenure": -.0668518, "MonthlyCharges": .0284155, "TotalCharges": .00014375, "SeniorCitizen": .6332999,
                    "(intercept)": -1.6032877}
        for row in fit["coefficients"]:
            self.assertAlmostEqual(row["coef"], expected[row["feature"]], delta=STANDARD_ERRORS * row["std_err"])

    def test_mlc_churn(self):
        path = self.imported(SHARED / "data/mlc_churn/mlc_churn.csv", "--outcome", "churn=yes", "--ignore", "state")
        fit = self.maximum_likelihood(path, "churn")
        self.assertEqual(fit["n_parameters"], 20)
        # Each charge is a price times minutes to the cent: on the float32 grid what is left of it moves, and with it the order of
        # some twenty of three million pairs of customers (one pair is 3.3e-7).
        self.assertAlmostEqual(fit["auc"], .82935, delta=5e-6 + 20 * 3.3e-7)
        self.assertAlmostEqual(fit["deviance"], 3156.495, delta=5e-4)
        self.assertAlmostEqual(fit["brier"], .09596, delta=5e-6)
        self.assertAlmostEqual(fit["gains"][0]["lift"], 3.593, delta=5e-4)

    def test_nothing_in_them_is_called_a_leak(self):
        churn = self.imported(SHARED / "data/mlc_churn/mlc_churn.csv", "--outcome", "churn=yes", name="mlc.h5ad")
        for path, target in ((self.telco(), "Churn"), (churn, "churn")):
            self.assertNotIn("only afterwards", " ".join(self.fit(path, "--target", target)["warnings"]))

    def test_where_fits_what_a_file_of_the_chosen_would(self):
        chosen = self.fit(self.telco(), "-o", "r.h5ad", "--target", "Churn", "--where", "tenure > 12")
        scores = anndata.read_h5ad(self.folder / "r.h5ad").obs["Churn_probability"]
        with open(self.folder / "telco.csv") as source, open(self.folder / "few.csv", "w") as target:
            rows = list(csv.DictReader(source))
            writer = csv.DictWriter(target, rows[0])
            writer.writeheader()
            writer.writerows(row for row in rows if float(row["tenure"]) > 12)
        few = self.fit(self.imported("few.csv", "--outcome", "Churn=Yes", "--id", "customerID"), "-o", "few.h5ad", "--target", "Churn")
        for field in ("coef", "intercept", "auc", "brier"):
            self.assertEqual(chosen[field], few[field], field)
        expected = anndata.read_h5ad(self.folder / "few.h5ad").obs["Churn_probability"]
        self.assertEqual(list(scores.dropna()), list(expected))
        self.assertEqual(list(scores.isna()), [float(row["tenure"]) <= 12 for row in rows])

    def test_segments_goals_run_and_assign(self):
        path = self.telco()
        self.succeed("cluster", path, "-o", "segments.h5ad", "-k", 4)
        fit = self.fit(path, "-o", "r.h5ad", "--target", "Churn", "--segments", "segments.h5ad", "--goal", "Churn:5:50")
        self.assertEqual([row["segment"] for row in fit["evaluation"]], ["S1", "S2", "S3", "S4", "everybody"])
        self.assertEqual(sum(row["n"] for row in fit["evaluation"][:4]), fit["evaluation"][4]["n"])
        self.assertAlmostEqual(fit["segment_goals"][0]["break_even"], .1)
        # The sandwich is near the model's own errors, but for columns that only the penalty tells apart.
        sandwich = [row["robust_std_err"] / row["std_err"] for row in fit["coefficients"]]
        self.assertGreater(min(sandwich), 0)
        self.assertAlmostEqual(np.median(sandwich), 1, delta=.1)
        result = anndata.read_h5ad(self.folder / "r.h5ad")
        for column in ("probability", "score", "band", "percentile", "decile", "reason1", "reason3_contribution"):
            self.assertIn(f"Churn_{column}", result.obs)
        self.assertEqual(len(result.uns["propensity"]["targets"]["Churn"]["segment_effects"]), 4)
        self.assertEqual(list(pandas.read_hdf(self.folder / "r.h5ad", "uns/propensity/customers").columns[:3]),
                         ["customer_id", "Churn_probability", "Churn_score"])
        new = self.succeed("assign", path, "--model", "r.h5ad", "-o", "new.h5ad")
        self.assertNotIn("scored without", new.stderr)
        new = anndata.read_h5ad(self.folder / "new.h5ad").obs  # the segment is found anew, and its effect goes with it
        self.assertEqual(list(new["segment"]), list(anndata.read_h5ad(self.folder / "segments.h5ad").obs["segment"]))
        for column in ("probability", "score", "percentile", "reason1", "reason1_contribution"):
            self.assertEqual(list(new[f"Churn_{column}"]), list(result.obs[f"Churn_{column}"]), column)
        reasons = {row["reason"]: (int(row["code"]), row["feature"], row["direction"])
                   for row in csv.DictReader(self.succeed("export", "r.h5ad", "--table", "Churn/reasons").stdout.splitlines())}
        first = result.obs["Churn_reason1"].cat
        self.assertEqual([reasons[label][0] for label in first.categories], list(range(len(first.categories))))
        self.assertEqual({f"{feature} {direction}" for _, feature, direction in reasons.values()}, set(reasons))
        gains = list(csv.DictReader(self.succeed("export", "r.h5ad", "--table", "Churn/gains").stdout.splitlines()))
        self.assertEqual([float(row["lift"]) for row in gains[-10:]], [row["lift"] for row in fit["gains"][-10:]])
        self.assertIn("break_even", self.succeed("export", "r.h5ad", "--table", "goals").stdout)
        self.refuse(4, ["chrun/gains"], "export", "r.h5ad", "--table", "chrun/gains")
        everybody = result.uns["propensity"]["segment_goals"][4]
        self.assertAlmostEqual(everybody["expected"], result.obs["Churn_probability"].sum(), delta=1e-6)
        self.succeed("run", path, "-o", "run.h5ad", "-k", 3, "--target", "Churn", "--csv", "run.csv")
        self.assertEqual((self.folder / "run.csv").read_text(), self.succeed("export", "run.h5ad").stdout)
        self.assertIn("Churn_probability,Churn_score,Churn_band", (self.folder / "run.csv").read_text().splitlines()[0])
        run = anndata.read_h5ad(self.folder / "run.h5ad")
        self.assertEqual(list(run.obs["propensity_split"]), list(result.obs["propensity_split"]))
        segments = run.uns["segmentation"]["segments"]
        means = run.obs.groupby("segment")["Churn_probability"].mean()
        np.testing.assert_allclose(segments["Churn_probability"], means.loc[segments.index], rtol=1e-12)
        self.succeed("assign", path, "--model", "run.h5ad", "-o", "again.h5ad", "--csv", "again.csv")
        rows, again = (list(csv.DictReader((self.folder / name).read_text().splitlines())) for name in ("run.csv", "again.csv"))
        self.assertEqual([{key: cell for key, cell in row.items() if key != "propensity_split"} for row in rows], again)
        again = anndata.read_h5ad(self.folder / "again.h5ad").obs
        for column in ("segment", "Churn_probability", "Churn_percentile", "Churn_reason1"):
            self.assertEqual(list(run.obs[column]), list(again[column]), column)


    def test_segments_may_judge_without_effects(self):
        path = self.telco()
        self.succeed("cluster", path, "-o", "segments.h5ad", "-k", 3)
        alone = self.fit(path, "--target", "Churn")
        judged = self.fit(path, "--target", "Churn", "--segments", "segments.h5ad", "--segment-effects", "none")
        self.assertEqual(judged["coef"], alone["coef"])
        self.assertEqual([row["segment"] for row in judged["evaluation"]], ["S1", "S2", "S3", "everybody"])
        self.fit(path, "--target", "Churn", "--segments", "segments.h5ad", "--segment-effects", "none", "--penalty", "firth")
        self.refuse(2, ["--segment-effects", "--segments"], "propensity", path, "--target", "Churn", "--segment-effects", "none")


class Refusals(PropensityCase):
    """Every target that cannot be, by its exit code."""

    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(3)
        n = 3000
        x = generator.normal(size=(n, 3))
        churn = (generator.uniform(size=n) < 1 / (1 + np.exp(1 - x[:, 0]))).astype(float)
        self.churn = churn
        x = np.column_stack([x, churn + .01 * x[:, 1]]).astype(np.float32)
        texts = {"three": np.array(["a", "b", "c"], dtype=object)[np.arange(n) % 3], "two": np.array(["a", "b"], dtype=object)[np.arange(n) % 2],
                 "free": np.array([f"text {i}" for i in range(n)], dtype=object),
                 "answer": np.where(churn > 0, "Yes", "No").astype(object),
                 "side": np.where(np.arange(n) < 2000, "train", "test").astype(object)}
        numbers = {"churn": churn, "one": np.ones(n), "half": churn / 2, "levels": np.arange(n) % 4 / 1.0, "unknown": np.full(n, np.nan),
                   "infinite": np.where(np.arange(n) == 7, np.inf, churn), "some": np.where(np.arange(n) % 5 == 0, np.nan, churn),
                   "rare": (np.arange(n) < 60).astype(float), "hundred": (np.arange(n) % 30 == 0).astype(float),
                   "few": (np.arange(n) % 10 == 0).astype(float), "enough": (np.arange(n) % 6 == 0).astype(float)}
        write_h5ad(self.input, x, {**texts, **numbers}, ["a", "b", "c", "written_later"])

    def test_missing_cells_are_not_kept(self):
        self.refuse(2, ["--missing mar", "gmm"], "propensity", self.input, "--target", "churn", "--missing", "mar")

    def test_targets(self):
        for code, words, target in ((2, ["chrun", "Did you mean churn"], "chrun"), (4, ["one", "class", "3000"], "one"),
                                    (4, ["three", "3"], "three"), (4, ["free text"], "free"), (4, ["levels", "three or more"], "levels"),
                                    (4, ["unknown", "known value"], "unknown"), (4, ["infinite", "row 7"], "infinite"), (4, ["holds 0 and 0.5", "half=0.5"], "half"),
                                    (2, ["holds 0 and 1", "in.h5ad"], "churn=2"),
                                    (2, ["two", "LEVEL"], "two"), (2, ["twice"], "churn,churn"), (2, ["level", "Did you mean Yes"], "answer=Yess")):
            with self.subTest(target):
                self.refuse(code, words, "propensity", self.input, "-o", "r.h5ad", "--target", target)

    def test_options(self):
        for arguments in (["--penalty", "ridge"], ["--calibration", "best"], ["--C", "0"], ["--holdout", "1"], ["--folds", "101"],
                          ["--goal", "nothing:1"], ["--goal", "churn:x"], ["--split", "sde"], ["--min-events", "0"]):
            with self.subTest(arguments):
                self.refuse(2, [arguments[0]], "propensity", self.input, "-o", "r.h5ad", "--target", "churn", *arguments)
        self.refuse(2, ["--target"], "propensity", self.input, "-o", "r.h5ad")
        self.refuse(4, ["train"], "propensity", self.input, "-o", "r.h5ad", "--target", "churn", "--split", "two")
        self.refuse(2, ["--csv"], "propensity", self.input, "--target", "churn", "--csv", "s.csv")

    def test_what_belongs_to_targets_needs_one(self):
        for arguments in (["--goal", "churn:1:2"], ["--penalty", "none"], ["--split", "side"]):
            self.refuse(2, [arguments[0], "--target"], "run", self.input, "-o", "r.h5ad", *arguments)

    def test_a_calibration_needs_folds(self):
        self.refuse(2, ["--folds 1", "--calibration none"], "propensity", self.input, "--target", "churn", "--folds", 1, "--calibration", "platt")

    def test_a_csv_never_replaces_what_is_read(self):
        self.succeed("cluster", self.input, "-o", "segments.h5ad", "--n-clusters", 2)
        before = digest(self.folder / "segments.h5ad")
        self.refuse(2, ["segments.h5ad"], "propensity", self.input, "-o", "r.h5ad", "--target", "churn", "--segments", "segments.h5ad",
                    "--csv", "segments.h5ad", "--overwrite")
        self.refuse(2, ["segments.h5ad"], "assign", self.input, "--model", "segments.h5ad", "-o", "r.h5ad", "--csv", "segments.h5ad", "--overwrite")
        self.assertEqual(digest(self.folder / "segments.h5ad"), before)
        self.succeed("cluster", self.input, "-o", "start.h5ad", "--method", "gmm", "--n-clusters", 2)
        before = digest(self.folder / "start.h5ad")
        for output in (("-o", "r.h5ad", "--csv", "start.h5ad"), ("-o", "start.h5ad")):
            self.refuse(2, ["start.h5ad"], "cluster", self.input, "--method", "gmm", "--init", "start.h5ad", *output, "--overwrite")
        self.assertEqual(digest(self.folder / "start.h5ad"), before)

    def test_a_csv_that_cannot_be_written_leaves_the_result(self):
        into_nothing = ("sh", "-c", '"$@" > /dev/full', "sh")
        done = self.run_coterie("run", self.input, "-o", "r.h5ad", "--target", "churn", "--n-clusters", 2, "--csv", "-", prefix=into_nothing)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("'r.h5ad' is complete, its CSV is not", done.stderr)
        self.succeed("export", "r.h5ad", "--csv", "customers.csv")

    def test_cross_fitting_judges_only_what_a_fold_has_scored(self):
        x = np.arange(600)[:, None].astype(np.float32)
        write_h5ad(self.folder / "single.h5ad", x, {"churn": (np.arange(600) == 300).astype(float)}, ["a"])
        fit = self.fit("single.h5ad", "--target", "churn", "--holdout", 0, "--folds", 5)
        self.assertIn("not judged on every fold", " ".join(fit["warnings"]))
        self.assertIsNone(fit["auc"])  # the one who left lies in the fold whose model has seen nobody leave

    def test_a_calibration_on_its_own_customers_is_said(self):
        arguments = ["--target", "churn", "--ignore", "written_later", "--folds", 5, "--calibration", "isotonic"]
        self.assertIn("judged on the customers it was fitted on", " ".join(self.fit(self.input, "--holdout", 0, *arguments)["warnings"]))
        self.assertNotIn("judged on the customers it was fitted on", " ".join(self.fit(self.input, *arguments)["warnings"]))

    def test_floor(self):
        done = self.succeed("propensity", self.input, "--target", "rare")
        self.assertIn("too few to score", done.stderr)
        self.assertIn("everybody", done.stdout)
        for verb in ("propensity", "run"):
            done = self.succeed(verb, self.input, "-o", f"{verb}.h5ad", "--target", "rare")
            self.assertIn("too few to score", done.stderr)
            self.assertFalse(any(name.startswith("rare") for name in anndata.read_h5ad(self.folder / f"{verb}.h5ad").obs))
            self.refuse(10, ["rare has 60", "--min-events 60"], verb, self.input, "-o", "r.h5ad", "--csv", "r.csv", "--target", "rare")
        self.refuse(10, ["rare"], "assign", self.input, "--model", "propensity.h5ad", "-o", "r.h5ad")
        self.succeed("propensity", self.input, "-o", "r.h5ad", "--csv", "r.csv", "--target", "rare", "--min-events", 20)
        self.assertIn("rare_probability", (self.folder / "r.csv").read_text().splitlines()[0])

    def test_rare_targets_leave_scores_to_the_others(self):
        for verb, arguments in (("propensity", []), ("run", ["-k", 2])):
            done = self.succeed(verb, self.input, "-o", "r.h5ad", "--csv", "r.csv", "--overwrite", "--target", "churn,rare", *arguments)
            self.assertIn("rare: 60 customers of the rarer outcome are too few to score", done.stderr)
            self.assertIn("churn_probability", (self.folder / "r.csv").read_text().splitlines()[0])
            obs = anndata.read_h5ad(self.folder / "r.h5ad").obs
            for names in ((self.folder / "r.csv").read_text().splitlines()[0].split(","), list(obs)):
                self.assertEqual([name for name in names if name.startswith("rare")], [])
            self.succeed("export", "r.h5ad", "--table", "rare/coefficients")
            self.assertNotIn("rare_probability", self.succeed("assign", self.input, "--model", "r.h5ad", "-o", "new.h5ad", "--csv", "-",
                                                              "--overwrite").stdout)

    def test_floors_count_everybody_whose_outcome_is_known(self):
        """Not only the four fifths that are fitted."""
        arguments = ["--active", "a,b,c", "--overwrite", "-o", "r.h5ad"]
        self.assertTrue(self.fit(self.input, "--target", "hundred", *arguments)["scored"])
        for target, words in (("few", "only 300 customers of the rarer outcome; fewer than 500"), ("hundred", "only 100 customers")):
            self.assertIn(words, " ".join(self.fit(self.input, "--target", target, *arguments)["warnings"]))
        self.assertNotIn("leave scores uncertain", " ".join(self.fit(self.input, "--target", "enough", *arguments)["warnings"]))

    def test_a_leak_is_called_out_by_name(self):
        warnings = " ".join(self.fit(self.input, "--target", "churn")["warnings"])
        self.assertIn("column written_later alone tells the outcomes apart", warnings)
        self.assertNotIn("column a alone", warnings)
        self.assertNotIn("alone tells", " ".join(self.fit(self.input, "--target", "churn", "--active", "a,b,c")["warnings"]))

    def leaking(self, columns, texts, *arguments):
        generator = np.random.default_rng(8)
        x = generator.normal(size=(3000, 2))
        buys = (generator.uniform(size=3000) < 1 / (1 + np.exp(1 - x[:, 0]))).astype(float)
        told = (buys == 1) & (generator.uniform(size=3000) < .8)
        wrong = generator.uniform(size=3000) < .03
        made = {"refund": np.where(told, 5 + generator.exponential(size=3000), 0), "returned": np.where(told, 1.0, np.nan),
                "nearly": np.where(wrong, 1 - buys, buys), "status": np.where(told, "cancelled", np.array(["open", "paid"])[np.arange(3000) % 2])}
        write_h5ad(self.folder / "leak.h5ad", np.column_stack([x, *(made[name] for name in columns)]),
                   {"buys": buys, **{name: made[name].astype(object) for name in texts}}, ["a", "b", *columns])
        return self.fit("leak.h5ad", "--target", "buys", *arguments)

    def test_a_column_written_for_most_of_one_outcome_is_a_leak(self):
        for column, is_text in (("refund", False), ("returned", False), ("nearly", False), ("status", True)):
            with self.subTest(column):
                fit = self.leaking([] if is_text else [column], [column] if is_text else [])
                leaks = [warning for warning in fit["warnings"] if "only afterwards" in warning and "one end of column" in warning]
                self.assertEqual(len(leaks), 1, fit["warnings"])
                self.assertIn(f"leave it out: --ignore {column}", leaks[0])
                self.assertNotIn("one end", " ".join(self.leaking([], [])["warnings"]))

    def test_a_calibration_that_could_not_be_tested_says_so(self):
        """Scores that part the outcomes have no line, and their perfect ranking is not beyond doubt."""
        x = np.random.default_rng(10).uniform(1, 2, size=(400, 1)) * np.where(np.arange(400) % 3 == 0, 1, -1)[:, None]
        write_h5ad(self.folder / "apart.h5ad", x, {"buys": (x[:, 0] > 0).astype(float)}, ["a"])
        fit = self.fit("apart.h5ad", "--target", "buys")
        self.assertIn("none", fit["calibration"])
        self.assertIn("could not be tested", fit["calibration"])
        self.assertEqual((fit["auc"], fit["auc_interval"][1]), (1, 1))
        self.assertTrue(.5 < fit["auc_interval"][0] < .99, fit["auc_interval"])

    def test_customers_of_one_probability_rank_equal(self):
        """Where cross-fitted scores of noise rank no better than chance."""
        generator = np.random.default_rng(11)
        for _ in range(40):  # until a calibration has no slope
            write_h5ad(self.folder / "noise.h5ad", generator.normal(size=(600, 3)), {"buys": (generator.uniform(size=600) < .4).astype(float)})
            fit = self.fit("noise.h5ad", "-o", "flat.h5ad", "--overwrite", "--target", "buys", "--calibration", "platt", "--C", 1e6)
            obs = anndata.read_h5ad(self.folder / "flat.h5ad").obs
            if obs["buys_probability"].nunique() == 1:
                break
        self.assertEqual(obs["buys_probability"].nunique(), 1)
        self.assertEqual((fit["auc"], fit["ks"], len(fit["gains"])), (.5, 0, 1))
        self.assertEqual((set(obs["buys_percentile"]), set(obs["buys_decile"])), ({50}, {6}))

    def test_an_area_too_good_to_be_true_names_what_tells_most(self):
        """Columns that are no leak alone, and the truth together."""
        x = np.random.default_rng(9).normal(size=(3000, 4))
        write_h5ad(self.folder / "sum.h5ad", x, {"buys": (x.sum(axis=1) > 0).astype(float)}, ["a", "b", "c", "d"])
        fit = self.fit("sum.h5ad", "--target", "buys")
        self.assertGreater(fit["auc"], .99)
        warnings = [warning for warning in fit["warnings"] if "only afterwards" in warning]
        self.assertEqual(len(warnings), 1, fit["warnings"])
        z = {row["feature"]: abs(row["z"]) for row in fit["coefficients"][:-1]}
        self.assertRegex(warnings[0], rf"an AUC of (0\.99|1\.0).* column {max(z, key=z.get)} tells most.*--ignore {max(z, key=z.get)}")

    def test_kinds_of_targets_mean_the_same(self):
        arguments = ["--ignore", "written_later", "--active", "a,b,c"]
        fit = self.fit(self.input, "--target", "churn", *arguments)
        for target in ("answer", "answer=Yes", "half=0.5"):
            self.assertEqual(self.fit(self.input, "--target", target, *arguments)["coef"], fit["coef"], target)
        some = self.fit(self.input, "--target", "some", *arguments)
        self.assertLess(some["n_fit"], fit["n_fit"])
        flipped = self.fit(self.input, "--target", "answer=No", *arguments)
        np.testing.assert_allclose(flipped["coef"], -np.array(fit["coef"]), rtol=1e-6)

    def test_given_split(self):
        fit = self.fit(self.input, "--target", "churn", "--split", "side", "--active", "a,b,c")
        self.assertEqual((fit["n_fit"], fit["n_judged"]), (2000, 1000))

    def test_the_split_of_a_file_is_taken(self):
        """obs/split without --split: fitted where it says train, and no predictor whatever becomes of it."""
        with h5py.File(self.input, "r+") as file:
            file["obs"].move("side", "split")
            file["obs"].attrs["column-order"] = np.array([{"side": "split"}.get(name, name) for name in file["obs"].attrs["column-order"]],
                                                         dtype=h5py.string_dtype())
        done = self.succeed("propensity", self.input, "--target", "churn", "--json")
        fit = json.loads(done.stdout)
        self.assertEqual((fit["n_fit"], fit["n_judged"], fit["judged"]), (2000, 1000, "held-out"))
        self.assertIn("Column split: 2000 customers of level train are fitted, the other 1000 judge", done.stderr)
        self.assertEqual(fit["coef"], self.fit(self.input, "--target", "churn", "--split", "split")["coef"])
        everybody = self.fit(self.input, "--target", "churn", "--holdout", 0)
        self.assertEqual(everybody["n_fit"], 3000)
        for features in (fit["features"], everybody["features"]):
            self.assertEqual([name for name in features if name.startswith("split")], [])
        done = self.succeed("run", self.input, "-o", "r.h5ad", "-k", 2, "--target", "churn")
        self.assertIn("Column split", done.stderr)
        self.assertEqual((anndata.read_h5ad(self.folder / "r.h5ad").obs["propensity_split"] == "fit").sum(), 2000)
        with h5py.File(self.input, "r+") as file:
            file["obs/split"][:] = "train"
        fit = self.fit(self.input, "--target", "churn", "--active", "a,b,c")
        self.assertTrue(500 < fit["n_judged"] < 700)  # a column of one level parts nobody

    def test_a_split_may_come_from_csv(self):
        rows = [f"{i},{i % 7},{(i * 5) % 11},{'train' if i % 3 else 'test'},{'yes' if i * 7919 % 13 < 6 else 'no'}" for i in range(900)]
        (self.folder / "c.csv").write_text("\n".join(["id,a,b,side,bought", *rows]) + "\n")
        fit = self.fit(self.imported(self.folder / "c.csv", "--outcome", "bought=yes"), "--target", "bought=yes", "--split", "side")
        self.assertEqual((fit["n_fit"], fit["n_judged"], fit["positive"], fit["features"]), (600, 300, "yes", ["a", "b"]))

    def test_outcomes_of_another_shape_are_refused_with_it(self):
        with h5py.File(self.folder / "plain.h5", "w") as file:
            file["X"] = np.arange(600, dtype=np.float32).reshape(200, 3)
            file["short"], file["two"] = np.zeros(100), np.zeros((200, 2))
        for name, shape in (("short", "(100)"), ("short=1", "(100)"), ("two", "(200, 2)")):
            self.refuse(4, [name[:5].rstrip("="), shape, "200 rows"], "propensity", "plain.h5", "--target", name)

    def test_texts_can_be_left_out(self):
        features = lambda *arguments: self.fit(self.input, "--target", "churn", *arguments)["features"]
        every = ["a", "b", "c", "written_later", "answer=Yes", "side=train", "three=b", "three=c", "two=b"]
        self.assertEqual(sorted(features()), sorted(every))
        self.assertEqual(sorted(features("--ignore", "three,answer")), sorted(set(every) - {"three=b", "three=c", "answer=Yes"}))
        self.assertEqual(sorted(features("--profile", "two", "--ignore", "three=c")), sorted({*every, "three=a"} - {"two=b", "three=c"}))
        self.refuse(2, ["three=d"], "propensity", self.input, "--target", "churn", "--ignore", "three=d")
        self.refuse(2, ["--split", "Did you mean side"], "propensity", self.input, "--target", "churn", "--split", "sid")
        self.assertIn("leave it out: --ignore answer", " ".join(self.fit(self.input, "--target", "churn")["warnings"]))

    def test_input_stays_as_it_is(self):
        before = digest(self.input)
        self.succeed("propensity", self.input, "-o", "r.h5ad", "--target", "churn")
        self.assertEqual(digest(self.input), before)
        self.refuse(7, ["r.h5ad"], "propensity", self.input, "-o", "r.h5ad", "--target", "churn")


class Numbers(PropensityCase):
    """Every number of a result, computed anew from what the file holds: weights, two segments, a third of the customers held out."""

    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(6)
        n = 6000
        self.x = generator.normal(size=(n, 4)).astype(np.float32)
        self.weight = generator.integers(1, 4, n).astype(float)
        self.buys = (generator.uniform(size=n) < 1 / (1 + np.exp(1 - 1.5 * self.x[:, 0] + self.x[:, 1]))).astype(float)
        self.fitted = np.arange(n) % 3 > 0
        write_h5ad(self.input, self.x, {"buys": self.buys, "stays": (generator.uniform(size=n) < .4).astype(float), "w": self.weight,
                                        "side": np.where(self.fitted, "train", "test").astype(object)}, ["a", "b", "c", "d"])
        self.succeed("cluster", self.input, "-o", "s.h5ad", "-k", 2, "--weight", "w")
        self.result = self.fit(self.input, "-o", "r.h5ad", "--target", "buys,stays", "--weight", "w", "--split", "side", "--segments", "s.h5ad",
                               "--segment-effects", "none", "--transform", "zscore", "--goal", "buys:3:20")
        self.buyers = self.result["targets"][0]
        self.file = anndata.read_h5ad(self.folder / "r.h5ad")
        self.obs = self.file.obs
        self.p = self.obs["buys_probability"].to_numpy()
        self.segment = anndata.read_h5ad(self.folder / "s.h5ad").obs["segment"].to_numpy()

    def segments(self):
        return [("S1", self.segment == "S1"), ("S2", self.segment == "S2"), ("everybody", np.full(len(self.p), True))]

    def tenths(self, rows):
        """Rows of each tenth of those held out, likeliest first."""
        rows = np.flatnonzero(rows & ~self.fitted)
        rows = rows[np.argsort(-self.p[rows], kind="stable")]
        return [rows[len(rows) * i // 10:len(rows) * (i + 1) // 10] for i in range(10)]

    def mean(self, values, rows):
        return np.average(values[rows], weights=self.weight[rows])

    def test_of_each_customer(self):
        z = (self.x - self.x.mean(0, dtype=float)) / self.x.std(0, dtype=float, ddof=1)
        contributions = np.array(self.buyers["coef"]) * (z - np.average(z, axis=0, weights=self.weight))
        log_odds = np.log(self.p / (1 - self.p))
        self.assertEqual(self.buyers["calibration"][:4], "none")
        base = self.mean(self.buys, self.fitted)
        score = 100 / (1 + np.exp(-(log_odds - np.log(base / (1 - base)))))
        np.testing.assert_allclose(self.obs["buys_score"], score, atol=1e-4)
        stored = self.obs["buys_score"].to_numpy()
        np.testing.assert_array_equal(self.obs["buys_band"], np.where(stored < 25, "low", np.where(stored < 75, "medium", "high")))
        self.assertGreater(min(np.sum(self.obs["buys_band"] == band) for band in ("low", "medium", "high")), 100)
        percentile = 1 + 100 * np.argsort(np.argsort(self.p, kind="stable")) // len(self.p)
        np.testing.assert_array_equal(self.obs["buys_percentile"], percentile)
        np.testing.assert_array_equal(self.obs["buys_decile"], 1 + (100 - percentile) // 10)
        self.assertEqual((self.obs["buys_decile"].min(), self.obs["buys_decile"].max()), (1, 10))
        order = np.argsort(-abs(contributions), axis=1)
        for rank in range(3):
            at = (np.arange(len(self.p)), order[:, rank])
            np.testing.assert_allclose(self.obs[f"buys_reason{rank + 1}_contribution"], contributions[at], atol=2e-5)
            expected = [f"{'abcd'[j]} {'raises' if contribution > 0 else 'lowers'}" for j, contribution in zip(at[1], contributions[at])]
            same = np.array(expected) == self.obs[f"buys_reason{rank + 1}"].to_numpy().astype(str)
            gap = abs(abs(contributions[at]) - abs(np.take_along_axis(contributions, np.roll(order, -1, axis=1), 1)[:, rank]))
            self.assertTrue(np.all(same | (gap < 1e-4) | (abs(contributions[at]) < 1e-4)))
            self.assertGreater(same.mean(), .99)

    def test_of_goals(self):
        cells = self.result["segment_goals"]
        for cell, (name, rows) in zip(cells[:3], self.segments()):
            self.assertEqual((cell["segment"], cell["goal"], cell["n"]), (name, "buys", rows.sum()))
            self.assertAlmostEqual(cell["mean_probability"], self.mean(self.p, rows), delta=1e-12)
            self.assertAlmostEqual(cell["index"], 100 * self.mean(self.p, rows) / self.mean(self.p, self.p > 0), delta=1e-9)
            self.assertAlmostEqual(cell["expected"], np.sum((self.weight * self.p)[rows]), delta=1e-8)
            self.assertAlmostEqual(cell["break_even"], 3 / 20)
            paying = rows & (self.p > 3 / 20)
            self.assertEqual(cell["worthwhile"], paying.sum())
            self.assertTrue(100 < paying.sum() < rows.sum() - 100)
            self.assertAlmostEqual(cell["expected_profit"], np.sum((self.weight * (20 * self.p - 3))[paying]), delta=1e-7)
        for cell in cells[3:]:  # nobody said what a contact costs
            self.assertEqual((cell["goal"], cell["break_even"], cell["worthwhile"], cell["expected_profit"]), ("stays", None, None, None))
        half = self.fit(self.input, "--target", "buys", "--goal", "buys:5")["segment_goals"][0]
        self.assertEqual((half["break_even"], half["worthwhile"], half["expected_profit"]), (None, None, None))
        never = self.fit(self.input, "--target", "buys", "--goal", "buys:5:0")["segment_goals"][0]
        self.assertEqual((never["break_even"], never["worthwhile"], never["expected_profit"]), (None, 0, 0))
        self.assertNotRegex(self.succeed("propensity", self.input, "--target", "buys", "--goal", "buys:5:0").stdout, r"\binf\b")

    def test_of_coefficients(self):
        for row in self.buyers["coefficients"]:
            self.assertAlmostEqual(row["z"], row["coef"] / row["std_err"], delta=1e-12 * abs(row["z"]))
            for p_value, std_err in ((row["p_value"], row["std_err"]), (row["robust_p_value"], row["robust_std_err"])):
                expected = math.erfc(abs(row["coef"] / std_err) / math.sqrt(2))
                self.assertAlmostEqual(p_value, expected, delta=1e-9 * expected)
            self.assertNotEqual(row["p_value"], row["robust_p_value"])
            for name, side in (("low", -1), ("high", 1)):
                self.assertAlmostEqual(row[name], row["coef"] + side * 1.959963984540054 * row["std_err"], delta=1e-12)
            self.assertAlmostEqual(row["odds_ratio"], math.exp(row["coef"]), delta=1e-12 * row["odds_ratio"])

    def test_of_evaluations(self):
        for cell, (name, rows) in zip(self.buyers["evaluation"], self.segments()):
            judged = np.flatnonzero(rows & ~self.fitted)
            w, p, y = self.weight[judged], self.p[judged], self.buys[judged]
            base = np.average(y, weights=w)
            self.assertEqual((cell["segment"], cell["n"], cell["positives"]), (name, len(judged), y.sum()))
            parts = [(self.weight[t].sum() / w.sum(), self.mean(self.p, t), self.mean(self.buys, t)) for t in self.tenths(rows)]
            for field, expected in (("base_rate", base), ("mean_probability", np.average(p, weights=w)),
                                    ("brier", np.average((p - y) ** 2, weights=w)),
                                    ("log_loss", -np.average(np.where(y == 1, np.log(p), np.log(1 - p)), weights=w)),
                                    ("reliability", sum(share * (mean - rate) ** 2 for share, mean, rate in parts)),
                                    ("resolution", sum(share * (rate - base) ** 2 for share, _, rate in parts)),
                                    ("uncertainty", base * (1 - base)),
                                    ("calibration_error", sum(share * abs(mean - rate) for share, mean, rate in parts))):
                self.assertAlmostEqual(cell[field], expected, delta=1e-12, msg=(name, field))

    def test_of_gains_and_calibration(self):
        gains = iter(self.buyers["gains"])
        calibration = csv.DictReader(self.succeed("export", "r.h5ad", "--table", "buys/calibration").stdout.splitlines())
        for name, rows in self.segments():
            tenths = self.tenths(rows)
            judged = np.concatenate(tenths)
            base, positive, negative = (f(judged) for f in (lambda t: self.mean(self.buys, t), lambda t: (self.weight * self.buys)[t].sum(),
                                                            lambda t: (self.weight * (1 - self.buys))[t].sum()))
            for i, tenth in enumerate(tenths):
                row, bin_row, upto = next(gains), next(calibration), np.concatenate(tenths[:i + 1])
                rate, cumulative_rate = self.mean(self.buys, tenth), self.mean(self.buys, upto)
                capture, cumulative_capture = ((self.weight * self.buys)[t].sum() / positive for t in (tenth, upto))
                expected = {"cumulative_data_fraction": self.weight[upto].sum() / self.weight[judged].sum(), "lower_threshold": self.p[tenth].min(),
                            "lift": rate / base, "cumulative_lift": cumulative_rate / base, "response_rate": rate,
                            "score": self.mean(self.p, tenth), "cumulative_response_rate": cumulative_rate,
                            "cumulative_score": self.mean(self.p, upto), "capture_rate": capture, "cumulative_capture_rate": cumulative_capture,
                            "gain": 100 * (rate / base - 1), "cumulative_gain": 100 * (cumulative_rate / base - 1),
                            "kolmogorov_smirnov": cumulative_capture - (self.weight * (1 - self.buys))[upto].sum() / negative}
                self.assertEqual((row["segment"], row["group"], row["n"], row["positives"]), (name, i + 1, len(tenth), self.buys[tenth].sum()))
                self.assertEqual(set(row), {"segment", "group", "n", "positives", *expected})
                for field, value in expected.items():
                    self.assertAlmostEqual(row[field], value, delta=1e-11, msg=(name, i, field))
                q = 1.959963984540054 ** 2
                effective = self.weight[judged].sum() ** 2 / (self.weight[judged] ** 2).sum()  # Kish's rows, spread as the rows are
                n = len(tenth) * effective / len(judged)
                middle = (rate + q / (2 * n)) / (1 + q / n)
                half = math.sqrt(q * (rate * (1 - rate) / n + q / (4 * n * n))) / (1 + q / n)
                self.assertEqual((bin_row["segment"], int(bin_row["bin"]), int(bin_row["n"])), (name, i + 1, len(tenth)))
                for field, value in (("mean_pred", self.mean(self.p, tenth)), ("observed", rate), ("lo", middle - half), ("hi", middle + half)):
                    self.assertAlmostEqual(float(bin_row[field]), value, delta=1e-11, msg=(name, i, field))

    def test_profiles_are_elsewhere(self):
        self.refuse(4, ["r.h5ad", "propensities", "--segments"], "profile", "r.h5ad")


class Choices(PropensityCase):
    """What goes into a fit where nothing is said, and where something is."""

    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(4)
        x = generator.normal(size=(2000, 4))
        x[:, 1:3] = np.exp(x[:, 1:3])
        churn = (x[:, 0] + np.log1p(x[:, 1]) + x[:, 2] / 2 + generator.logistic(size=2000) > 3).astype(float)
        x[generator.uniform(size=2000) < .1, 3] = np.nan
        write_h5ad(self.input, x.astype(np.float32), {"churn": churn, "noise": (np.arange(2000) % 3 == 0).astype(float)},
                   ["a", "bends", "long_tail", "holes"])

    def kinds(self, name):
        with h5py.File(self.folder / name) as file:
            return [file[path]["transform_kind"].asstr()[()] if path in file else None
                    for path in ("uns/segmentation/model", "uns/propensity/predictors")]

    def logarithms(self, name):
        with h5py.File(self.folder / name) as file:
            return file["uns/propensity/predictors/transform/log1p"][:].astype(bool).tolist()

    def test_columns_bend_where_the_outcomes_do(self):
        fit = self.fit(self.input, "-o", "r.h5ad", "--target", "churn")
        self.assertEqual(fit["features"], ["a", "bends", "long_tail", "holes"])
        self.assertEqual((self.kinds("r.h5ad"), self.logarithms("r.h5ad")), ([None, "auto"], [False, True, False, False]))
        plain = self.fit(self.input, "-o", "r.h5ad", "--overwrite", "--target", "churn", "--transform", "zscore")
        self.assertEqual((self.kinds("r.h5ad"), self.logarithms("r.h5ad")), ([None, "zscore"], [False] * 4))
        self.assertGreater(fit["log_likelihood"], plain["log_likelihood"] + 1)
        self.assertTrue(all(np.isfinite(row["raw_coef"]) for row in plain["coefficients"]))  # nothing but shift and scale
        noise = self.fit(self.input, "-o", "n.h5ad", "--target", "noise")
        self.assertEqual(self.logarithms("n.h5ad"), [False] * 4)
        self.assertEqual(noise["coef"], self.fit(self.input, "--target", "noise", "--transform", "zscore", "--missing", "median")["coef"])

    def test_columns_bend_alike_for_any_threads(self):
        """Twice as many rows as are looked at, and more than a sample holds in one chunk of scores."""
        x = np.exp(np.random.default_rng(6).normal(size=(50000, 9)))
        outcomes = {f"o{t}": (np.log1p(x[:, t]) + x[:, t + 3] / 2 + np.random.default_rng(t).logistic(size=50000) > 2).astype(float) for t in (0, 1)}
        write_h5ad(self.input, x.astype(np.float32), outcomes)
        fits = []
        for threads in (1, 3):
            fit = self.fit(self.input, "-o", "r.h5ad", "--overwrite", "--target", "o0,o1", "--threads", threads)
            fits.append(([target["coef"] for target in fit["targets"]], self.logarithms("r.h5ad")))
        self.assertEqual(*fits)
        self.assertEqual(fits[0][1][:5], [True, True, False, False, False])

    def test_outcomes_held_out_bend_nothing(self):
        """The other outcomes of the customers held out: the same model."""
        with h5py.File(self.input, "r+") as file:
            split = np.where(np.arange(2000) < 1500, "train", "test").astype(object)
            file["obs"]["side"] = split
            file["obs/side"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
            file["obs"].attrs["column-order"] = np.array(["churn", "noise", "side"], dtype=h5py.string_dtype())
        fit = self.fit(self.input, "--target", "churn", "--split", "side")
        with h5py.File(self.input, "r+") as file:
            file["obs/churn"][1500:] = 1 - file["obs/churn"][1500:]
        again = self.fit(self.input, "--target", "churn", "--split", "side")
        self.assertEqual((fit["features"], fit["coef"]), (again["features"], again["coef"]))
        self.assertNotEqual(fit["auc"], again["auc"])

    def test_segments_keep_a_transform_of_their_own(self):
        self.succeed("run", self.input, "-o", "r.h5ad", "-k", 3, "--target", "churn")
        self.assertEqual((self.kinds("r.h5ad"), self.logarithms("r.h5ad")), (["auto", "auto"], [False, True, False, False]))
        self.succeed("assign", self.input, "--model", "r.h5ad", "-o", "again.h5ad")
        fitted, again = (anndata.read_h5ad(self.folder / name).obs for name in ("r.h5ad", "again.h5ad"))
        for column in ("segment", "segment_distance", "churn_probability", "churn_score"):
            self.assertEqual(list(fitted[column]), list(again[column]), column)
        self.succeed("propensity", self.input, "-o", "alone.h5ad", "--target", "churn")
        self.assertEqual(list(anndata.read_h5ad(self.folder / "alone.h5ad").obs["churn_probability"]), list(fitted["churn_probability"]))
        self.succeed("run", self.input, "-o", "r.h5ad", "--overwrite", "-k", 3, "--target", "churn", "--transform", "robust")
        self.assertEqual(self.kinds("r.h5ad"), ["robust", "robust"])

    def test_rare_outcomes_leave_the_segments(self):
        self.succeed("run", self.input, "-o", "r.h5ad", "-k", 3, "--target", "churn", "--min-events", 1500)
        placed = self.succeed("assign", self.input, "--model", "r.h5ad", "-o", "again.h5ad")
        self.assertIn("placed and not scored", placed.stderr)
        self.assertNotIn("churn_probability", anndata.read_h5ad(self.folder / "again.h5ad").obs)

    def test_conditions_of_segments_and_scores_hold_together(self):
        self.succeed("cluster", self.input, "-o", "s.h5ad", "-k", 2)
        self.succeed("propensity", self.input, "-o", "r.h5ad", "--target", "churn", "--segments", "s.h5ad", "--where", "a > 0")
        self.succeed("assign", self.input, "--model", "r.h5ad", "-o", "new.h5ad")
        new, fitted = (anndata.read_h5ad(self.folder / name).obs["churn_probability"] for name in ("new.h5ad", "r.h5ad"))
        np.testing.assert_array_equal(new.to_numpy(), fitted.to_numpy())
        self.assertTrue(0 < new.isna().sum() < 2000)

    def test_a_text_of_many_levels_is_read_for_those_that_predict(self):
        generator = np.random.default_rng(6)
        plans, x = generator.choice(["a", "b", "c"], 3000), generator.normal(size=(3000, 1))
        churn = (generator.random(3000) < np.where(plans == "b", 0.7, 0.2)).astype(float)
        write_h5ad(self.folder / "fit.h5ad", x, {"plan": plans.astype(object), "churn": churn}, ["visits"])
        self.fit("fit.h5ad", "-o", "r.h5ad", "--target", "churn", "--transform", "none")
        scores = {}
        for name, last in (("few", ["a"] * 60), ("many", [f"new{i}" for i in range(60)])):
            texts = np.array([*plans[:-60], *last], dtype=object)
            write_h5ad(self.folder / f"{name}.h5ad", x, {"plan": texts}, ["visits"])
            done = self.succeed("assign", f"{name}.h5ad", "--model", "r.h5ad", "-o", "new.h5ad", "--overwrite")
            self.assertEqual("plan: 60 customers have a level that the propensities have not seen" in done.stderr, name == "many")
            scores[name] = anndata.read_h5ad(self.folder / "new.h5ad").obs["churn_probability"].to_numpy()
        self.assertEqual(list(scores["few"]), list(scores["many"]))  # `a` is what the other levels are compared with

    def test_sensitive_text_predicts_where_it_is_allowed(self):
        generator = np.random.default_rng(5)
        rows = [f"{i},{a:.3f},{18 + i % 60},{'FMX'[i % 3]},{'yes' if a + b > 1 else 'no'}" for i, (a, b) in enumerate(generator.normal(size=(2000, 2)))]
        (self.folder / "c.csv").write_text("\n".join(["customer_id,visits,age,gender,churn", *rows]) + "\n")
        path = self.imported("c.csv", "--sensitive", "age,gender", "--outcome", "churn=yes")
        fit = self.fit(path, "--target", "churn")
        self.assertEqual(fit["features"], ["visits"])
        self.assertRegex(" ".join(fit["warnings"]), "drive nothing.*: age .*predict nothing.*: gender")
        fit = self.fit(path, "-o", "r.h5ad", "--target", "churn", "--allow-sensitive")
        self.assertEqual(fit["features"], ["visits", "age", "gender=M", "gender=X"])
        self.assertEqual(fit["warnings"], [warning for warning in fit["warnings"] if "sensitive" not in warning])
        self.assertNotIn("sensitive", self.succeed("assign", path, "--model", "r.h5ad", "-o", "new.h5ad").stderr)
        new, fitted = (anndata.read_h5ad(self.folder / name).obs["churn_probability"] for name in ("new.h5ad", "r.h5ad"))
        self.assertEqual(list(new), list(fitted))
        self.assertEqual(self.fit(path, "--target", "churn", "--allow-sensitive", "--active", "visits")["features"], ["visits"])


class Truth(PropensityCase):
    """Outcomes of known probability, planted by `synth`."""

    def test_probabilities_are_true_overall_and_in_every_segment(self):
        self.succeed("synth", "-o", "s.h5ad", "--rows", 300000, "--features", 8, "--personas", 5, "--outcomes", "churn,convert", "--seed", 5)
        self.succeed("cluster", "s.h5ad", "-o", "k.h5ad", "-k", 5, "--n-init", 3)
        fit = self.fit("s.h5ad", "-o", "r.h5ad", "--target", "churn,convert", "--segments", "k.h5ad", "--holdout", .5)
        for target in fit["targets"]:
            everybody = target["evaluation"][-1]
            self.assertAlmostEqual(everybody["calibration_slope"], 1, delta=.02)
            self.assertGreaterEqual(max(row["positives"] for row in target["evaluation"][:-1]), 1000)
            for row in target["evaluation"][:-1]:
                if row["positives"] >= 1000:
                    self.assertAlmostEqual(row["calibration_slope"], 1, delta=.1, msg=row["segment"])
        truth, result = anndata.read_h5ad(self.folder / "s.h5ad").obs, anndata.read_h5ad(self.folder / "r.h5ad").obs
        for name in ("churn", "convert"):
            error = result[f"{name}_probability"].to_numpy() - truth[f"{name}_probability"].to_numpy()
            self.assertLess(np.sqrt(np.mean(error ** 2)), .005)

    def test_ignores_threads_and_memory(self):
        self.succeed("synth", "-o", "s.h5ad", "--rows", 60000, "--features", 6, "--outcomes", "churn", "--seed", 2)
        results = []
        for name, arguments in (("a", ["--threads", 1]), ("b", ["--threads", 2, "--memory", "48M"])):
            fit = self.fit("s.h5ad", "-o", f"{name}.h5ad", "--target", "churn", *arguments)
            results.append((fit["coef"], fit["intercept"], fit["std_err"], fit["gains"]))
            with h5py.File(self.folder / f"{name}.h5ad") as file:
                results[-1] += (file["obs/churn_probability"][:].tobytes(), file["obs/churn_reason1/codes"][:].tobytes())
        self.assertEqual(results[0], results[1])

    def test_ranks_and_calibrates_alike_under_any_memory(self):
        self.succeed("synth", "-o", "s.h5ad", "--rows", 1200000, "--features", 2, "--outcomes", "churn", "--seed", 2)
        fits = []
        for memory in ("90M", "1G"):  # the first holds the scores, but not all that ranks them
            fits.append(self.fit("s.h5ad", "--target", "churn", "--calibration", "isotonic", "--memory", memory))
            del fits[-1]["seconds"]
        self.assertEqual(*fits)

    def test_memory_that_cannot_hold_the_scores_ends_before_the_fit(self):
        self.succeed("synth", "-o", "s.h5ad", "--rows", 300000, "--features", 2, "--outcomes", "a,b,c,d", "--seed", 2)
        for memory, what in (("12M", "the scores of every customer"), ("40M", "ranking the scores")):  # what is reserved first and last
            refused = self.run_coterie("propensity", "s.h5ad", "--target", "a,b,c,d", "--memory", memory)
            self.assertEqual(refused.returncode, 6, refused.stderr)
            self.assertRegex(refused.stderr, f"not enough memory for {what}: .* Raise --memory")

    def test_a_customer_keeps_its_side(self):
        """Hash of the id: another order of rows holds the same customers out."""
        generator = np.random.default_rng(1)
        x = generator.normal(size=(4000, 2)).astype(np.float32)
        churn = (x[:, 0] + generator.normal(size=4000) > 1).astype(float)
        ids = np.arange(7000, 11000)
        order = generator.permutation(4000)
        write_h5ad(self.folder / "a.h5ad", x, {"customer_id": ids, "churn": churn})
        write_h5ad(self.folder / "b.h5ad", x[order], {"customer_id": ids[order], "churn": churn[order]})
        held_out = []
        for name in ("a", "b"):
            self.succeed("propensity", f"{name}.h5ad", "-o", f"r{name}.h5ad", "--target", "churn")
            obs = anndata.read_h5ad(self.folder / f"r{name}.h5ad").obs
            held_out.append(set(obs.index[obs["propensity_split"] == "held-out"]))
        self.assertEqual(held_out[0], held_out[1])
        self.assertTrue(700 < len(held_out[0]) < 900)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
