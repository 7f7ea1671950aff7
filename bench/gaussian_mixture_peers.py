#!/usr/bin/python3
"""Gaussian mixtures beside their peers: the same rows, start, iterations and threads, one after another in turn.

    bench/gaussian_mixture_peers.py [--bench build/release/bench/gaussian_mixture_bench] [--rounds 3] [--shapes 200000x16x8,...]
                                    [--python VENV/bin/python] [--output bench/results/NAME.json]

One iteration is one E-step and one M-step. Prints nanoseconds per row (median over rounds) and the ratio peer / coterie
taken round by round, by the clock and by processor time, which a busy machine disturbs less. The answer is checked: after
up to five iterations all must have reached the same mean log-likelihood. scikit-learn comes from Debian (python3-sklearn
with libopenblas0-pthread). scikit-learn-intelex has no mixture of scikit-learn's kind, but daal4py beneath it has one with
full and diagonal covariances; it is asked where the interpreter of --python can import it.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from provenance import fair_environment, provenance, require_fast_blas, versions

SHAPES = "200000x16x8,100000x32x16,50000x64x16,1000000x64x64"
TYPES = ("full", "tied", "diag", "spherical")  # in the order of CovarianceType
ITERATIONS = 5
THREADS = 2  # of the bench
BOUND_TOLERANCE = 5 * 1e-3 / 20  # five sweeps, each within a twentieth of the default tol


def plain_start(rows, kind, k):
    import numpy as np

    d = rows.shape[1]
    precisions = {"full": np.stack([np.eye(d)] * k), "tied": np.eye(d), "diag": np.ones((k, d)), "spherical": np.ones(k)}
    return {"weights_init": np.full(k, 1 / k), "means_init": rows[:k], "precisions_init": precisions[kind]}


def time_sklearn(rows, kind, k):
    """Seconds and processor seconds of the fastest iteration, and all lower bounds."""
    import numpy as np
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(k, covariance_type=kind, init_params="random", **plain_start(rows, kind, k))
    model._initialize_parameters(rows, np.random.RandomState(0))
    seconds, processor, bounds = [], [], []
    for _ in range(ITERATIONS):
        started, used = time.perf_counter(), time.process_time()
        bound, log_resp = model._e_step(rows)
        model._m_step(rows, log_resp)
        bounds.append(float(bound))
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return min(seconds), min(processor), bounds


def fit_daal(path, n, d, k, kind):
    """Of an iteration: a whole fit over their number, for there is nothing less."""
    import daal4py
    import numpy as np

    daal4py.daalinit(THREADS)
    rows = np.fromfile(path, np.float32).reshape(n, d).astype(np.float64)
    covariances = [np.eye(d) if kind == "full" else np.ones((1, d)) for _ in range(k)]
    engine = daal4py.em_gmm(nComponents=k, maxIterations=ITERATIONS, accuracyThreshold=0.0, regularizationFactor=0.0,
                            covarianceStorage={"full": "full", "diag": "diagonal"}[kind])
    started, used = time.perf_counter(), time.process_time()
    result = engine.compute(rows, np.full((1, k), 1 / k), rows[:k].copy(), covariances)
    seconds, processor_seconds = time.perf_counter() - started, time.process_time() - used
    if result.nIterations.item() != ITERATIONS:
        sys.exit(f"daal4py stopped after {result.nIterations.item()} iterations")
    return seconds / ITERATIONS, processor_seconds / ITERATIONS, result.goalFunction.item() / n


def time_daal(python, path, shape, kind):
    command = [python, __file__, "--worker", path, *map(str, shape), kind]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def time_coterie(bench, folder, n, d, k, kind):
    name = f"rows:{n}/columns:{d}/components:{k}/type:{TYPES.index(kind)}/"
    command = [bench, f"--benchmark_filter={name}", "--benchmark_format=json", "--benchmark_min_time=0.5"]
    output = subprocess.run(command, env={**os.environ, "COTERIE_BENCH_ROWS": folder}, check=True, capture_output=True).stdout
    result = json.loads(output)["benchmarks"][0]
    if "error_message" in result:
        sys.exit(f"{name} {result['error_message']}")
    return result["real_time"] / 1e3, result["cpu_time"] / 1e3, int(result["checked_iteration"]), result["checked_bound"]


def compare(arguments, folder, shape, kind):
    import numpy as np

    n, d, k = shape
    lines = {"coterie": [], "sklearn": [], "daal4py": []}  # seconds, processor seconds
    for _ in range(arguments.rounds):
        ours = time_coterie(arguments.bench, folder, n, d, k, kind)
        rows = np.fromfile(f"{folder}/{n}x{d}x{k}.f32", np.float32).reshape(n, d).astype(np.float64)
        theirs = time_sklearn(rows, kind, k)
        if abs(ours[3] - theirs[2][ours[2] - 1]) > BOUND_TOLERANCE:
            sys.exit(f"{shape} {kind}: coterie reaches {ours[3]}, scikit-learn {theirs[2][ours[2] - 1]}")
        lines["coterie"].append(ours[:2])
        lines["sklearn"].append(theirs[:2])
        if arguments.python and kind in ("full", "diag"):
            *seconds, bound = time_daal(arguments.python, f"{folder}/{n}x{d}x{k}.f32", shape, kind)
            if abs(bound - theirs[2][-1]) > BOUND_TOLERANCE:
                sys.exit(f"{shape} {kind}: daal4py reaches {bound}, scikit-learn {theirs[2][-1]}")
            lines["daal4py"].append(seconds)
    lines = {engine: times for engine, times in lines.items() if times}
    ratios = [{peer: statistics.median(theirs[i] / ours[i] for theirs, ours in zip(times, lines["coterie"]))
               for peer, times in lines.items() if peer != "coterie"} for i in range(2)]
    return {"ns_per_row": {engine: statistics.median(seconds / n * 1e9 for seconds, _ in times) for engine, times in lines.items()},
            "ratio": ratios[0], "cpu_ratio": ratios[1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/gaussian_mixture_bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--python", help="another interpreter to look for daal4py in")
    parser.add_argument("--output")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        path, n, d, k, kind = arguments.worker
        return print(json.dumps(fit_daal(path, int(n), int(d), int(k), kind)))
    origin = provenance()  # of what is measured, whatever happens to the tree meanwhile
    if os.environ.get("OPENBLAS_CORETYPE") is None:  # OpenBLAS reads it when it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], fair_environment(THREADS))
    require_fast_blas()
    if arguments.python and subprocess.run([arguments.python, "-c", "import daal4py"], capture_output=True, check=False).returncode != 0:
        print(f"{arguments.python} cannot import daal4py, which is left out")
        arguments.python = None
    of_peers = {"sklearn": versions(["scikit-learn", "numpy", "scipy"])}
    if arguments.python:
        of_peers["daal4py"] = versions(["daal4py", "scikit-learn-intelex", "numpy"], arguments.python)
    print(f"{'rows x columns x components':30}{'type':>10}  nanoseconds per row | ratio | ratio of processor time")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for shape in (tuple(map(int, re.split("x", text))) for text in arguments.shapes.split(",")):
            for kind in TYPES if shape[0] < 1000000 else ("diag",):
                name = "x".join(map(str, shape))
                measured = compare(arguments, folder, shape, kind)
                print(f"{name:30}{kind:>10}  " + " | ".join("  ".join(f"{engine} {value:.1f}" for engine, value in values.items())
                                                           for values in measured.values()), flush=True)
                results.append({"shape": name, "covariance_type": kind} | measured)
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            json.dump({**origin, "versions": of_peers, "openblas_coretype": os.environ["OPENBLAS_CORETYPE"], "threads": THREADS,
                       "rounds": arguments.rounds, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
