"""Gaussian mixtures on the command line, end to end: COTERIE=build/release/coterie /usr/bin/python3 tests/tools_mixture_test.py [Class]."""

import hashlib
import json
import shlex
import unittest

import h5py
import numpy as np

from tools_test import Case, blobs, write_h5ad

LIKELIHOODS = ("lower_bound", "log_likelihood", "aic", "bic", "icl")
GRID = 1e-5  # rows are rounded to 2^-18, a few hundred of them; float32 in the file is finer
TAIL = 10 * GRID  # five deviations out, where a rounding moves a likelihood by as many times more


def log_densities(x, model):
    """log (weight N(x)) of every row and component, from the stored parameters."""
    weights, means = model["weights"][:], model["means"][:]
    n_components, n_columns = means.shape
    kind = model["covariance_type"][()].decode()
    stored = model["covariances"][:]
    columns = []
    for k in range(n_components):
        covariance = {"full": lambda: stored[k], "tied": lambda: stored, "diag": lambda: np.diag(stored[k]),
                      "spherical": lambda: np.eye(n_columns) * stored[k]}[kind]()
        t = x - means[k]
        square = np.einsum("ij,ij->i", t, np.linalg.solve(covariance, t.T).T)
        columns.append(np.log(weights[k]) - 0.5 * (square + np.linalg.slogdet(covariance)[1] + n_columns * np.log(2 * np.pi)))
    return np.array(columns).T


class Mixture(Case):
    def setUp(self):
        super().setUp()
        self.x, self.labels = blobs()
        write_h5ad(self.input, self.x)

    def gmm(self, *arguments, output=None, transform="none"):
        done = self.succeed("cluster", self.input, "-o", output or self.output, "--overwrite", "--method", "gmm", "--transform", transform, "--json",
                            *arguments)
        return json.loads(done.stdout)


