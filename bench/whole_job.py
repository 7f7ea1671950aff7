#!/usr/bin/python3
"""The whole job on synthetic customers, file in, labels and profiles out, stage by stage, beside the same job in scikit-learn and numpy.

    bench/whole_job.py [--rows 2000000] [--features 32] [--n-clusters 8] [--memory 4G] [--rounds 3] [--no-peer] [--output FILE.json]

Stages: read (open, check, survey, standardise and measure what the file holds), fit (20 iterations of k-means from the same start),
predict (the two nearest segments of every customer and the distances to them), write (profiles of all columns by segment, the columns of
the customers, the file). The peer describes segments by means, deviations, shares of zeros and three quantiles, and writes gzip columns.
Both are asked in turn, each in a process of its own, from the same file in the page cache. The answer is checked: sizes must add up, a
run with another thread count must give the same digest, and both must end at the same inertia up to float32 rounding.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from provenance import fair_environment, provenance, require_fast_blas, versions

MAX_ITER = 20
STAGES = ("read", "fit", "predict", "write", "whole process")
INERTIA_TOLERANCE = 1e-3  # relative; the peer sums in float32


def run(*command, environment=None):
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True, env=environment).stdout


def timed(job):
    begin = time.perf_counter()
    answer = job()
    answer["seconds"]["whole process"] = time.perf_counter() - begin
    return answer


def run_coterie(options, folder, threads):
    return json.loads(run(options.coterie, "cluster", os.path.join(folder, "customers.h5ad"), "-o", os.path.join(folder, "result.h5ad"), "--overwrite",
                          "--n-clusters", options.n_clusters, "--init", os.path.join(folder, "start.h5:/start"), "--n-init", 1, "--max-iter", MAX_ITER,
                          "--tol", 0, "--transform", "zscore", "--memory", options.memory, "--threads", threads, "--device", options.device, "--json"))


def run_peer(options, folder):
    return json.loads(run(sys.executable, __file__, "--worker", folder, environment=fair_environment(options.threads)))


def write_start(folder, n_clusters):
    """Some customers, standardised."""
    import h5py
    import numpy as np

    with h5py.File(os.path.join(folder, "customers.h5ad")) as file:
        x = file["X"][:]
    rows = x[np.random.default_rng(1).choice(len(x), n_clusters, replace=False)].astype(np.float64)
    with h5py.File(os.path.join(folder, "start.h5"), "w") as file:
        file["start"] = ((rows - x.mean(axis=0, dtype=np.float64)) / x.std(axis=0, dtype=np.float64)).astype(np.float32)


def work(folder):
    """The peer's job; prints of it what we compare."""
    import h5py
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

    seconds, begin = {}, time.perf_counter()

    def end(stage):
        nonlocal begin
        now = time.perf_counter()
        seconds[stage], begin = now - begin, now

    with h5py.File(os.path.join(folder, "start.h5")) as file:
        start = file["start"][:]
    begin = time.perf_counter()
    with h5py.File(os.path.join(folder, "customers.h5ad")) as file:
        x, ids = file["X"][:], file["obs/" + file["obs"].attrs["_index"]][:]
    z = StandardScaler().fit_transform(x)
    end("read")
    model = KMeans(len(start), init=start, n_init=1, max_iter=MAX_ITER, tol=0, algorithm="lloyd").fit(z)
    end("fit")
    distances = model.transform(z)
    two = np.argpartition(distances, 1, axis=1)[:, :2]
    near, next_near = np.sort(np.take_along_axis(distances, two, axis=1), axis=1).T
    second = np.where(two[:, 0] == model.labels_, two[:, 1], two[:, 0])
    end("predict")
    profile = {}
    for segment in range(len(start)):  # several times as fast as pandas' groupby
        rows = x[model.labels_ == segment]
        described = [rows.mean(axis=0), rows.std(axis=0, ddof=1), (rows == 0).mean(axis=0), *np.quantile(rows, (0.1, 0.5, 0.9), axis=0)]
        profile[segment] = np.array(described)
    columns = {"id": ids, "segment": model.labels_, "second": second.astype(np.int32), "distance": near, "margin": (next_near - near) / next_near}
    with h5py.File(os.path.join(folder, "peer.h5"), "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values, chunks=(65536,), compression="gzip", compression_opts=1, shuffle=True)
        for segment, described in profile.items():
            file[f"profile/{segment}"] = described
    end("write")
    print(json.dumps({"seconds": seconds, "inertia": float(model.inertia_)}))


def check(options, answer, folder):
    if sum(answer["sizes"]) != options.rows or answer["sha256"] != run_coterie(options, folder, options.threads + 1)["sha256"]:
        sys.exit("wrong answer: sizes do not add up, or the digest depends on the number of threads")


def measure(options, folder):
    run(options.coterie, "synth", "-o", os.path.join(folder, "customers.h5ad"), "--rows", options.rows, "--features", options.features, "--personas",
        options.n_clusters, "--seed", 1)
    write_start(folder, options.n_clusters)
    jobs = {"coterie": lambda: run_coterie(options, folder, options.threads)}
    if not options.no_peer:
        jobs["scikit-learn and numpy"] = lambda: run_peer(options, folder)
    answers = {name: [] for name in jobs}
    for _ in range(options.rounds):
        for name, job in jobs.items():
            answers[name].append(timed(job))
    check(options, answers["coterie"][0], folder)
    for name, of_name in answers.items():
        if abs(of_name[0]["inertia"] / answers["coterie"][0]["inertia"] - 1) > INERTIA_TOLERANCE:
            sys.exit(f"{name} ends at inertia {of_name[0]['inertia']}, we at {answers['coterie'][0]['inertia']}: not the same work")
    return {name: {stage: statistics.median(answer["seconds"][stage] for answer in of_name) for stage in STAGES} for name, of_name in answers.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coterie", default=os.path.join(os.path.dirname(__file__), "..", "build", "release", "coterie"))
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--n-clusters", type=int, default=8)
    parser.add_argument("--memory", default="4G")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true", help="our job alone")
    parser.add_argument("--output")
    parser.add_argument("--worker", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    if not options.no_peer:
        require_fast_blas()
    origin = provenance()  # of what is measured, whatever happens to the tree meanwhile
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(options, folder)
    print(f"{options.rows} x {options.features}, {options.n_clusters} segments, {MAX_ITER} iterations, --memory {options.memory}, {options.threads} threads, "
          f"median of {options.rounds} rounds")
    for stage in STAGES:
        ours = seconds["coterie"][stage]
        others = "".join(f"  {name} {of_name[stage]:7.3f} s ({of_name[stage] / ours:.1f}x)" for name, of_name in seconds.items() if name != "coterie")
        print(f"{stage:>14}  {ours:7.3f} s  {options.rows / ours / 1e6:8.2f} M rows/s{others}")
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({**origin, "versions": versions(["scikit-learn", "numpy", "h5py"]), "threads": options.threads, "rounds": options.rounds,
                       "rows": options.rows, "columns": options.features, "segments": options.n_clusters, "max_iter": MAX_ITER, "memory": options.memory, "seconds": seconds}, file, indent=1)


if __name__ == "__main__":
    main()
