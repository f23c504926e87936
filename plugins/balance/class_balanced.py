"""Class balance: the batch that is worth most by the scores and brings what the classes are missing, with a proof."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from plugins.balance.objects import checked_boxes, expected_objects, shows
from plugins.balance.path import smallest_sufficient, solve_path
from plugins.balance.prefixes import compare_orders, order_batch
from plugins.balance.program import Solution, solve
from plugins.balance.wanted import Target, check_target, checked_probabilities, serves, shares_of, wanted
from plugins.balance.wasserstein import ground_from_embeddings
from plugins.combination import checked_values
from plugins.contract import FloatArray, IntArray, PluginConfig, PluginError, Selection, Selector
from plugins.evidence import Evidence

WEIGHTS = (0.0, *(2.0**k for k in range(-5, 3)))  # tried by `auto`, in ranges of the pool's scores
LEFT = 0.05  # of the fall of the balance term, which `auto` leaves: its last part costs most of the scores
EXACT = 1e-9  # a gap that counts as none


class ClassBalancedConfig(PluginConfig):
    """What is balanced towards, what that is worth, and how it is measured."""

    target: Target = "uniform"
    weight: Annotated[float, Field(ge=0, le=1e6)] | Literal["auto"] = Field(
        "auto",
        description="lambda: what one expected item (or box) closer to the target is worth, in units of the score "
        "(nats for entropy, percentiles for a mix). auto takes the smallest of nine weights after which the balance no "
        "longer improves.",
    )
    distance: Literal["l1", "l2", "l2_squared", "wasserstein"] = Field(
        "l1",
        description="How the distance between what a batch brings and what is wanted is measured. l1 counts items; l2 "
        "and l2_squared mind large shortages more; wasserstein forgives a class that looks like the wanted one, and "
        "needs labeled items with embeddings, which no project of boxes has.",
    )
    time_limit: float = Field(
        30.0,
        gt=0,
        le=86_400,
        description="Seconds for all weights together; when they are over, the best batch so far is taken, with the "
        "gap that was proven for it.",
    )


def candidate_weights(cost: FloatArray, brings: float = 1.0) -> FloatArray:
    """(9,) rising weights from 0 to four times the range of (N,) costs, divided by what an item brings on average.

    An exchange of two items costs at most the range and, where the model is sure of their classes, changes the L1 term
    by 2: half of the range is enough then. Where it is unsure the term falls by less, and on for longer. A frame that
    brings 10 objects changes it ten times as much.

    >>> candidate_weights(np.array([-1.0, 3.0]))[[0, 1, -1]].tolist()
    [0.0, 0.125, 16.0]
    """
    reach = float(np.ptp(cost)) if len(cost) else 0.0
    return np.array(WEIGHTS) * ((reach if reach > 0 else 1.0) / (brings if brings > 0 else 1.0))


def class_distances(labeled: FloatArray, labels: IntArray, classes: int) -> FloatArray:
    """(C, C) distances between the mean embeddings of labeled items (L, D) by class (L,), in units of the largest.

    A class without labels, of which nothing is known, is as far from every other as the others are on average.

    >>> class_distances(np.array([[0.0], [1.0], [5.0]]), np.array([0, 0, 2]), 3).round(2).tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    known = np.unique(labels)
    ground = np.ones((classes, classes))
    if len(known) > 1:
        means = np.stack([labeled[labels == c].mean(axis=0, dtype=np.float64) for c in known])
        between = ground_from_embeddings(means)
        ground[:] = between[np.triu_indices(len(known), 1)].mean()
        ground[np.ix_(known, known)] = between
    np.fill_diagonal(ground, 0.0)
    return ground


@dataclass(frozen=True)
class Expected:
    """What labels the pool is expected to bring. rows: (N, C), probabilities of items or, where `boxes`, objects of
    frames. brings: how many a row brings on average, 1 of items. proven_by: whose numbers these are."""

    rows: FloatArray
    boxes: bool
    brings: float = 1.0

    @property
    def proven_by(self) -> str:
        return "the detector's scores" if self.boxes else "the model's probabilities"


