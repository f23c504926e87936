"""Advice: what an admin should know before trusting a plan, from our own measurements (docs/studies)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_backend.loop.plan import Advice, Plan
from plugins import registry

BATCH_PER_CLASS = 10  # labels asked for at once per class, beyond which a batch fills with look-alikes
DIVERSE = ("diverse", "kmeans", "kcenter", "coreset")  # selectors that part look-alikes themselves


def advise(plan: Plan, *, accuracy: float | None, labels: int, classes: int, features: str) -> tuple[str, ...]:
    """Sentences on a plan as things stand; none where nothing is wrong, or where the plan has no `advice`.

    accuracy: the learner's own estimate, 0 to 1, None while unknown. labels: L. features: the learner's sentence.
    """
    settings = plan.advice
    if settings is None:
        return ()
    return (
        *_low_accuracy(settings, accuracy, features),
        *_harmful(plan, accuracy),
        *_large_batch(plan, labels, classes),
    )


def packed(facts: Mapping[str, Any], batch: int) -> tuple[str, ...]:
    """Where a selector that keeps frames apart (`facts` of its selection) could not do so for a whole batch.

    >>> packed({"apart": 12, "distance": 3}, 20)
    ('Only 12 frames stand more than 3 frames from labeled and chosen ones, and a batch is 20: little choice is left.
    Lower the distance of `spaced`, or add videos.',)
    >>> packed({"apart": 20, "distance": 3}, 20), packed({}, 20)
    ((), ())
    """
    if facts.get("apart", batch) >= batch:
        return ()
    return (
        f"Only {facts['apart']} frames stand more than {facts['distance']} frames from labeled and chosen ones, and a "
        f"batch is {batch}: little choice is left. Lower the distance of `spaced`, or add videos.",
    )


def _low_accuracy(settings: Advice, accuracy: float | None, features: str) -> tuple[str, ...]:
    """Thesis ch. 5.6: below a number of labels selection is no better than random, and features save more labels."""
    if accuracy is None or accuracy >= settings.low_accuracy:
        return ()
    weak = "ResNet-18" not in features
    remedy = (
        "better features would help more than any selection: published ResNet-18 weights (learner.config.weights), or "
        "pre-training on your images"
        if weak
        else "more labels, or features pre-trained on images like yours, would help more than any selection"
    )
    return (
        f"The estimated accuracy is {accuracy:.0%}: below {settings.low_accuracy:.0%} selection may not beat random "
        f"order; {remedy}.",
    )


def _harmful(plan: Plan, accuracy: float | None) -> tuple[str, ...]:
    """Plugins that do worse than random order while the model is weaker than they need."""
    found = []
    for kind, name in [*(("scorer", scorer.name) for scorer in plan.scorers), ("selector", plan.selector.name)]:
        listing = registry.available(kind).get(name)
        needs = getattr(listing.cls, "harmful_below", None) if listing and listing.cls else None
        if needs is not None and accuracy is not None and accuracy < needs:
            found.append(
                f"The {kind} '{name}' has done worse than random order where accuracy was below {needs:.0%}, and it is "
                f"{accuracy:.0%} here; margin is safer."
            )
    return tuple(found)


def _large_batch(plan: Plan, labels: int, classes: int) -> tuple[str, ...]:
    """5 to 10 x classes, never more than doubling the labels (method.md, measured on MNIST)."""
    batch = plan.batch_size(classes, labels)
    allowed = max(classes, min(BATCH_PER_CLASS * classes, labels))
    if batch <= allowed or plan.selector.name in DIVERSE:
        return ()
    return (
        f"A batch of {batch} is large for {labels} labels of {classes} classes: up to {allowed} pays best. Lower "
        "`batch`, or let the selector 'diverse' choose among the best.",
    )
