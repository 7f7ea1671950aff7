"""Other people's programs open our files: anndata, pandas, h5py and h5dump, with every warning an error.

Usage: interop_test.py FOLDER, which interop_files has filled.
"""

import pathlib
import subprocess
import sys
import unittest
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd

FOLDER = pathlib.Path(sys.argv.pop())
N_ROWS = 70_000
SEGMENTS = ["Careful", "Bargain hunters äö", "Loyal, quiet"]
RESULTS = ["numbers.h5ad", "texts.h5ad"]
TABLES = ["customers", "profile_table", "levels", "outcomes", "values"]


def text_id(row):
    return ("kunde-ü" if row % 2 == 0 else "k") + str(row)


class Results(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("error")

    def test_anndata_opens_them_without_a_word(self):
        for name in RESULTS:
            for backed in (None, "r"):
                with self.subTest(name=name, backed=backed):
                    a = anndata.read_h5ad(FOLDER / name, backed=backed)
                    self.assertEqual(a.shape, (N_ROWS, 3))
                    self.assertEqual(list(a.obs["segment"][:4]), [SEGMENTS[i % 3] for i in range(4)])
                    self.assertEqual(a.obs["is_outlier"].dtype, bool)
                    self.assertEqual(a.obs["segment_distance"].dtype, np.float32)
                    self.assertEqual(list(a.var_names), ["spend/month", "=visits", "region_north"])
                    self.assertEqual(a.varm["segment_mean"].shape, (3, 3))
                    self.assertEqual(a.uns["run"]["seed"], -7)
                    self.assertIs(bool(a.uns["run"]["deterministic"]), True)
                    self.assertEqual(a.uns["run"]["empty"], "")
                    self.assertEqual(len(a.uns["run"]["warnings"]), 0)
                    self.assertEqual(list(a.uns["segmentation"]["segments"].index), SEGMENTS)
                    self.assertEqual(list(a.uns["sweep"]["inertia"]), [2.5, 1.5])

    def test_anndata_writes_them_back(self):
        for name in RESULTS:
            with self.subTest(name=name):
                a = anndata.read_h5ad(FOLDER / name)
                for table in TABLES:  # anndata 0.8 cannot read back packed tables with umlauts that it has written itself
                    del a.uns["segmentation"][table]
                a.write_h5ad(FOLDER / "again.h5ad")
                b = anndata.read_h5ad(FOLDER / "again.h5ad")
                pd.testing.assert_frame_equal(a.obs, b.obs)

    def test_ids_survive(self):
        numbers, texts = (anndata.read_h5ad(FOLDER / name) for name in RESULTS)
        self.assertEqual(list(numbers.obs_names[:3]), ["1000000", "1000001", "1000002"])
        self.assertEqual(numbers.obs["customer_id"].dtype, np.int64)
        self.assertTrue((numbers.obs["customer_id"] == 1_000_000 + np.arange(N_ROWS)).all())
        self.assertEqual(list(texts.obs_names), [text_id(row) for row in range(N_ROWS)])

    def test_pandas_reads_every_table(self):
        for name in RESULTS:
            for table in TABLES:
                with self.subTest(name=name, table=table):
                    frame = pd.read_hdf(FOLDER / name, "uns/segmentation/" + table)
                    self.assertGreater(len(frame), 0)

    def test_the_customers_table_repeats_obs(self):
        for name in RESULTS:
            frame = pd.read_hdf(FOLDER / name, "uns/segmentation/customers")
            obs = anndata.read_h5ad(FOLDER / name).obs
            self.assertEqual(list(frame["customer_id"].astype(str)), list(obs.index))
            self.assertTrue((frame["segment"].values == obs["segment_id"].values).all())
            self.assertEqual(list(frame["segment_label"]), list(obs["segment"]))
            for column, other in [("distance", "segment_distance"), ("margin", "segment_margin"), ("churn_score", "churn_score")]:
                self.assertTrue((frame[column].values == obs[other].values).all())
                self.assertEqual(frame[column].dtype, obs[other].dtype)

    def test_the_profile_table_pivots(self):
        frame = pd.read_hdf(FOLDER / "texts.h5ad", "uns/segmentation/profile_table")
        means = frame[frame["segment_id"] >= 0].pivot(index="feature", columns="segment", values="mean")
        self.assertEqual(means.loc["=visits", "Bargain hunters äö"], 2011)

    def test_h5py_sees_the_schema_and_checksums(self):
        for name in RESULTS:
            with h5py.File(FOLDER / name) as f:
                self.assertEqual(f.attrs["schema"], "coterie-results")
                self.assertEqual(f.attrs["schema_version"], "1.0")
                for path in ["obs/segment/codes", "obs/segment_margin", "uns/segmentation/customers"]:
                    self.assertTrue(f[path].fletcher32)
                    self.assertEqual(f[path].compression, "gzip")
                    self.assertEqual(f[path].chunks, (65536,))

    def test_h5dump_opens_them(self):
        for name in RESULTS:
            subprocess.run(["h5dump", "-H", FOLDER / name], check=True, stdout=subprocess.DEVNULL)


class Features(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("error")

    def test_anndata_opens_them_without_a_word(self):
        for name, dtype in [("features.h5ad", np.float32), ("wide.h5ad", np.float64)]:
            for backed in (None, "r"):
                with self.subTest(name=name, backed=backed):
                    a = anndata.read_h5ad(FOLDER / name, backed=backed)
                    self.assertEqual(a.shape, (100_000, 12))
                    self.assertEqual(a.X.dtype, dtype)
                    rows = np.arange(65_530, 65_540)
                    expected = ((rows % 1000)[:, None] / (np.arange(12) + 3)).astype(dtype)
                    self.assertTrue((a.X[65_530:65_540] == expected).all())
                    self.assertEqual(list(a.var["role"][7:11]), ["active", "profile", "profile", "ignore"])
                    self.assertEqual(list(a.obs["plan"].cat.codes[:3]), [0, 1, -1])
                    self.assertEqual(a.obs["churned"].dtype, bool)
                    self.assertEqual(a.uns["coterie"]["roles"]["value"], "revenue")
                    self.assertEqual(list(a.uns["coterie"]["roles"]["outcomes"]), ["churned"])

    def test_x_can_be_mapped(self):
        with h5py.File(FOLDER / "features.h5ad") as f:
            self.assertIsNone(f["X"].chunks)
            offset, shape = f["X"].id.get_offset(), f["X"].shape
            mapped = np.memmap(FOLDER / "features.h5ad", np.float32, "r", offset, shape)
            self.assertTrue((mapped[-1] == f["X"][-1]).all())
            self.assertEqual(offset % 4096, 0)

    def test_h5dump_opens_them(self):
        for name in ["features.h5ad", "wide.h5ad"]:
            subprocess.run(["h5dump", "-H", FOLDER / name], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    unittest.main()
