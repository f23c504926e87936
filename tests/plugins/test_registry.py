"""Plugins come through entry points, and a broken one takes nobody down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins import registry
from plugins.contract import PluginConfig, PluginError
from plugins.uncertainty.entropy import Entropy

STRANGER = """
from plugins.contract import Scorer, Scores
import numpy as np

class Fine(Scorer):
    name, title, summary, reference = "fine", "Fine", "Works.", "none"
    def score(self, evidence):
        return Scores(np.zeros(len(evidence)), reason=lambda i: "fine")

class Nameless(Scorer):
    title = "No name"
    def score(self, evidence):
        raise NotImplementedError

class Renamed(Fine):
    name = "other"

class Margin(Fine):
    name = "margin"

class Curious(Fine):
    name, needs = "curious", {"probabilities", "mood"}

thing = 3
"""


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real installed package with one good plugin and eight bad ones."""
    (tmp_path / "stranger_plugins.py").write_text(STRANGER)
    (tmp_path / "stranger_raises.py").write_text("raise RuntimeError('needs a licence')")
    info = tmp_path / "stranger-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 2.1\n")
    points = {
        "fine": "stranger_plugins:Fine",
        "absent": "no_such_module:Thing",
        "lost": "stranger_plugins:NoSuchClass",
        "nameless": "stranger_plugins:Nameless",
        "renamed": "stranger_plugins:Renamed",
        "number": "stranger_plugins:thing",
        "angry": "stranger_raises:Thing",
        "margin": "stranger_plugins:Margin",
        "curious": "stranger_plugins:Curious",
    }
    lines = "\n".join(f"{name} = {target}" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[nextlabel.scorers]\n{lines}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.available.cache_clear()
    yield
    registry.available.cache_clear()
    for module in ("stranger_plugins", "stranger_raises"):
        sys.modules.pop(module, None)


def test_ours_come_through_the_same_door() -> None:
    ours = {"random", "least_confidence", "margin", "entropy", "dispersion", "bald", "svm_margin", "vaal", "oracle"}
    assert set(registry.available("scorer")) >= ours
    assert set(registry.available("selector")) >= {"top", "kmeans"}
    assert set(registry.available("learner")) >= {"frozen", "finetune"}
    errors = [listing.error for kind in registry.GROUPS for listing in registry.available(kind).values()]
    assert set(errors) == {None}


@pytest.mark.usefixtures("strangers")
def test_broken_plugins_are_listed_and_the_others_work() -> None:
    listings = registry.available("scorer")
    faults = {name: listing.error for name, listing in listings.items() if listing.error}
    assert set(faults) == {
        *("absent", "lost", "nameless", "renamed", "number", "angry"),
        *("curious", "margin of stranger"),
    }
    assert faults["angry"] == "RuntimeError: needs a licence"
    assert "no_such_module" in (faults["absent"] or "")
    assert "differ" in (faults["renamed"] or "")
    assert "not a subclass" in (faults["number"] or "")
    assert "lacks `name`" in (faults["nameless"] or "")
    assert (listings["fine"].package, listings["fine"].version) == ("stranger", "2.1")
    assert registry.make("scorer", "fine").title == "Fine"
    assert registry.make("scorer", "margin").title == "Margin"
    assert faults["margin of stranger"] == "package nextlabel already offers a scorer of this name; rename one"
    assert "needs 'mood', which is no evidence column; known: task_id, " in (faults["curious"] or "")
    with pytest.raises(
        PluginError, match="'angry' of package stranger cannot be loaded: RuntimeError: needs a licence"
    ):
        registry.make("scorer", "angry")


def test_unknown_name_suggests() -> None:
    with pytest.raises(PluginError, match=r"Unknown scorer 'entrpy'\. Did you mean 'entropy'\? Available: .*margin"):
        registry.make("scorer", "entrpy")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"temperature": -1}, "temperature = -1: .*greater than 0"),
        ({"heat": 2}, "heat = 2: .*Settings: temperature"),
        ({"temperature": "warm"}, "temperature = 'warm'"),
    ],
)
def test_config_error_names_field_and_bound(config: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        registry.make("scorer", "entropy", config)


def test_a_subclass_of_a_plugin_may_bring_its_own_config() -> None:
    class Louder(PluginConfig):
        volume: int = 1

    class LoudEntropy(Entropy):
        Config = Louder

    assert LoudEntropy.Config is Louder
    assert LoudEntropy().config.model_dump() == {"volume": 1}
