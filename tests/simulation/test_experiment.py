"""A study's directory: many processes fill it, any of them may be killed, and what comes out is the same."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from cli import app
from ml_backend.loop.house import House
from ml_backend.settings import Settings
from simulation import report
from simulation.experiment import create, cycles, cycles_path, open_study, progress, work
from simulation.running import run_here, run_on_workers
from simulation.study import Study, StudyError, Trial, parse_study
from tests.conftest import RedisServer

ROOT = Path(__file__).resolve().parents[2]


def study(**changes: Any) -> Study:
    condition = {"dataset": {"name": "digits", "pool": 600}, "initial": 40, "step": 20, "budget": 80}
    return parse_study(
        {
            "title": "A small <study>",
            "seeds": 2,
            "methods": {"random": {"scorers": [{"name": "random"}]}, "margin": {"scorers": [{"name": "margin"}]}},
            "conditions": {"digits": condition},
            **changes,
        }
    )


def figures(folder: Path, given: Study) -> dict[str, list[dict[str, Any]]]:
    """Every cycle of every trial, less the seconds."""
    found = {}
    for trial in given.trials():
        lines = cycles_path(folder, trial).read_text().splitlines()
        found[trial.name] = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    return found


def until(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that ran in two processes, with its report."""
    folder = tmp_path_factory.mktemp("studies") / "small"
    create(folder, study())
    states = run_here(folder, study(), processes=2, until=None, console=Console(quiet=True))
    assert all(state.finished and state.error is None for state in states)
    report.write(folder)
    return folder


def test_processes_share_the_trials_and_agree_with_a_single_one(finished: Path, tmp_path: Path) -> None:
    create(tmp_path / "alone", study())
    assert work(str(tmp_path / "alone")) == 4
    assert figures(finished, study()) == figures(tmp_path / "alone", study())
    assert work(str(finished)) == 0


def test_a_killed_study_goes_on_from_the_last_finished_cycle(finished: Path, tmp_path: Path) -> None:
    folder, given = tmp_path / "killed", study()
    create(folder, given)
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=work, args=(str(folder),))
    child.start()
    until(lambda: sum(state.cycles for state in progress(folder, given)) >= 2, "two cycles")
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    before = figures(folder, given) if all(cycles_path(folder, t).is_file() for t in given.trials()) else None
    assert before is None or before != figures(finished, given)
    kept = {state.trial: state.cycles for state in progress(folder, given)}
    work(str(folder))
    assert figures(folder, given) == figures(finished, given)
    assert any(count > 0 for count in kept.values())


def test_a_child_whose_parent_is_gone_stops_after_its_cycle(tmp_path: Path) -> None:
    folder = tmp_path / "orphan"
    create(folder, study())
    assert work(str(folder), parent=1) == 0 or os.getppid() == 1
    assert sum(state.cycles for state in progress(folder, study())) == 0


def test_a_slice_ends_and_the_next_goes_on(finished: Path, tmp_path: Path) -> None:
    folder, given = tmp_path / "slices", study()
    create(folder, given)
    assert work(str(folder), until=time.time() - 1) == 0
    assert not any(state.cycles for state in progress(folder, given))
    assert work(str(folder), until=time.time() + 600) == 4
    assert figures(folder, given) == figures(finished, given)


def test_a_cycle_that_does_not_fit_is_left_and_the_others_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, given = tmp_path / "short", study()
    create(folder, given)
    monkeypatch.setattr("simulation.experiment.MARGIN", 1e9)  # no second cycle fits into any slice
    assert work(str(folder), until=time.time() + 600) == 0
    assert [state.cycles for state in progress(folder, given)] == [1, 1, 1, 1]


