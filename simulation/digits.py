"""The project "Digits": scikit-learn's 1 797 scanned digits, 8 x 8 pixels each, whose answers are known.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from ml_backend.studio.client import Studio, StudioError
from ml_backend.studio.labels import read_config

TITLE = "Digits"
FOLDER = "digits"
SEED = 7
FIRST_LABELS = 40
PAGE = 100

_CHOICES = "\n".join(f'    <Choice value="{digit}" hotkey="{digit}"/>' for digit in range(10))
LABEL_CONFIG = f"""<View style="max-width: 640px">
  <Header value="Which digit is this?" size="4"/>
  <Image name="image" value="$image" width="320px" maxWidth="320px" smoothing="false" zoom="true"/>
  <Choices name="digit" toName="image" choice="single" showInline="true" required="true">
{_CHOICES}
  </Choices>
</View>"""
CONFIG = read_config(LABEL_CONFIG)


def names() -> list[str]:
    """File names in the order of the data set."""
    return [f"{index:04d}.png" for index in range(len(load_digits().target))]


def answers() -> dict[str, str]:
    """The true digit of each file, from the data set."""
    return {name: str(digit) for name, digit in zip(names(), load_digits().target, strict=True)}


def grey(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Ink 0..16 of a scan as grey levels 0..255; no two inks share a level.

    >>> grey(np.array([[0.0, 8.0, 16.0]])).tolist()
    [[0, 128, 255]]
    """
    return np.rint(values * (255.0 / 16.0)).astype(np.uint8)


def write(folder: Path) -> int:
    """Writes the PNG files that are missing and returns how many these were."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = 0
    for name, scan in zip(names(), load_digits().images, strict=True):
        path = folder / name
        if not path.exists():
            part = path.with_suffix(".part")
            Image.fromarray(grey(scan)).save(part, format="PNG")
            part.replace(path)  # a killed run leaves no half-written image
            written += 1
    return written


def content(path: Path) -> str:
    """The SHA-256 of a file, under which features are kept."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def url(name: str) -> str:
    """Where Label Studio serves a file, relative to it, so that a new port changes nothing."""
    return f"/data/local-files/?d={FOLDER}/{name}"


def name_of(task: dict[str, Any]) -> str:
    """The file behind a task's image; '' if the task is not one of ours."""
    image = str(task["data"].get("image", ""))
    return image.rpartition("/")[2] if f"d={FOLDER}/" in image else ""


def find_or_create(studio: Studio, known: int | None) -> tuple[int, bool]:
    """The project and whether it is new: the known one, else one of that title, else a new one."""
    if known is not None:
        try:
            return int(studio.project(known)["id"]), False
        except StudioError as error:
            if error.status != 404:
                raise
    for project in studio.call("GET", "/api/projects/", params={"page_size": PAGE, "title": TITLE})["results"]:
        if project["title"] == TITLE:
            return int(project["id"]), False
    created = studio.create_project(
        title=TITLE,
        description="1 797 scanned digits. The queue serves the most valuable one next.",
        label_config=LABEL_CONFIG,
        sampling="Uncertainty sampling",
    )
    return int(created["id"]), True


def allow_files(studio: Studio, project: int, root: Path) -> None:
    """Label Studio serves a file below `root` only inside a storage of a project that the user may see; adds ours."""
    path = str(root / FOLDER)
    storages = studio.call("GET", "/api/storages/localfiles/", params={"project": project})
    if all(storage["path"] != path for storage in storages):
        fields = {"project": project, "title": "Scanned digits", "path": path, "use_blob_urls": True}
        studio.call("POST", "/api/storages/localfiles/", json=fields)


def import_missing(studio: Studio, project: int) -> int:
    """Imports the digits that the project does not have and returns how many these were."""
    present = {name_of(task) for task in studio.tasks(project)}
    missing = [{"image": url(name)} for name in names() if name not in present]
    if missing:
        studio.import_tasks(project, missing)
    return len(missing)


def label_at_random(studio: Studio, project: int, count: int = FIRST_LABELS, seed: int = SEED) -> int:
    """Annotates random digits with their true answers until `count` tasks are labeled; returns how many it added."""
    truth = answers()
    tasks = {name_of(task): task for task in studio.tasks(project)}
    labeled = sum(bool(task["annotations"]) for task in tasks.values())
    order = sorted(name for name, task in tasks.items() if name in truth and not task["annotations"])
    random.Random(seed).shuffle(order)
    chosen = order[: max(0, count - labeled)]
    for name in chosen:
        result = choice(truth[name])
        studio.annotate(int(tasks[name]["id"]), result, lead_time=1.0)
    return len(chosen)


def choice(answer: str) -> list[dict[str, Any]]:
    """The `result` of an annotation that gives this answer."""
    about = {"from_name": CONFIG.from_name, "to_name": CONFIG.to_name, "type": "choices"}
    return [{**about, "value": {"choices": [answer]}}]
