#!/usr/bin/python3
"""Runs reading_bench, the stages of a sweep over a file, and keeps what it found beside where that comes from.

    bench/reading_stages.py [--bench build/release/bench/reading_bench] [--output bench/results/reading-MACHINE-DATE.json]

Files lie in TMPDIR, which should be on a disk: rows that stay in memory are not read from a cold file.
"""
import argparse
import json
import subprocess
import sys

from provenance import provenance

COUNTERS = ("bytes_ms", "cells_ms", "transform_ms", "sweep_ms", "whole/sum", "whole/bound", "GB/s")


def case_of(measured):
    """One result of reading_bench, whose label says what was read."""
    if "error_message" in measured:
        sys.exit(f"{measured['name']}: {measured['error_message']}")
    kind, layout, cold = measured["label"].split(", ")
    return {"type": kind, "layout": layout, "cold": cold == "cold", **{name: measured[name] for name in COUNTERS}, "whole_ms": measured["real_time"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/reading_bench")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    origin = provenance()  # of what is measured, whatever happens to the tree meanwhile
    done = subprocess.run([arguments.bench, "--benchmark_format=json"], check=True, capture_output=True, text=True)
    measured = json.loads(done.stdout)["benchmarks"]
    results = [case_of(one) for one in measured]
    for result in results:
        print(result)
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            json.dump({**origin, "threads": int(measured[0]["workers"]), "rows": int(measured[0]["rows"]), "columns": int(measured[0]["columns"]), "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
