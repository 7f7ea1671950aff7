"""End-to-end tests of the command line: COTERIE=build/release/coterie /usr/bin/python3 tests/tools_test.py [Class]."""

import hashlib
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import warnings

import h5py
import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
SHARED = pathlib.Path(os.environ.get("COTERIE_SHARED_DIR", REPOSITORY.parent / "shared"))
COTERIE = pathlib.Path(os.environ.get("COTERIE", REPOSITORY / "build/release/coterie")).resolve()
SECONDS = 120  # no command here takes more than a few, even under sanitizers


def write_h5ad(path, x, obs=None, names=None):
    """The smallest AnnData file: X, an index of ids, and more obs columns."""
    x = np.asarray(x)
    obs = {"customer_id": np.arange(1000, 1000 + len(x)), **(obs or {})}
    names = names or [f"feature_{j}" for j in range(x.shape[1])]
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        file["X"] = x
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for group, index, columns in (("obs", "customer_id", obs), ("var", "feature", {"feature": np.array(names, dtype=object)})):
            frame = file.create_group(group)
            order = [name for name in columns if name != index]
            frame.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": index})
            frame.attrs["column-order"] = np.array(order, dtype=h5py.string_dtype())
            for name, values in columns.items():
                values = np.asarray(values)
                text = values.dtype.kind == "O"
                data = frame.create_dataset(name, data=values, dtype=h5py.string_dtype() if text else None)
                data.attrs.update({"encoding-type": "string-array" if text else "array", "encoding-version": "0.2.0"})


def blobs(n_rows=600, n_columns=4, n_groups=3, seed=1):
    """Well separated groups: every restart finds them."""
    generator = np.random.default_rng(seed)
    centers = generator.uniform(-20, 20, (n_groups, n_columns))
    labels = generator.integers(0, n_groups, n_rows)
    return (centers[labels] + generator.normal(size=(n_rows, n_columns))).astype(np.float32), labels


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def wait_until_it_listens(process, number):
    """Before its first line a program dies of a signal, as any does; a busy machine may take its time to get there."""
    while process.poll() is None:
        caught = re.search(r"SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]
        if int(caught, 16) >> (number - 1) & 1:
            return
        time.sleep(0.001)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="coterie_test_"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.input = self.folder / "in.h5ad"
        self.output = self.folder / "out.h5ad"

    def run_coterie(self, *arguments, prefix=(), **options):
        command = [*map(str, prefix), str(COTERIE), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=self.folder, **options)

    def succeed(self, *arguments, **options):
        done = self.run_coterie(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def refuse(self, code, words, *arguments, **options):
        """The command ends with `code`, says every word, prints no data and leaves no file behind."""
        before = sorted(os.listdir(self.folder))
        inputs = {name: digest(self.folder / name) for name in before if (self.folder / name).is_file()}
        done = self.run_coterie(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"(?m)^error: .*[.?]$")
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), before)
        self.assertEqual({name: digest(self.folder / name) for name in inputs}, inputs)
        return done

    def cluster(self, *arguments, **options):
        return json.loads(self.succeed("cluster", self.input, "-o", self.output, "--json", *arguments, **options).stdout)


