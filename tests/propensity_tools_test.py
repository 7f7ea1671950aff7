"""End-to-end tests of propensities: COTERIE=build/release/coterie /usr/bin/python3 tests/propensity_tools_test.py [Class]."""

import csv
import json
import sys
import unittest

import anndata
import h5py
import numpy as np
import pandas

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
                   "rare": (np.arange(n) < 60).astype(float)}
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
        done = self.succeed("propensity", self.input, "-o", "few.h5ad", "--target", "rare", "--ignore", "written_later", "--holdout", 0)
        self.assertIn("too few to score", done.stderr)
        self.assertFalse(any(name.startswith("rare") for name in anndata.read_h5ad(self.folder / "few.h5ad").obs))
        self.refuse(10, ["rare", "--min-events"], "propensity", self.input, "-o", "r.h5ad", "--csv", "r.csv", "--target", "rare")
        self.refuse(10, ["rare"], "assign", self.input, "--model", "few.h5ad", "-o", "r.h5ad")
        self.succeed("propensity", self.input, "-o", "r.h5ad", "--csv", "r.csv", "--target", "rare", "--min-events", 20)
        self.assertIn("rare_probability", (self.folder / "r.csv").read_text().splitlines()[0])

    def test_a_leak_is_called_out_by_name(self):
        warnings = " ".join(self.fit(self.input, "--target", "churn")["warnings"])
        self.assertIn("column written_later alone tells the outcomes apart", warnings)
        self.assertNotIn("column a alone", warnings)
        self.assertNotIn("alone tells", " ".join(self.fit(self.input, "--target", "churn", "--active", "a,b,c")["warnings"]))

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
