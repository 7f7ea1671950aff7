"""What goes in, end to end: shards, pipes, selections, sensitive columns, transactions. COTERIE=... intake_tools_test.py [Class]."""

import gzip
import json
import os
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from tools_test import COTERIE, SECONDS, SHARED, Case, blobs, digest, wait_until_it_listens, write_h5ad


def segments(path):
    with h5py.File(path) as file:
        return file["obs/segment_id"][:], file["obs/segment/codes"][:], file["obs/segment_distance"][:]


class Where(Case):
    """A condition chooses customers, and everything else is as if the file held nobody else."""

    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(3)
        self.x, _ = blobs(9000, 4)
        self.x[:, 3] = generator.exponential(3, 9000)  # heavy tail: a transform that depends on the rows
        self.age = generator.integers(18, 90, 9000).astype(float)
        self.age[::17] = np.nan
        plan = np.array(["Gold", "Basic", "Team"], dtype=object)[generator.integers(0, 3, 9000)]
        obs = {"age": self.age, "plan": plan, "value": generator.exponential(50, 9000)}
        write_h5ad(self.input, self.x, obs, ["a", "b", "c", "tail"])
        self.condition = 'tail < 6 && (age >= 30 || plan == "Gold") && !(b is missing)'
        self.keep = (self.x[:, 3] < 6) & ((self.age >= 30) | (plan == "Gold"))
        self.small = self.folder / "small.h5ad"
        write_h5ad(self.small, self.x[self.keep], {name: cells[self.keep] for name, cells in obs.items()}, ["a", "b", "c", "tail"])

    def test_equals_the_file_of_the_chosen_customers(self):
        for arguments in (["--seed", 4], ["--transform", "none", "--threads", 1], ["--memory", "64M", "--value", "value"]):
            whole = self.cluster("--n-clusters", 4, "--where", self.condition, "--overwrite", *arguments)
            small = json.loads(self.succeed("cluster", self.small, "-o", "s.h5ad", "--json", "--overwrite", "--n-clusters", 4, *arguments).stdout)
            for field in ("inertia", "n_iter", "sizes", "sha256"):
                self.assertEqual(whole[field], small[field])
            labels, codes, distances = segments(self.output)
            kept = segments(self.folder / "s.h5ad")
            np.testing.assert_array_equal(labels[self.keep], kept[0])
            np.testing.assert_array_equal(distances[self.keep], kept[2])
            self.assertTrue((labels[~self.keep] == -1).all() and (codes[~self.keep] == -1).all() and np.isnan(distances[~self.keep]).all())
            with h5py.File(self.output) as a, h5py.File(self.folder / "s.h5ad") as b:
                for path in ("uns/segmentation/profile_table", "varm/segment_median", "uns/segmentation/segments/n"):
                    self.assertEqual(a[path][:].tobytes(), b[path][:].tobytes())

    def test_mixtures_know_nobody_else_either(self):
        fit = ("--method", "gmm", "-k", 3, "--n-init", 2, "--probabilities", "--outlier-share", 0.02, "--json")
        whole = json.loads(self.succeed("cluster", self.input, "-o", self.output, "--where", self.condition, *fit).stdout)
        small = json.loads(self.succeed("cluster", self.small, "-o", "s.h5ad", *fit).stdout)
        for field in ("lower_bound", "log_likelihood", "means", "sizes", "sha256"):
            self.assertEqual(whole[field], small[field])
        with h5py.File(self.output) as a, h5py.File(self.folder / "s.h5ad") as b:
            np.testing.assert_array_equal(a["obsm/probabilities"][:][self.keep], b["obsm/probabilities"][:])
            self.assertTrue(np.isnan(a["obsm/probabilities"][:][~self.keep]).all())
            np.testing.assert_array_equal(a["obs/is_outlier"][:][self.keep], b["obs/is_outlier"][:])
            self.assertFalse(a["obs/is_outlier"][:][~self.keep].any())

    def test_assign_follows_the_condition_of_the_model(self):
        self.cluster("--n-clusters", 4, "--where", self.condition)
        done = self.succeed("assign", self.input, "--model", self.output, "-o", "labels.h5ad", "--json")
        np.testing.assert_array_equal(segments(self.folder / "labels.h5ad")[0], segments(self.output)[0])
        self.assertEqual(sum(json.loads(done.stdout)["sizes"]), self.keep.sum())
        self.succeed("assign", self.input, "--model", self.output, "-o", "both.h5ad", "--where", "age < 50")
        np.testing.assert_array_equal(segments(self.folder / "both.h5ad")[0] >= 0, self.keep & (self.age < 50))
        write_h5ad(self.folder / "other.h5ad", self.x, None, ["a", "b", "c", "tail"])
        self.refuse(4, ["other.h5ad", "column age", "--where"], "assign", "other.h5ad", "--model", self.output, "-o", "n.h5ad")

    def test_every_verb_takes_it(self):
        chosen = f"{self.keep.sum():,} of 9,000 customers"
        inspected = self.succeed("inspect", self.input, "--where", self.condition, "--json")
        self.assertEqual(json.loads(inspected.stdout)["n_rows"], self.keep.sum())
        self.assertIn(chosen, inspected.stderr)
        sweep = ("sweep", "--k", "2:4", "--json")
        whole = json.loads(self.succeed(*sweep, self.input, "-o", "w.h5ad", "--where", self.condition).stdout)
        self.assertEqual(whole["sweep"], json.loads(self.succeed(*sweep, self.small).stdout)["sweep"])
        with h5py.File(self.folder / "w.h5ad") as file:
            np.testing.assert_array_equal(file["obs/segment_k3/codes"][:] >= 0, self.keep)
        (self.folder / "job.toml").write_text(f"[run]\nwhere = '{self.condition}'\nn-clusters = 3\n")
        self.succeed("run", self.input, "-o", "r.h5ad", "--csv", "r.csv", "--config", "job.toml")
        rows = (self.folder / "r.csv").read_text().splitlines()[1:]
        np.testing.assert_array_equal([row.split(",")[2] != "-1" for row in rows], self.keep)
        self.succeed("export", "r.h5ad", "--csv", "e.csv")

    def test_errors_say_where_and_what_is_near(self):
        cluster = ("cluster", self.input, "-o", "n.h5ad", "--where")
        self.refuse(2, ["character 6", "write =="], *cluster, "plan = 3")
        self.refuse(2, ["character 13", "no column aeg", "Did you mean age?"], *cluster, "tail < 6 && aeg > 3")
        self.refuse(2, ["plan", '"gold"', "Did you mean Gold?"], *cluster, "plan == 'gold'")
        self.refuse(2, ["plan holds texts"], *cluster, "plan > 3")
        self.refuse(4, ["none of its 9,000 customers"], *cluster, "age > 300")


