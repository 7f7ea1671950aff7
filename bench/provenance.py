"""What a result of a bench says about where it comes from, and how peers are asked fairly."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys


def cpu(field):
    """A field of /proc/cpuinfo, of the first core; "" where there is none."""
    with open("/proc/cpuinfo", encoding="ascii") as info:
        found = re.search(rf"^{field}\s*: (.*)$", info.read(), re.MULTILINE)
    return found.group(1) if found else ""


def provenance():
    """The day, the commit (with -dirty where the tree differs from it), the system and its processor."""
    root = pathlib.Path(__file__).resolve().parent.parent
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    return {"date": datetime.date.today().isoformat(), "commit": commit, "system": platform.platform(), "cpu": cpu("model name"),
            "cpu_family": cpu("cpu family"), "cpu_model": cpu("model")}  # names of virtual machines say little


def fair_environment(threads):
    """Debian's OpenBLAS does not know every processor; unnamed, it may fall back to a kernel without AVX."""
    core = "SkylakeX" if "avx512f" in cpu("flags").split() else "Haswell"
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, "OPENBLAS_CORETYPE": core, **limits}


def require_fast_blas(python=sys.executable):
    """Ends where an interpreter's numpy multiplies by the reference BLAS, which takes several times as long as what people use."""
    loaded = "import numpy.linalg; print(open('/proc/self/maps').read())"
    maps = subprocess.run([python, "-c", loaded], check=True, capture_output=True, text=True).stdout
    if not re.search("openblas|mkl", maps):
        sys.exit(f"{python} has numpy without OpenBLAS or MKL, which would flatter us. On Debian: apt-get install libopenblas0-pthread.")


def versions(packages, python=sys.executable):
    """Of Python and of those packages that an interpreter has."""
    if python != sys.executable:
        command = [python, "-c", f"import json, provenance; print(json.dumps(provenance.versions({list(packages)!r})))"]
        return json.loads(subprocess.run(command, cwd=pathlib.Path(__file__).parent, check=True, capture_output=True, text=True).stdout)
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found
