"""Advice: said where our measurements say so, silent elsewhere, and switched off by the admin."""

from __future__ import annotations

from typing import Any

import pytest

from ml_backend.loop.advice import advise
from ml_backend.loop.plan import parse_plan

PATCHES = "k-means patch features (256), learned from 4 000 of this project's images"


def said(plan: dict[str, Any] | None = None, **known: Any) -> tuple[str, ...]:
    given = {"accuracy": 0.95, "labels": 200, "classes": 10, "features": PATCHES, **known}
    return advise(parse_plan(plan or {}), **given)


def test_a_sound_plan_on_a_decent_model_gets_no_advice() -> None:
    assert said() == ()


def test_a_weak_model_is_told_what_would_help_more_than_selection() -> None:
    (sentence,) = said(accuracy=0.41)
    assert "41%" in sentence
    assert "may not beat random order" in sentence
    assert "ResNet-18 weights" in sentence
    (other,) = said(accuracy=0.41, features="ResNet-18 features (512) at 128 px")
    assert "pre-trained on images like yours" in other


def test_nothing_is_claimed_while_accuracy_is_unknown() -> None:
    assert said({"scorers": [{"name": "entropy"}]}, accuracy=None) == ()


def test_a_plugin_that_does_harm_on_weak_models_is_named() -> None:
    (sentence,) = said({"scorers": [{"name": "margin"}, {"name": "entropy"}]}, accuracy=0.8)
    assert sentence.startswith("The scorer 'entropy' has done worse than random order where accuracy was below 88%")
    assert said({"scorers": [{"name": "entropy"}]}, accuracy=0.9) == ()


@pytest.mark.parametrize(("batch", "labels", "warned"), [(100, 200, False), (101, 200, True), (50, 40, True)])
def test_a_batch_beyond_ten_per_class_or_beyond_the_labels_is_named(batch: int, labels: int, warned: bool) -> None:
    found = said({"batch": batch}, labels=labels)
    assert bool(found) is warned
    if found:
        assert f"A batch of {batch} is large for {labels} labels" in found[0]


def test_a_selector_that_parts_look_alikes_may_have_large_batches() -> None:
    assert said({"batch": 500, "selector": {"name": "kmeans"}}) == ()


def test_the_admin_overrides_the_advice() -> None:
    assert said({"advice": None, "batch": 1000, "scorers": [{"name": "entropy"}]}, accuracy=0.1) == ()
    assert said({"advice": {"low_accuracy": 0.3}}, accuracy=0.4) == ()
