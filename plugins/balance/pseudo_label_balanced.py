"""Pseudo-label balance: believe the model's answers, and take of each class as many as are missing, best first."""

from __future__ import annotations

import numpy as np

from plugins.balance.wanted import Target, check_target, checked_probabilities, shares_of, wanted
from plugins.combination import checked_values
from plugins.contract import FloatArray, IntArray, PluginConfig, Selection, Selector
from plugins.coverage.top import top
from plugins.evidence import Evidence


class PseudoLabelBalancedConfig(PluginConfig):
    """What is balanced towards."""

    target: Target = "uniform"


def quotas(target: FloatArray, budget: int) -> IntArray:
    """(C,) whole numbers in proportion to Omega (C,) that sum to the budget, by largest remainders; 0 where Omega is 0.

    All 0 when no class is missing anything.

    >>> quotas(np.array([0.0, 15.0, 7.5]), 10).tolist()
    [0, 7, 3]
    """
    total = float(target.sum())
    if total <= 0:
        return np.zeros(len(target), dtype=np.int64)
    exact = target / total * budget
    whole = np.floor(exact).astype(np.int64)
    left = budget - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:left]] += 1
    return np.asarray(whole)


def pseudo_label_balanced(
    labels: IntArray, values: FloatArray, target: FloatArray, budget: int, ties: FloatArray
) -> IntArray:
    """(b,) positions: of each predicted class its quota with the highest values; what no item fills goes by value.

    labels: (N,) predicted class. values, ties: (N,); of equal values the smaller tie first. target: (C,) Omega.
    Thesis ch. 4, baseline "Entropy L1 pseudo label". The batch stands in order of value.

    >>> p, v = np.array([0, 0, 0, 1]), np.array([0.9, 0.8, 0.7, 0.1])
    >>> pseudo_label_balanced(p, v, np.array([1.0, 1.0]), 2, np.zeros(4)).tolist()
    [0, 3]
    """
    order = top(values, ties, len(values))
    places = quotas(target, budget)
    mine = labels[order]
    taken = np.zeros(len(order), dtype=bool)
    for c in np.flatnonzero(places):
        taken[np.flatnonzero(mine == c)[: places[c]]] = True
    rest = np.flatnonzero(~taken)[: budget - int(taken.sum())]
    taken[rest] = True
    return np.asarray(order[taken])


class PseudoLabelBalanced(Selector[PseudoLabelBalancedConfig]):
    """order: as `pseudo_label_balanced`, of the pool's likeliest classes and the plan's scores."""

    name, title = "pseudo_label_balanced", "Pseudo-label balance"
    summary = (
        "Takes from each predicted class as many of the highest scores as that class is missing; simple, and misled "
        "where the model is wrong. class_balanced weighs doubt as well."
    )
    reference = "thesis ch. 4, baseline 'Entropy L1 pseudo label'"
    needs = frozenset({"task_id", "probabilities", "counts"})
    harmful_below = 0.5  # docs/studies/class_balance.md, CIFAR-10

    def check_classes(self, classes: tuple[str, ...]) -> None:
        check_target(self.config.target, classes, f"Selector '{self.name}'")

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        n, classes = len(evidence), evidence.classes
        values = checked_values("The combined score", values, n)
        budget = max(0, min(budget, n))
        shares = shares_of(self.config.target, evidence, f"Selector '{self.name}'")
        if budget == 0 or not len(classes):
            return Selection(np.empty(0, dtype=np.int64))
        target, counts = wanted(evidence.counts, budget, shares), evidence.counts
        probabilities = checked_probabilities(evidence, self.name)
        labels = probabilities.argmax(axis=1)
        order = pseudo_label_balanced(labels, values, target, budget, evidence.jitter)

        def reason(item: int) -> str:
            c = labels[item]
            need = round(float(counts[c] + target[c]))
            state = f"{counts[c]} of {need} labeled so far" if target[c] > 0 else "of which there are enough"
            return f"the model says {classes[c]}, {probabilities[item, c]:.2f}: {state}"

        expected = probabilities[order].sum(axis=0, dtype=np.float64)
        return Selection(order, reason, facts={"wanted": target.tolist(), "expected": expected.tolist()})
