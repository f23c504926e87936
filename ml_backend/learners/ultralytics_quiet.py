"""The only door to ultralytics (AGPL-3.0, the extra `yolo`): silent, off the network, and without a file of its own.

On import it would ask name servers whether there is a network, write settings into the user's home, set the threads of
OpenCV and OpenMP for the whole process, and change how NumPy prints. When it trains it would send usage figures,
install packages, and fetch fonts and test weights. All of it is decided by variables that it reads once, so they are
set around the import and put back behind it; `yolo_training.py` never calls the rest.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from plugins.contract import PluginError

QUIET = {
    "YOLO_OFFLINE": "1",  # no question to name servers, no events, no look for updates
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "1",  # weights files may hold known classes alone
    "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "1",
}


@dataclass(frozen=True)
class Ultralytics:
    """What NextLabel uses of it."""

    model: Any  # ultralytics.nn.tasks.DetectionModel
    trainer: Any  # ultralytics.models.yolo.detect.DetectionTrainer
    load: Any  # ultralytics.nn.tasks.torch_safe_load


def installed() -> bool:
    return find_spec("ultralytics") is not None


@cache
def ultralytics() -> Ultralytics:
    """Imports it once; PluginError where it is not installed."""
    if not installed():
        raise PluginError(
            "The learner 'yolo' needs the package ultralytics (AGPL-3.0), which is not installed; install "
            "'nextlabel[yolo]', or choose the learner 'faster_rcnn'."
        )
    with tempfile.TemporaryDirectory(prefix="nextlabel-ultralytics-") as folder, _as_it_was(folder):
        from ultralytics.models.yolo.detect.train import DetectionTrainer  # type: ignore[import-untyped,unused-ignore]
        from ultralytics.nn.tasks import DetectionModel, torch_safe_load  # type: ignore[import-untyped,unused-ignore]
        from ultralytics.utils import SETTINGS  # type: ignore[import-untyped,unused-ignore]
        from ultralytics.utils.events import events  # type: ignore[import-untyped,unused-ignore]

        dict.update(SETTINGS, {key: False for key, value in SETTINGS.items() if value is True})  # in memory alone
        events.enabled = False
        logging.getLogger("ultralytics").setLevel(logging.CRITICAL)
    return Ultralytics(DetectionModel, DetectionTrainer, torch_safe_load)


@contextlib.contextmanager
def _as_it_was(folder: str) -> Iterator[None]:
    """The variables above for a while; then the environment, threads, printing and `torch.save` as they were."""
    import cv2
    import torch

    environment, threads, printing, save = dict(os.environ), cv2.getNumThreads(), np.get_printoptions(), torch.save
    os.environ.update({**QUIET, "YOLO_CONFIG_DIR": folder})
    try:
        yield
    finally:
        _restore(environment)
        cv2.setNumThreads(threads)
        np.set_printoptions(**printing)
        torch.save = save  # it puts one with retries there


def _restore(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every generator that it draws from under a seed; afterwards they, and the environment, are as they were."""
    import torch

    environment, python, numpy = dict(os.environ), random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            _restore(environment)
