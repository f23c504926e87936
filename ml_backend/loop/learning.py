"""Learn and evidence: a training becomes columns over the pool, kept so that a re-ranking needs no training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.contract import Accuracy, FeatureStore, Fit, Images, Learner
from ml_backend.learners.pixels import Mode, read_all, survey
from ml_backend.loop import watch
from ml_backend.loop.house import House
from ml_backend.loop.kept import kept_trainings
from ml_backend.loop.plan import Plan
from ml_backend.loop.pool import Pool
from ml_backend.store.arrays import Arrays
from plugins import registry
from plugins.contract import FloatArray, IntArray
from plugins.evidence import Column, Evidence

KEEP_EVIDENCE = 5  # trainings; embeddings and history of the whole pool are large
KEEP_MODELS = 10
USUAL = frozenset({"probabilities", "embeddings", "label_history", "labeled_embeddings"})  # of every training here
SIDE = 32  # px, at most, of the pictures that plugins see


@dataclass(frozen=True)
class Learned:
    """Evidence on the current pool, and what to tell people about the training behind it."""

    evidence: Evidence
    probabilities: FloatArray | None
    trained_in: int | None  # number of the cycle whose training this is
    features: str = ""
    accuracy: Accuracy | None = None
    metrics: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


class LabelHistory:
    """Observer that keeps the predicted labels of every epoch in the smallest integers that hold C classes."""

    def __init__(self, classes: int) -> None:
        self._dtype = np.min_scalar_type(max(classes - 1, 0))
        self._epochs: list[NDArray[Any]] = []

    def __call__(self, epoch: int, labels: IntArray) -> None:  # noqa: ARG002  # the observer's signature
        watch.check()
        self._epochs.append(np.asarray(labels).astype(self._dtype))

    def matrix(self, n: int) -> NDArray[Any]:
        """(N, T)."""
        return np.stack(self._epochs, axis=1) if self._epochs else np.zeros((n, 0), dtype=self._dtype)


def make_learner(plan: Plan, project_id: int) -> Learner[Any]:
    learner: Learner[Any] = registry.make("learner", plan.learner.name, plan.learner.config)
    learner.scope = f"project-{project_id}"
    return learner


def evidence_needs(plan: Plan) -> frozenset[str]:
    """The evidence columns that a plan's plugins read."""
    chosen = [("scorer", scorer.name) for scorer in plan.scorers] + [("selector", plan.selector.name)]
    if plan.cold_start is not None:
        chosen.append(("selector", plan.cold_start.selector.name))
    listed = [registry.available(kind).get(name) for kind, name in chosen]
    return frozenset().union(*(listing.cls.needs for listing in listed if listing and listing.cls))


def evidence_key(project_id: int, cycle: int) -> str:
    return f"projects/{project_id}/evidence/{cycle:06d}"


def model_key(project_id: int, cycle: int) -> str:
    return f"projects/{project_id}/models/{cycle:06d}"


def learn(
    learner: Learner[Any],
    pool: Pool,
    classes: tuple[str, ...],
    store: FeatureStore,
    *,
    seed: int,
    wanted: frozenset[str],
) -> tuple[Fit, Arrays]:
    """Fits on the labels; returns the fit and the evidence columns that it gives on the pool.

    wanted: columns that a plan asks for. Those that cost extra are computed for them alone: the label history (a
    network infers the whole pool at every epoch) and whatever the learner names as dear.
    """
    history = LabelHistory(len(classes)) if "label_history" in wanted else None
    given = pool.labeled_images, pool.labels, pool.images, classes
    fit = learner.fit(*given, store=store, seed=seed, observer=history, wanted=wanted)
    columns: Arrays = {
        "probabilities": np.asarray(fit.probabilities, dtype=np.float32),
        "embeddings": np.asarray(fit.embeddings, dtype=np.float32),
        "labeled_embeddings": np.asarray(fit.labeled_embeddings, dtype=np.float32),
        **fit.columns,
    }
    if history is not None:
        columns["label_history"] = history.matrix(len(pool.task_id))
    return fit, columns


def train(house: House, project_id: int, cycle: int, plan: Plan, pool: Pool, classes: tuple[str, ...]) -> Learned:
    """Fits the plan's learner and keeps model and evidence. With fewer than two classes there is nothing to fit."""
    if np.count_nonzero(pool.counts) < 2:
        return Learned(make_evidence(pool, classes, plan, {}), None, None)
    wanted = evidence_needs(plan) | {"label_history"}  # so that an admin can switch to dispersion without a training
    fit, columns = learn(make_learner(plan, project_id), pool, classes, house.features, seed=plan.seed, wanted=wanted)
    ids: Arrays = {"task_id": pool.task_id, "labeled_task_id": pool.labeled_task_id}
    house.arrays.write(evidence_key(project_id, cycle), {**columns, **ids})
    house.arrays.write(model_key(project_id, cycle), fit.model)
    forget_old(house, project_id)
    return Learned(
        make_evidence(pool, classes, plan, dict(columns)),
        columns["probabilities"],
        cycle,
        fit.features,
        fit.accuracy,
        fit.metrics,
        fit.notes,
    )


