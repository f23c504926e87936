"""What a data set of boxes is: images, of videos or alone, on which every true box is known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.loop.box_pool import Frames
from simulation.datasets.contract import DatasetError, Ints


@dataclass(frozen=True, eq=False)
class BoxDataset:
    """n images in files and their boxes.

    frames: size (n, 2) px, video (n,) and frame number (n,). boxes: those of all n images, in order of their image.
    test: ascending positions of the official test part; None if there is none. in_videos: whether images are frames of
    videos; where not, each is a video of its own. note: caveats, in a sentence or two.
    """

    name: str
    images: Images
    frames: Frames
    boxes: LabeledBoxes
    classes: tuple[str, ...]
    test: Ints | None
    in_videos: bool
    note: str = ""

    def __post_init__(self) -> None:
        n = len(self.images)
        if len(self.images.paths) != n or n < 2:
            raise DatasetError(f"'{self.name}' has {n} images; give at least two, in files.")
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise DatasetError(f"'{self.name}' has the classes {self.classes}; give different names.")
        shapes = self.frames.size.shape, self.frames.video.shape, self.frames.frame.shape
        if shapes != ((n, 2), (n,), (n,)):
            raise DatasetError(f"'{self.name}' has {n} images and frames of shapes {shapes}; describe each image.")
        self._check_boxes(n)
        test = self.test
        if test is not None and not (0 < len(test) < n and (np.diff(test) > 0).all() and 0 <= test[0] <= test[-1] < n):
            raise DatasetError(f"'{self.name}' has a test part of {len(test)} among {n} images; not none and not all.")

    def _check_boxes(self, n: int) -> None:
        boxes = self.boxes
        if not len(boxes.item):
            raise DatasetError(f"'{self.name}' has no box; give images on which some were drawn.")
        if boxes.item[0] < 0 or boxes.item[-1] >= n or (np.diff(boxes.item) < 0).any():
            raise DatasetError(f"'{self.name}' has boxes of images that it lacks, or out of order.")
        if boxes.label.min() < 0 or boxes.label.max() >= len(self.classes):
            raise DatasetError(
                f"'{self.name}' has labels from {boxes.label.min()} to {boxes.label.max()} and {len(self.classes)} "
                f"classes; use indices below {len(self.classes)}."
            )

    def counts(self, items: Ints) -> Ints:
        """(C,) boxes of each class on the images at positions `items`."""
        label = self.boxes.of(items).label if len(items) else self.boxes.label[:0]
        return np.bincount(label, minlength=len(self.classes)).astype(np.int64)

    def fingerprint(self) -> str:
        """SHA-256 (hex): equal where the same boxes are known of the same images in the same order."""
        parts = [list(self.classes), len(self.images), None if self.test is None else self.test.tolist()]
        sum_ = hashlib.sha256(json.dumps(parts).encode())
        named = zip(self.images.contents, self.frames.video.tolist(), self.frames.frame.tolist(), strict=True)
        for content, video, frame in named:
            sum_.update(f"{content} {frame} {video}\n".encode())
        sum_.update(np.asarray(self.boxes.item, dtype="<i8").tobytes())
        sum_.update(np.asarray(self.boxes.label, dtype="<i8").tobytes())
        sum_.update(np.asarray(self.boxes.box, dtype="<f8").round(3).tobytes())
        return sum_.hexdigest()


def frames_at(frames: Frames, items: Ints) -> Frames:
    """Those at positions `items`, in that order."""
    return Frames(frames.size[items], frames.video[items], frames.frame[items])
