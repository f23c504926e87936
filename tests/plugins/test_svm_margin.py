"""The SVM's margin against an SVM solved by a general optimiser, and geometry that can be checked by eye."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray

from plugins.contract import PluginError
from plugins.evidence import Evidence
from plugins.registry import make
from plugins.uncertainty import svm_margin as module
from plugins.uncertainty.svm_margin import fit_planes

Floats = NDArray[np.float64]


def literal_decisions(points: Floats, labels: NDArray[np.int64], pool: Floats, weight: float) -> Floats:
    """One-vs-rest: min |w|^2 / 2 + b^2 / 2 + C sum max(0, 1 - y (w x + b))^2, one class at a time."""
    centre = points.mean(axis=0)
    scale = np.sqrt(np.mean([((p - centre) ** 2).sum() for p in points]))
    ones = np.c_[(points - centre) / scale, np.ones(len(points))]
    columns = []
    for c in np.unique(labels):
        y = np.where(labels == c, 1.0, -1.0)

        def objective(w: Floats, y: Floats = y) -> tuple[float, Floats]:
            slack = np.maximum(0.0, 1.0 - y * (ones @ w))
            return float(w @ w / 2 + weight * (slack**2).sum()), w - 2 * weight * ones.T @ (y * slack)

        w = scipy.optimize.minimize(objective, np.zeros(ones.shape[1]), jac=True, tol=1e-10).x
        columns.append(np.c_[(pool - centre) / scale, np.ones(len(pool))] @ w)
    return np.stack(columns, axis=1)


def made_up(n: int = 60, labeled: int = 24, classes: int = 4) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    labels = np.r_[np.arange(classes), rng.integers(classes, size=labeled - classes)]
    centres = rng.normal(size=(classes, 5))
    return {
        "task_id": np.arange(n),
        "embeddings": (7 + 3 * rng.normal(size=(n, 5))).astype(np.float32),
        "labeled_embeddings": (7 + 3 * (centres[labels] + rng.normal(size=(labeled, 5)))).astype(np.float32),
        "labels": labels,
    }


def scored(columns: dict[str, NDArray[Any]], **config: Any) -> Floats:
    return np.asarray(make("scorer", "svm_margin", config).score(Evidence(columns, classes=tuple("abcdef"))).values)


@pytest.mark.parametrize("margin", ["two_best", "nearest_plane"])
@pytest.mark.parametrize("classes", [2, 4])
def test_margin_equals_its_formula(margin: Literal["two_best", "nearest_plane"], classes: int) -> None:
    columns = made_up(classes=classes)
    labels = columns["labels"]
    decisions = literal_decisions(columns["labeled_embeddings"], labels, columns["embeddings"], 5.0)
    expected = []
    for row in decisions.tolist():
        ordered = sorted(row)
        expected.append(ordered[-1] - ordered[-2] if margin == "two_best" else min(abs(d) for d in row))
    assert np.allclose(-scored(columns, margin=margin), expected, atol=5e-3)


def test_the_item_between_two_classes_comes_first_and_says_why() -> None:
    columns = {
        "task_id": np.arange(3),
        "embeddings": np.array([[-1.0, 0.0], [0.01, 0.0], [2.0, 0.0]]),
        "labeled_embeddings": np.array([[-1.0, 0.0], [1.0, 0.0]]),
        "labels": np.array([2, 0]),
    }
    some = Evidence(columns, classes=("cat", "dog", "eel"))
    scores = make("scorer", "svm_margin").score(some)
    assert np.argsort(-scores.values).tolist() == [1, 0, 2]
    assert scores.reason(1) == "the SVM's largest decision values are cat (+0.01) and eel (-0.01)"
    other = make("scorer", "svm_margin", {"margin": "nearest_plane"}).score(some)
    assert other.reason(1) == "of all classes its decision value is nearest to 0 for cat (+0.01)"


def test_neither_scale_nor_shift_of_the_features_nor_the_order_of_labels_matters() -> None:
    columns = made_up()
    values = scored(columns)
    moved = {name: 100 * a + 5 if "embeddings" in name else a for name, a in columns.items()}
    assert np.allclose(scored(moved), values, atol=5e-3)
    turned = columns | {name: columns[name][::-1] for name in ("labels", "labeled_embeddings")}
    assert np.array_equal(scored(turned), values)


@pytest.mark.parametrize("labels", [[], [1], [1, 1, 1]])
def test_before_two_classes_are_labeled_all_items_are_equal(labels: list[int]) -> None:
    columns = made_up() | {"labels": np.array(labels, dtype=int), "labeled_embeddings": np.ones((len(labels), 5))}
    scores = make("scorer", "svm_margin").score(Evidence(columns, classes=tuple("abcd")))
    assert not scores.values.any()
    assert scores.reason(0) == "no two classes are labeled yet"
    assert "needs labels of two classes" in scores.notes[0]


def test_identical_features_cannot_be_told_apart() -> None:
    columns = made_up() | {"labeled_embeddings": np.ones((24, 5))}
    assert np.isfinite(scored(columns)).all()


def test_features_must_fit_and_be_finite() -> None:
    with pytest.raises(PluginError, match="need one width and one label"):
        scored(made_up() | {"labeled_embeddings": np.ones((24, 4))})
    with pytest.raises(PluginError, match="need one width and one label"):
        scored(made_up() | {"labels": np.arange(3)})
    with pytest.raises(PluginError, match="not finite for 24 of 24"):
        scored(made_up() | {"labeled_embeddings": np.full((24, 5), np.nan)})


def test_blocks_of_rows_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scored(made_up())
    monkeypatch.setattr(module, "BLOCK", 7)
    assert np.allclose(scored(made_up()), whole, atol=1e-12)


def test_planes_keep_their_classes() -> None:
    columns = made_up(classes=2)
    planes = fit_planes(columns["labeled_embeddings"], columns["labels"] * 3 + 1, 5.0)
    assert planes.classes.tolist() == [1, 4]
    decisions = planes.decide(columns["labeled_embeddings"])
    assert np.mean(planes.classes[decisions.argmax(axis=1)] == columns["labels"] * 3 + 1) > 0.8
