#!/usr/bin/python3
"""Logistic regressions beside scikit-learn: the same rows, penalty (L2, C = 1) and threads, one after another in turn.

    bench/logistic_regression_peers.py [--build build/release] [--rounds 3] [--shapes 1000000x16,...] [--output FILE]

Times whole fits, ours to a gradient that is not larger than the peer's: scikit-learn's newton-cholesky stands beside ours to
1e-10, its lbfgs, which ends earlier whatever its tol, beside ours to the default. The answer is checked: log-losses must agree
to 1e-6. Prints seconds (median over rounds) and the ratio scikit-learn / coterie taken round by round, by the clock and by
processor time, which a busy machine disturbs less, and the price of four outcomes in the same sweeps over one: in memory, and
from a gzip file that does not fit into --memory, where every sweep reads it anew; there the first of four outcomes must have the
coefficients that it has alone. scikit-learn comes from Debian (python3-sklearn with libopenblas0-pthread).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

from provenance import fair_environment, provenance, require_fast_blas, versions

SHAPES = "1000000x16,500000x64,100000x128"
THREADS = 2  # of the bench
LOSS_TOLERANCE = 1e-6  # relative
SOLVERS = {"newton-cholesky": (1e-6, 10), "lbfgs": (1e-12, 6)}  # their tol, and the digits of our own
STREAMED = {"rows": 2000000, "features": 32, "memory": "192M"}  # 256 MB of cells


def loss_and_gradient(rows, outcome, coefficients, intercept):
    """Objective of scikit-learn and the largest absolute entry of its gradient."""
    import numpy as np

    eta = rows @ coefficients + intercept
    error = 1 / (1 + np.exp(-eta)) - outcome
    loss = float(np.sum(np.logaddexp(0, eta) - outcome * eta) + coefficients @ coefficients / 2)
    return loss, float(max(np.max(np.abs(rows.T @ error + coefficients)), abs(error.sum())))


def time_sklearn(rows, outcome, solver, tol):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver=solver, tol=tol, max_iter=1000)
    started, used = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, outcome)
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    return seconds, processor, loss_and_gradient(rows, outcome, model.coef_[0], model.intercept_[0])


def time_coterie(build, folder, n, d, targets, inference=0, digits=6):
    name = f"rows:{n}/columns:{d}/targets:{targets}/inference:{inference}/digits:{digits}/"
    command = [f"{build}/bench/logistic_regression_bench", f"--benchmark_filter={name}", "--benchmark_format=json", "--benchmark_min_time=0.5"]
    output = subprocess.run(command, env={**os.environ, "COTERIE_BENCH_ROWS": folder}, check=True, capture_output=True).stdout
    result = json.loads(output)["benchmarks"][0]
    if "error_message" in result:
        sys.exit(f"{name} {result['error_message']}")
    return {"seconds": result["real_time"] / 1e3, "cpu": result["cpu_time"] / 1e3, "gradient": result["gradient"], "loss": result["loss"]}


def compare(arguments, folder, n, d):
    import numpy as np

    lines = []
    for _ in range(arguments.rounds):
        ours, four = (time_coterie(arguments.build, folder, n, d, targets) for targets in (1, 4))
        full = time_coterie(arguments.build, folder, n, d, 1, inference=1)
        rows = np.fromfile(f"{folder}/{n}x{d}.f32", np.float32).reshape(n, d).astype(np.float64)
        outcome = np.fromfile(f"{folder}/{n}x{d}.i8", np.int8).reshape(n, 4)[:, 0].astype(np.float64)
        line = {"coterie seconds": ours["seconds"], "with standard errors": full["seconds"]}
        for solver, (tol, digits) in SOLVERS.items():
            beside = time_coterie(arguments.build, folder, n, d, 1, digits=digits)
            seconds, processor, (loss, gradient) = time_sklearn(rows, outcome, solver, tol)
            if abs(loss - beside["loss"]) > LOSS_TOLERANCE * loss:
                sys.exit(f"{n}x{d}: {solver} ends at {loss}, coterie at {beside['loss']}")
            if beside["gradient"] > gradient:
                sys.exit(f"{n}x{d}: {solver} ends at a gradient of {gradient}, coterie at {beside['gradient']}")
            line |= {f"{solver} seconds": seconds, f"{solver} ratio": seconds / beside["seconds"],
                     f"{solver} cpu ratio": processor / beside["cpu"], f"{solver} gradient": gradient, f"{solver} our gradient": beside["gradient"]}
        line |= {"four over one": four["seconds"] / ours["seconds"], "four over one cpu": four["cpu"] / ours["cpu"]}
        lines.append(line)
    return {key: statistics.median(line[key] for line in lines) for key in lines[0]}


def run_coterie(arguments, *command):
    """What it printed, and the processor seconds that it took."""
    before = os.times()
    done = subprocess.run([f"{arguments.build}/coterie", *map(str, command)], check=True, capture_output=True, text=True)
    after = os.times()
    return done.stdout, after.children_user + after.children_system - before.children_user - before.children_system


def stream(arguments, folder):
    """The price of four outcomes over one from a file that is read and unzipped in every sweep."""
    path, names = f"{folder}/streamed.h5ad", ["a", "b", "c", "d"]
    run_coterie(arguments, "synth", "-o", path, "--rows", STREAMED["rows"], "--features", STREAMED["features"], "--outcomes", ",".join(names), "--compressed")
    lines = []
    for _ in range(arguments.rounds):
        seconds, processor, first = {}, {}, {}
        for targets in (1, 4):
            out, processor[targets] = run_coterie(arguments, "propensity", path, "--target", ",".join(names[:targets]), "--calibration", "none",
                                                  "--holdout", 0, "--memory", STREAMED["memory"], "--threads", THREADS, "--json")
            result = json.loads(out)
            seconds[targets], first[targets] = result["seconds"]["fit"], result.get("targets", [result])[0]["coef"]
        if first[1] != first[4]:
            sys.exit("the coefficients of an outcome depend on those beside it")
        lines.append({"one outcome seconds": seconds[1], "four over one": seconds[4] / seconds[1], "four over one cpu": processor[4] / processor[1]})
    return STREAMED | {key: statistics.median(line[key] for line in lines) for key in lines[0]}


def show(line):
    print("\n".join(f"{key:28}{value if isinstance(value, str) else format(value, '12.4g')}" for key, value in line.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    origin = provenance()  # of what is measured, whatever happens to the tree meanwhile
    if os.environ.get("OPENBLAS_CORETYPE") is None:  # OpenBLAS reads it when it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], fair_environment(THREADS))
    require_fast_blas()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for shape in arguments.shapes.split(","):
            results.append({"shape": shape} | compare(arguments, folder, *map(int, shape.split("x"))))
            show(results[-1])
        streamed = stream(arguments, folder)
        show(streamed)
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            json.dump({**origin, "versions": {"sklearn": versions(["scikit-learn", "numpy", "scipy"])},
                       "openblas_coretype": os.environ["OPENBLAS_CORETYPE"], "threads": THREADS, "rounds": arguments.rounds,
                       "results": results, "streamed": streamed}, file, indent=1)


if __name__ == "__main__":
    main()