def recall(
    house: House, project_id: int, trained_in: int, plan: Plan, pool: Pool, classes: tuple[str, ...]
) -> Learned | None:
    """The evidence of an earlier training on today's pool; None where it is gone, or does not fit classes and plan.

    Items that came later are predicted by that model. Their label history is then constant: nothing is known of it.
    Columns that cost extra are there if that training was asked for them, and for the items it saw.
    """
    kept = house.arrays.read(evidence_key(project_id, trained_in))
    if kept is None or kept["probabilities"].shape[1] != len(classes):
        return None
    learner = make_learner(plan, project_id)
    known = np.concatenate([kept["task_id"], kept["labeled_task_id"]])
    where = positions(known, pool.task_id)
    unseen = (where < 0) | (where >= len(kept["task_id"]))
    extra = (evidence_needs(plan) & frozenset(learner.provides)) - USUAL
    if extra and (unseen.any() or not extra <= set(kept)):
        return None
    probabilities, history = _take(kept, where, unseen)
    notes: tuple[str, ...] = ()
    if unseen.any():
        model = house.arrays.read(model_key(project_id, trained_in))
        if model is None:
            return None
        fresh = np.asarray(learner.predict(model, _only(pool.images, unseen), house.features), dtype=np.float32)
        probabilities[unseen] = fresh
        history[unseen] = fresh.argmax(axis=1)[:, None]
        notes = (f"{int(unseen.sum())} items came after the last training; its model predicted them.",)
    columns: dict[str, Column] = {"probabilities": probabilities, "label_history": history}
    columns |= {name: kept[name][where] for name in extra}
    embedded, labeled = _embeddings(house, learner, kept, known, pool)
    columns |= {"embeddings": embedded, "labeled_embeddings": labeled}
    return Learned(make_evidence(pool, classes, plan, columns), probabilities, trained_in, notes=notes)


def _embeddings(
    house: House, learner: Learner[Any], kept: Arrays, known: NDArray[Any], pool: Pool
) -> tuple[Callable[[], NDArray[Any]], Callable[[], NDArray[Any]]]:
    """Loaders of the embeddings of pool and labeled items, all in one space: the training's, else the learner's own."""

    def load(task_id: NDArray[Any], images: Images) -> NDArray[Any]:
        vectors = np.concatenate([kept["embeddings"], kept["labeled_embeddings"]])
        everywhere = np.concatenate([pool.task_id, pool.labeled_task_id])
        if (positions(known, everywhere) >= 0).all():
            return np.asarray(vectors[positions(known, task_id)])
        return np.asarray(learner.embed(images, house.features)[0])

    return (
        lambda: load(pool.task_id, pool.images),
        lambda: load(pool.labeled_task_id, pool.labeled_images),
    )


def _take(kept: Arrays, where: NDArray[Any], unseen: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = np.where(unseen, 0, where)
    if not len(kept["task_id"]):
        shape = (len(where), kept["label_history"].shape[1])
        return np.zeros((len(where), kept["probabilities"].shape[1]), np.float32), np.zeros(shape, np.uint8)
    return kept["probabilities"][rows].copy(), kept["label_history"][rows].copy()


def positions(known: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """(len(wanted),) where each wanted id stands in `known`, -1 if it does not."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(known, kind="stable")
    at = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    found = order[at]
    return np.where(known[found] == wanted, found, -1)


def _only(images: Images, mask: NDArray[np.bool_]) -> Images:
    return images.take(np.flatnonzero(mask))


def make_evidence(pool: Pool, classes: tuple[str, ...], plan: Plan, columns: dict[str, Any]) -> Evidence:
    """Columns of a training, with what is known without one."""
    base: dict[str, Column] = {"task_id": pool.task_id, "counts": pool.counts, "labels": pool.labels}
    base |= _pictures(pool)
    return Evidence({**base, **columns}, classes=classes, seed=plan.seed, providers=providers())


def providers() -> dict[str, list[str]]:
    """Learner -> evidence columns that it gives, for errors that say where a missing one comes from."""
    return {
        name: sorted(getattr(listing.cls, "provides", ()))
        for name, listing in registry.available("learner").items()
        if listing.cls is not None
    }


def _pictures(pool: Pool) -> dict[str, Callable[[], NDArray[Any]]]:
    """Loaders of small pictures, all of one size, for plugins that look at pixels themselves."""

    @cache
    def shape() -> tuple[tuple[int, int], Mode]:
        seen = survey(pool.images + pool.labeled_images)
        side = min(SIDE, seen.largest)
        return (side, side), "RGB" if seen.colour else "L"

    return {
        "images": lambda: read_all(pool.images, *shape()),
        "labeled_images": lambda: read_all(pool.labeled_images, *shape()),
    }


def forget_old(house: House, project_id: int) -> None:
    """Deletes evidence and models of trainings that nobody can go back to; the models of kept versions stay."""
    stay = {model_key(project_id, cycle) for cycle in kept_trainings(house, project_id)}
    for what, kept in (("evidence", KEEP_EVIDENCE), ("models", KEEP_MODELS)):
        for key in house.arrays.keys(f"projects/{project_id}/{what}")[:-kept]:
            if key not in stay:
                house.arrays.delete(key)
