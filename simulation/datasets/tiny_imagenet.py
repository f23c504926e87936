"""Tiny ImageNet: 200 classes of 500 training and 50 validation photographs, 64 x 64 RGB (Le & Yang 2015)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError
from simulation.datasets.decoded import Encoded, remembered

SOURCE = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
NOTE = (
    "Tiny ImageNet (Le & Yang 2015): its validation part is the test part, since nobody knows its test part's answers."
)


def load_tiny_imagenet(config: DatasetConfig) -> Dataset:
    """The unpacked archive at `path`: train/<wnid>/images/*.JPEG, val/images with val_annotations.txt, words.txt."""
    root = config.path or Path()
    if not (root / "train").is_dir() and (root / "tiny-imagenet-200" / "train").is_dir():
        root = root / "tiny-imagenet-200"
    for needed in (root / "train", root / "val" / "images", root / "val" / "val_annotations.txt"):
        if not needed.exists():
            raise DatasetError(f"{needed} does not exist; set `path` to the folder that {SOURCE} unpacks to.")
    wnids = sorted(folder.name for folder in (root / "train").iterdir() if (folder / "images").is_dir())
    pictures = [(path, wnid) for wnid in wnids for path in sorted((root / "train" / wnid / "images").glob("*.JPEG"))]
    known = len(pictures)
    pictures += sorted(_validation(root, set(wnids)))
    key = hashlib.sha256()
    for path, wnid in pictures:
        state = path.stat()
        key.update(f"{path.relative_to(root)}\t{wnid}\t{state.st_size}\t{state.st_mtime_ns}\n".encode())
    classes = _names(root, wnids)
    key.update("\t".join(classes).encode())
    index = {wnid: position for position, wnid in enumerate(wnids)}

    def encode() -> Encoded:
        return Encoded(
            pictures=((str(path), path.read_bytes()) for path, _ in pictures),
            labels=np.array([index[wnid] for _, wnid in pictures], dtype=np.int64),
            classes=classes,
            test=np.arange(known, len(pictures)),
        )

    return remembered("tiny_imagenet", key.hexdigest(), encode, NOTE)


def _validation(root: Path, wnids: set[str]) -> list[tuple[Path, str]]:
    """(path, wnid) of each line of val_annotations.txt: file, wnid and a box, between tabs."""
    listing, found = root / "val" / "val_annotations.txt", []
    for number, line in enumerate(listing.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        fields = line.split("\t")
        if not line.strip():
            continue
        path = root / "val" / "images" / fields[0]
        if len(fields) < 2 or Path(fields[0]).name != fields[0] or fields[1] not in wnids or not path.is_file():
            raise DatasetError(
                f"Line {number} of {listing} ('{line[:80]}') names no picture in val/images with a class of train; "
                "unpack the archive again."
            )
        found.append((path, fields[1]))
    return found


def _names(root: Path, wnids: list[str]) -> tuple[str, ...]:
    """The first word of words.txt for each wnid, with the wnid where two share it; the wnid where it has none."""
    words: dict[str, str] = {}
    if (root / "words.txt").is_file():
        for line in (root / "words.txt").read_text(encoding="utf-8", errors="replace").splitlines():
            wnid, _, synonyms = line.partition("\t")
            words[wnid] = synonyms.partition(",")[0].strip()
    names = [words.get(wnid) or wnid for wnid in wnids]
    return tuple(f"{name} ({wnid})" if names.count(name) > 1 else name for name, wnid in zip(names, wnids, strict=True))
