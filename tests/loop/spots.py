"""A detector that needs no training, pictures with bright spots for it, and a ledger that holds them as frames."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Detector, DetectorFit, Found, LabeledBoxes
from ml_backend.loop.box_pool import BoxPool, read_box_pool
from ml_backend.loop.house import House
from ml_backend.loop.plan import ChosenScorer, Plan
from ml_backend.store.tables import Item, Project
from ml_backend.studio.client import Studio
from ml_backend.studio.regions.config import BoxesConfig
from plugins.contract import PluginConfig

CONFIG = BoxesConfig("box", "image", "image", ("Dim", "Bright"))
WIDTH, HEIGHT = 60, 40
LABEL_CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
<Label value="Dim"/><Label value="Bright"/></RectangleLabels></View>"""
PLAN = Plan(
    scorers=(ChosenScorer(name="detection_entropy"),),
    cold_start=None,
    control=0,
)


class Spots(Detector[PluginConfig]):
    """A box around each spot; bright ones are sure, dim ones are not."""

    name, title, summary, reference = "spots", "Spots", "Bright spots.", "none"

    def fit(
        self, labeled: Images, boxes: LabeledBoxes, groups: Any, pool: Images, classes: tuple[str, ...], **_: Any
    ) -> DetectorFit:
        self.groups = groups
        return DetectorFit(
            self.detect({}, pool),
            self.detect({}, labeled),
            {"nothing": np.zeros(1)},
            "no features",
            held=np.array([0])[: len(labeled)],
        )

    def detect(self, model: Any, images: Images, *, progress: Any = None) -> Found:
        rows = []
        for item, path in enumerate(images.paths):
            grey = np.asarray(Image.open(path).convert("L"), dtype=np.float64)
            for number, (ys, xs) in enumerate(ndimage.find_objects(ndimage.label(grey > 20)[0])):
                score = grey[ys, xs].max() / 255
                rows.append((item, xs.start, ys.start, xs.stop, ys.stop, score, int(score > 0.5), number))
        table = np.array(sorted(rows, key=lambda row: (row[0], -row[5])), dtype=np.float64).reshape(-1, 8)
        return Found(
            table[:, 0].astype(np.int64),
            table[:, 1:5].astype(np.float32),
            table[:, 5].astype(np.float32),
            table[:, 6].astype(np.int64),
            np.stack([1 - table[:, 5], table[:, 5]], axis=1).astype(np.float32),
        )


def picture(seed: int) -> bytes:
    """One to three spots apart from each other."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place in rng.permutation(3)[: rng.integers(1, 4)]:
        canvas[10:20, 20 * place + 3 : 20 * place + 15] = rng.integers(40, 255)
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG")
    return buffer.getvalue()


def region(x: float = 5, label: str = "Bright", **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": 25, "width": 20, "height": 25, "rotation": 0, "rectanglelabels": [label]}
    frame = {"id": f"r{x}", "from_name": "box", "to_name": "image", "type": "rectanglelabels"}
    return {**frame, "original_width": WIDTH, "original_height": HEIGHT, "value": value, **more}


STUDIO = Studio("http://127.0.0.1:1", "token")


def add(house: House, task: int, **fields: Any) -> None:
    content = picture(task)
    name = hashlib.sha256(content).hexdigest()
    path = house.media(STUDIO).path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with house.ledger.session() as session:
        if session.get(Project, 1) is None:
            session.add(
                Project(id=1, studio_url="u", studio_id=1, key="1.1", webhook_secret="s", label_config=LABEL_CONFIG)
            )
            session.flush()
        answer = {"status": "unlabeled", "label": None, "regions": None, **fields}
        session.merge(Item(project_id=1, task_id=task, url="u", content=name, **answer))


def filled(house: House) -> BoxPool:
    for task in range(1, 13):
        answer = {"status": "labeled", "label": "1 Bright", "regions": [region()]} if task % 4 == 0 else {}
        add(house, task, video="drive", frame=task, **answer)
    add(house, 13, video="drive", frame=13, status="labeled", label="nothing", regions=[])
    add(house, 14, video="drive", frame=14, status="skipped")
    return read_box_pool(house, STUDIO, 1, CONFIG)
