"""`python -m benchmarks learners`: what the frozen learner reaches on MNIST without any download, and how fast."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_backend.learners.contract import Images
from ml_backend.learners.frozen import Frozen, FrozenConfig
from ml_backend.store.arrays import ArrayStore, DiskFeatures

TITLE = "Patch features and linear head on MNIST: accuracy on the test set by random labels, 5 seeds"
DIGITS = tuple("0123456789")
LABELS = (100, 300, 1000)
WANTED = 0.95  # at 1 000 labels


def run(train: int = 10_000, test: int = 10_000, seeds: int = 5) -> dict[str, Any]:
    """rows: per number of labels mean, lowest and highest test accuracy, the mean of the learner's own estimate, and
    seconds of a fit. train, test: images used. Without the data, one line that says so."""
    data = Path(os.environ.get("NEXTLABEL_DATA", "../shared/data")) / "mnist" / "mnist.npz"
    if not data.is_file():
        return {"skipped": f"{data} is absent; set NEXTLABEL_DATA to a folder with mnist/mnist.npz"}
    with np.load(data) as archive:
        parts = {name: archive[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    with tempfile.TemporaryDirectory() as folder:
        pool, labels = _written(parts["x_train"], parts["y_train"], train, Path(folder) / "train")
        seen_by_nobody, truth = _written(parts["x_test"], parts["y_test"], test, Path(folder) / "test")
        store = DiskFeatures(ArrayStore(str(Path(folder) / "store")))
        learner = Frozen(FrozenConfig(features="patches"))
        began = time.perf_counter()
        _, sentence = learner.embed(pool, store)
        embed_seconds = time.perf_counter() - began
        rows = [_row(learner, store, n, (pool, labels), (seen_by_nobody, truth), seeds) for n in LABELS]
    return {
        "rows": rows,
        "features": sentence,
        "images": train,
        "embed_seconds": round(embed_seconds, 2),
        "wanted": WANTED,
        "reached": rows[-1]["mean"] >= WANTED,
    }


def _row(
    learner: Frozen,
    store: DiskFeatures,
    n: int,
    known: tuple[Images, NDArray[np.int64]],
    unknown: tuple[Images, NDArray[np.int64]],
    seeds: int,
) -> dict[str, Any]:
    (pool, labels), (images, truth) = known, unknown
    accuracies, estimates, seconds = [], [], []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(pool))
        began = time.perf_counter()
        fit = learner.fit(
            _part(pool, order[:n]), labels[order[:n]], _part(pool, order[n:]), DIGITS, store=store, seed=seed
        )
        seconds.append(time.perf_counter() - began)
        accuracies.append(float((learner.predict(fit.model, images, store).argmax(axis=1) == truth).mean()))
        estimates.append(fit.accuracy.value if fit.accuracy else float("nan"))
    return {
        "labels": n,
        "mean": round(float(np.mean(accuracies)), 4),
        "lowest": round(min(accuracies), 4),
        "highest": round(max(accuracies), 4),
        "own_estimate": round(float(np.mean(estimates)), 4),
        "fit_seconds": round(float(np.median(seconds)), 2),
    }


def _part(images: Images, items: NDArray[np.int64]) -> Images:
    return Images([images.contents[i] for i in items], [images.paths[i] for i in items])


def _written(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], n: int, folder: Path
) -> tuple[Images, NDArray[np.int64]]:
    """n images drawn at random (seed 0), as PNG files, and their labels."""
    folder.mkdir(parents=True)
    items = np.random.default_rng(0).permutation(len(pixels))[:n]
    paths = [folder / f"{item}.png" for item in items]
    for item, path in zip(items, paths, strict=True):
        Image.fromarray(pixels[item]).save(path)
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return Images(contents, paths), labels[items].astype(np.int64)


if __name__ == "__main__":
    from rich.console import Console

    from benchmarks.record import run as record

    record("learners", Console())