class Contract(Mixture):
    """The JSON, the digest and the file that other scripts rely on."""

    def test_json_has_exactly_the_promised_fields(self):
        result = self.gmm("--n-components", 3, "--device", "cpu", "--threads", 2, "--seed", 1)
        self.assertEqual(list(result), ["method", "n_components", "covariance_type", *LIKELIHOODS, "weights", "means", "n_iter", "converged",
                                        *(f"{name}_input_units" for name in LIKELIHOODS), "sizes", "device", "seconds", "sha256", "warnings"])
        self.assertEqual((result["method"], result["n_components"], result["covariance_type"], result["converged"]), ("gmm", 3, "full", True))
        self.assertEqual(sorted(result["sizes"]), sorted(np.bincount(self.labels).tolist()))
        self.assertEqual(result["weights"], sorted(result["weights"], reverse=True))
        self.assertEqual(np.shape(result["means"]), (3, 4))
        for name in LIKELIHOODS:
            self.assertEqual(result[f"{name}_input_units"], result[name])  # no transform
        parameters = 3 * (4 + 10) + 2
        self.assertAlmostEqual(result["bic"], -2 * result["log_likelihood"] + parameters * np.log(600), delta=1e-6)
        self.assertAlmostEqual(result["aic"], -2 * result["log_likelihood"] + 2 * parameters, delta=1e-6)
        self.assertGreaterEqual(result["icl"], result["bic"])

    def test_file_and_json_hold_the_same_mixture(self):
        for kind, shape in (("full", (3, 4, 4)), ("tied", (4, 4)), ("diag", (3, 4)), ("spherical", (3,))):
            with self.subTest(kind):
                result = self.gmm("-k", 3, "--covariance-type", kind, "--probabilities")
                with h5py.File(self.output) as file:
                    model = file["uns/segmentation/model"]
                    self.assertEqual(model["covariances"].shape, shape)
                    self.assertEqual(model["weights"][:].tolist(), result["weights"])
                    self.assertEqual(model["means"][:].tolist(), result["means"])
                    self.assertEqual((model["bic"][()], model["icl"][()], len(model["lower_bound"])), (result["bic"], result["icl"], result["n_iter"]))
                    labels = file["obs/segment_id"][:]
                    digest = hashlib.sha256(labels.astype("<i4").tobytes() + b"".join(
                        model[name][:].astype("<f8").tobytes() for name in ("weights", "means", "covariances")))
                    digest.update(np.array([result["log_likelihood"]], "<f8").tobytes())
                    self.assertEqual(digest.hexdigest(), result["sha256"])
                    logs = log_densities(self.x.astype(float), model)
                    likelihood = np.logaddexp.reduce(logs, axis=1)
                    probabilities = np.exp(logs - likelihood[:, None])
                    self.assertAlmostEqual(likelihood.sum(), result["log_likelihood"], delta=GRID * 600)
                    self.assertAlmostEqual(result["icl"], result["bic"] - 2 * np.log(probabilities.max(axis=1)).sum(), delta=GRID * 600)
                    np.testing.assert_array_equal(labels, logs.argmax(axis=1))
                    for name, expected in (("obs/log_likelihood", likelihood), ("obs/segment_probability", probabilities.max(axis=1)),
                                           ("obsm/probabilities", probabilities)):
                        np.testing.assert_allclose(file[name][:], expected, rtol=GRID, atol=GRID)
                    second = file["obs/second_segment"][:]
                    self.assertTrue(((second >= 0) & (second < 3) & (second != labels)).all())
                    self.assertNotIn("obs/is_outlier", file)

    def test_result_ignores_threads_and_memory(self):
        digests = {self.gmm("-k", 4, "--seed", 3, *arguments)["sha256"]
                   for arguments in (("--threads", 1), ("--threads", 3), ("--threads", 2, "--memory", "64M"))}
        self.assertEqual(len(digests), 1)

    def test_likelihoods_in_input_units_only_where_the_transform_is_affine(self):
        exactly = ("-k", 3, "--reg-covar", 0, "--tol", 1e-10, "--max-iter", 500)
        raw = self.gmm(*exactly)
        scaled = self.gmm(*exactly, transform="zscore")
        for name in LIKELIHOODS:
            rows = 1 if name == "lower_bound" else 600
            self.assertNotAlmostEqual(raw[name], scaled[name], delta=rows / 60)
            self.assertAlmostEqual(raw[name], scaled[f"{name}_input_units"], delta=rows * 2e-6)  # grids differ
        with h5py.File(self.output) as file:
            model = file["uns/segmentation/model"]
            self.assertEqual(len(model["lower_bound_input_units"]), scaled["n_iter"])
            self.assertEqual(model["lower_bound_input_units"][-1], scaled["lower_bound_input_units"])
            for name in LIKELIHOODS[1:]:
                self.assertEqual(model[f"{name}_input_units"][()], scaled[f"{name}_input_units"])
        write_h5ad(self.input, np.exp(self.x / 10))
        bent = self.gmm("-k", 3, transform="log1p")
        with h5py.File(self.output) as file:
            for name in LIKELIHOODS:
                self.assertIsNone(bent[f"{name}_input_units"])
                self.assertNotIn(f"{name}_input_units", file["uns/segmentation/model"])

    def test_outliers_are_the_asked_share_and_assign_keeps_the_threshold(self):
        self.gmm("-k", 3, "--outlier-share", 0.05)
        with h5py.File(self.output) as file:
            outlier, likelihood = file["obs/is_outlier"][:].astype(bool), file["obs/log_likelihood"][:]
            threshold = file["uns/segmentation/model/outlier_log_likelihood"][()]
        self.assertEqual(outlier.sum(), 30)  # of 600, all different
        self.assertLess(likelihood[outlier].max(), likelihood[~outlier].min())
        self.x[:10] += 50
        write_h5ad(self.folder / "strays.h5ad", self.x)
        self.succeed("assign", "strays.h5ad", "--model", self.output, "-o", "again.h5ad")
        with h5py.File(self.folder / "again.h5ad") as file:
            again = file["obs/is_outlier"][:].astype(bool)
            self.assertTrue(again[:10].all())
            np.testing.assert_array_equal(again[10:], outlier[10:])
            self.assertLess(file["obs/log_likelihood"][0], threshold)
        for share, expected in ((0, 0), (1, 600)):
            self.gmm("-k", 3, "--outlier-share", share)
            with h5py.File(self.output) as file:
                self.assertEqual(file["obs/is_outlier"][:].sum(), expected)

    def test_outliers_are_a_share_of_the_weight(self):
        generator = np.random.default_rng(7)
        for name, weight in (("whole", generator.integers(0, 4, 600).astype(float)), ("fractions", generator.random(600))):
            write_h5ad(self.input, self.x, {"importance": weight})
            for share in (0, 0.1, 1 / 3, 1):
                with self.subTest(name, share=share):
                    self.gmm("-k", 3, "--weight", "importance", "--outlier-share", share)
                    with h5py.File(self.output) as file:
                        outlier = file["obs/is_outlier"][:].astype(bool)
                        logs = log_densities(self.x.astype(float), file["uns/segmentation/model"])
                        threshold = file["uns/segmentation/model/outlier_log_likelihood"][()]
                    likelihood = np.logaddexp.reduce(logs, axis=1)
                    clear = np.abs(likelihood - threshold) > TAIL
                    np.testing.assert_array_equal(outlier[clear], likelihood[clear] < threshold)
                    if share == 1:
                        self.assertTrue(outlier.all())
                        continue
                    order = np.argsort(likelihood)
                    below = np.cumsum(weight[order])
                    first_kept = order[np.argmax(below > share * weight.sum() + 600 * 2**-23)]  # weights are rounded to 2^-23 of the largest
                    self.assertAlmostEqual(threshold, likelihood[first_kept], delta=TAIL)

    def test_outliers_take_no_memory_per_customer(self):
        rows = 1_000_000
        write_h5ad(self.input, np.random.default_rng(3).normal(size=(rows, 1)).astype(np.float32))
        budget = ("-k", 1, "--outlier-share", 0.01, "--memory", "17M", "--threads", 1, "--device", "cpu")  # 4 MB of labels, 16 of likelihoods did not fit
        self.gmm(*budget)
        with h5py.File(self.output) as file:
            outlier = file["obs/is_outlier"][:].astype(bool)
        self.assertAlmostEqual(outlier.sum() / rows, 0.01, delta=1e-6 + 2**-20)  # values on the grid tie

    def test_labels_that_do_not_fit_are_refused_before_the_first_sweep(self):
        write_h5ad(self.input, np.zeros((4_000_000, 1), np.float32))  # constant: refused by whoever reads it
        self.refuse(6, ["label of every customer", "--memory"], "cluster", self.input, "-o", self.output, "--memory", "14M", "-k", 2)

    def test_assign_repeats_the_labels(self):
        fitted = self.gmm("-k", 3, "--covariance-type", "diag", transform="auto")
        done = self.succeed("assign", self.input, "--model", self.output, "-o", "again.h5ad", "--csv", "again.csv", "--probabilities", "--json")
        self.assertEqual(json.loads(done.stdout)["sha256"], fitted["sha256"])
        header = (self.folder / "again.csv").read_text().splitlines()[0]
        self.assertEqual(header, "customer_id,segment,segment_id,second_segment,segment_probability,segment_entropy,log_likelihood")
        with h5py.File(self.folder / "again.h5ad") as file:
            np.testing.assert_allclose(file["obsm/probabilities"][:].sum(axis=1), 1, rtol=1e-6)

    def test_profile_and_export_read_the_result(self):
        self.gmm("-k", 3, "--outlier-share", 0.1)
        profile = json.loads(self.succeed("profile", self.output, "--json").stdout)
        self.assertEqual(len(profile["segments"]), 3)
        customers = self.succeed("export", self.output).stdout.splitlines()
        self.assertEqual(len(customers), 601)
        self.assertTrue(customers[0].endswith("log_likelihood,is_outlier"))

    def test_goes_on_from_an_earlier_result(self):
        done = self.gmm("-k", 3, "--tol", 1e-10, "--max-iter", 500, "--reg-covar", 0)
        again = self.gmm("--init", self.output, "--tol", 1e-10, "--reg-covar", 0, output="b.h5ad")  # as tight: in double, too
        self.assertEqual((again["n_components"], again["n_iter"]), (3, 2))  # two sweeps see that it stands still
        self.assertAlmostEqual(again["log_likelihood"], done["log_likelihood"], delta=1e-6)
        # Other units, another order of columns, another covariance type in the file.
        for kind in ("full", "tied", "diag", "spherical"):
            first = self.gmm("-k", 3, "--covariance-type", kind, "--tol", 1e-10, "--max-iter", 500, "--reg-covar", 0)
            order = [2, 0, 3, 1]
            write_h5ad(self.folder / "moved.h5ad", self.x[:, order], names=[f"feature_{j}" for j in order])
            moved = json.loads(self.succeed("cluster", "moved.h5ad", "-o", "c.h5ad", "--method", "gmm", "--init", self.output, "--transform",
                                            "none" if kind == "spherical" else "zscore", "--overwrite", "--reg-covar", 0, "--json").stdout)
            self.assertEqual((moved["n_iter"], moved["covariance_type"]), (2, kind))
            self.assertAlmostEqual(moved["log_likelihood_input_units"], first["log_likelihood"], delta=1e-3)
        means = self.cluster("-k", 3, "--transform", "none", "--overwrite")
        self.assertEqual(self.gmm("--init", self.output, output="d.h5ad")["sizes"], sorted(means["sizes"], reverse=True))

    def test_goes_on_from_clusters_of_another_transform(self):
        spread = np.array([1, 100, 0.01, 1], np.float32)
        write_h5ad(self.input, self.x * spread)
        self.cluster("-k", 3, "--transform", "zscore")
        with h5py.File(self.output) as file:
            model = file["uns/segmentation/model"]
            centers = model["cluster_centers"][:] * model["transform/scale"][:] + model["transform/center"][:]
        with h5py.File(self.folder / "start.h5", "w") as file:
            file["means"] = centers  # in units of the input
        carried, given = (self.gmm("--init", init, "--max-iter", 1, output=f"{name}.h5ad") for name, init in (("a", self.output), ("b", "start.h5:/means")))
        np.testing.assert_allclose(carried["means"], given["means"], rtol=1e-5)
        self.assertAlmostEqual(carried["log_likelihood"], given["log_likelihood"], delta=1e-2)
        write_h5ad(self.input, np.exp(self.x / 10))
        self.cluster("-k", 3, "--transform", "zscore", "--overwrite")
        self.refuse(4, ["feature_0", "in another way", "--transform"], "cluster", self.input, "-o", "c.h5ad", "--method", "gmm", "--init", self.output,
                    "--transform", "log1p")

    def test_start_means_come_from_a_file(self):
        with h5py.File(self.folder / "start.h5", "w") as file:
            file["means"] = np.array([self.x[self.labels == k].mean(axis=0) for k in range(3)])
        result = self.gmm("--init", "start.h5:/means")
        self.assertEqual(sorted(result["sizes"]), sorted(np.bincount(self.labels).tolist()))

    def test_sweep_compares_numbers_and_types(self):
        done = self.succeed("sweep", self.input, "--method", "gmm", "--k", "2:4", "--covariance-type", "diag,spherical", "--transform", "none",
                            "-o", self.output, "--json")
        result = json.loads(done.stdout)
        rows = [(row["covariance_type"], row["n_components"]) for row in result["sweep"]]
        self.assertEqual(rows, [(kind, k) for kind in ("diag", "spherical") for k in (2, 3, 4)])
        for field in ("log_likelihood", "parameters", "aic", "bic", "icl", "bic_per_parameter", "smallest_share", "at_floor", "n_iter", "converged"):
            self.assertIn(field, result["sweep"][0])
        self.assertEqual((result["choice"]["n_components"], result["choice"]["covariance_type"]), (3, "spherical"))  # as they were planted
        self.assertIn("ICL", result["choice"]["reason"])
        single = self.gmm("-k", 3, "--covariance-type", "diag", output="b.h5ad")
        self.assertEqual(single["bic"], result["sweep"][1]["bic"])
        with h5py.File(self.output) as file:
            self.assertIn("obs/segment_k3_spherical", file)

    def next_command(self, *arguments):
        """What `sweep` advises, and the row of what it chose."""
        done = self.succeed("sweep", self.input, *arguments, "--json")
        line = next(line for line in done.stderr.splitlines() if line.startswith("Next: "))
        result = json.loads(done.stdout)
        chosen = {name: value for name, value in result["choice"].items() if name != "reason"}
        row = next(row for row in result["sweep"] if all(row[name] == value for name, value in chosen.items()))
        words = shlex.split(line.removeprefix("Next: "))
        self.assertEqual(words[:2], ["coterie", "cluster"])
        return words[1:], row

    def test_the_command_a_sweep_prints_fits_its_model(self):
        x = self.x.copy()
        x[np.random.default_rng(5).random(x.shape) < 0.1] = np.nan
        write_h5ad(self.folder / "it's.h5ad", x, {"weight of it": np.arange(600) % 3 + 1.0, "it's": np.arange(600.0)})
        self.input = "it's.h5ad"
        common = ("--k", "2:4", "--weight", "weight of it", "--where", "`it's` < 550 && feature_0 is not missing", "--active",
                  "feature_0,feature_2,feature_3", "--seed", 7, "--n-init", 2, "--max-iter", 7, "--tol", 1e-9, "--threads", 2)
        for method in (("--method", "gmm", "--covariance-type", "diag,spherical", "--missing", "mar", "--reg-covar", 1e-3, "--covariance-floor", 1e-3,
                        "--init", "random"),
                       ("--init", "random", "--transform", "robust", "--missing", "median")):
            with self.subTest(method):
                words, row = self.next_command(*common, *method)
                again = json.loads(self.succeed(*words, "--json", "--overwrite").stdout)
                for name in ("n_components", "covariance_type", "log_likelihood", "bic", "icl", "n_clusters", "inertia", "n_iter"):
                    self.assertEqual(again.get(name), row.get(name))
        (self.folder / "job.toml").write_text('[sweep]\nseed = 3\nk = "2:3"\nactive = ["feature_1", "feature_2"]\nallow-sensitive = true\n')
        words, row = self.next_command("--config", "job.toml", "--missing", "median")
        self.assertEqual(json.loads(self.succeed(*words, "--json", "--overwrite").stdout)["inertia"], row["inertia"])

    def test_sweep_and_run_take_missing_cells_at_random(self):
        holes = np.random.default_rng(5).random(self.x.shape) < 0.3
        self.x[holes] = np.nan
        write_h5ad(self.input, self.x)
        options = ("--method", "gmm", "--covariance-type", "diag", "--missing", "mar", "--transform", "none", "--json")
        single = json.loads(self.succeed("cluster", self.input, "-o", self.output, "-k", 3, *options).stdout)
        swept = json.loads(self.succeed("sweep", self.input, "--k", "2:4", *options).stdout)
        self.assertEqual([row["log_likelihood"] for row in swept["sweep"] if row["n_components"] == 3], [single["log_likelihood"]])
        self.assertEqual(swept["choice"]["n_components"], 3)
        ran = json.loads(self.succeed("run", self.input, "-o", "run.h5ad", *options).stdout)
        self.assertEqual((ran["n_components"], ran["sha256"]), (3, single["sha256"]))
        scaled = self.gmm("-k", 3, "--covariance-type", "diag", "--missing", "mar", transform="zscore")
        self.assertIsNone(scaled["bic_input_units"])  # rows have volumes of their own
        for verb in (("sweep", self.input), ("run", self.input, "-o", "no.h5ad")):
            self.refuse(2, ["--missing mar", "--covariance-type diag"], *verb, "--method", "gmm", "--missing", "mar")

    def test_run_finds_the_planted_number_of_segments(self):
        result = json.loads(self.succeed("run", self.input, "--method", "gmm", "-o", self.output, "--json").stdout)
        self.assertEqual(result["n_components"], 3)
        self.assertIn("3 segments", result["choice"])
        with h5py.File(self.output) as file:
            self.assertEqual(len(file["uns/sweep/bic"]), 11)

    def test_weight_two_is_a_row_twice(self):
        weight = np.where(np.arange(600) % 3 == 0, 2.0, 1.0)
        with h5py.File(self.folder / "start.h5", "w") as file:
            file["means"] = self.x[:3]
        options = ("--method", "gmm", "--transform", "none", "--init", "start.h5:/means", "--json")
        write_h5ad(self.folder / "weighted.h5ad", self.x, {"importance": weight})
        write_h5ad(self.folder / "repeated.h5ad", np.repeat(self.x, weight.astype(int), axis=0))
        results = []
        for name, more in (("weighted", ("--weight", "importance")), ("repeated", ())):
            results.append(json.loads(self.succeed("cluster", f"{name}.h5ad", "-o", f"{name}_result.h5ad", *options, *more).stdout))
        np.testing.assert_allclose(results[0]["means"], results[1]["means"], rtol=0, atol=1e-3)  # starts differ: each has a sample
        self.assertAlmostEqual(results[0]["bic"], results[1]["bic"], delta=1e-2)

    def test_point_masses_do_not_end_the_fit(self):
        self.x[:200] = self.x[0]
        write_h5ad(self.input, self.x)
        result = self.gmm("-k", 4)
        self.assertTrue(np.isfinite(result["bic"]))
        self.assertRegex(" ".join(result["warnings"]), "covariance floor")

    def test_missing_cells_at_random(self):
        exactly = ("-k", 3, "--covariance-type", "diag", "--tol", 1e-12)  # sweeps in double, as those over missing cells are
        self.assertEqual(self.gmm(*exactly, "--missing", "mar")["sha256"], self.gmm(*exactly)["sha256"])
        holes = np.random.default_rng(5).random(self.x.shape) < 0.3
        self.x[holes] = np.nan
        write_h5ad(self.input, self.x)
        for kind in ("diag", "spherical"):
            result = self.gmm("-k", 3, "--covariance-type", kind, "--missing", "mar")
            with h5py.File(self.output) as file:
                model = file["uns/segmentation/model"]
                variances = model["covariances"][:]
                variances = variances if kind == "diag" else np.repeat(variances[:, None], 4, axis=1)
                terms = (self.x[:, None, :] - model["means"][:]) ** 2 / variances + np.log(2 * np.pi * variances)
                likelihood = np.logaddexp.reduce(np.log(model["weights"][:]) - 0.5 * np.nansum(terms, axis=2), axis=1)
                self.assertAlmostEqual(result["log_likelihood"], likelihood.sum(), delta=GRID * 600)
                labels = file["obs/segment_id"][:]
            hits = sum(np.bincount(self.labels[labels == k], minlength=3).max() for k in range(3))
            self.assertGreater(hits, 0.95 * 600)
            again = self.succeed("assign", self.input, "--model", self.output, "-o", f"{kind}.h5ad", "--json")
            self.assertEqual(json.loads(again.stdout)["sha256"], result["sha256"])

    def test_short_runs_find_the_blobs_whatever_the_threads(self):
        result = self.gmm("-k", 3, "--init", "short-em", "--threads", 1)
        self.assertEqual(sorted(result["sizes"]), sorted(np.bincount(self.labels).tolist()))
        self.assertEqual(self.gmm("-k", 3, "--init", "short-em", "--threads", 2)["sha256"], result["sha256"])


