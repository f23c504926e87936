"""Frozen: fixed features and a linear head, trained in seconds on a CPU."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ml_backend.learners import dropout
from ml_backend.learners.choice import FeatureConfig, choose
from ml_backend.learners.contract import Accuracy, FeatureStore, Fit, Images, Learner, Observer
from ml_backend.learners.features import embed, restore
from ml_backend.learners.head import Head, Scaling, Solution, Solver, fit_head, held_out_hits
from ml_backend.learners.labels import checked_labels
from ml_backend.learners.pixels import one_blas_thread
from plugins.contract import FloatArray, IntArray

PREFIX = "features."


class FrozenConfig(FeatureConfig):
    """Features and the head on them."""

    l2: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="L2 penalty of the head on features of overall RMS 1 (scikit-learn's 1 / C); more is smoother "
        "and less sure, less follows single labels.",
    )
    history: int = Field(
        40,
        ge=1,
        le=1000,
        description="Solver iterations whose predictions are recorded for the pool; 20 are nearly as good, 10 worse.",
    )
    max_iterations: int = Field(
        300,
        ge=10,
        le=10_000,
        description="Most solver iterations; a head that needs more is used as it stands, with a note.",
    )
    folds: int = Field(
        5,
        ge=0,
        le=50,
        description="Parts the labels are cut into to measure accuracy; more is less pessimistic and slower. 0: "
        "not measured, which is right for simulations (they have test images).",
    )
    pass_dropout: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the features that a dropout pass leaves out, for scorers that read such passes (BALD); "
        "training is not changed by it. More makes the passes differ more.",
    )
    passes: int = Field(
        20,
        ge=2,
        le=1000,
        description="Dropout passes over the pool, where a scorer asks for them; more is steadier, at a cost in "
        "proportion.",
    )

    @field_validator("folds")
    @classmethod
    def _parts(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one part leaves nothing to learn from; give 0 (not measured) or 2 and more")
        return folds


class Frozen(Learner[FrozenConfig]):
    """Multinomial logistic regression, refit from zero, on features that never change.

    Accuracy is cross-fitted: every label is predicted by a head that has not seen it. Labels that a queue chose for
    being hard make it lower than on the whole pool.
    """

    name, title = "frozen", "Frozen features, linear head"
    summary = "Trains in seconds on a CPU; right for most projects until there are thousands of labels."
    reference = "He et al. 2016; Coates, Ng & Lee 2011; Liu & Nocedal 1989 (L-BFGS)"
    provides = frozenset({"probabilities", "embeddings", "label_history", "labeled_embeddings"}) | dropout.PASSES

    def embed(self, images: Images, store: FeatureStore) -> tuple[NDArray[np.float32], str]:
        """See Learner.embed; the sentence says which features and why."""
        chosen = choose(self.config, images, self.scope, store)
        return embed(chosen.features, images, store), chosen.sentence

    def fit(
        self,
        labeled: Images,
        labels: IntArray,
        pool: Images,
        classes: tuple[str, ...],
        *,
        store: FeatureStore,
        seed: int,
        observer: Observer | None = None,
        wanted: Collection[str] = (),
    ) -> Fit:
        """See Learner.fit; the observer hears the first `history` solver iterations."""
        labels, config = checked_labels(labels, labeled, classes), self.config
        both = labeled + pool
        chosen = choose(config, both, self.scope, store)
        vectors = embed(chosen.features, both, store)
        known, rest = vectors[: len(labels)], vectors[len(labels) :]
        order = np.lexsort((labels, np.array(labeled.contents)))  # sums do not depend on who labeled first
        known_sorted, labels_sorted = known[order], labels[order]
        scaling = Scaling.of(known_sorted, rest)

        def watch(iteration: int, head: Head) -> None:
            if observer is not None and iteration < config.history:
                observer(iteration, head.labels(rest))

        solver = Solver(config.l2, config.max_iterations)
        problem = known_sorted, labels_sorted, len(classes), scaling, solver
        with one_blas_thread():
            solution = fit_head(*problem, watch=watch)
        hits = held_out_hits(*problem, folds=config.folds, seed=seed) if config.folds else None
        own = float((solution.head.labels(known) == labels).mean())
        return Fit(
            probabilities=solution.head.probabilities(rest),
            embeddings=rest,
            labeled_embeddings=known,
            model=_model(
                solution.head, {PREFIX + k: v for k, v in chosen.features.arrays().items()}, chosen.features.id
            ),
            features=chosen.sentence,
            accuracy=None if hits is None else Accuracy.from_hits(int(hits.sum()), len(hits)),
            metrics={"iterations": float(solution.iterations), "training_accuracy": own},
            notes=tuple(_notes(solution, classes, labels, chosen.note, hits is None, config.folds)),
            columns=self._passes(solution.head, scaling, rest, seed) if dropout.asked_for(wanted) else {},
        )

    def _passes(self, head: Head, scaling: Scaling, rest: NDArray[np.float32], seed: int) -> dropout.Columns:
        if not len(rest):
            return dropout.Means(0, len(head.bias), self.config.passes).columns()
        (masks,) = dropout.masks(self.config.passes, [rest.shape[1]], self.config.pass_dropout, seed)
        with one_blas_thread():
            return head.expected(rest, scaling.centre, masks)

    def predict(self, model: dict[str, NDArray[Any]], images: Images, store: FeatureStore) -> FloatArray:
        """See Learner.predict; features come from the store or are computed as the model's own arrays say."""
        head = Head(model["weights"], model["bias"], model["seen"].astype(bool), float(model["unseen"][0]))
        if not len(images):
            return np.empty((0, len(head.bias)))
        features = restore({k.removeprefix(PREFIX): v for k, v in model.items() if k.startswith(PREFIX)}, store)
        return head.probabilities(embed(features, images, store))


def _model(head: Head, features: dict[str, NDArray[Any]], feature_id: str) -> dict[str, NDArray[Any]]:
    return {
        "weights": head.weights,
        "bias": head.bias,
        "seen": head.seen,
        "unseen": np.array([head.unseen]),
        "feature_id": np.array([feature_id]),
        **features,
    }


def _notes(
    solution: Solution, classes: tuple[str, ...], labels: IntArray, aged: str | None, unmeasured: bool, folds: int
) -> list[str]:
    notes = [aged] if aged else []
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, n in zip(classes, counts, strict=True) if n == 0]
    if absent:
        listed = ", ".join(absent[:10]) + (" and more" if len(absent) > 10 else "")
        notes.append(f"No label yet for {len(absent)} of {len(classes)} classes: {listed}.")
    if unmeasured and folds:
        notes.append("Accuracy is unknown until two classes have two labels each.")
    if not solution.converged:
        notes.append(f"The head stopped after {solution.iterations} iterations before it converged (max_iterations).")
    return notes
