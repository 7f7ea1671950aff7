"""What benches say about where their results come from, whose work stands beside whose, and how bench/tables shows it."""

import argparse
import importlib.machinery
import importlib.util
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench"))

import kmeans_peers
import provenance
import reading_stages

EXECUTABLE = sys.executable
ORIGIN = {"date": "2026-11-27", "commit": "abc", "system": "Linux", "cpu": "AMD EPYC", "cpu_family": "25", "cpu_model": "1", "threads": 2}


def load_tables():
    loader = importlib.machinery.SourceFileLoader("tables", str(ROOT / "bench" / "tables"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tables", loader))
    loader.exec_module(module)
    return module


class Provenance(unittest.TestCase):
    def test_names_the_processor_by_number(self):
        found = provenance.provenance()
        self.assertEqual(set(found), set(ORIGIN) - {"threads"})
        self.assertEqual(found["cpu"], provenance.cpu("model name"))
        self.assertEqual(provenance.cpu("no such field"), "")

    def test_versions_are_those_of_the_interpreter(self):
        own = provenance.versions(["numpy", "no-such-package"])
        self.assertEqual(set(own), {"python", "numpy"})
        with mock.patch.object(provenance.sys, "executable", ""):  # as of another interpreter
            self.assertEqual(provenance.versions(["numpy", "no-such-package"], EXECUTABLE), own)

    def test_openblas_is_told_the_processor(self):
        environment = provenance.fair_environment(3)
        self.assertEqual((environment["OMP_NUM_THREADS"], environment["OPENBLAS_NUM_THREADS"]), ("3", "3"))
        with mock.patch.object(provenance, "cpu", lambda field: "fpu avx2 avx512f"):
            self.assertEqual(provenance.fair_environment(1)["OPENBLAS_CORETYPE"], "SkylakeX")
        with mock.patch.object(provenance, "cpu", lambda field: "fpu avx2"):
            self.assertEqual(provenance.fair_environment(1)["OPENBLAS_CORETYPE"], "Haswell")


class Peers(unittest.TestCase):
    """Our fit takes 2 s and the labels another one; a fit of 20 iterations over 1000 rows."""

    def measure(self, peers):
        seconds = {"coterie": 2.0, kmeans_peers.WITH_LABELS: 3.0, **dict.fromkeys(peers, 6.0)}
        engines = {name: lambda max_iter, s=s: (s, max_iter, 100.0) for name, s in seconds.items()}
        with mock.patch.object(kmeans_peers, "make_rows"), mock.patch.object(kmeans_peers, "engines_of", lambda *_: engines):
            return kmeans_peers.measure("1000x2x2", peers, argparse.Namespace(rounds=3, no_target=False), "")

    def test_who_ends_with_labels_stands_beside_ours_with_labels(self):
        found = self.measure({"sklearn": "python", "sklearnex": "python", "faiss": "python"})
        self.assertEqual(found["ratio"], {"sklearn": 2, "sklearnex": 2, "faiss": 3})
        self.assertEqual({name: round(value) for name, value in found["ns_per_row"].items()},
                         {"coterie": 100_000, "coterie with labels": 150_000, "sklearn": 300_000, "sklearnex": 300_000, "faiss": 300_000})
        self.assertEqual(found["to_target"]["coterie"]["seconds"], 3)
        self.assertEqual(found["to_target"]["faiss"]["seconds"], 6)

    def test_every_peer_has_a_version(self):
        self.assertEqual(set(kmeans_peers.PACKAGES), set(kmeans_peers.WORKERS))


class Tables(unittest.TestCase):
    def test_kmeans_with_labels(self):
        result = {"shape": "1000x2x2", "ns_per_row": {"coterie": 1, "coterie with labels": 2, "sklearn": 8}, "ratio": {"sklearn": 4}}
        text = load_tables().kmeans({**ORIGIN, "max_iter": 20, "results": [result]})
        self.assertIn("|  | Coterie | Coterie with labels | scikit-learn |", text)
        self.assertIn("| 1,000 customers, 2 columns, 2 segments | 1 | 2 | 8 (4.0x) |", text)
        del result["ns_per_row"]["coterie with labels"]  # of older results
        self.assertIn("|  | Coterie | scikit-learn |", load_tables().kmeans({**ORIGIN, "max_iter": 20, "results": [result]}))

    def test_memory(self):
        result = {"case": "cluster 1,000 customers, 2 columns", "budget_mib": 1024, "resident_mib": 1060, "beside_mib": 64}
        text = load_tables().memory({**ORIGIN, "results": [result]})
        self.assertIn("| cluster 1,000 customers, 2 columns | 1,024 | 1,060 |", text)
        self.assertIn("64 MiB at most", text)

    def test_reading(self):
        measured = {"name": "streaming_sweep", "label": "float32, gzip, cold", "real_time": 50.0, "bytes_ms": 10.0, "cells_ms": 30.0,
                    "transform_ms": 20.0, "sweep_ms": 8.0, "whole/sum": 0.7, "whole/bound": 1.1, "GB/s": 2.0}
        text = load_tables().reading({**ORIGIN, "rows": 1000, "columns": 2, "results": [reading_stages.case_of(measured)]})
        self.assertIn("| float32, gzip, cold | 10 | 30 | 20 | 8 | 50 | 1.10 | 2.00 |", text)

    def test_results_in_the_folder_are_shown(self):
        tables = load_tables()
        result = {"case": "cluster", "budget_mib": 512, "resident_mib": 530, "beside_mib": 64}
        with tempfile.TemporaryDirectory() as folder:
            tables.RESULTS, tables.README = pathlib.Path(folder), pathlib.Path(folder) / "README.md"
            tables.README.write_text(f"a\n{tables.BEGIN}\n{tables.END}b\n")
            (tables.RESULTS / "memory-machine-2026-11-27.json").write_text(json.dumps({**ORIGIN, "results": [result]}))
            with mock.patch.object(sys, "argv", ["tables"]):
                tables.main()
            self.assertIn("| cluster | 512 | 530 |", tables.README.read_text())
            with mock.patch.object(sys, "argv", ["tables", "--check"]):
                tables.main()


if __name__ == "__main__":
    unittest.main()
