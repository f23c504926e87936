"""Class-balanced selection: our solver beside CVXPY with HiGHS on the same data, from 5 000 to 1 000 000 items.

Synthetic pools are softmax rows of random logits with a true class, half of the classes at a tenth of the others'
frequency (IF = 0.1); the real one is a linear head on MNIST. Cost is minus entropy, the target what a balanced labeled
set still needs after uneven labels. Each of our runs is a process of its own, so that peak memory is its own.
Peers run where a few minutes are enough: see LIMITS. A row without a peer says why.
"""

from __future__ import annotations

import importlib
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.acquisition import in_child
from ml_backend.learners.head import Scaling, Solver, fit_head
from plugins.balance.prefixes import compare_orders, order_batch
from plugins.balance.program import solve
from plugins.evidence import uniform_by_id
from simulation.datasets.contract import DatasetConfig, DatasetError
from simulation.datasets.mnist import load_mnist

TITLE = "Class balance: certified selection beside CVXPY + HiGHS"
SIZES = (  # items, classes, budget, weight (thesis: 0.6 for 10 classes, 2 for 100)
    (5_000, 10, 250, 0.6),
    (5_000, 100, 250, 2.0),
    (50_000, 10, 2_500, 0.6),
    (50_000, 100, 2_500, 2.0),
    (50_000, 1_000, 2_500, 2.0),
    (1_000_000, 10, 10_000, 0.6),
    (1_000_000, 100, 10_000, 2.0),
)
LIMITS = {"relaxation": 5_000_000, "binary": 50_000}  # numbers in P up to which the peer is run
SKIPPED = (("binary", 1), ("binary", 2))  # a minute each, and the first seed says it
PEER_SECONDS, BINARY_SECONDS, OURS_SECONDS = 300.0, 60.0, 240.0
LABELED = 500  # digits that the head on MNIST learns from
SEEDS = (0, 1, 2)  # of the small pools; the others take the first


def run() -> dict[str, Any]:
    """rows: ours by pool, with ratio to the peer. growth: exponent of our seconds in items, by number of classes."""
    rows = []
    for items, classes, budget, weight in SIZES:
        for seed in SEEDS if items <= 5_000 else SEEDS[:1]:
            rows.append(_row("synthetic", partial(made_up, items, classes, seed), budget, weight, seed))
    rows += _mnist()
    return {
        "rows": rows,
        "growth": _growth(rows),
        "gap": "(objective - bound) / |objective|; the bound holds for every batch",
        "peak_mib": "resident size of the whole process at its largest, with the pool in memory",
        "skipped": f"peers see pools of up to {LIMITS['relaxation']} numbers for the relaxation, and of up to "
        f"{LIMITS['binary']} with the first seed for the binary program, since more takes them longer than minutes; "
        "1 000 000 x 1 000 is not run, since 50 000 x 1 000 takes most of a minute already",
    }


def made_up(items: int, classes: int, seed: int) -> NDArray[np.float32]:
    """(items, classes) float32 softmax rows; the second half of the classes is ten times as rare."""
    rng = np.random.default_rng(seed)
    often = np.where(np.arange(classes) < classes // 2, 1.0, 0.1)
    out = np.empty((items, classes), dtype=np.float32)
    for start in range(0, items, 65_536):
        block = out[start : start + 65_536]
        truth = rng.choice(classes, size=len(block), p=often / often.sum())
        logits = 2 * rng.standard_normal(block.shape, dtype=np.float32)
        logits[np.arange(len(block)), truth] += rng.uniform(0, 6, len(block))
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=block)
        block /= block.sum(axis=1, keepdims=True)
    return out


def cost_of(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) minus the entropy of each row in nats, thesis Eq. 4.8's first term."""
    out = np.empty(len(probabilities))
    for start in range(0, len(out), 65_536):
        block = probabilities[start : start + 65_536].astype(np.float64)
        out[start : start + 65_536] = (block * np.log(np.maximum(block, 1e-300))).sum(axis=1)
    return out


def target_of(classes: int, budget: int, seed: int) -> NDArray[np.float64]:
    """Omega of Eq. 4.3-4.4 after as many labels as the budget, which fell on classes at random."""
    labels = np.random.default_rng(seed + 100).poisson(budget / classes, classes)
    return np.asarray(np.maximum(2 * budget / classes - labels, 0.0))