def test_a_failed_trial_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    condition = {"dataset": {"name": "digits", "pool": 600}, "initial": 2, "step": 20, "budget": 40}
    given = study(conditions={"digits": condition}, seeds=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    folder = tmp_path / "failed"
    create(folder, given)
    work(str(folder))
    failed = [state for state in progress(folder, given) if state.error]
    assert failed, "two labels of ten digits are sometimes of one class"
    assert "2 initial labels of one class; raise `initial`" in str(failed[0].error)
    assert any(state.finished for state in progress(folder, given))
    results = report.write(folder)
    assert len(results.unfinished) == len(failed)
    assert "raise `initial`" in (folder / report.PAGE).read_text()


def test_the_directory_says_everything_to_run_it_again(finished: Path) -> None:
    assert open_study(finished) == study()
    about = json.loads((finished / "provenance.json").read_text())
    assert about["versions"]["numpy"]
    assert about["machine"]["cores"]
    assert about["conditions"]["digits"]["fingerprint"]
    seen = cycles(finished, Trial("digits", "margin", 0))
    assert [cycle.labels for cycle in seen] == [40, 60, 80]
    assert [len(cycle.chosen) for cycle in seen] == [20, 20, 0]


def test_another_study_or_other_data_is_refused(finished: Path, tmp_path: Path) -> None:
    create(finished, study())
    with pytest.raises(StudyError, match="holds another study"):
        create(finished, study(seeds=3))
    (tmp_path / "x").write_text("mine")
    with pytest.raises(StudyError, match="is not empty and holds no study"):
        create(tmp_path, study())
    folder = tmp_path / "changed"
    create(folder, study())
    about = json.loads((folder / "provenance.json").read_text())
    about["conditions"]["digits"]["fingerprint"] = "0" * 64
    (folder / "provenance.json").write_text(json.dumps(about))
    with pytest.raises(StudyError, match="The data of 'digits' changed"):
        create(folder, study())


def test_a_budget_beyond_the_data_is_refused_before_anything_runs(tmp_path: Path) -> None:
    condition = {"dataset": {"name": "digits", "pool": 600}, "initial": 40, "step": 100, "budget": 5000}
    with pytest.raises(StudyError, match="digits has 600 items to label and a budget of 5000"):
        create(tmp_path / "large", study(conditions={"digits": condition}))
    assert not (tmp_path / "large").exists()


def test_the_report_is_one_page_that_needs_nothing(finished: Path) -> None:
    page = (finished / report.PAGE).read_text()
    assert "A small &lt;study&gt;" in page
    assert "No verdict: 2 seeds cannot tell a gain from luck" in page
    assert page.count("<svg") == 5
    wanted = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert not [link for link in wanted if not link.startswith("#")], "the page asks for something outside itself"
    for name in ("accuracy", "informativeness", "balance", "classes", "seconds"):
        with Image.open(finished / "figures" / f"digits-{name}.png") as image:
            assert image.size == (1200, 720)
    numbers = json.loads((finished / report.NUMBERS).read_text())
    margin = numbers["conditions"]["digits"]["methods"]["margin"]
    assert margin["labels"] == [40, 60, 80]
    assert len(margin["informativeness"]) == 2
    assert len(margin["per_class"]) == 10
    assert set(margin["seconds"]) == {"learn", "measure", "rank"}
    assert margin["comparison"]["seeds"] == 2


def test_the_command_runs_resumes_and_reports(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(study().model_dump(mode="json")))
    output = tmp_path / "out"
    command = [sys.executable, "-m", "cli", "simulate", str(path), "--output", str(output), "--processes", "2"]
    first = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "No verdict" in " ".join(first.stdout.split())
    assert (output / "report.html").is_file()
    stamp = cycles_path(output, Trial("digits", "margin", 1)).stat().st_mtime_ns
    again = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False)
    assert again.returncode == 0
    assert cycles_path(output, Trial("digits", "margin", 1)).stat().st_mtime_ns == stamp


def test_a_terminated_command_leaves_no_process_behind(tmp_path: Path) -> None:
    path, output = tmp_path / "long.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(study().model_dump(mode="json") | {"seeds": 1000}))
    command = [sys.executable, "-m", "cli", "simulate", str(path), "--output", str(output), "--processes", "2"]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: any(output.glob("trials/*/*/*.jsonl")), "a cycle", seconds=120)
        children = psutil.Process(running.pid).children(recursive=True)
        assert len(children) >= 2
        running.terminate()
        assert running.wait(60) == 128 + signal.SIGTERM
        assert not psutil.wait_procs(children, timeout=30)[1]
    finally:
        running.kill()
        running.wait()


def test_workers_of_the_simulations_queue_run_a_study(
    finished: Path, redis_server: RedisServer, tmp_path: Path
) -> None:
    config = Settings(_env_file=None, model_dir=tmp_path, redis_url=redis_server.url, queue_prefix="studies-test")
    folder, given, words = tmp_path / "queued", study(), io.StringIO()
    create(folder, given)
    environment = {
        **os.environ,
        "REDIS_URL": redis_server.url,
        "MODEL_DIR": str(tmp_path),
        "NEXTLABEL_QUEUE": "studies-test",
        "NEXTLABEL_HOME": str(tmp_path),
    }
    worker = subprocess.Popen([sys.executable, "-m", "cli", "worker", "--simulations"], cwd=ROOT, env=environment)
    try:
        states = run_on_workers(
            folder, given, House(config), jobs=2, until=None, console=Console(file=words, width=200)
        )
    finally:
        worker.terminate()
        worker.wait(30)
    assert all(state.finished for state in states)
    assert figures(folder, given) == figures(finished, given)


def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["simulate", str(tmp_path / "none.yaml")])
    assert isinstance(found.exception, StudyError)
    assert "no study at" in str(found.exception)
