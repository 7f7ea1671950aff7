"""What a result of a bench says about where it comes from."""

import datetime
import pathlib
import platform
import subprocess


def provenance():
    """The day, the commit (with -dirty where the tree differs from it) and the system."""
    root = pathlib.Path(__file__).resolve().parent.parent
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    return {"date": datetime.date.today().isoformat(), "commit": commit, "system": platform.platform()}