def _row(data: str, pool: Callable[[], NDArray[np.float32]], budget: int, weight: float, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {"data": data, "budget": budget, "weight": weight, "seed": seed}
    row |= in_child(lambda: _ours(pool(), budget, weight, seed), OURS_SECONDS)
    for kind, limit in (("relaxation", PEER_SECONDS), ("binary", BINARY_SECONDS + 60)):
        if "seconds" in row and row["items"] * row["classes"] <= LIMITS[kind] and (kind, seed) not in SKIPPED:
            row |= _beside(row, kind, in_child(lambda kind=kind: _cvxpy(pool(), budget, weight, seed, kind), limit))  # type: ignore[misc]  # mypy sees no default
    print(row, flush=True)
    return row


def _ours(probabilities: NDArray[np.float32], budget: int, weight: float, seed: int) -> dict[str, Any]:
    cost, target = cost_of(probabilities), target_of(probabilities.shape[1], budget, seed)
    solve(probabilities[:500], cost[:500], target, 25, weight)  # imports, thread pools
    began = time.process_time()
    runs = [solve(probabilities, cost, target, budget, weight) for _ in range(2)]
    spent = (time.process_time() - began) / 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = min(runs, key=lambda run: run.seconds)
    chosen, costs = probabilities[answer.selected], cost[answer.selected]
    ties = uniform_by_id(answer.selected, 0)
    orders = compare_orders(chosen, costs, target, ties, order_batch(chosen, costs, target, ties))
    return {
        "items": len(probabilities),
        "classes": probabilities.shape[1],
        "seconds": round(answer.seconds, 3),
        "cpu_seconds": round(spent, 3),
        "gap": float(f"{answer.gap:.3g}"),
        "objective": round(answer.objective, 6),
        "bound": round(answer.bound, 6),
        "distance": round(answer.distance, 4),
        "peak_mib": round(peak / 1024),
        "prefixes": round(orders.ours, 4),
        "prefixes_by_cost": round(orders.by_cost, 4),
        "prefixes_random": round(orders.random, 4),
    }


def _beside(row: dict[str, Any], kind: str, peer: dict[str, Any]) -> dict[str, Any]:
    """What the peer's answer adds to a row of ours."""
    if "note" in peer:
        return {f"{kind}_note": peer["note"]}
    out = {f"{kind}_seconds": peer["seconds"], f"{kind}_ratio": round(peer["seconds"] / row["seconds"], 1)}
    if peer["value"] is None:
        out[f"{kind}_note"] = "found nothing"
    else:
        ours = row["bound"] if kind == "relaxation" else row["objective"]
        out[f"{kind}_minus_ours"] = float(f"{peer['value'] - ours:.2g}")
    return out


def _cvxpy(probabilities: NDArray[np.float32], budget: int, weight: float, seed: int, kind: str) -> dict[str, Any]:
    cp: Any = importlib.import_module("cvxpy")  # a peer of this benchmark alone
    wide, cost = probabilities.astype(np.float64), cost_of(probabilities)
    target = target_of(wide.shape[1], budget, seed)
    began = time.perf_counter()
    z = cp.Variable(len(wide), boolean=kind == "binary")
    rules = [cp.sum(z) == budget] + ([] if kind == "binary" else [z >= 0, z <= 1])
    program = cp.Problem(cp.Minimize(cost @ z + weight * cp.norm1(target - wide.T @ z)), rules)
    try:
        program.solve(solver=cp.HIGHS, **({"time_limit": BINARY_SECONDS} if kind == "binary" else {}))
        value = float(program.value) if program.value is not None and np.isfinite(program.value) else None
    except cp.error.SolverError:
        value = None
    return {"seconds": round(time.perf_counter() - began, 2), "value": value}


def _mnist() -> list[dict[str, Any]]:
    """A linear head on LABELED digits gives all others their probabilities."""
    try:
        data = load_mnist(DatasetConfig(name="mnist"))
    except DatasetError as error:
        print(f"MNIST is skipped: {error}", flush=True)
        return [{"data": "MNIST", "note": str(error)}]
    if data.images.pixels is None:
        return [{"data": "MNIST", "note": "its images are not in memory"}]
    pixels = data.images.pixels.reshape(len(data.labels), -1).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(pixels))
    known, left = order[:LABELED], np.sort(order[LABELED:])
    head = fit_head(pixels[known], data.labels[known], 10, Scaling.of(pixels[known]), Solver(l2=10.0)).head
    probabilities = head.probabilities(pixels[left]).astype(np.float32)
    return [_row("MNIST", lambda: probabilities, budget, 0.6, 0) for budget in (100, 1_000)]


def _growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    out = {}
    synthetic = [row for row in rows if row["data"] == "synthetic" and "seconds" in row]
    for classes in sorted({row["classes"] for row in synthetic}):
        known = [(r["items"], r["seconds"]) for r in synthetic if r["classes"] == classes]
        if len({items for items, _ in known}) > 1:
            items, seconds = np.log(np.array(known)).T
            out[str(classes)] = round(float(np.polyfit(items, seconds, 1)[0]), 2)
    return out
