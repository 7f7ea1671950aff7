"""Whole jobs of the command line on the emulated device: COTERIE=build/release/tests/emulated/coterie_emulated /usr/bin/python3
tests/tools_device_test.py [Class]. Small ones, for a row costs it some ten microseconds per sweep and model."""

import json
import os
import re
import unittest

import numpy as np

from tools_test import Case, blobs, digest, write_h5ad


class DeviceCase(Case):
    def setUp(self):
        super().setUp()
        n_rows = 5000  # two blocks of rows, the last one partial
        generator = np.random.default_rng(3)
        self.x, _ = blobs(n_rows, n_columns=5, n_groups=3)
        self.x[:, 1] = np.exp(self.x[:, 1] / 6)
        self.x[generator.uniform(size=n_rows) < .05, 2] = np.nan
        churn = (self.x[:, 0] / 10 + generator.logistic(size=n_rows) > 0).astype(float)
        write_h5ad(self.input, self.x, {"churn": churn, "importance": generator.integers(0, 9, n_rows) / 4.0})

    def arguments(self, job, device):
        return {
            "kmeans": ("cluster", self.input, "--n-clusters", 3, "--n-init", 2, "--max-iter", 4, "--weight", "importance"),
            "mixture": ("cluster", self.input, "--method", "gmm", "--n-components", 3, "--n-init", 1, "--max-iter", 3, "--weight", "importance"),
            "propensity": ("propensity", self.input, "--target", "churn", "--max-iter", 8),
            "segments": ("run", self.input, "--n-clusters", 3, "--n-init", 1, "--max-iter", 4, "--target", "churn", "--folds", 2),
        }[job] + ("-o", self.output, "--overwrite", "--device", device, "--threads", 1, "--json")


class Answers(DeviceCase):
    """The device's are the CPU's."""

    def answer(self, job, device):
        answer = json.loads(self.succeed(*self.arguments(job, device)).stdout)
        self.assertEqual(answer.pop("device"), "cuda:0" if device == "cuda" else "cpu")
        return answer

    def test_devices_name_the_emulated_one(self):
        devices = json.loads(self.succeed("devices", "--json").stdout)["devices"]
        self.assertEqual([device["device"] for device in devices], ["cpu", "cuda:0"])

    def test_kmeans_has_one_digest(self):
        cpu, device, bounded = (self.answer("kmeans", "cpu"), self.answer("kmeans", "cuda"),
                                json.loads(self.succeed(*self.arguments("kmeans", "cuda"), "--gpu-memory", "400K").stdout))
        self.assertEqual(cpu["sha256"], device["sha256"])
        self.assertEqual(cpu["sha256"], bounded["sha256"])

    def test_mixture_differs_by_rounding(self):
        cpu, device = self.answer("mixture", "cpu"), self.answer("mixture", "cuda")
        self.assertEqual(cpu["sizes"], device["sizes"])
        np.testing.assert_allclose(device["means"], cpu["means"], rtol=0, atol=1e-4)
        self.assertAlmostEqual(device["log_likelihood"] / cpu["log_likelihood"], 1, delta=1e-6)

    def test_propensity_differs_by_rounding(self):
        cpu, device = self.answer("propensity", "cpu"), self.answer("propensity", "cuda")
        for name in ("coef", "intercept", "std_err", "log_likelihood", "auc"):
            np.testing.assert_allclose(np.array(device[name], dtype=float), np.array(cpu[name], dtype=float), rtol=1e-5, atol=1e-7, err_msg=name)

    # Every segment with an effect of its own.
    def test_propensity_in_segments_differs_by_rounding(self):
        cpu, device = ({row["segment"]: row["churn_probability"] for row in self.answer("segments", device)["segments"]} for device in ("cpu", "cuda"))
        self.assertEqual(len(cpu), 3)
        for segment, probability in cpu.items():
            self.assertAlmostEqual(device[segment], probability, delta=1e-6)


class Faults(DeviceCase):
    """A device that is lost ends the job with exit code 8, and the old output is whole."""

    def check_job(self, job):
        self.succeed(*self.arguments(job, "cpu"))
        before, old = sorted(os.listdir(self.folder)), digest(self.output)
        in_flight, nth = 0, 1
        while True:
            done = self.run_coterie(*self.arguments(job, "cuda"), env={**os.environ, "COTERIE_LOST_AT_CALL": str(nth)})
            self.assertEqual(sorted(os.listdir(self.folder)), before)
            if done.returncode == 0:  # fewer calls
                break
            self.assertEqual(done.returncode, 8, done.stderr)
            self.assertEqual(done.stdout, "")
            self.assertRegex(done.stderr, r"(?m)^error: The GPU reported cudaErrorLaunchFailure .*No output was written.*--device cpu\.")
            in_flight += re.search(r"Rows [1-9]\d* to [1-9]\d* of 5000 were in flight\.", done.stderr) is not None
            self.assertEqual(digest(self.output), old)
            nth += 9
        self.assertGreater(nth, 100)
        self.assertGreaterEqual(in_flight, 2)

    def test_kmeans(self):
        self.check_job("kmeans")

    def test_mixture(self):
        self.check_job("mixture")

    def test_propensity(self):
        self.check_job("propensity")


if __name__ == "__main__":
    unittest.main()
