"""The demo, small: two projects, a real loop, curves as PNG and JSON. And the arithmetic of curves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from ml_backend.loop.house import House
from ml_backend.settings import Settings
from simulation.demo import DemoError, run_demo
from tests.loop.conftest import Loop, until


@pytest.mark.studio
def test_the_demo_labels_both_projects_and_draws_their_curves(loop: Loop, tmp_path: Path) -> None:
    loop.start_backend()
    loop.start("worker")
    from rq import Worker

    until(lambda: Worker.all(connection=loop.house.redis), what="the worker")
    words = io.StringIO()
    output = tmp_path / "curves.png"
    curves = run_demo(labels=60, seed=0, output=output, console=Console(file=words, width=200), rooms=loop.house)
    assert {name: [point.labels for point in points] for name, points in curves.items()} == {
        "NextLabel": [20, 40, 60],
        "random order": [20, 40, 60],
    }
    ours, twin = curves.values()
    assert ours[0].phase == "coverage"
    assert {point.phase for point in twin} == {"scored"}
    assert all(0.3 < point.low < point.accuracy < point.high < 1 for point in [*ours, *twin])
    assert "Random order reached" in words.getvalue()
    with Image.open(output) as image:
        assert image.size == (1200, 720)
    numbers = json.loads(output.with_suffix(".json").read_text())
    assert [point["accuracy"] for point in numbers["NextLabel"]] == [point.accuracy for point in ours]


def test_without_a_running_stack_the_demo_says_what_to_start(tmp_path: Path) -> None:
    rooms = House(
        Settings(_env_file=None, model_dir=tmp_path, redis_url="redis://127.0.0.1:9/0", label_studio_url=None)
    )
    with pytest.raises(DemoError, match="make run"):
        run_demo(labels=20, seed=0, output=tmp_path / "x.png", console=Console(file=io.StringIO()), rooms=rooms)
