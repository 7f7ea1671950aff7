#!/usr/bin/python3
"""What comes and goes as CSV: `import`, `features` and `export` beside the same jobs in pandas and polars.

    bench/csv_jobs.py [--customers 1000000] [--transactions 5000000] [--rounds 3] [--peers pandas,polars] [--python VENV/bin/python] [--output FILE.json]

import: 14 numbers, a category, a yes or no and an id per customer become a float32 matrix with one-hot levels, and columns beside it, in HDF5;
repeated ids are looked for. features: transactions become 21 features per customer (host/customer_features.hpp), in HDF5. export: the customers of
a result, six columns, become CSV. Ours is the whole process; peers are timed without the import of their modules. All files are in the
page cache. Every answer is checked: matrices are equal, sums up to rounding, and so are the cells of the CSV.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from provenance import fair_environment, provenance, versions

AS_OF = "2025-12-01"
WINDOWS = (30, 90, 365)
JOBS = ("import", "features", "export")
PACKAGES = {"pandas": ["pandas", "numpy", "h5py"], "polars": ["polars", "numpy", "h5py"]}


def path_of(folder, name):
    return os.path.join(folder, name)


def write_customers(path, n):
    import numpy as np

    generator = np.random.default_rng(1)
    numbers = np.round(np.abs(generator.normal(size=(n, 14))) * (10.0 ** (np.arange(14) % 4)), 2)
    regions, churned = generator.integers(4, size=n), generator.integers(2, size=n)
    ids = generator.permutation(n)
    with open(path, "w", encoding="utf-8") as file:
        file.write("customer_id," + ",".join(f"f{j}" for j in range(14)) + ",region,churn\n")
        for i in range(n):
            cells = ",".join(f"{value:g}" for value in numbers[i])
            file.write(f"c{ids[i]:08d},{cells},{('east', 'north', 'south', 'west')[regions[i]]},{('No', 'Yes')[churned[i]]}\n")


def write_transactions(path, n):
    import numpy as np

    generator = np.random.default_rng(2)
    days = (np.datetime64("2024-01-01") + generator.integers(0, 700, n)).astype(str)
    amounts = np.round(generator.lognormal(3, 1, n) * np.where(generator.random(n) < 0.03, -1, 1), 2)
    columns = zip(generator.integers(0, max(1, n // 12), n), days, amounts, generator.integers(1, 9, n), generator.integers(0, 3, n))
    with open(path, "w", encoding="utf-8") as file:
        file.write("customer_id,date,amount,quantity,channel\n")
        for customer, day, amount, quantity, channel in columns:
            file.write(f"{customer},{day},{amount:.2f},{quantity},{('app', 'store', 'web')[channel]}\n")


def write_import(folder, name, x, columns):
    import h5py

    with h5py.File(path_of(folder, f"{name}-import.h5"), "w") as file:
        file["X"] = x
        for column, values in columns.items():
            file.create_dataset(f"obs/{column}", data=values, chunks=(min(65536, len(values)),), compression="gzip", compression_opts=1, shuffle=True)


def write_features(folder, name, ids, columns):
    import h5py
    import numpy as np

    with h5py.File(path_of(folder, f"{name}-features.h5"), "w") as file:
        file["X"] = np.column_stack(columns)
        file["ids"] = ids


def rows_to_features(a):
    """The features of arrays by customer, those of host/customer_features.hpp in their order."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        interval = np.where(a["days"] > 1, (a["tenure"] - a["recency"]) / (a["days"] - 1), np.nan)
        repeats = np.where(a["days"] > 1, (a["monetary"] - a["first"]) / (a["days"] - 1), np.nan)
        columns = [a["recency"], a["tenure"], a["days"], a["days"], interval, a["recency"] / interval, a["monetary"], a["monetary"] / a["days"], repeats, a["items"]]
        for window in WINDOWS:
            columns += [a[f"orders_{window}"], a[f"orders_{window}"] - a[f"before_{window}"], a[f"monetary_{window}"]]
        return columns + [a["return_lines"], a["returned"] / a["monetary"]]


def import_by_pandas(folder):
    import numpy as np
    import pandas

    table = pandas.read_csv(path_of(folder, "customers.csv"))
    if table["customer_id"].duplicated().any():
        sys.exit("repeated ids")
    region = table["region"].astype("category")
    numbers = table[[f"f{j}" for j in range(14)]].to_numpy(dtype=np.float32)
    x = np.hstack([numbers, pandas.get_dummies(region).to_numpy(dtype=np.float32)])
    ids = table["customer_id"].to_numpy(dtype=object).astype("S")
    write_import(folder, "pandas", x, {"customer_id": ids, "region": region.cat.codes.to_numpy(), "churn": (table["churn"] == "Yes").to_numpy(dtype=np.float64)})