class Sensitive(Case):
    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(5)
        rows = [f"{i},{a:.2f},{b:.2f},{18 + i % 60},{'MF'[i % 2]}" for i, (a, b) in enumerate(generator.normal(size=(300, 2)))]
        (self.folder / "c.csv").write_text("\n".join(["customer_id,visits,spend,age,gender", *rows]) + "\n")
        self.succeed("import", "c.csv", "-o", self.input, "--sensitive", "age,gender")

    def test_sensitive_columns_describe_and_do_not_drive(self):
        result = self.cluster("--n-clusters", 3)
        self.assertEqual(len(result["warnings"]), 1)
        self.assertRegex(result["warnings"][0], "sensitive.*age, gender=M")
        with h5py.File(self.output) as file:
            self.assertEqual(file["uns/segmentation/model/cluster_centers"].shape[1], 2)
            self.assertIn(b"age", set(file["uns/segmentation/profile_table"]["feature"]))
            self.assertNotIn("age", " ".join(file["uns/segmentation/segments/marks"].asstr()))
        without = self.cluster("--n-clusters", 3, "--ignore", "age,gender=M", "--overwrite")
        self.assertEqual(result["sha256"], without["sha256"])

    def test_they_drive_when_that_is_asked_for(self):
        result = self.cluster("--n-clusters", 3, "--allow-sensitive")
        self.assertEqual(result["warnings"], [])
        with h5py.File(self.output) as file:
            self.assertEqual(file["uns/segmentation/model/cluster_centers"].shape[1], 4)
        self.assertIn("sensitive", self.succeed("cluster", self.input, "-o", "b.h5ad", "-k", 2, "--active", "age,visits").stderr)

    def test_anndata_reads_the_mark(self):
        import anndata

        self.assertEqual(anndata.read_h5ad(self.input).var["sensitive"].tolist(), [False, False, True, True])
        self.refuse(2, ["--sensitive", "gendre"], "import", "c.csv", "-o", "n.h5ad", "--sensitive", "gendre")


