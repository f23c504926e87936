"""Boxes of many images, which come in any order, as one `Found`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.detector import Found

Part = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


class Gathering:
    """Takes the boxes of each of n images, by falling score, and gives them all in the order of the images."""

    def __init__(self, images: int, classes: int) -> None:
        self._parts: list[Part | None] = [None] * images
        self._classes = classes

    def put(
        self, item: int, box: NDArray[Any], score: NDArray[Any], label: NDArray[Any], probabilities: NDArray[Any]
    ) -> None:
        """Of one image: (k, 4), (k,), (k,) and (k, C)."""
        self._parts[item] = (box, score, label, probabilities)

    def found(self) -> Found:
        parts = [(item, part) for item, part in enumerate(self._parts) if part is not None]
        if not parts:
            return replace(Found.nothing(), probabilities=np.zeros((0, self._classes), dtype=np.float32))
        counts = [len(part[1]) for _, part in parts]
        box, score, label, probabilities = (np.concatenate([part[column] for _, part in parts]) for column in range(4))
        return Found(
            np.repeat([item for item, _ in parts], counts).astype(np.int64),
            box.astype(np.float32).reshape(-1, 4),
            score.astype(np.float32),
            label.astype(np.int64),
            probabilities.astype(np.float32),
        )