def import_by_polars(folder):
    import numpy as np
    import polars

    table = polars.read_csv(path_of(folder, "customers.csv"))
    if table["customer_id"].is_duplicated().any():
        sys.exit("repeated ids")
    levels = table["region"].unique().sort().to_list()
    numbers = table.select(polars.col(f"f{j}").cast(polars.Float32) for j in range(14)).to_numpy()
    onehot = table.select((polars.col("region") == level).cast(polars.Float32).alias(level) for level in levels).to_numpy()
    codes = table["region"].cast(polars.Enum(levels)).to_physical().to_numpy()
    churn = (table["churn"] == "Yes").cast(polars.Float64).to_numpy()
    write_import(folder, "polars", np.hstack([numbers, onehot]), {"customer_id": table["customer_id"].to_numpy().astype("S"), "region": codes, "churn": churn})


def features_by_pandas(folder):
    import numpy as np
    import pandas

    rows = pandas.read_csv(path_of(folder, "transactions.csv"), parse_dates=["date"])
    rows["age"] = (pandas.Timestamp(AS_OF) - rows["date"]).dt.days
    rows = rows[rows["age"] >= 0]
    returned = rows["amount"] < 0
    by_customer = rows[returned].assign(amount=-rows["amount"]).groupby("customer_id")["amount"].agg(["size", "sum"])
    days = rows[~returned].groupby(["customer_id", "age"])[["amount", "quantity"]].sum().reset_index()
    for window in WINDOWS:
        days[f"orders_{window}"] = days["age"] < window
        days[f"before_{window}"] = (days["age"] >= window) & (days["age"] < 2 * window)
        days[f"monetary_{window}"] = days["amount"].where(days["age"] < window, 0.0)
    groups = days.groupby("customer_id")
    sums = groups[["amount", "quantity"] + [f"{what}_{w}" for w in WINDOWS for what in ("orders", "before", "monetary")]].sum()
    a = {column: sums[column].to_numpy(dtype=np.float64) for column in sums.columns}
    a |= {"monetary": a["amount"], "items": a["quantity"], "recency": groups["age"].min().to_numpy(dtype=np.float64), "tenure": groups["age"].max().to_numpy(dtype=np.float64),
          "days": groups.size().to_numpy(dtype=np.float64), "first": groups["amount"].last().to_numpy()}
    of_returns = by_customer.reindex(sums.index, fill_value=0)
    a |= {"return_lines": of_returns["size"].to_numpy(dtype=np.float64), "returned": of_returns["sum"].to_numpy()}
    write_features(folder, "pandas", sums.index.to_numpy(), rows_to_features(a))


def features_by_polars(folder):
    import datetime

    import numpy as np
    import polars
    from polars import col

    rows = polars.read_csv(path_of(folder, "transactions.csv"), try_parse_dates=True)
    rows = rows.with_columns(age=(polars.lit(datetime.date.fromisoformat(AS_OF)) - col("date")).dt.total_days()).filter(col("age") >= 0)
    days = rows.filter(col("amount") >= 0).group_by("customer_id", "age").agg(col("amount").sum(), col("quantity").sum())
    windows = {}
    for window in WINDOWS:
        windows[f"orders_{window}"] = (col("age") < window).sum()
        windows[f"before_{window}"] = ((col("age") >= window) & (col("age") < 2 * window)).sum()
        windows[f"monetary_{window}"] = (col("amount") * (col("age") < window)).sum()
    customers = days.group_by("customer_id").agg(recency=col("age").min(), tenure=col("age").max(), days=polars.len(), monetary=col("amount").sum(), items=col("quantity").sum(),
                                                 first=col("amount").get(col("age").arg_max()), **windows)
    returns = rows.filter(col("amount") < 0).group_by("customer_id").agg(return_lines=polars.len(), returned=-col("amount").sum())
    customers = customers.join(returns, on="customer_id", how="left").with_columns(col("return_lines", "returned").fill_null(0))
    a = {column: customers[column].to_numpy().astype(np.float64) for column in customers.columns if column != "customer_id"}
    write_features(folder, "polars", customers["customer_id"].to_numpy(), rows_to_features(a))


def stored_result(folder):
    import h5py

    with h5py.File(path_of(folder, "result.h5ad")) as file:
        names = ["customer_id", "segment_id", "second_segment", "segment_distance", "segment_margin"]
        return {"segment": file["obs/segment/codes"][:], "names": file["obs/segment/categories"][:].astype(str)}, {name: file[f"obs/{name}"][:] for name in names}


def export_by_pandas(folder):
    import pandas

    segment, columns = stored_result(folder)
    table = pandas.DataFrame(columns)
    table.insert(1, "segment", pandas.Categorical.from_codes(segment["segment"], segment["names"]))
    table.to_csv(path_of(folder, "pandas.csv"), index=False)


def export_by_polars(folder):
    import polars

    segment, columns = stored_result(folder)
    table = polars.DataFrame(columns)
    names = polars.Series(segment["names"].tolist()).gather(segment["segment"])
    table.insert_column(1, names.alias("segment")).write_csv(path_of(folder, "polars.csv"))


WORKERS = {"pandas": {"import": import_by_pandas, "features": features_by_pandas, "export": export_by_pandas},
           "polars": {"import": import_by_polars, "features": features_by_polars, "export": export_by_polars}}


def work(peer, job, folder):
    import h5py  # noqa: F401, before the clock starts

    __import__(peer)
    begin = time.perf_counter()
    WORKERS[peer][job](folder)
    print(time.perf_counter() - begin)