class Import(Case):
    """Shards, pipes, repeated, erased and stale customers."""

    def setUp(self):
        super().setUp()
        lines = ["customer_id,plan,visits,spend,last_order"]
        lines += [f"{100 + i},{'Gold' if i % 3 else 'Basic'},{i % 7},{i * 0.1:.1f},2026-{1 + i % 12:02}-10" for i in range(60)]
        self.lines = lines
        self.write("all.csv", lines)
        self.succeed("import", "all.csv", "-o", "all.h5ad")

    def write(self, name, lines):
        data = ("\n".join(lines) + "\n").encode()
        (self.folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    def report(self, *arguments, **options):
        return json.loads(self.succeed("import", *arguments, "--json", **options).stdout)

    def columns(self, path):
        with h5py.File(self.folder / path) as file:
            names = [name.decode() for name in file["var/feature"][:]]
            return file["obs/customer_id"][:], dict(zip(names, file["X"][:].T))

    def test_shards_of_every_kind_are_one_table(self):
        header, rows = self.lines[0], self.lines[1:]
        self.write("a.csv", [header, *rows[:20]])
        self.write("b.gz", [header, *rows[20:45]])
        piped = "\n".join([header, *rows[45:]]) + "\n"
        self.succeed("import", "a.csv", "b.gz", "-", "-o", "shards.h5ad", input=piped)
        self.assertEqual((self.folder / "shards.h5ad").read_bytes(), (self.folder / "all.h5ad").read_bytes())
        self.write("other.csv", [header.replace("visits", "orders"), *rows[:3]])
        self.refuse(4, ["other.csv", "a.csv", "column 3 is 'orders', not 'visits'"], "import", "a.csv", "other.csv", "-o", "n.h5ad")

    def test_broken_inputs_are_refused(self):
        data = gzip.compress(("\n".join(self.lines * 50)).encode())
        (self.folder / "cut.gz").write_bytes(data[: len(data) // 2])
        (self.folder / "bad.gz").write_bytes(data[:60] + b"\0\0\0\0" + data[64:])
        self.refuse(3, ["cut.gz", "cut off"], "import", "cut.gz", "-o", "n.h5ad")
        self.refuse(3, ["bad.gz"], "import", "bad.gz", "-o", "n.h5ad")
        second = bytearray(gzip.compress(b"200,Gold,1,0.5,2026-01-10\n"))
        second[1] ^= 1
        (self.folder / "second.gz").write_bytes(data + second)
        self.refuse(3, ["second.gz", "behind its gzip data"], "import", "second.gz", "-o", "n.h5ad")
        self.refuse(3, ["standard input is empty"], "import", "-", "-o", "n.h5ad", input="")

    def test_repeated_ids_follow_the_option(self):
        again = ["103,Basic,5,0.3,2026-12-31", "110,Gold,,1.25,2026-01-01", "103,Gold,1,0.1,2026-12-30"]
        self.write("twice.csv", self.lines + again)
        self.refuse(4, ["'customer_id' repeats ids", "line 62 of file 'twice.csv'", "--on-duplicate"],
                    "import", "twice.csv", "-o", "n.h5ad", "--on-duplicate", "error")
        for how, visits, spend in (("first", 3, 0.3), ("last", 1, 0.1), ("sum", 9, 0.7)):
            report = self.report("twice.csv", "-o", f"{how}.h5ad", "--on-duplicate", how)
            self.assertEqual((report["rows"], report["left_out"]["repeated"]), (60, 3))
            ids, columns = self.columns(f"{how}.h5ad")
            self.assertEqual(sorted(ids), list(range(100, 160)))
            self.assertEqual((columns["visits"][ids == 103][0], columns["spend"][ids == 103][0]), (visits, np.float32(spend)))
        ids, columns = self.columns("sum.h5ad")
        self.assertEqual((columns["visits"][ids == 110][0], columns["spend"][ids == 110][0]), (3, 2.25))
        ids, columns = self.columns("last.h5ad")
        self.assertEqual(list(ids[-2:]), [110, 103])
        self.assertIn("add", self.succeed("import", "twice.csv", "-o", "s.h5ad", "--on-duplicate", "sum").stderr)
        self.refuse(2, ["--on-duplicate", "first"], "import", "all.csv", "-o", "n.h5ad", "--on-duplicate", "mean")

    def test_erased_ids_are_counted_and_never_shown(self):
        self.write("erase.csv", ["customer_id", "105", "999", "107.0", "105"])
        done = self.succeed("import", "all.csv", "-o", "left.h5ad", "--erase", "erase.csv")
        self.assertIn("2 rows, for 3 ids", done.stderr)
        self.assertNotRegex(done.stderr + done.stdout, "105|107|999")
        kept = [line for line in self.lines if not line.startswith(("105,", "107,"))]
        self.write("kept.csv", kept)
        self.succeed("import", "kept.csv", "-o", "kept.h5ad")
        self.assertEqual((self.folder / "left.h5ad").read_bytes(), (self.folder / "kept.h5ad").read_bytes())
        self.refuse(2, ["erase.csv"], "import", "all.csv", "-o", "erase.csv", "--overwrite", "--erase", "erase.csv")
        self.write("nameless.csv", ["A-105", "A-107"])
        self.refuse(4, ["nameless.csv", "no column 'customer_id'"], "import", "all.csv", "-o", "n.h5ad", "--erase", "nameless.csv")

    def test_stale_customers_are_left_out(self):
        arguments = ("--as-of", "2026-12-31", "--max-age", 200, "--activity", "last_order")
        report = self.report("all.csv", "-o", "fresh.h5ad", *arguments)
        self.assertEqual((report["rows"], report["left_out"]["stale"]), (30, 30))
        ids, columns = self.columns("fresh.h5ad")
        self.assertLessEqual(columns["days_since_last_order"].max(), 200)
        self.refuse(2, ["--activity"], "import", "all.csv", "-o", "n.h5ad", "--as-of", "2026-12-31", "--max-age", 200)
        self.refuse(4, ["leave none of 60 rows"], "import", "all.csv", "-o", "n.h5ad", "--as-of", "2030-12-31", *arguments[2:])
        self.refuse(4, ["'plan'", "line 2"], "import", "all.csv", "-o", "n.h5ad", *arguments[:5], "plan")

    def test_decimal_commas_are_seen(self):
        self.write("comma.csv", ["customer_id;spend", *(f"{i};{i},{i % 7}" for i in range(99))])
        self.refuse(4, ["No column", "--decimal ,"], "import", "comma.csv", "-o", "n.h5ad")
        self.succeed("import", "comma.csv", "-o", "comma.h5ad", "--decimal", ",")
        for verb in (("import",), ("features", "--as-of", "2026-01-01")):
            self.refuse(2, ["--decimal", "--delimiter"], *verb, "comma.csv", "-o", "n.h5ad", "--decimal", ",", "--delimiter", ",")

    def test_what_is_no_time_makes_no_date(self):
        for time, uses in (("T10:15:00Z", "active"), (" 10:15", "active"), ("T99:99:99 rubbish", "ignore")):
            self.write("dates.csv", ["customer_id,visits,seen", *(f"{i},{i % 5},2026-0{1 + i % 9}-{10 + i % 19}{time}" for i in range(80))])
            columns = self.report("dates.csv", "-o", "dates.h5ad", "--as-of", "2026-12-31", "--overwrite")["columns"]
            self.assertEqual([column["use"] for column in columns if column["name"] == "seen"], [uses], time)

    def test_layers_count_alike(self):
        self.succeed("import", "all.csv", "-o", "layers.h5ad", "--layer", "use=visits", "--layer", "money=spend,last_order", "--as-of", "2026-12-31")
        self.succeed("cluster", "layers.h5ad", "-o", "r.h5ad", "-k", 2)
        with h5py.File(self.folder / "r.h5ad") as file:
            model = file["uns/segmentation/model/transform"]
            scale = dict(zip(model["feature"].asstr(), model["scale"][:]))
        ids, columns = self.columns("layers.h5ad")
        variances = {name: (columns[name].std(ddof=1) / scale[name]) ** 2 for name in scale}
        self.assertAlmostEqual(variances["visits"], 4 / 3, 5)
        self.assertAlmostEqual(variances["spend"] + variances["days_since_last_order"], 4 / 3, 5)


class Features(Case):
    """Published numbers of real transactions."""

    def read(self, path):
        with h5py.File(self.folder / path) as file:
            names = [name.decode() for name in file["var/feature"][:]]
            obs = {name: file[f"obs/{name}"][:] for name in file["obs"]}
            return obs, dict(zip(names, file["X"][:].T))

    def test_online_retail(self):
        source = SHARED / "data/online_retail/online_retail.csv.gz"
        if not SHARED.is_dir():
            self.skipTest("no ../shared")
        done = self.succeed("features", source, "-o", "retail.h5ad", "--as-of", "2011-12-10", "--share", "Country", "--json")
        report = json.loads(done.stdout)
        self.assertEqual(report["columns"], {"id": "CustomerID", "date": "InvoiceDate", "amount": "", "price": "UnitPrice",
                                             "quantity": "Quantity", "order": "InvoiceNo"})
        self.assertEqual((report["rows"], report["customers"], report["left_out"]["without_id"]), (541909, 4338, 135080))
        obs, x = self.read("retail.h5ad")
        self.assertEqual(obs["CustomerID"].dtype, np.int64)
        # SOURCE.txt of the data, to the digits printed there.
        self.assertAlmostEqual(x["recency_days"].mean(), 93.06, 2)
        self.assertAlmostEqual(x["orders"].mean(), 4.272, 3)
        self.assertAlmostEqual(x["monetary"].mean(), 2054.27, 2)
        self.assertAlmostEqual(x["monetary"].sum() / 8911408, 1, 6)
        self.assertAlmostEqual((x["orders"] == 1).mean(), 0.344, 3)
        self.assertAlmostEqual(np.sort(x["monetary"])[-434:].sum() / x["monetary"].sum(), 0.614, 2)
        self.assertTrue(np.allclose(sum(cells for name, cells in x.items() if name.startswith("share_Country=")), 1))
        # REFERENCE.md: k-means on the logarithms of the three.
        result = self.cluster_rfm()
        self.assertEqual(sorted(result["sizes"]), [725, 877, 1161, 1575])
        self.assertAlmostEqual(result["inertia"], 3923.474, 1)

    def cluster_rfm(self):
        done = self.succeed("cluster", "retail.h5ad", "-o", "r.h5ad", "-k", 4, "--transform", "log1p", "--n-init", 50, "--tol", 0,
                            "--active", "recency_days,orders,monetary", "--json")
        return json.loads(done.stdout)

    def test_cdnow(self):
        folder = SHARED / "data/cdnow"
        if not SHARED.is_dir():
            self.skipTest("no ../shared")
        rows = [line.split() for line in (folder / "CDNOW_sample.txt").read_text().splitlines()]
        lines = [f"{int(row[1])},{row[2][:4]}-{row[2][4:6]}-{row[2][6:]},{row[3]},{row[4]}" for row in rows if row]
        piped = "\n".join(["customer_id,date,cds,dollar_value", *lines]) + "\n"
        done = self.succeed("features", "-", "-o", "cdnow.h5ad", "--as-of", "1997-09-30", "--target-window", "273d", "--free-orders",
                            "--json", input=piped)
        self.assertEqual(json.loads(done.stdout)["customers"], 2357)
        obs, x = self.read("cdnow.h5ad")
        published = np.genfromtxt(folder / "cdnow_customers_summary_with_transactions.csv", delimiter=",", names=True)
        order = np.argsort(obs["customer_id"])
        np.testing.assert_array_equal(obs["customer_id"][order], published["ID"])
        np.testing.assert_array_equal(x["active_days"][order] - 1, published["x"])
        np.testing.assert_allclose((x["tenure_days"] - x["recency_days"])[order] / 7, published["t_x"], atol=0.006)
        np.testing.assert_allclose(x["tenure_days"][order] / 7, published["T"], atol=0.006)
        np.testing.assert_allclose(np.nan_to_num(x["repeat_order_value"][order]), published["zbar"], atol=0.006)
        later = {row[1] for row in rows if row and "19970930" < row[2] <= "19980630"}
        self.assertEqual(obs["bought_273d"].sum(), len(later))

    def test_small_file_and_its_errors(self):
        (self.folder / "t.csv").write_text("customer,day,amount,channel,sale\n7,2026-01-05,10,web,yes\n7,2026-03-01,30,shop,no\n"
                                           "8,2026-02-01,5,web,no\n9,2026-02-02,-4,web,no\n8,2026-04-02,1,web,no\n,2026-01-01,5,web,no\n")
        command = ("features", "t.csv", "-o", "t.h5ad", "--as-of", "2026-03-11")
        self.refuse(2, ["--id"], *command)
        done = self.succeed(*command, "--id", "customer", "--target-window", "30", "--share", "channel", "--discount", "sale", "--json")
        report = json.loads(done.stdout)
        self.assertEqual((report["customers"], report["bought"], report["outcome"]), (2, 1, "bought_30d"))
        self.assertEqual(report["left_out"], {"without_id": 1, "without_date": 0, "without_amount": 0, "later": 0, "no_purchase": 1})
        self.assertIn("the rows end before the target window", done.stderr)
        obs, x = self.read("t.h5ad")
        self.assertEqual((obs["customer"].tolist(), obs["bought_30d"].tolist()), ([7, 8], [0, 1]))
        expected = {"recency_days": 10, "tenure_days": 65, "orders": 2, "monetary": 40, "interval_days": 55, "overdue_ratio": 10 / 55,
                    "orders_30d": 1, "orders_trend_30d": 1, "monetary_90d": 40, "discount_share": 0.5, "share_channel=web": 0.5}
        self.assertEqual({name: x[name][0] for name in expected}, expected)
        self.assertTrue(np.isnan(x["interval_days"][1]))
        (self.folder / "o.csv").write_text("customer,day,amount,order\n1,2026-01-05,10,A\n1,2026-02-05,10,\n1,2026-02-05,10,NA\n"
                                           "1,2026-03-05,10,A\n1,2026-03-06,10,\n")
        self.succeed("features", "o.csv", "-o", "o.h5ad", "--as-of", "2026-03-11", "--id", "customer", "--order", "order")
        _, x = self.read("o.h5ad")  # rows without an order are orders of their days
        self.assertEqual((x["orders"][0], x["order_value"][0], x["recency_days"][0]), (3, 50 / 3, 5))
        named = (*command, "--id", "customer", "--overwrite")
        self.refuse(2, ["--as-of"], "features", "t.csv", "-o", "n.h5ad", "--as-of", "11.3.2026", "--id", "customer")
        self.refuse(2, ["--price", "--quantity"], *named, "--price", "amount")
        self.refuse(4, ["'channel'", "date"], *named, "--date", "channel")
        self.refuse(4, ["Nobody bought anything up to 2020-01-01"], "features", "t.csv", "-o", "n.h5ad", "--id", "customer", "--as-of", "2020-01-01")
        self.refuse(6, ["--memory"], "features", "t.csv", "-o", "n.h5ad", "--id", "customer", "--as-of", "2026-03-11", "--memory", "64K")

    def test_a_customer_is_the_number_that_its_id_says(self):
        for decimal, ids in ((".", ("5", "+5", "5.0", "1e3", "1000")), (",", ("5", "+5", "5,0", "1e3", "1000"))):
            (self.folder / "i.csv").write_text("\n".join(["customer;day;amount", *(f"{i};2026-01-0{n + 1};1" for n, i in enumerate(ids))]) + "\n")
            self.succeed("features", "i.csv", "-o", "i.h5ad", "--as-of", "2026-03-11", "--id", "customer", "--decimal", decimal, "--overwrite")
            obs, x = self.read("i.h5ad")
            self.assertEqual((obs["customer"].tolist(), x["monetary"].tolist()), ([5, 1000], [3, 2]))

    def write_sales(self, n_customers, n_rows):
        """Customers all over the file, with ids that are text, and the command that makes customers of them."""
        generator = np.random.default_rng(11)
        customers, orders = generator.integers(0, n_customers, n_rows), generator.integers(0, 3, n_rows)
        days = np.datetime64("2026-12-31") - generator.integers(0, 700, n_rows)
        cents, channels = generator.integers(-500, 100000, n_rows), generator.choice(["web", "shop", "app"], n_rows)
        lines = [f"C{c},{d},{a / 100},{o},{s}" for c, d, a, o, s in zip(customers, days, cents, orders, channels)]
        (self.folder / "sales.csv").write_text("\n".join(["customer_id,day,amount,order,channel", *lines]) + "\n")
        return ["features", "sales.csv", "--as-of", "2026-10-31", "--target-window", "60d", "--share", "channel", "-o", "out.h5ad"]

    def test_customers_beyond_memory_are_the_same_customers(self):
        command = self.write_sales(60000, 200000)
        wide = self.succeed(*command, "--memory", "1G", "--json")
        self.assertGreater(json.loads(wide.stdout)["customers"], 50000)
        self.assertNotIn("temporary", wide.stderr)
        expected = digest(self.output)
        for memory in ("8M", "20M"):
            tight = self.succeed(*command, "--memory", memory, "--json", "--overwrite")
            self.assertIn("sorted in temporary files", tight.stderr)
            self.assertEqual((tight.stdout, digest(self.output)), (wide.stdout, expected))
            self.assertEqual(sorted(os.listdir(self.folder)), ["out.h5ad", "sales.csv"])

    def test_disk_too_small_for_customers_beyond_memory(self):
        command = [*self.write_sales(40000, 60000), "--memory", "8M"]
        limited = ("sh", "-c", 'ulimit -f 4096; exec "$@"', "sh")  # 2 MiB of at least 5
        self.refuse(7, ["transactions sorted by customer", "--memory"], *command, prefix=limited)

    def test_stopped_while_a_pipe_is_silent(self):
        os.mkfifo(self.folder / "pipe")
        for source in ("-", "pipe"):
            process = subprocess.Popen([str(COTERIE), "import", source, "-o", "out.h5ad"], cwd=self.folder, stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            wait_until_it_listens(process, signal.SIGINT)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=SECONDS), 130)
            process.stdin.close()
            process.stderr.close()
        self.assertEqual(os.listdir(self.folder), ["pipe"])

    def test_stopped_while_sorting(self):
        command = [*self.write_sales(60000, 200000), "--memory", "8M"]
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = subprocess.Popen([str(COTERIE), *command], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            deadline = time.monotonic() + SECONDS
            while not self.sorts(process.pid):
                self.assertLess(time.monotonic(), deadline)
                self.assertIsNone(process.poll(), "ended before it sorted")
            process.send_signal(number)
            talk = process.communicate(timeout=SECONDS)[1]
            self.assertEqual(process.returncode, code, talk)
            self.assertEqual(os.listdir(self.folder), ["sales.csv"])

    @staticmethod
    def sorts(pid):
        """Does that process have bytes in a file without a name?"""
        folder = f"/proc/{pid}/fd"
        for name in os.listdir(folder):
            try:
                if "coterie-temporary" in os.readlink(f"{folder}/{name}") and os.stat(f"{folder}/{name}").st_size > 0:
                    return True
            except FileNotFoundError:
                pass
        return False


if __name__ == "__main__":
    unittest.main(verbosity=2)