class Contract(Case):
    """The JSON and the digest that other scripts rely on."""

    def setUp(self):
        super().setUp()
        self.x, self.labels = blobs()
        write_h5ad(self.input, self.x)

    def test_json_has_exactly_the_promised_fields(self):
        result = self.cluster("--n-clusters", 3, "--transform", "none", "--device", "cpu", "--threads", 2, "--seed", 1)
        fields = ["method", "n_clusters", "inertia", "n_iter", "sizes", "device", "seconds", "sha256", "warnings"]
        self.assertEqual(list(result), fields)
        self.assertEqual(list(result["seconds"]), ["read", "fit", "predict", "write"])
        self.assertEqual((result["method"], result["n_clusters"], result["device"]), ("kmeans", 3, "cpu"))
        self.assertEqual(sorted(result["sizes"]), sorted(np.bincount(self.labels).tolist()))

    def test_digest_covers_labels_centers_and_inertia(self):
        result = self.cluster("--n-clusters", 3, "--transform", "none")
        with h5py.File(self.output) as file:
            labels = file["obs/segment_id"][:].astype("<i4")
            centers = file["uns/segmentation/model/cluster_centers"][:].astype("<f4")
        inertia = np.array([result["inertia"]], dtype="<f8")
        expected = hashlib.sha256(labels.tobytes() + centers.tobytes() + inertia.tobytes()).hexdigest()
        self.assertEqual(result["sha256"], expected)

    def test_result_ignores_threads_and_memory(self):
        digests = set()
        for arguments in (("--threads", 1), ("--threads", 3), ("--threads", 2, "--memory", "64M"), ("--gpu-memory", "64M")):
            digests.add(self.cluster("--n-clusters", 5, "--seed", 3, "--overwrite", *arguments)["sha256"])
        self.assertEqual(len(digests), 1)

    def test_one_thread_reads_a_gzip_file_of_several_tiles(self):
        self.succeed("synth", "-o", self.input, "--overwrite", "--rows", 120000, "--features", 44, "--compressed")
        one, two = (self.cluster("--n-clusters", 3, "--n-init", 1, "--max-iter", 5, "--overwrite", "--threads", n)["sha256"] for n in (1, 2))
        self.assertEqual(one, two)

    def test_default_is_eight_segments_and_said(self):
        done = self.succeed("cluster", self.input, "-o", self.output, "--json")
        self.assertEqual(json.loads(done.stdout)["n_clusters"], 8)
        self.assertRegex(done.stderr, r"8 \(the default\).*coterie sweep")

    def test_start_centers_come_from_a_file(self):
        start = self.x[[0, 100, 200]] + np.float32(0.5)
        with h5py.File(self.folder / "start.h5", "w") as file:
            file["deep/centers"] = start
        result = self.cluster("--init", "start.h5:/deep/centers", "--transform", "none", "--max-iter", 1)
        self.assertEqual((result["n_clusters"], result["n_iter"]), (3, 1))
        nearest = ((self.x[:, None, :].astype(float) - start.astype(float)) ** 2).sum(axis=2).argmin(axis=1)
        means = np.array([self.x[nearest == k].mean(axis=0, dtype=float) for k in range(3)])
        with h5py.File(self.output) as file:
            # A center is the float32 rounding of the exact mean.
            np.testing.assert_allclose(file["uns/segmentation/model/cluster_centers"][:], means, rtol=2e-7, atol=1e-6)
        self.refuse(2, ["--n-clusters 4", "3 start centers"], "cluster", self.input, "-o", "b.h5ad", "--init", "start.h5:/deep/centers", "--n-clusters", 4)

    def test_sweep_prints_one_row_per_k(self):
        done = self.succeed("sweep", self.input, "--k", "2:5", "--json", "--transform", "none", "-o", self.output)
        result = json.loads(done.stdout)
        self.assertEqual([row["n_clusters"] for row in result["sweep"]], [2, 3, 4, 5])
        for field in ("inertia", "explained", "silhouette", "davies_bouldin", "calinski_harabasz", "smallest"):
            self.assertIn(field, result["sweep"][0])
        inertia = [row["inertia"] for row in result["sweep"]]
        self.assertEqual(inertia, sorted(inertia, reverse=True))
        self.assertEqual(result["choice"]["n_clusters"], 3)  # three groups were planted
        spelled_out = self.succeed("sweep", self.input, "--n-clusters", "2:5", "--json", "--transform", "none")
        self.assertEqual(json.loads(spelled_out.stdout)["sweep"], result["sweep"])
        with h5py.File(self.output) as file:
            swept = {k: file[f"obs/segment_k{k}/codes"][:] for k in (2, 3, 5)}
        for k, labels in swept.items():
            single = self.cluster("--n-clusters", k, "--transform", "none", "--overwrite")
            self.assertEqual(single["inertia"], result["sweep"][k - 2]["inertia"])
            with h5py.File(self.output) as file:
                np.testing.assert_array_equal(file["obs/segment_id"][:], labels)

    def test_sweep_of_one_number_starts_from_a_file(self):
        with h5py.File(self.folder / "start.h5", "w") as file:
            file["centers"] = self.x[:3].astype(np.float32)
        start = ("--init", "start.h5:/centers", "--transform", "none", "--max-iter", 1, "--json")
        swept = json.loads(self.succeed("sweep", self.input, "--k", 3, *start).stdout)["sweep"]
        self.assertEqual(swept[0]["inertia"], json.loads(self.succeed("cluster", self.input, "-o", self.output, *start).stdout)["inertia"])
        self.refuse(2, ["start centers", "one number of segments", "--k"], "sweep", self.input, "--k", "2:3", *start)

    def test_run_finds_the_planted_number_of_segments(self):
        done = self.succeed("run", self.input, "-o", self.output, "--json")
        result = json.loads(done.stdout)
        self.assertEqual(result["n_clusters"], 3)
        self.assertIn("3 segments", result["choice"])

    def test_defaults_try_no_more_segments_than_there_are_customers(self):
        for n_rows, arguments, tried in ((3, (), [2, 3]), (12, (), list(range(2, 13))), (20, ("--where", "row_number < 5"), [2, 3, 4, 5]),
                                         (20, ("--weight", "present"), [2, 3, 4]), (2, (), [2]), (4, ("--method", "gmm"), [2, 3, 4])):
            row = np.arange(n_rows, dtype=float)
            write_h5ad(self.input, self.x[:n_rows], obs={"row_number": row, "present": (row < 4).astype(float)})
            done = self.succeed("run", self.input, "-o", self.output, "--overwrite", "--json", *arguments)
            self.assertRegex(json.loads(done.stdout)["choice"], r"^\d+ segments")
            with h5py.File(self.output) as file:
                index = file["uns/sweep"].attrs["_index"]
                self.assertEqual([int(k) for k in file["uns/sweep"][index].asstr()], tried, arguments)
            swept = json.loads(self.succeed("sweep", self.input, "--json", *arguments).stdout)["sweep"]
            self.assertEqual([row["n_components" if "gmm" in arguments else "n_clusters"] for row in swept], tried, arguments)
        self.refuse(2, ["only 4 rows"], "run", self.input, "-o", self.output, "--overwrite", "--n-clusters", 5)
        self.refuse(2, ["n_clusters is 2", "only 1 rows"], "run", self.input, "-o", self.output, "--overwrite", "--where", "row_number == 1",
                    "--transform", "none")

    def test_every_start_finds_the_planted_segments(self):
        expected = self.cluster("--n-clusters", 3)["inertia"]
        for init in ("k-means||", "mini-batch", "random"):
            self.assertAlmostEqual(self.cluster("--n-clusters", 3, "--init", init, "--overwrite")["inertia"], expected, delta=1e-3 * expected)

    def test_many_segments_start_by_rounds(self):
        def digest_of(n_clusters, *init):
            return self.cluster("--n-clusters", n_clusters, "--n-init", 1, "--max-iter", 2, *init, "--overwrite")["sha256"]

        for n_clusters, init in ((100, "k-means++"), (101, "k-means||")):
            self.assertEqual(digest_of(n_clusters), digest_of(n_clusters, "--init", init))
        self.assertNotEqual(digest_of(101), digest_of(101, "--init", "k-means++"))

    def test_assign_repeats_the_labels(self):
        fitted = self.cluster("--n-clusters", 3)
        done = self.succeed("assign", self.input, "--model", self.output, "-o", "again.h5ad", "--csv", "again.csv", "--json")
        self.assertEqual(json.loads(done.stdout)["sha256"], fitted["sha256"])
        self.assertEqual(len((self.folder / "again.csv").read_text().splitlines()), 601)

    def test_rows_without_weight_are_absent(self):
        weight = np.ones(600)
        weight[:5] = 0
        fits = set()
        for value in (1, 1e6):
            self.x[:5] = value
            write_h5ad(self.input, self.x, obs={"w": weight})
            fits.add(self.cluster("--n-clusters", 3, "--weight", "w", "--overwrite")["inertia"])
        self.assertEqual(len(fits), 1)
        self.x[7, 1] = np.inf
        write_h5ad(self.input, self.x, obs={"w": weight})
        self.refuse(4, ["row 7"], "cluster", self.input, "-o", self.output, "--weight", "w", "--overwrite")

    def test_assign_takes_negatives_for_zeros_before_a_logarithm(self):
        x = np.random.default_rng(3).lognormal(size=(600, 2)).astype(np.float32)
        for name, first in (("old", 0), ("new", -5)):
            x[0, 0] = first
            write_h5ad(f"{self.folder}/{name}.h5ad", x)
        self.succeed("cluster", "old.h5ad", "-o", self.output, "--n-clusters", 3, "--transform", "log1p")
        placed = [json.loads(self.succeed("assign", f"{name}.h5ad", "--model", self.output, "-o", f"{name}_placed.h5ad", "--json").stdout)
                  for name in ("old", "new")]
        self.assertEqual(placed[0]["sha256"], placed[1]["sha256"])

    def test_assign_matches_columns_by_name(self):
        fitted = self.cluster("--n-clusters", 3)
        order = [2, 0, 3, 1]
        write_h5ad("%s/swapped.h5ad" % self.folder, np.column_stack([self.x[:, order], np.zeros(600, np.float32)]),
                   names=[f"feature_{j}" for j in order] + ["colour"])
        done = self.succeed("assign", "swapped.h5ad", "--model", self.output, "-o", "again.h5ad", "--json")
        self.assertEqual(json.loads(done.stdout)["sha256"], fitted["sha256"])
        self.assertIn("colour", done.stderr)
        write_h5ad("%s/short.h5ad" % self.folder, self.x[:, :3])
        self.refuse(4, ["feature_3"], "assign", "short.h5ad", "--model", self.output, "-o", "x.h5ad")

    def test_export_gives_every_table(self):
        self.cluster("--n-clusters", 3)
        customers = self.succeed("export", self.output, "--csv", "-").stdout.splitlines()
        self.assertEqual(len(customers), 601)
        self.assertTrue(customers[0].startswith("customer_id,segment"))
        segments = self.succeed("export", self.output, "--table", "segments").stdout.splitlines()
        self.assertEqual(len(segments), 4)
        self.refuse(4, ["sweep"], "export", self.output, "--table", "sweep")
        self.refuse(2, ["segments"], "export", self.output, "--table", "segmnts")

    def test_synth_is_repeatable_and_found_again(self):
        for name in ("a.h5ad", "b.h5ad"):
            self.succeed("synth", "-o", name, "--rows", 5000, "--features", 6, "--personas", 4, "--seed", 7)
        self.assertEqual(digest(self.folder / "a.h5ad"), digest(self.folder / "b.h5ad"))
        self.input = self.folder / "a.h5ad"
        self.cluster("--n-clusters", 4, "--transform", "none")
        with h5py.File(self.input) as planted, h5py.File(self.output) as found:
            pairs = set(zip(planted["obs/persona"][:].tolist(), found["obs/segment_id"][:].tolist()))
            counts = np.array([np.sum((planted["obs/persona"][:] == a) & (found["obs/segment_id"][:] == b)) for a, b in pairs])
        self.assertGreater(np.sort(counts)[-4:].sum(), 0.9 * 5000)  # personas touch, so a few customers change sides

    def test_help_shows_an_example_for_every_verb(self):
        listed = self.succeed("--help").stdout
        for verb in ("run", "inspect", "import", "synth", "cluster", "sweep", "assign", "profile", "export", "devices"):
            self.assertRegex(listed, rf"(?m)^  {verb} ")
            self.assertIn(f"Example:\n  coterie {verb} ", self.succeed(verb, "--help").stdout)

    def test_config_reads_what_print_config_prints(self):
        arguments = ("cluster", self.input, "-o", self.output, "--n-clusters", 3, "--n-init", 2, "--seed", 5)
        printed = self.succeed(*arguments, "--print-config").stdout
        (self.folder / "job.toml").write_text(printed)
        self.assertFalse(self.output.exists())
        first = json.loads(self.succeed(*arguments, "--json").stdout)
        second = json.loads(self.succeed("cluster", "--config", "job.toml", "--overwrite", "--json").stdout)
        self.assertEqual(first["sha256"], second["sha256"])

    def test_config_of_a_run_may_hold_the_defaults_of_what_it_leaves_out(self):
        arguments = ("run", self.input, "-o", self.output, "--n-clusters", 2, "--json")
        (self.folder / "run.toml").write_text(self.succeed(*arguments, "--print-config").stdout)
        self.succeed(*arguments)
        self.succeed("run", "--config", "run.toml", "--overwrite")

    def test_devices_are_listed(self):
        devices = json.loads(self.succeed("devices", "--json").stdout)["devices"]
        self.assertEqual(devices[0]["device"], "cpu")
        if len(devices) == 1:
            self.refuse(8, ["--device"], "cluster", self.input, "-o", self.output, "--device", "cuda")


