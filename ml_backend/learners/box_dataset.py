"""Labeled images on disk as YOLO trains on them; from one cycle to the next only what changed is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ml_backend.learners.boxes import normalised
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.learners.pixels import cores
from ml_backend.learners.shown import header, picture
from plugins.contract import IntArray

JPEG: dict[str, Any] = {"quality": 95, "subsampling": 0}  # of a file that had to be turned


@dataclass(frozen=True)
class Dataset:
    """description: data.yaml; learned, held: lists of image files; written, removed: files that changed this time."""

    description: Path
    learned: Path
    held: Path
    written: int
    removed: int


def write(
    folder: Path,
    labeled: Images,
    boxes: LabeledBoxes,
    sizes: Sequence[tuple[int, int]],
    classes: tuple[str, ...],
    held: IntArray,
) -> Dataset:
    """`images/CONTENT.jpg`, `labels/CONTENT.txt`, `train.txt`, `val.txt` and `data.yaml` under `folder`.

    boxes: inside their images; sizes: (height, width) of the L images; held: positions of those not to learn from.
    A file that shows its pixels as they are is linked (copied where links are not to be had), any other is decoded
    and kept as people see it. Whatever is not of this data set any more is removed.
    """
    pictures, labels = folder / "images", folder / "labels"
    pictures.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    names = _names(labeled.contents)
    with ThreadPoolExecutor(cores()) as pool:
        placed = list(pool.map(lambda i: _place(labeled, i, pictures, names[i]), range(len(labeled))))
    texts = _texts(boxes, sizes)
    written = sum(new for _, new in placed)
    written += sum(_put(labels / f"{name}.txt", text) for name, text in zip(names, texts, strict=True))
    removed = _clear(pictures, {path.name for path, _ in placed}) + _clear(labels, {f"{name}.txt" for name in names})
    if written or removed:
        (folder / "labels.cache").unlink(missing_ok=True)  # ultralytics knows a change by the sum of sizes alone
    out = set(np.asarray(held).tolist())
    learned, kept = folder / "train.txt", folder / "val.txt"
    _put(learned, _list(path for i, (path, _) in enumerate(placed) if i not in out))
    _put(kept, _list(path for i, (path, _) in enumerate(placed) if i in out))
    _put(folder / "data.yaml", _description(folder, classes))
    return Dataset(folder / "data.yaml", learned, kept, written, removed)


def _names(contents: Sequence[str]) -> list[str]:
    """A file name for each image: its content, and a number where one content is labeled more than once."""
    seen: dict[str, int] = {}
    names = []
    for content in contents:
        seen[content] = seen.get(content, 0) + 1
        names.append(content if seen[content] == 1 else f"{content}-{seen[content]}")
    return names


def _place(labeled: Images, item: int, folder: Path, name: str) -> tuple[Path, bool]:
    """The file of one image below `folder`, and whether it was put there now."""
    if labeled.pixels is None:
        suffix = header(labeled.paths[item]).suffix
        if suffix:
            return _link(labeled.paths[item], folder / f"{name}{suffix}")
        path, settings = folder / f"{name}.jpg", JPEG
    else:
        path, settings = folder / f"{name}.png", {}
    if path.is_file() and not path.is_symlink():
        return path, False
    path.unlink(missing_ok=True)
    part = path.with_name(f"part-{path.name}")
    Image.fromarray(picture(labeled, item)).save(part, **settings)
    part.replace(path)
    return path, True


def _link(source: Path, path: Path) -> tuple[Path, bool]:
    target = source.resolve()
    if path.is_symlink() and path.readlink() == target:
        return path, False
    if path.is_file() and not path.is_symlink():
        return path, False  # an earlier copy of the same content
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(target)
    except OSError:  # a file system or a user without links
        shutil.copyfile(source, path)
    return path, True


def _texts(boxes: LabeledBoxes, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """The label file of each image: class, centre x, centre y, width, height, a line for each box."""
    texts = []
    order = np.argsort(boxes.item, kind="stable")
    ends = np.searchsorted(boxes.item[order], np.arange(len(sizes) + 1))
    for item, size in enumerate(sizes):
        rows = order[ends[item] : ends[item + 1]]
        shares = normalised(boxes.box[rows], size)
        lines = [
            " ".join([str(label), *(f"{value:.7f}" for value in share)])
            for label, share in zip(boxes.label[rows].tolist(), shares.tolist(), strict=True)
        ]
        texts.append("".join(f"{line}\n" for line in sorted(lines)))
    return texts


def _list(paths: Iterable[Path]) -> str:
    return "".join(f"{path}\n" for path in sorted(str(path.absolute()) for path in paths))


def _description(folder: Path, classes: tuple[str, ...]) -> str:
    """data.yaml, for `yolo` by hand; JSON's strings are YAML's."""
    names = "".join(f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(classes))
    return f"path: {json.dumps(str(folder.resolve()))}\ntrain: train.txt\nval: val.txt\nnames:\n{names}"


def _put(path: Path, text: str) -> bool:
    """Writes a file unless it says that already; whether it was written."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def _clear(folder: Path, wanted: set[str]) -> int:
    """Removes every file that is not wanted; how many."""
    gone = [path for path in folder.iterdir() if path.name not in wanted]
    for path in gone:
        path.unlink()
    return len(gone)