class Refusals(Mixture):
    """Every bad option and input ends with its exit code and a sentence that says what to do."""

    def refuse_gmm(self, code, words, *arguments):
        self.refuse(code, words, "cluster", self.input, "-o", self.output, "--method", "gmm", *arguments)

    def test_numbers(self):
        for option, value in (("--n-components", "0"), ("--reg-covar", "-1"), ("--reg-covar", "nan"), ("--covariance-floor", "2"), ("--tol", "-1"),
                              ("--max-iter", "0"), ("--n-init", "0"), ("--outlier-share", "1.5"), ("--outlier-share", "x")):
            with self.subTest(option=option, value=value):
                self.refuse_gmm(2, ["--n-clusters" if option == "--n-components" else option, value], option, value)
        self.refuse_gmm(2, ["601", "600"], "-k", 601)

    def test_words(self):
        self.refuse_gmm(2, ["--covariance-type", "spheric", "spherical"], "--covariance-type", "spheric")
        self.refuse_gmm(2, ["--init", "kmeans, short-em, random"], "--init", "k-means++")
        self.refuse_gmm(2, ["coterie sweep"], "--covariance-type", "full,diag")
        self.refuse(2, ["--method", "gmm, kmeans"], "cluster", self.input, "-o", self.output, "--method", "mixture")

    def test_options_of_the_other_method(self):
        for arguments in (("--covariance-type", "diag"), ("--reg-covar", "0"), ("--covariance-floor", "0.1"), ("--outlier-share", "0.1"),
                          ("--probabilities",), ("--missing", "mar")):
            with self.subTest(arguments=arguments):
                self.refuse(2, [arguments[0], "gmm"], "cluster", self.input, "-o", self.output, *arguments)
        for init in ("kmeans", "short-em"):
            self.refuse(2, [f"--init {init}", "k-means++"], "cluster", self.input, "-o", self.output, "--init", init)

    def test_matrices_need_every_cell(self):
        for kind in ("full", "tied"):
            self.refuse_gmm(2, ["--missing mar", "--covariance-type diag"], "--covariance-type", kind, "--missing", "mar")
        self.refuse_gmm(2, ["--missing mar"], "--missing", "mar")  # full is the default

    def test_missing_and_infinite_cells(self):
        self.x[7, 2] = np.nan
        write_h5ad(self.input, self.x)
        self.refuse_gmm(4, ["feature_2", "7"], "--transform", "none")
        self.x[7, 2] = np.inf
        write_h5ad(self.input, self.x)
        self.refuse_gmm(4, ["feature_2", "7"], "--covariance-type", "diag", "--missing", "mar")

    def test_starts(self):
        self.refuse_gmm(3, ["gone.h5ad"], "--init", "gone.h5ad")
        self.refuse_gmm(3, ["in.h5ad"], "--init", "in.h5ad")  # no result
        self.gmm("-k", 3, "--covariance-type", "diag")
        again = ("-o", "b.h5ad", "--init", self.output)
        self.refuse(2, ["--n-clusters 4", "3 start"], "cluster", self.input, "--method", "gmm", *again, "-k", 4)
        self.refuse(2, ["--covariance-type", "diag"], "cluster", self.input, "--method", "gmm", *again, "--covariance-type", "full")
        write_h5ad(self.input, self.x, names=["feature_0", "feature_1", "feature_2", "other"])
        self.refuse(4, ["other", "does not know"], "cluster", self.input, "--method", "gmm", *again)
        write_h5ad(self.input, self.x[:, :3])
        self.refuse(4, ["4 columns", "3"], "cluster", self.input, "--method", "gmm", *again)
        write_h5ad(self.input, np.exp(self.x / 10))
        self.refuse(4, ["feature_0", "in another way"], "cluster", self.input, "--method", "gmm", *again, "--transform", "log1p")

    def test_probabilities_of_k_means(self):
        self.cluster("-k", 3)
        self.refuse(2, ["--probabilities", "k-means"], "assign", self.input, "--model", self.output, "-o", "b.h5ad", "--probabilities")

    def test_memory_budget_below_the_plan(self):
        self.refuse_gmm(6, ["--memory"], "--memory", "4K")


if __name__ == "__main__":
    unittest.main(verbosity=2)