class Refusals(Case):
    """Every bad input ends with its exit code and a sentence that says what to do."""

    def setUp(self):
        super().setUp()
        self.x, _ = blobs()
        write_h5ad(self.input, self.x)

    def refuse_input(self, code, words, *arguments):
        self.refuse(code, [self.input.name, *words], "cluster", self.input, "-o", self.output, *arguments)

    def test_missing_file(self):
        self.input.unlink()
        self.refuse_input(3, [])

    def test_empty_file(self):
        self.input.write_bytes(b"")
        self.refuse_input(3, ["empty"])

    def test_truncated_file(self):
        whole = self.input.read_bytes()
        self.input.write_bytes(whole[: len(whole) // 2])
        self.refuse_input(3, ["truncated"])

    def test_not_hdf5(self):
        self.input.write_text("customer_id,spend\n1,2\n")
        self.refuse_input(3, ["coterie import"])

    def test_missing_dataset(self):
        self.refuse_input(3, ["/nothing"], "--x", "/nothing")

    def plain(self, **datasets):
        with h5py.File(self.input, "w") as file:
            for name, values in datasets.items():
                file[name] = values

    def test_wrong_rank(self):
        self.plain(X=np.zeros((4, 3, 2)))
        self.refuse_input(4, ["/X"], "--x", "/X")

    def test_strings(self):
        self.plain(X=np.array([[b"a", b"b"], [b"c", b"d"]]))
        self.refuse_input(4, ["/X"], "--x", "/X")

    def test_complex(self):
        self.plain(X=np.zeros((4, 3), dtype=complex))
        self.refuse_input(4, ["/X"], "--x", "/X")

    def test_missing_cells_without_a_policy(self):
        self.x[7, 2] = np.nan
        write_h5ad(self.input, self.x)
        self.refuse(4, ["feature_2", "7"], "cluster", self.input, "-o", self.output, "--transform", "none")
        self.succeed("cluster", self.input, "-o", self.output, "--transform", "none", "--missing", "median")

    def test_infinite_cells(self):
        self.x[7, 2] = np.inf
        write_h5ad(self.input, self.x)
        self.refuse(4, ["feature_2", "7"], "cluster", self.input, "-o", self.output)

    def test_ids_of_another_length(self):
        self.plain(X=self.x, ids=np.arange(5))
        self.refuse_input(4, ["/ids", "5", "600"], "--x", "/X", "--ids", "/ids")

    def test_duplicate_ids(self):
        write_h5ad(self.input, self.x, obs={"customer_id": np.zeros(600, dtype=np.int64)})
        self.refuse_input(4, ["customer_id", "599"], "--unique-ids")
        done = self.succeed("cluster", self.input, "-o", self.output)
        self.assertIn("599", done.stderr)

    def test_constant_matrix(self):
        write_h5ad(self.input, np.ones((50, 3), np.float32))
        self.refuse(4, ["column"], "cluster", self.input, "-o", self.output)

    def test_weights_that_are_none(self):
        x, _ = blobs()
        write_h5ad(self.folder / "weighted.h5ad", x, {"importance": np.where(np.arange(len(x)) == 7, -1.0, 1.0)})
        self.refuse(4, ["weighted.h5ad", "'importance'", "row 7", "Nothing was written"], "cluster", "weighted.h5ad", "-o", "r.h5ad",
                    "--weight", "importance")

    def test_number_of_segments(self):
        for k in ("0", "-1", "3x", "nan", "18446744073709551616"):
            self.refuse(2, ["--n-clusters", k], "cluster", self.input, "-o", self.output, "--n-clusters", k)
        self.refuse(2, ["601", "600"], "cluster", self.input, "-o", self.output, "--n-clusters", 601)

    def test_other_numbers(self):
        for option, value in (("--tol", "nan"), ("--tol", "-1"), ("--max-iter", "0"), ("--n-init", "0"), ("--seed", "18446744073709551616"),
                              ("--seed", "-1"), ("--memory", "0"), ("--memory", "12Q"), ("--threads", "-2"), ("--device", "gpu"),
                              ("--gpu-memory", "0"), ("--gpu-memory", "12Q"), ("--method", "dbscan"), ("--init", "kmeans++"), ("--transform", "log")):
            with self.subTest(option=option, value=value):
                self.refuse(2, [option], "cluster", self.input, "-o", self.output, option, value)

    def test_unknown_words_name_the_nearest(self):
        self.refuse(2, ["--n-cluster", "--n-clusters?"], "cluster", self.input, "-o", self.output, "--n-cluster", 3)
        self.refuse(2, ["clutser", "cluster?"], "clutser", self.input)
        self.refuse(2, ["clutser", "cluster?"], "clutser", "--help")
        self.refuse(2, ["featrue_1", "feature_1?"], "cluster", self.input, "-o", self.output, "--active", "featrue_1")

    def test_output_is_the_input(self):
        os.link(self.input, self.folder / "link.h5ad")
        os.symlink(self.input, self.folder / "symlink.h5ad")
        for name in ("in.h5ad", "./in.h5ad", "link.h5ad", "symlink.h5ad"):
            self.refuse(2, [], "cluster", self.input, "-o", name, "--overwrite")

    def test_output_and_csv_are_one_file(self):
        for name in (self.output, "./out.h5ad"):
            self.refuse(2, ["--csv", "same file"], "cluster", self.input, "-o", self.output, "--csv", name)

    def test_output_is_another_file_that_is_read(self):
        self.succeed("cluster", self.input, "-o", "g.h5ad", "--method", "gmm", "-k", 2, "--covariance-type", "diag")
        self.refuse(2, ["g.h5ad"], "sweep", self.input, "-o", "g.h5ad", "--overwrite", "--method", "gmm", "--k", 2, "--init", "g.h5ad")
        os.symlink("job.toml", self.folder / "link.toml")
        for option in ("output", "csv"):
            (self.folder / "job.toml").write_text(f'[cluster]\noverwrite = true\n{option} = "link.toml"\n')
            self.refuse(2, [f"--{option}", "--config"], "cluster", self.input, *(["-o", "o.h5ad"] * (option == "csv")), "--config", "job.toml")
        (self.folder / "job.toml").write_text('[import]\noverwrite = true\noutput = "job.toml"\n')
        self.refuse(2, ["--output", "--config"], "import", self.input, "--config", "job.toml")

    def test_empty_values_are_no_values(self):
        for option in ("--where", "--x", "--active", "--init", "--csv"):
            self.refuse(2, [option], "cluster", self.input, "-o", self.output, option, "")
        (self.folder / "job.toml").write_text('[cluster]\nwhere = ""\n')
        self.refuse(2, ["--where"], "cluster", self.input, "-o", self.output, "--config", "job.toml")

    def test_columns_of_two_roles(self):
        for first, second in (("--active", "--ignore"), ("--active", "--profile"), ("--profile", "--ignore")):
            self.refuse(2, ["feature_1", first, second], "cluster", self.input, "-o", self.output, first, "feature_0,feature_1", second, "feature_1")

    def test_outcomes_that_are_text(self):
        answers = {"churn": ["Yes", "No"], "gender": ["m", "f"], "plan": ["a", "b", "c"]}
        obs = {name: np.array([levels[i * i % 7 % len(levels)] for i in range(600)], dtype=object) for name, levels in answers.items()}
        obs["churn"][5] = ""
        obs["left"] = np.array([{"Yes": 1.0, "No": 0.0, "": np.nan}[answer] for answer in obs["churn"]])
        obs["churn"] = np.where(obs["churn"] == "", None, obs["churn"])
        import anndata
        import pandas
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            anndata.AnnData(self.x, obs=pandas.DataFrame(obs, index=[str(i) for i in range(600)]).astype({"churn": "category"})).write_h5ad(self.input)
        self.succeed("cluster", self.input, "-o", self.output, "-k", 3, "--outcome", "churn,left")
        with h5py.File(self.output) as file:
            np.testing.assert_array_equal(file["uns/segmentation/segments/churn_rate"][:], file["uns/segmentation/segments/left_rate"][:])
        self.refuse(2, ["gender", "says yes", "LEVEL"], "cluster", self.input, "-o", "n.h5ad", "--outcome", "gender")
        self.refuse(4, ["plan", "says yes", "LEVEL"], "cluster", self.input, "-o", "n.h5ad", "--outcome", "plan")

    def test_damaged_model_is_no_lesser_model(self):
        self.succeed("cluster", self.input, "-o", "r.h5ad", "-k", 2, "--where", "feature_0 > -1000")
        for name in ("uns/segmentation/model/where", "uns/segmentation/model", "obs"):
            with h5py.File(self.folder / "r.h5ad") as file:
                address = h5py.h5o.get_info(file[name].id).addr
            data = bytearray((self.folder / "r.h5ad").read_bytes())
            data[address + 12] ^= 1
            (self.folder / "damaged.h5ad").write_bytes(data)
            if name != "obs":
                self.refuse(3, ["damaged.h5ad", name, "damaged"], "assign", self.input, "--model", "damaged.h5ad", "-o", self.output)
            else:
                self.refuse(3, ["damaged.h5ad", name, "damaged"], "export", "damaged.h5ad", "--csv", "o.csv")

    def test_lack_of_address_space_or_threads(self):
        codes = set()
        for limit in ("-v 60000", "-v 100000", "-v 130000", "-v 160000", "-v 190000"):
            for verb in (("cluster", "in.h5ad", "-o", "out.h5ad"), ("cluster", "in.h5ad", "-o", "out.h5ad", "--threads", "16")):
                done = self.run_coterie(*verb, prefix=("sh", "-c", f'ulimit {limit}; exec "$@"', "sh"))
                self.assertIn(done.returncode, (0, 6), (limit, done.stderr))
                codes.add(done.returncode)
                self.assertEqual(done.stderr.count("error: "), done.returncode == 6)
                self.output.unlink(missing_ok=True)
                self.assertEqual(os.listdir(self.folder), ["in.h5ad"])
        self.assertIn(6, codes)

    def test_git_lfs_pointer(self):
        self.input.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
        self.refuse(3, ["git lfs pull"], "import", self.input, "-o", self.output)
        self.refuse(3, ["git lfs pull"], "cluster", self.input, "-o", self.output)

    def test_absent_gpu(self):
        if len(json.loads(self.succeed("devices", "--json").stdout)["devices"]) > 1:
            self.skipTest("this machine has a GPU that --device cuda takes")
        for device in ("cuda", "cuda:99"):
            self.refuse(8, [f"--device {device} ", "Nothing was read or written. "], "cluster", self.input, "-o", self.output, "--device", device)

    def test_existing_output(self):
        self.output.write_text("precious")
        self.refuse(7, ["--overwrite"], "cluster", self.input, "-o", self.output)

    def test_missing_folder(self):
        self.refuse(7, ["nowhere"], "cluster", self.input, "-o", "nowhere/out.h5ad")

    @unittest.skipUnless(os.geteuid() == 0, "dropping privileges needs root")
    def test_unwritable_folder(self):
        self.folder.chmod(0o755)
        self.input.chmod(0o644)
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        if subprocess.run([*nobody, str(COTERIE), "--version"], capture_output=True).returncode != 0:
            self.skipTest("the build folder is private to its owner")
        self.refuse(7, [self.folder.name], "cluster", self.input, "-o", self.output, prefix=nobody)

    def mount_disk(self, size):
        disk = self.folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True).returncode != 0:
            self.skipTest("mounting is not allowed here")
        self.addCleanup(subprocess.run, ["umount", str(disk)])
        return disk

    @unittest.skipUnless(os.geteuid() == 0, "mounting needs root")
    def test_disk_full(self):
        disk = self.mount_disk("64k")
        (disk / "out.h5ad").write_text("precious")
        done = self.run_coterie("cluster", self.input, "-o", disk / "out.h5ad", "--overwrite")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertEqual(os.listdir(disk), ["out.h5ad"])
        self.assertEqual((disk / "out.h5ad").read_text(), "precious")

    @unittest.skipUnless(os.geteuid() == 0, "mounting needs root")
    def test_disk_full_leaves_no_csv_either(self):
        disk = self.mount_disk("32k")
        before = os.listdir(self.folder)
        self.refuse(7, ["out.h5ad"], "cluster", self.input, "-o", disk / "out.h5ad", "--csv", self.folder / "out.csv")
        self.assertEqual((os.listdir(disk), os.listdir(self.folder)), ([], before))

    def test_hang_up_is_ignored_under_nohup(self):
        process = subprocess.Popen(["nohup", str(COTERIE), "import", "-", "-o", "out.h5ad"], cwd=self.folder, stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        wait_until_it_listens(process, signal.SIGINT)
        process.send_signal(signal.SIGHUP)
        process.communicate("a,b\n1,2\n3,4\n", timeout=SECONDS)
        self.assertEqual(process.returncode, 0)

    def test_names_that_are_no_utf8(self):
        name = os.fsencode(self.folder) + b"/caf\xe9.h5ad"
        os.rename(self.input, name)
        done = subprocess.run([str(COTERIE), "cluster", name, "-o", str(self.output), "--n-clusters", "2", "--json"], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        json.loads(done.stdout)
        with h5py.File(self.output) as file:
            self.assertEqual(file["uns/run/input"][()].decode(), "caf\\xe9.h5ad")

    def test_stdout_full_or_gone(self):
        self.succeed("cluster", self.input, "-o", self.output, "--n-clusters", 3)
        with open("/dev/full", "w") as full:
            done = subprocess.run([COTERIE, "export", self.output, "--csv", "-"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 7, done.stderr)
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run([COTERIE, "export", self.output, "--csv", "-"], stdout=write_end, stderr=subprocess.PIPE, text=True)
        os.close(write_end)
        self.assertEqual(done.returncode, 7, done.stderr)

    def test_closed_standard_streams(self):
        done = subprocess.run(["sh", "-c", f"{shlex.quote(str(COTERIE))} cluster in.h5ad -o out.h5ad 0<&- 1>&- 2>&-"], cwd=self.folder)
        self.assertEqual(done.returncode, 0)
        with h5py.File(self.output) as file:
            self.assertIn("obs/segment_id", file)

    def test_libraries_of_the_working_folder_are_not_loaded(self):
        linked = subprocess.run(["ldd", str(COTERIE)], capture_output=True, text=True, check=True).stdout
        for name in re.findall(r"^\s*(\S+) => ", linked, re.MULTILINE):
            (self.folder / name).write_text("no library")
        self.assertEqual(self.run_coterie("--version").returncode, 0)

    def test_file_size_limit(self):
        done = subprocess.run(["sh", "-c", f"ulimit -f 8; exec {shlex.quote(str(COTERIE))} cluster in.h5ad -o out.h5ad"], cwd=self.folder,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertEqual(os.listdir(self.folder), ["in.h5ad"])

    def test_memory_budget_below_the_plan(self):
        self.refuse(6, ["--memory"], "cluster", self.input, "-o", self.output, "--memory", "4K")

    def test_model_that_is_none(self):
        self.refuse(3, ["in.h5ad"], "assign", self.input, "--model", self.input, "-o", self.output)

    def test_config_errors_name_the_line(self):
        (self.folder / "bad.toml").write_text("[cluster]\nn-cluters = 3\n")
        self.refuse(2, ["bad.toml: line 2", "n-clusters?"], "cluster", self.input, "-o", self.output, "--config", "bad.toml")
        self.refuse(2, ["gone.toml"], "cluster", self.input, "-o", self.output, "--config", "gone.toml")

    def test_foreign_layouts_name_the_converter(self):
        import pandas
        import scipy.sparse
        import anndata
        frame = pandas.DataFrame(self.x, columns=list("abcd"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame.to_hdf(self.input, "frame", mode="w")
            self.refuse_input(3, ["read_hdf"])
            anndata.AnnData(scipy.sparse.csr_matrix(self.x)).write_h5ad(self.input)
            self.refuse_input(3, ["toarray"])
        self.input.write_bytes(b"PAR1" + bytes(64) + b"PAR1")
        self.refuse_input(3, ["Parquet", "read_parquet"])


class Interruption(Case):
    """Stopped at any moment, a run leaves the old file or the new one."""

    def setUp(self):
        super().setUp()
        self.succeed("synth", "-o", self.input, "--rows", 200000, "--features", 16, "--personas", 8)
        self.command = [str(COTERIE), "cluster", str(self.input), "-o", str(self.output), "--overwrite", "--n-init", "4", "--seed"]

    def start(self, seed):
        return subprocess.Popen([*self.command, str(seed)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def timed(self, seed):
        begin = time.monotonic()
        process = self.start(seed)
        process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 0)
        return time.monotonic() - begin

    def test_signals_end_with_their_code_and_leave_nothing(self):
        seconds = self.timed(0)
        before = digest(self.output)
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for share in (0.05, 0.3, 0.6):
                process = self.start(1)
                wait_until_it_listens(process, number)
                time.sleep(share * seconds)
                process.send_signal(number)
                talk = process.communicate(timeout=SECONDS)[1]
                if process.returncode != 0:  # it may have been done already
                    self.assertEqual(process.returncode, code, talk)
                    self.assertEqual(digest(self.output), before)
                before = digest(self.output)
                self.assertEqual(sorted(os.listdir(self.folder)), ["in.h5ad", "out.h5ad"])

    def test_killed_at_random_moments(self):
        seconds = self.timed(0)
        generator = random.Random(5)
        kept = replaced = 0
        known = {digest(self.output)}
        for seed in range(1, 13):
            process = self.start(seed)
            time.sleep(generator.uniform(0, 1.1) * seconds)
            process.kill()
            process.communicate()
            with h5py.File(self.output) as file:  # whole, old or new
                self.assertEqual(file["obs/segment_id"].shape, (200000,))
                file["uns/segmentation/model/cluster_centers"][:]
            (kept, replaced) = (kept + 1, replaced) if digest(self.output) in known else (kept, replaced + 1)
            known.add(digest(self.output))
        self.assertGreater(kept, 0)
        self.timed(99)  # the next run clears what the dead ones left
        self.assertEqual(sorted(os.listdir(self.folder)), ["in.h5ad", "out.h5ad"])


class Interoperability(Case):
    """The result opens with the tools people have."""

    @classmethod
    def setUpClass(cls):
        cls.workspace = pathlib.Path(tempfile.mkdtemp(prefix="coterie_test_"))
        cls.result = cls.workspace / "result.h5ad"
        x, cls.labels = blobs()
        ids = np.array([f"c-{i:03}-é" for i in range(600)], dtype=object)
        write_h5ad(cls.workspace / "in.h5ad", x, obs={"customer_id": ids, "spend": x[:, 0].astype(float)})
        subprocess.run([COTERIE, "run", cls.workspace / "in.h5ad", "-o", cls.result, "--value", "spend"], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.workspace)

    def test_anndata(self):
        import anndata
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            result = anndata.read_h5ad(self.result)
        self.assertEqual(result.n_obs, 600)
        self.assertEqual(result.obs_names[3], "c-003-é")
        self.assertEqual(result.obs["segment"].cat.categories.tolist(), ["S1", "S2", "S3"])
        self.assertIn("segment_mean", result.varm)
        self.assertEqual(len(result.uns["segmentation"]["segments"]), 3)
        self.assertEqual(result.uns["run"]["tool"], "coterie")

    def test_anndata_without_columns(self):
        import anndata
        x, _ = blobs()
        path = self.workspace / "bare.h5ad"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            anndata.AnnData(x).write_h5ad(path)
        done = subprocess.run([COTERIE, "cluster", path, "-o", self.workspace / "bare_result.h5ad", "-k", "3", "--json"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sum(json.loads(done.stdout)["sizes"]), 600)

    def test_pandas(self):
        import pandas
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            customers = pandas.read_hdf(self.result, "uns/segmentation/customers")
        self.assertEqual(len(customers), 600)
        self.assertEqual(customers.groupby("segment").size().sum(), 600)

    def test_h5py_profiles_are_means_of_the_segments(self):
        with h5py.File(self.result) as result, h5py.File(self.workspace / "in.h5ad") as data:
            labels = result["obs/segment_id"][:]
            means = np.array([data["X"][:][labels == k].mean(axis=0, dtype=float) for k in range(3)]).T
            np.testing.assert_allclose(result["varm/segment_mean"][:], means, rtol=1e-12)

    def test_h5dump(self):
        done = subprocess.run(["h5dump", "-d", "/uns/run/tool", self.result], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"coterie"', done.stdout)

    def test_no_paths_in_the_record(self):
        with h5py.File(self.result) as file:
            record = {name: np.asarray(value[()]).tolist() for name, value in file["uns/run"].items()}
        self.assertNotIn(self.workspace.name, repr(record))
        self.assertIn("result.h5ad", repr(record))


class Iris(Case):
    """The known optimum of a known table, as the contract has it."""

    def test_inertia_is_the_published_one(self):
        fixture = SHARED / "fixtures/iris.csv"
        if not SHARED.is_dir():
            self.skipTest("no ../shared")
        self.succeed("import", fixture, "-o", "iris.h5ad", "--outcome", "species")
        done = self.succeed("cluster", "iris.h5ad", "-o", "r.h5ad", "--method", "kmeans", "--n-clusters", 3, "--n-init", 20, "--transform", "none",
                            "--device", "cpu", "--threads", 2, "--seed", 1, "--json")
        self.assertAlmostEqual(json.loads(done.stdout)["inertia"], 78.8514, delta=1e-4)


class Readme(Case):
    """Every command that README.md shows runs, and prints what README.md says."""

    def test_commands_run_as_written(self):
        text = (REPOSITORY / "README.md").read_text()
        os.symlink(REPOSITORY / "datasets", self.folder / "datasets")
        (self.folder / "build/release").mkdir(parents=True)
        os.symlink(COTERIE, self.folder / "build/release/coterie")
        environment = {**os.environ, "PATH": f"{COTERIE.parent}:/usr/bin:/bin"}
        commands = 0
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            for command, shown in re.findall(r"(?m)^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block):
                if command.startswith(("git ", "tools/")):
                    continue
                with self.subTest(command=command):
                    done = subprocess.run(command, shell=True, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    if shown.strip():
                        self.assertEqual(done.stdout.rstrip(), shown.rstrip())
                    commands += 1
        self.assertGreaterEqual(commands, 6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
