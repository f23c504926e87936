"""scikit-activeml and baal doing the same, in packages of their own that NextLabel's environment never sees.

`install()` puts them into a cache folder; `measure()` runs this file there, on arrays in .npy files, and reads JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = (
    *("scikit-activeml==1.0.1", "makefun==1.16.0", "baal==2.1.0"),
    *("tqdm==4.67.1", "torchmetrics==1.8.2", "lightning-utilities==0.15.2"),  # what importing baal needs beside torch
)
FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nextlabel-benchmarks" / "peers"


def install() -> str | None:
    """Puts PACKAGES into FOLDER unless they are there; a sentence on what went wrong, or None."""
    stamp, wanted = FOLDER / "installed", "\n".join((sys.version, *PACKAGES))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return None
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(FOLDER)]
    done = subprocess.run([*command, *PACKAGES], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return f"The peers could not be installed into {FOLDER}: {last}"
    stamp.write_text(wanted, encoding="utf-8")
    return None


def measure(task: str, folder: Path, limit: float, **options: Any) -> list[dict[str, Any]]:
    """The rows of a task ('scores' or 'core_set') on the arrays in `folder`, or one row that says why there is none."""
    command = [sys.executable, __file__, task, str(folder), json.dumps(options)]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER), "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return [{"by": "peers", "what": task, "note": f"stopped after {limit:.0f} s"}]
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [{"by": "peers", "what": task, "note": last}]
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def best_of(work: Callable[[], Any], repeats: int = 3, enough: float = 2.0) -> float:
    """Seconds of the fastest of at most `repeats` runs; one is enough where it takes `enough` seconds."""
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < enough:
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _scores(folder: Path) -> list[dict[str, Any]]:
    probabilities = np.load(folder / "probabilities.npy")
    pool = importlib.import_module("skactiveml.pool")
    heuristics = importlib.import_module("baal.active.heuristics")
    methods = {"entropy": "entropy", "margin": "margin_sampling", "least_confidence": "least_confident"}
    classes = {"entropy": "Entropy", "margin": "Margin", "least_confidence": "Certainty"}
    rows = []
    for what, method in methods.items():
        seconds = best_of(lambda m=method: pool.uncertainty_scores(probabilities, method=m))  # type: ignore[misc]  # bound now
        rows.append({"by": "scikit-activeml", "what": what, "seconds": seconds})
        heuristic = getattr(heuristics, classes[what])()
        seconds = best_of(lambda h=heuristic: h.compute_score(probabilities.copy()))  # type: ignore[misc]  # bound now
        rows.append({"by": "baal", "what": what, "seconds": seconds})
    passes = folder / "passes.npy"
    if passes.is_file():
        drawn = np.load(passes)  # (N, C, M)
        seconds = best_of(lambda: heuristics.BALD().compute_score(drawn.copy()))
        rows.append({"by": "baal", "what": "bald", "seconds": seconds, "note": f"from {drawn.shape[2]} passes"})
    return rows


def _core_set(folder: Path, budget: int) -> list[dict[str, Any]]:
    points = np.load(folder / "points.npy")
    core_set = importlib.import_module("skactiveml.pool").CoreSet(random_state=0)
    labels = np.full(len(points), np.nan)
    labels[0] = 0
    began = time.perf_counter()
    order = core_set.query(points, labels, batch_size=budget)
    return [{"by": "scikit-activeml", "seconds": time.perf_counter() - began, "order": order.tolist()}]


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its modules are no packages of the peers
    tasks: dict[str, Callable[..., list[dict[str, Any]]]] = {"scores": _scores, "core_set": _core_set}
    print(json.dumps(tasks[sys.argv[1]](Path(sys.argv[2]), **json.loads(sys.argv[3]))))
