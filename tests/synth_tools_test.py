"""End-to-end tests of synthetic customers: COTERIE=build/release/coterie /usr/bin/python3 tests/synth_tools_test.py [Class]."""

import json
import sys
import unittest

import anndata
import h5py
import numpy as np

from tools_test import Case, digest

PERSONAS = 6
FOUND = .65  # adjusted Rand index of k-means and the planted personas: they overlap, as real ones do


def adjusted_rand_index(a, b):
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    pairs = lambda counts: (counts * (counts - 1) / 2).sum()
    rows, columns = pairs(table.sum(1)), pairs(table.sum(0))
    expected = rows * columns / pairs(np.array([table.sum()]))
    return (pairs(table) - expected) / ((rows + columns) / 2 - expected)


class Customers(Case):
    def synth(self, name, *arguments):
        self.succeed("synth", "-o", name, "--kind", "customers", *arguments)
        return self.folder / name

    def test_segments_are_the_personas(self):
        truth = anndata.read_h5ad(self.synth("a.h5ad", "--rows", 40000, "--seed", 7))
        self.succeed("cluster", "a.h5ad", "-o", "r.h5ad", "--n-clusters", PERSONAS, "--seed", 1)
        labels = anndata.read_h5ad(self.folder / "r.h5ad").obs["segment"].cat.codes.to_numpy()
        self.assertGreater(adjusted_rand_index(truth.obs["true_persona"].to_numpy(), labels), FOUND)

    def test_runs_from_end_to_end(self):
        self.synth("a.h5ad", "--rows", 20000, "--seed", 3)
        self.succeed("run", "a.h5ad", "-o", "r.h5ad", "--n-clusters", PERSONAS, "--target", "churned,converted")
        truth, result = anndata.read_h5ad(self.folder / "a.h5ad"), anndata.read_h5ad(self.folder / "r.h5ad")
        error = result.obs["churned_probability"].to_numpy() - truth.obs["true_churned_probability"].to_numpy()
        self.assertLess(np.sqrt(np.mean(error ** 2)), .1)  # contentment is hidden: no model can do better than about .07
        features = set(result.uns["propensity"]["targets"]["churned"]["coefficients"].index)
        self.assertFalse([name for name in features if name.startswith("true_")])
        truth_frames = truth.uns["truth"]
        shares = truth.obs["true_persona"].value_counts(normalize=True).sort_index().to_numpy()
        self.assertLess(np.abs(shares - truth_frames["personas"]["share"].to_numpy()).max(), .02)  # 5 standard errors
        self.assertEqual(list(truth_frames["columns"].index), list(truth.var_names))

    def test_dates_and_treatment_are_declared_and_predict_nothing(self):
        path = self.synth("a.h5ad", "--rows", 5000, "--seed", 3, "--month", 2)
        file = anndata.read_h5ad(path)
        roles, dates = file.uns["coterie"]["roles"], ["signup", "first_order", "last_order"]
        self.assertEqual((roles["treatment"], list(roles["dates"])), ("treated", dates))
        days = file.uns["truth"]["as_of"] - file.obs["last_order"]
        np.testing.assert_array_equal(days, file.to_df()["recency_days"])
        self.assertEqual(np.datetime64(0, "D") + int(file.uns["truth"]["as_of"]), np.datetime64("2026-01-30"))
        self.assertTrue((file.obs["signup"] <= file.obs["first_order"]).all())

        def texts_of_model():
            report = json.loads(self.succeed("propensity", path, "-o", "r.h5ad", "--overwrite", "--target", "churned", "--json").stdout)
            return {name.split("=")[0] for name in report["features"] if "=" in name}

        self.assertFalse(texts_of_model() & {"treated", *dates})
        self.assertLessEqual({"plan", "region", "household"}, texts_of_model())
        with h5py.File(path, "r+") as stored:  # texts, had they those roles
            del stored["uns/coterie/roles/treatment"], stored["uns/coterie/roles/dates"]
            stored["uns/coterie/roles/treatment"] = "plan"
            stored["uns/coterie/roles/dates"] = ["region"]
        self.assertFalse(texts_of_model() & {"plan", "region"})

    def test_storage_changes_nothing(self):
        plain = self.synth("a.h5ad", "--rows", 20000, "--threads", 1)
        packed = self.synth("b.h5ad", "--rows", 20000, "--threads", 2, "--memory", "64M", "--compressed")
        self.assertLess(packed.stat().st_size, plain.stat().st_size * .7)
        a, b = anndata.read_h5ad(plain), anndata.read_h5ad(packed)
        self.assertEqual(a.X.tobytes(), b.X.tobytes())
        self.assertTrue(a.obs.equals(b.obs))
        self.synth("c.h5ad", "--rows", 20000, "--threads", 2)
        self.assertEqual(digest(plain), digest(self.folder / "c.h5ad"))

    def test_a_second_month_has_the_same_customers(self):
        a = anndata.read_h5ad(self.synth("a.h5ad", "--rows", 5000)).obs
        second = anndata.read_h5ad(self.synth("b.h5ad", "--rows", 5000, "--month", 2))
        self.assertEqual(list(a.index), list(second.obs.index))
        moved = second.obs["true_moved"].to_numpy() == 1
        self.assertTrue(((a["true_persona"] != second.obs["true_persona"]).to_numpy() == moved).all())
        drift = second.uns["truth"]["columns"]["drift"]
        self.assertEqual(drift["app_30d"], 1.6)
        self.assertEqual(drift["web_30d"], 1)

    def test_refuses_options_of_the_other_kind(self):
        for options in (["--kind", "customers", "--features", 3], ["--kind", "customers", "--outcomes", "a"], ["--month", 2], ["--kind", "x"]):
            self.refuse(2, [], "synth", "-o", "a.h5ad", "--rows", 10, *options)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