def run_coterie(options, job, folder):
    command = {"import": ["import", path_of(folder, "customers.csv"), "-o", path_of(folder, "import.h5ad"), "--id", "customer_id", "--outcome", "churn=Yes"],
               "features": ["features", path_of(folder, "transactions.csv"), "-o", path_of(folder, "features.h5ad"), "--as-of", AS_OF],
               "export": ["export", path_of(folder, "result.h5ad"), "--csv", path_of(folder, "coterie.csv")]}[job]
    begin = time.perf_counter()
    subprocess.run([options.coterie, *command, "--overwrite", "--threads", str(options.threads)], check=True, capture_output=True)
    return time.perf_counter() - begin


def run_peer(python, peer, job, folder, threads):
    environment = fair_environment(threads) | {"POLARS_MAX_THREADS": str(threads)}
    done = subprocess.run([python, __file__, "--worker", peer, job, folder], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(done.stdout.split()[-1])


def check(job, peer, folder):
    import h5py
    import numpy as np

    def differ(what):
        sys.exit(f"{peer} and we do not agree in {what}: not the same work")

    if job == "export":
        ours, theirs = (np.loadtxt(path_of(folder, f"{name}.csv"), delimiter=",", skiprows=1, usecols=(0, 2, 3, 4, 5), dtype=np.float32, max_rows=200_000) for name in ("coterie", peer))
        if not np.array_equal(ours, theirs):
            differ("the exported cells")
        return
    with h5py.File(path_of(folder, f"{job}.h5ad")) as ours, h5py.File(path_of(folder, f"{peer}-{job}.h5")) as theirs:
        if job == "import":
            columns = [name.decode() if isinstance(name, bytes) else name for name in ours["var/" + ours["var"].attrs["_index"]][:]]
            order = [columns.index(name) for name in [f"f{j}" for j in range(14)] + [f"region={level}" for level in ("east", "north", "south", "west")]]
            if not np.array_equal(ours["X"][:][:, order], theirs["X"][:]) or not np.array_equal(ours["obs/churn"][:], theirs["obs/churn"][:]):
                differ("the matrix")
            return
        by_id = [np.argsort(file[ids][:]) for file, ids in ((ours, "obs/customer_id"), (theirs, "ids"))]
        x, y = ours["X"][:][by_id[0]], theirs["X"][:][by_id[1]]
        if x.shape != y.shape or not np.allclose(x, y, rtol=1e-9, atol=1e-9, equal_nan=True):
            differ("the features")


def prepare(options, folder):
    write_customers(path_of(folder, "customers.csv"), options.customers)
    write_transactions(path_of(folder, "transactions.csv"), options.transactions)
    blobs = path_of(folder, "blobs.h5ad")
    subprocess.run([options.coterie, "synth", "-o", blobs, "--rows", str(2 * options.customers), "--features", "8"], check=True, capture_output=True)
    subprocess.run([options.coterie, "cluster", blobs, "-o", path_of(folder, "result.h5ad"), "--n-clusters", "8"], check=True, capture_output=True)


def measure(options, peers, folder):
    prepare(options, folder)
    results = []
    for job in JOBS:
        seconds = {name: [] for name in ("coterie", *peers)}
        for _ in range(options.rounds):
            os.sync()  # nobody waits for what the one before left to be written
            seconds["coterie"].append(run_coterie(options, job, folder))
            for peer, python in peers.items():
                os.sync()
                seconds[peer].append(run_peer(python, peer, job, folder, options.threads))
        for peer in peers:
            check(job, peer, folder)
        results.append({"job": job, "seconds": {name: statistics.median(values) for name, values in seconds.items()}})
        ours = results[-1]["seconds"]["coterie"]
        print(f"{job:>10}  " + "  ".join(f"{name} {value:.2f} s ({value / ours:.1f}x)" for name, value in results[-1]["seconds"].items()), flush=True)
    return results


def interpreter_of(peer, candidates):
    for python in candidates:
        if subprocess.run([python, "-c", f"import {peer}, h5py"], capture_output=True, check=False).returncode == 0:
            return python
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coterie", default=os.path.join(os.path.dirname(__file__), "..", "build", "release", "coterie"))
    parser.add_argument("--customers", type=int, default=1_000_000, help="of the import; twice as many are exported")
    parser.add_argument("--transactions", type=int, default=5_000_000)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(WORKERS))
    parser.add_argument("--python", help="another interpreter to look for peers in")
    parser.add_argument("--output")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker)
        return
    origin = provenance()  # of what is measured, whatever happens to the tree meanwhile
    candidates = ([options.python] if options.python else []) + [sys.executable]
    peers = {peer: python for peer in options.peers.split(",") if peer and (python := interpreter_of(peer, candidates))}
    with tempfile.TemporaryDirectory() as folder:
        results = measure(options, peers, folder)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({**origin, "versions": {peer: versions(PACKAGES[peer], python) for peer, python in peers.items()}, "threads": options.threads, "rounds": options.rounds,
                       "customers": options.customers, "transactions": options.transactions, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
