"""`python -m benchmarks simulate`: how fast studies run, and what the loop costs over bare training and inference."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from ml_backend.learners.pixels import cores
from ml_backend.learners.small_network import SmallNetwork
from ml_backend.store.arrays import ArrayStore, DiskFeatures
from simulation.datasets import DatasetError, load
from simulation.datasets.contract import Dataset, DatasetConfig
from simulation.experiment import create, progress
from simulation.running import run_here
from simulation.study import Study, Trial, parse_study
from simulation.trial import Ground, prepare, read_cycles, run_trial

TITLE = "Studies on MNIST with the small network: cycles per minute, and the loop's cost over bare training"
POOLS = (2_500, 10_000, 40_000)
WANTED = 0.10  # overhead at most


def study(pool: int, **changes: Any) -> Study:
    """Margin beside random order, 100 to 1 000 labels in steps of 100."""
    condition = {
        "dataset": {"name": "mnist", "pool": pool, "test": 10_000},
        "learner": {"name": "small_network", "config": {"held_out": 0}},
        "initial": 100,
        "step": 100,
        "budget": 1000,
    }
    methods = {name: {"scorers": [{"name": name}]} for name in ("random", "margin")}
    return parse_study({"methods": methods, "conditions": {"mnist": {**condition, **changes}}, "seeds": 1})


def run() -> dict[str, Any]:
    """rows: per pool size the CPU seconds of a cycle, of training and inference alone, the overhead, and the share of
    ranking; and cycles per minute of both methods side by side on all cores."""
    try:
        dataset = load(DatasetConfig(name="mnist"))
    except DatasetError as error:
        return {"skipped": str(error)}
    rows = [overhead(dataset, pool) for pool in POOLS]
    slope = np.polyfit(np.log([row["pool"] for row in rows]), np.log([row["cycle_cpu_seconds"] for row in rows]), 1)[0]
    return {
        "rows": rows,
        "growth_exponent": round(float(slope), 2),
        "cycles_per_minute": cycles_per_minute(),
        "processes": cores(),
        "wanted_overhead": WANTED,
        "reached": all(row["overhead"] < WANTED for row in rows),
    }


def overhead(dataset: Dataset, pool: int) -> dict[str, Any]:
    """CPU seconds, one thread, of a trial's cycles and of the same trainings and inferences without the loop."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        given = study(pool, initial=400, step=200, budget=1000)
        start = prepare(given, Trial("mnist", "margin", 0), dataset, DiskFeatures(ArrayStore(f"{folder}/features")))
        _bare(start, start.initial)  # imports and warms up
        began = time.process_time()
        run_trial(start, Path(folder) / "trial.jsonl")
        ours = time.process_time() - began
        cycles = read_cycles(Path(folder) / "trial.jsonl")
        labeled, bare = start.initial, 0.0
        for cycle in cycles:
            began = time.process_time()
            _bare(start, labeled)
            bare += time.process_time() - began
            labeled = np.sort(np.concatenate([labeled, np.array(cycle.chosen, dtype=np.int64)]))
    ranking = sum(cycle.seconds.get("rank", 0.0) for cycle in cycles)
    return {
        "pool": pool,
        "cycle_cpu_seconds": round(ours / len(cycles), 3),
        "bare_cpu_seconds": round(bare / len(cycles), 3),
        "overhead": round(ours / bare - 1, 4),
        "ranking_share": round(ranking / sum(sum(cycle.seconds.values()) for cycle in cycles), 4),
    }


def _bare(start: Ground, labeled: Any) -> None:
    """Training on the labels, inference on pool and test images: torch and nothing of the loop."""
    from ml_backend.learners import network as net
    from ml_backend.learners.pictures import Augmentation, Pictures
    from ml_backend.learners.training import Schedule, train

    learner = start.learner
    if not isinstance(learner, SmallNetwork):
        raise TypeError("the benchmark's study trains the small network")
    config, data = learner.config, start.dataset
    waiting = np.setdiff1d(start.parts.pool, labeled, assume_unique=True)
    parts = [data.images.take(items) for items in (labeled, waiting, start.parts.test)]
    side, mode = learner.look(parts[0])
    known, pool, test = (Pictures(images, side, mode) for images in parts)
    schedule = Schedule(
        config.epochs,
        learner.batch(len(labeled)),
        config.rate,
        config.momentum,
        config.decay,
        Augmentation(config.crop, config.flip),
        adaptive=learner.adaptive,
        compile_from=None,
    )
    with net.seeded(0):
        network = learner.build(len(data.classes), side, mode)
        learner.start(network, known)
        train(network, known, data.labels[labeled], np.arange(len(labeled)), schedule, 0, lambda _: None)
    net.infer(network, pool)
    net.infer(network, test)


def cycles_per_minute() -> float:
    """Of a whole study, two trials side by side, imports and start included."""
    with tempfile.TemporaryDirectory() as folder:
        home, given = Path(folder) / "study", study(10_000)
        create(home, given)
        began = time.perf_counter()
        states = run_here(home, given, processes=cores(), until=None, console=Console(quiet=True))
        seconds = time.perf_counter() - began
        if any(not state.finished for state in states):
            raise RuntimeError(f"The study did not finish: {[state.error for state in progress(home, given)]}")
    return round(60 * sum(state.cycles for state in states) / seconds, 1)