class ClassBalanced(Selector[ClassBalancedConfig]):
    """order: of argmin_z -values.z + lambda * dist(Omega, P^T z), 1^T z = b, z in {0, 1}^N (Eq. 4.8).

    The minus values are any informativeness cost: with the scorer entropy this is the thesis' own program. Omega is
    Eq. 4.4's. `gap` is (objective - bound) / |objective|, where no batch at all is below the bound. Within the batch
    items are ordered so that one left unfinished is nearly balanced too.

    Where people draw boxes, P holds the objects that each frame is expected to show (the sum over its detections of
    score x class probabilities, weak ones too), and Omega the boxes that are missing once b average frames are drawn.
    A frame brings all its objects: those of classes that have enough count against it.
    """

    name, title = "class_balanced", "Class balance"
    summary = (
        "Trades the scores against what each class is missing, and proves how good the batch is; for skewed pools, "
        "around any scorer, of images or of boxes on frames. On balanced pools and with weak models it costs accuracy."
    )
    reference = "Zolfaghari Bengar et al. 2022 (WACV); thesis Eq. 4.3-4.4, 4.8-4.10"
    needs = frozenset({"task_id", "counts"})
    optional = frozenset(
        {
            "probabilities",
            "labels",
            "labeled_embeddings",
            "detection_item",
            "detection_score",
            "detection_label",
            "detection_probabilities",
        }
    )
    harmful_below = 0.5  # docs/studies/class_balance.md, CIFAR-10

    def check_classes(self, classes: tuple[str, ...]) -> None:
        check_target(self.config.target, classes, f"Selector '{self.name}'")

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        n, classes, counts = len(evidence), evidence.classes, evidence.counts
        cost = -checked_values("The combined score", values, n)
        budget = max(0, min(budget, n))
        self.check_classes(classes)
        if budget == 0 or not len(classes):
            return Selection(np.empty(0, dtype=np.int64))
        known = self._expected(evidence)
        shares = shares_of(self.config.target, evidence, f"Selector '{self.name}'", known.rows)
        target = wanted(counts, budget * known.brings, shares)
        try:
            chosen, weight, path = self._solve(evidence, known, cost, target, budget)
        except ValueError as error:
            raise PluginError(f"Selector '{self.name}': {error}") from None
        rows = known.rows[chosen.selected]
        given = cost[chosen.selected], target, evidence.jitter[chosen.selected]
        within = order_batch(rows, *given, counts=known.boxes)
        prefixes = compare_orders(rows, *given, within, seed=evidence.seed, counts=known.boxes)
        facts: dict[str, Any] = {
            "wanted": target.tolist(),
            "expected": chosen.counts.tolist(),
            "weight": weight,
            "distance": chosen.distance,
            "objective": chosen.objective,
            "path": path,
            "prefixes": asdict(prefixes),
        }
        what = "frame" if evidence.has("video") else "image"

        def reason(item: int) -> str:
            if known.boxes:
                return shows(known.rows[item], target, counts, classes, what)
            return serves(known.rows[item], target, counts, classes)

        return Selection(
            chosen.selected[within],
            reason,
            gap=chosen.gap,
            bound=chosen.bound,
            notes=_notes(chosen, weight, known),
            facts=facts,
        )

    def _expected(self, evidence: Evidence) -> Expected:
        """Probabilities of items where there are any, else objects on frames; whatever is lent is looked at."""
        if evidence.has("labeled_embeddings") and not np.isfinite(evidence.labeled_embeddings).all():
            raise PluginError(
                f"Selector '{self.name}' got labeled embeddings that are not finite; look at the learner."
            )
        try:
            boxes = checked_boxes(evidence) if evidence.has("detection_score") else None
        except ValueError as error:
            raise PluginError(f"Selector '{self.name}': {error}") from None
        if evidence.has("probabilities"):
            return Expected(checked_probabilities(evidence, self.name), boxes=False)
        if boxes is None:
            raise PluginError(
                f"Selector '{self.name}' found neither 'probabilities' of items nor 'detection_score' of boxes in this "
                "cycle; it can choose after a learner was trained."
            )
        objects = expected_objects(*boxes, len(evidence), len(evidence.classes))
        return Expected(objects, boxes=True, brings=float(objects.sum()) / len(objects))

    def _solve(
        self, evidence: Evidence, known: Expected, cost: FloatArray, target: FloatArray, budget: int
    ) -> tuple[Solution, float, list[dict[str, float]]]:
        """The batch, its lambda, and what every lambda that was tried gave."""
        program = known.rows, cost, target, budget
        options: dict[str, Any] = {
            "distance": self.config.distance,
            "ground": self._ground(evidence),
            "ties": evidence.jitter,
            "time_limit": self.config.time_limit,
            "seed": evidence.seed,
            "counts": known.boxes,
        }
        if self.config.weight != "auto":
            return solve(*program, self.config.weight, **options), self.config.weight, []
        weights = candidate_weights(cost, known.brings)
        answers = solve_path(*program, weights.tolist(), thorough=False, **options)
        best = smallest_sufficient(weights, np.array([answer.distance for answer in answers]), LEFT)
        chosen = solve(*program, float(weights[best]), start=answers[best].multipliers, **options)
        path = [
            {"weight": float(weight), "distance": answer.distance, "cost": float(cost[answer.selected].sum())}
            for weight, answer in zip(weights, answers, strict=True)
        ]
        return chosen, float(weights[best]), path

    def _ground(self, evidence: Evidence) -> FloatArray | None:
        """(C, C) distances between classes for wasserstein, None for the others."""
        if self.config.distance != "wasserstein":
            return None
        missing = [column for column in ("labels", "labeled_embeddings") if not evidence.has(column)]
        if missing:
            raise PluginError(
                f"Selector '{self.name}': the distance 'wasserstein' needs '{missing[0]}', which this project does not "
                "have; choose l1, l2 or l2_squared."
            )
        return class_distances(evidence.labeled_embeddings, evidence.labels, len(evidence.classes))


def _notes(chosen: Solution, weight: float, known: Expected) -> tuple[str, ...]:
    proof = "proven to be the best one" if chosen.gap <= EXACT else f"proven to be within {chosen.gap:.1g} of the best"
    said = f"The batch was chosen with a balance weight of {weight:.3g} and is {proof} by {known.proven_by}."
    if known.boxes and known.brings == 0:
        return (said, "The detector found nothing in the pool, so that the scores alone decide.")
    return (said,)
