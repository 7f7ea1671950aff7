"""More customers than memory: the resident set, and the same digest as with all the memory one could want.

    COTERIE=build/release/coterie tests/memory_test.py [--output bench/results/memory-MACHINE-DATE.json] [Memory.test_...]
"""
import argparse
import filecmp
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
from provenance import provenance

BINARY = os.environ["COTERIE"]
ROWS, COLUMNS = 20_000_000, 32
BUDGET_MIB, LIBRARIES_MIB = 512, 64  # libraries, code and stacks lie outside the ledger
RECORDED = []


def measured(*command):
    """The answer of a verb with --json and the peak resident set in MiB of that process."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    answer = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise AssertionError(f"{command} ended with {process.returncode}")
    return json.loads(answer), usage.ru_maxrss / 1024


def customers_of(folder):
    return os.path.join(folder, "customers.h5ad")


def synth(folder, rows, columns, *options):
    subprocess.run([BINARY, "synth", "-o", customers_of(folder), "--rows", str(rows), "--features", str(columns), "--seed", "7", *options], check=True)
    return customers_of(folder)


def cluster(folder, memory, *options):
    return measured(BINARY, "cluster", customers_of(folder), "-o", os.path.join(folder, "result.h5ad"), "--overwrite",
                    "--n-init", "1", "--memory", memory, "--json", *options)


def record(case, budget, resident):
    """What was measured, for bench/tables."""
    RECORDED.append({"case": case, "budget_mib": budget, "resident_mib": round(resident), "beside_mib": LIBRARIES_MIB})
    print(f"{case} with --memory {budget}M: {resident:.0f} MiB resident")


def write_transactions(path, n_rows, n_customers):
    """Rows of all customers in no order: consecutive ones are far apart."""
    with open(path, "w") as file:
        file.write("customer_id,date,amount,order\n")
        for i in range(n_rows):
            customer = i * 7_368_787 % n_customers  # a prime
            file.write(f"{customer},2026-{i // 7 % 10 + 1:02}-{i % 28 + 1:02},{i % 9973 / 100},{i // 3}\n")


class Memory(unittest.TestCase):
    def test_budget_holds_and_changes_nothing(self):
        with tempfile.TemporaryDirectory(dir=os.environ.get("COTERIE_LARGE_DIR")) as folder:
            synth(folder, ROWS, COLUMNS, "--personas", "8")
            tight, resident = cluster(folder, f"{BUDGET_MIB}M", "--n-clusters", "8")
            wide, _ = cluster(folder, "8G", "--n-clusters", "8")
            record(f"cluster {ROWS:,} customers, {COLUMNS} columns", BUDGET_MIB, resident)
            self.assertLess(resident, BUDGET_MIB + LIBRARIES_MIB)
            self.assertEqual(tight["sha256"], wide["sha256"])

    # 6.4 GB of rows, few sweeps: the budget is what is tested.
    def test_a_hundred_million_rows_fit_a_gigabyte(self):
        rows, columns, budget = 100_000_000, 16, 1024
        with tempfile.TemporaryDirectory(dir=os.environ.get("COTERIE_LARGE_DIR")) as folder:
            synth(folder, rows, columns, "--personas", "8", "--memory", f"{budget}M")
            answer, resident = cluster(folder, f"{budget}M", "--n-clusters", "8", "--max-iter", "3")
            record(f"cluster {rows:,} customers, {columns} columns", budget, resident)
            self.assertLess(resident, budget + LIBRARIES_MIB)
            self.assertEqual(sum(answer["sizes"]), rows)

    # All probabilities of these customers would fill 1 GiB as float64.
    def test_mixtures_hold_no_matrix_of_probabilities(self):
        rows, n_components, budget = 2_000_000, 64, 256
        with tempfile.TemporaryDirectory(dir=os.environ.get("COTERIE_LARGE_DIR")) as folder:
            synth(folder, rows, 8, "--personas", "8")
            options = ("--method", "gmm", "--covariance-type", "diag", "--n-components", str(n_components), "--max-iter", "3", "--probabilities")
            tight, resident = cluster(folder, f"{budget}M", *options)
            wide, _ = cluster(folder, "8G", *options)
            record(f"mixture of {n_components}, with all probabilities, {rows:,} customers, 8 columns", budget, resident)
            self.assertLess(resident, budget + LIBRARIES_MIB)
            self.assertEqual(tight["sha256"], wide["sha256"])

    # Few columns, so that scores and what ranks them outweigh the rows; a customer's row of the CSV tells every bit of its probability.
    def test_scores_are_ranked_and_judged_within_the_budget(self):
        rows, budget = 2_500_000, 150
        with tempfile.TemporaryDirectory(dir=os.environ.get("COTERIE_LARGE_DIR")) as folder:
            tables = [os.path.join(folder, name) for name in ("tight.csv", "wide.csv")]
            source = synth(folder, rows, 2, "--outcomes", "churn")
            command = [BINARY, "propensity", source, "-o", os.path.join(folder, "result.h5ad"), "--overwrite", "--target", "churn",
                       "--calibration", "isotonic", "--json"]
            tight, resident = measured(*command, "--memory", f"{budget}M", "--csv", tables[0])
            wide, _ = measured(*command, "--memory", "8G", "--csv", tables[1])
            record(f"propensity {rows:,} customers, 2 columns", budget, resident)
            for answer in (tight, wide):
                answer.pop("seconds")
            self.assertLess(resident, budget + LIBRARIES_MIB)
            self.assertEqual(tight, wide)
            self.assertTrue(filecmp.cmp(*tables, shallow=False))

    # 2 million customers with 10 million orders take 700 MiB where all are in memory at once.
    def test_transactions_of_customers_beyond_memory(self):
        rows, customers, budget = 10_000_000, 2_000_000, 96
        with tempfile.TemporaryDirectory(dir=os.environ.get("COTERIE_LARGE_DIR")) as folder:
            source, results = os.path.join(folder, "sales.csv"), [os.path.join(folder, name) for name in ("tight.h5ad", "wide.h5ad")]
            write_transactions(source, rows, customers)
            command = [BINARY, "features", source, "--as-of", "2026-09-30", "--target-window", "30d", "--json"]
            tight, resident = measured(*command, "--memory", f"{budget}M", "-o", results[0])
            wide, _ = measured(*command, "--memory", "8G", "-o", results[1])
            record(f"features of {rows:,} transactions, {customers:,} customers", budget, resident)
            self.assertLess(resident, budget + LIBRARIES_MIB)
            self.assertEqual(tight, wide)
            self.assertTrue(filecmp.cmp(*results, shallow=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--output")
    options, rest = parser.parse_known_args()
    origin = provenance() if options.output else {}  # of what is measured, whatever happens to the tree meanwhile
    done = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False).result
    if options.output and done.wasSuccessful():
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({**origin, "results": RECORDED}, file, indent=1)
    sys.exit(not done.wasSuccessful())
