"""A package that `nextlabel plugins new` wrote is installed by pip, passes its tests, and is listed and used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.starter import StarterError, write_package

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("nextlabel-*"))


def command(*arguments: str, cwd: Path, site: Path | None = None, code: int = 0) -> str:
    """What a Python command says; `site` is a folder of installed packages beside ours."""
    environment = {**os.environ, "COLUMNS": "300", "PYTHONDONTWRITEBYTECODE": "1"}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def installed(package: Path, site: Path) -> Path:
    """A folder with the package, put there by pip without network and without touching this environment."""
    source = site.parent / f"source-{package.name}"
    source.mkdir()
    for path in package.rglob("*"):  # a copy, since building leaves files beside the source
        if path.is_file() and "__pycache__" not in path.parts:
            (source / path.relative_to(package)).parent.mkdir(parents=True, exist_ok=True)
            (source / path.relative_to(package)).write_bytes(path.read_bytes())
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")
    command("pip", "install", *options, "--target", str(site), str(source), cwd=site.parent)
    return source


USE = """
import sys
import numpy as np
from ml_backend.loop.plan import Plan, changed_plan
from ml_backend.loop.ranking import rank
from plugins.evidence import Evidence

kind, name = sys.argv[1:]
rng = np.random.default_rng(0)
known = Evidence(
    {
        "task_id": np.arange(50), "probabilities": rng.dirichlet(np.ones(3), 50), "labels": np.arange(9) % 3,
        "counts": np.full(3, 3), "embeddings": rng.normal(size=(50, 4)), "labeled_embeddings": rng.normal(size=(9, 4)),
    },
    classes=("a", "b", "c"),
)
chosen = {"scorers": [{"name": name}]} if kind == "scorer" else {"selector": {"name": name}}
ranking = rank(known, changed_plan(Plan(cold_start=None), chosen), labels=9)
assert not ranking.problems, ranking.problems
print("rank 0:", ranking.reason(0))
"""


def works(package: Path, kind: str, name: str, folder: Path) -> None:
    """Installed, its own tests pass, the command line lists it, and a ranking uses it."""
    site = folder / "site"
    source = installed(package, site)
    assert "passed" in command("pytest", "-q", "-p", "no:cacheprovider", cwd=source, site=site)
    listed = command("cli", "plugins", cwd=ROOT, site=site)
    row = next(line for line in listed.splitlines() if f" {name} " in line)
    assert f"{package.name} 0.1.0" in row
    assert " ok " in row
    (folder / "use.py").write_text(USE)
    script = [sys.executable, str(folder / "use.py"), kind, name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert "\nrank 0: " in done.stdout, done.stdout + done.stderr  # after what structlog prints unconfigured


@pytest.mark.timeout(900)  # pip, a whole suite and the command line, each in a process of its own
@pytest.mark.parametrize("kind", ["scorer", "selector"])
def test_a_new_package_works(kind: str, tmp_path: Path) -> None:
    said = command("cli", "plugins", "new", "near-miss", "--kind", kind, "--output", str(tmp_path), cwd=ROOT)
    package = tmp_path / "nextlabel-near-miss"
    assert str(package) in said
    command("ruff", "check", "--select", "E,F,I", ".", cwd=package)
    works(package, kind, "near_miss", tmp_path)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("package", EXAMPLES, ids=lambda path: path.name)
def test_an_example_works(package: Path, tmp_path: Path) -> None:
    works(package, "scorer", package.name.removeprefix("nextlabel-"), tmp_path)


def test_there_is_an_example() -> None:
    assert EXAMPLES


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Near Miss", "'Near Miss' cannot name a plugin"),
        ("9lives", "cannot name a plugin"),
        ("../up", "cannot name a plugin"),
        ("", "cannot name a plugin"),
        ("nextlabel-", "cannot name a plugin"),
        ("a" * 61, "cannot name a plugin"),
        ("none", "a class `None`, a name that is taken"),
        ("plugin", "a class `Plugin`, a name that is taken"),
        ("margin", "The scorer 'margin' of package nextlabel exists already; choose another name"),
        ("frozen", "The learner 'frozen' of package nextlabel exists already"),
    ],
)
def test_a_bad_name_is_one_sentence(name: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(StarterError, match=fault):
        write_package(name, "scorer", tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    package = write_package("near-miss", "scorer", tmp_path)
    before = {path: path.read_text() for path in package.rglob("*") if path.is_file()}
    with pytest.raises(StarterError, match="exists already; remove it"):
        write_package("near_miss", "selector", tmp_path)
    assert {path: path.read_text() for path in package.rglob("*") if path.is_file()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(StarterError, match="cannot be written"):
        write_package("near-hit", "scorer", tmp_path / "file")
    with pytest.raises(StarterError, match="'learner' is no kind"):
        write_package("near-hit", "learner", tmp_path)
