"""The golden clusterings of Online Retail (../shared/data/REFERENCE.md), from the command line."""
import json
import os
import subprocess
import tempfile
import unittest

BINARY, SHARED = os.environ["COTERIE"], os.environ["COTERIE_SHARED_DIR"]
ROUNDING = 5e-7  # relative: the golden values carry seven digits
PROMISE = 1e-4   # relative: a start that ends a little above the best known sum is still the published clustering


def cluster(path, folder, *options):
    command = [BINARY, "cluster", path, "-o", os.path.join(folder, "result.h5ad"), "--overwrite", "--seed", "1", "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def import_csv(path, folder, *options):
    output = os.path.join(folder, "features.h5ad")
    subprocess.run([BINARY, "import", path, "-o", output, "--overwrite", *options], check=True, capture_output=True)
    return output


def customer_table(source):
    """Clean lines (id, positive quantity and price, not cancelled); recency in whole days to 2011-12-10, invoices, sum."""
    import pandas as pd

    lines = pd.read_csv(source, dtype={"InvoiceNo": str})
    lines = lines[lines.CustomerID.notna() & ~lines.InvoiceNo.str.startswith("C") & (lines.Quantity > 0) & (lines.UnitPrice > 0)]
    day = pd.to_datetime(lines.InvoiceDate).dt.normalize()
    lines = lines.assign(recency=(pd.Timestamp("2011-12-10") - day).dt.days, monetary=lines.Quantity * lines.UnitPrice)
    return lines.groupby("CustomerID").agg(recency=("recency", "min"), frequency=("InvoiceNo", "nunique"), monetary=("monetary", "sum"))


@unittest.skipUnless(os.path.isdir(SHARED), "no ../shared")
class PublishedResults(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def test_online_retail_customers(self):
        table = customer_table(os.path.join(SHARED, "data", "online_retail", "online_retail.csv.gz"))
        self.assertEqual(len(table), 4338)
        csv = os.path.join(self.folder.name, "rfm.csv")
        table.to_csv(csv)
        path = import_csv(csv, self.folder.name, "--id", "CustomerID", "--active", "recency", "frequency", "monetary")
        golden = {2: (6472.643, [1668, 2670]), 3: (4855.203, [762, 1701, 1875]), 4: (3923.474, [725, 877, 1161, 1575]), 5: (3267.245, None)}
        for k, (inertia, sizes) in golden.items():
            result = cluster(path, self.folder.name, "--n-clusters", str(k), "--n-init", "300", "--transform", "log1p", "--tol", "0")
            self.assertLess(result["inertia"], inertia * (1 + PROMISE), f"k = {k}")
            if result["inertia"] < inertia * (1 - ROUNDING):
                print(f"k = {k}: {result['inertia']:.3f} is below the published {inertia}")
            elif sizes:
                self.assertEqual(sorted(result["sizes"]), sizes, f"k = {k}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
