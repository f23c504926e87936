"""Training SiamFC from the command line, a little."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from cli import app
from plugins.registry import make


def test_the_command_writes_weights_that_the_tracker_takes(tmp_path: Path) -> None:
    output = tmp_path / "siamfc.pth"
    options = ["--steps", "2", "--videos", "1", "--frames", "4"]
    done = CliRunner().invoke(app, ["train-tracker", str(output), *options], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "objects in 1 drives" in done.output
    assert output.stat().st_size > 10_000
    make("tracker", "siamfc", {"weights": str(output)})


def test_a_folder_that_is_not_there_is_said_before_anything_is_learned(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train-tracker", str(tmp_path / "no" / "siamfc.pth")])
    assert done.exit_code == 2
    assert "does not exist" in done.output
