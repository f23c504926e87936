"""What a data set is: images whose answers are known, where they come from, and which may be asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_backend.learners.contract import Images
from simulation.datasets.scenes_config import Scenes

Ints = NDArray[np.int64]
Name = Literal[
    "mnist", "cifar10", "cifar100", "tiny_imagenet", "digits", "label_studio", "export", "folder", "road_scenes"
]  # of a source

DOWNLOADS = ("mnist", "cifar10", "cifar100")
PACKED = ("mnist", "cifar10")  # stand ready in the data folder
OPTIONS: dict[str, tuple[str, ...]] = {  # a field -> the sources that know it
    "path": ("mnist", "cifar10", "cifar100", "tiny_imagenet", "export", "folder"),
    "config": ("export",),
    "images": ("export",),
    "project": ("label_studio",),
    "download": DOWNLOADS,
    "scenes": ("road_scenes",),
}
REQUIRED: dict[str, tuple[str, ...]] = {
    "path": ("cifar100", "tiny_imagenet", "export", "folder"),
    "project": ("label_studio",),
}


class DatasetError(ValueError):
    """A data set that cannot be had or is not sound; one sentence with the culprit, its value and the remedy."""


@dataclass(frozen=True)
class Dataset:
    """Images whose answers are known.

    images: n of them, in memory where all have one size. labels: (n,) class index below C. test: ascending positions
    of the official test part; None if the set has none. note: caveats, in a sentence or two.
    """

    name: str
    images: Images
    labels: Ints
    classes: tuple[str, ...]
    test: Ints | None
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _fixed(self.labels))
        if self.test is not None:
            object.__setattr__(self, "test", _fixed(self.test))
        self._check_labels()
        self._check_test()

    def _check_labels(self) -> None:
        n, count = len(self.images), len(self.classes)
        if count < 2 or len(set(self.classes)) < count or not all(self.classes):
            raise DatasetError(f"'{self.name}' has the classes {self.classes}; give at least two different names.")
        if self.labels.shape != (n,):
            raise DatasetError(
                f"'{self.name}' has {n} images and labels of shape {self.labels.shape}; give one label for each image."
            )
        if n == 0:
            raise DatasetError(f"'{self.name}' has no image with an answer; give it some.")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= count:
            raise DatasetError(
                f"'{self.name}' has labels from {low} to {high} and {count} classes; use indices below {count}."
            )

    def _check_test(self) -> None:
        test, n = self.test, len(self.images)
        if test is None:
            return
        sound = test.ndim == 1 and 0 < len(test) < n and bool((np.diff(test) > 0).all())
        if not sound or test[0] < 0 or test[-1] >= n:
            raise DatasetError(
                f"'{self.name}' has a test part of shape {test.shape} among {n} images; give ascending positions below "
                f"{n}, not none and not all of them."
            )

    def fingerprint(self) -> str:
        """SHA-256 (hex) over contents, labels, classes and test part: equal where the same answers are known of the
        same images in the same order, wherever they lie."""
        parts = [list(self.classes), len(self.images), None if self.test is None else len(self.test)]
        sum_ = hashlib.sha256(json.dumps(parts).encode())
        for content in self.images.contents:
            sum_.update(f"{content}\n".encode())
        for numbers in (self.labels, self.test):
            if numbers is not None:
                sum_.update(numbers.astype("<i8").tobytes())
        return sum_.hexdigest()


def _fixed(numbers: NDArray[np.integer]) -> Ints:
    """The same numbers, which nobody can change any more."""
    view = np.asarray(numbers, dtype=np.int64).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True)
class Parts:
    """Positions in a Dataset, both ascending. pool: what annotators may be asked, initial labels included."""

    pool: Ints
    test: Ints


class DatasetConfig(BaseModel):
    """Where images and answers come from, and how many of them are used.

    >>> DatasetConfig(name="mnist", pool=5_000, test=2_000).test_share
    0.3
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(
        description="mnist, cifar10, cifar100, tiny_imagenet, digits (scikit-learn's), folder (one sub-folder for each "
        "class), export (Label Studio's JSON or JSON_MIN), label_studio (a connected project), or road_scenes "
        "(videos with boxes, drawn by code)."
    )
    path: Path | None = Field(
        None,
        description="Local file or folder. Null: mnist and cifar10 are read from NEXTLABEL_DATA; cifar100, "
        "tiny_imagenet, folder and export need it.",
    )
    config: Path | None = Field(
        None,
        description="File with an export's labeling config (XML). Without it classes are those that the annotations "
        "name, so one that nobody chose is unknown.",
    )
    images: Path | None = Field(
        None, description="Folder that holds an export's images, at any depth. Null: the folder of the export."
    )
    project: int | None = Field(
        None, ge=1, description="Number of a connected project in Label Studio; its labels so far are the truth."
    )
    pool: int | None = Field(
        None,
        ge=2,
        description="Images to draw, by seed, of those that are not for testing; annotators are asked among these "
        "alone. Null: all. Fewer is faster, and harder to select from.",
    )
    test: int | None = Field(
        None,
        ge=1,
        description="Images that accuracy is measured on. Of an official test part so many are drawn, the same for all "
        "seeds and methods; where there is none, so many are held out in place of test_share. Null: all. Fewer is "
        "faster, and measures more coarsely.",
    )
    test_share: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Share of each class that is held out for testing, drawn by seed, where the data set has no "
        "official test part.",
    )
    imbalance: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Long tail: half of the classes keep this share of their unlabeled images (IF of thesis ch. 4: "
        "0.1, 0.3 or 1). Null: classes stay as they are.",
    )
    scenes: Scenes | None = Field(
        None, description="Which road scenes; null: a few short drives of each subset of SYNTHIA-AL's table."
    )
    download: bool = Field(
        False,
        description="Lets torchvision fetch mnist, cifar10 or cifar100 into `path` when it is not there. It needs the "
        "network.",
    )

    @model_validator(mode="after")
    def _fitting(self) -> DatasetConfig:
        for option, sources in OPTIONS.items():
            if getattr(self, option) not in (None, False) and self.name not in sources:
                raise ValueError(
                    f"'{self.name}' has no use for `{option}`, which is for {', '.join(sources)}; remove it"
                )
        for option, sources in REQUIRED.items():
            if self.name in sources and getattr(self, option) is None:
                raise ValueError(f"'{self.name}' needs `{option}`; set it")
        if self.name == "road_scenes" and self.imbalance is not None:
            raise ValueError("'road_scenes' has boxes, and `imbalance` is for classes of images; remove it")
        if self.download and self.path is None:
            raise ValueError(f"a download of '{self.name}' needs `path`, the folder it goes to; set it")
        return self
