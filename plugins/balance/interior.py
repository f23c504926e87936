"""The relaxation over a few thousand items, for every distance: a primal-dual interior point method on C + 1 rows."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from plugins.balance.distances import Distance, Edge
from plugins.contract import FloatArray

STEP = 0.995  # share of the way to the edge that one step may go
TINY = 1e-300
PART = 2048  # rows at a time
FEW = 10**8  # operations that are not worth a second thread
STILL = 1e-8  # of the most mobile item's weight
SOFTNESS = (0.3, 300.0, 3e5)  # of the reduced costs' spread: where a beginning's multipliers lie, tried in turn
HEAVY = 1.01  # a row that sums to more holds counts, no probabilities
SPENT = 1e-14  # a share of the gap in what is missing from which no step can go on
FAR = 1e-3  # of the largest residual: a point that has more of it is still on its way
PATIENCE = 12  # steps without progress: what is left is rounding


@dataclass(frozen=True)
class Relaxed:
    """z: (n,) shares in [0, 1] that sum to the budget. y: (C,) multipliers in Y, the threshold not among them."""

    z: FloatArray
    y: FloatArray


@dataclass
class _Point:
    """Where the method stands: shares, their bounds' multipliers, class multipliers, threshold, and Y's multipliers."""

    z: FloatArray
    left: FloatArray  # 1 - z, kept apart: near 1 the difference would lose its digits
    low: FloatArray
    high: FloatArray
    y: FloatArray
    t: float
    a: FloatArray

    def moved(self, d: _Point, primal: float, dual: float) -> _Point:
        return _Point(
            self.z + primal * d.z,
            self.left + primal * d.left,
            self.low + dual * d.low,
            self.high + dual * d.high,
            self.y + dual * d.y,
            self.t + dual * d.t,
            self.a + primal * d.a,
        )


def relax(
    probabilities: FloatArray,
    cost: FloatArray,
    target: FloatArray,
    budget: int,
    distance: Distance,
    start: FloatArray,
    tolerance: float,
    most_steps: int = 80,
) -> Relaxed:
    """min cost.z + d(target - P^T z) s.t. 1^T z = b, 0 <= z <= 1, by Mehrotra's predictor and corrector (1992).

    probabilities: (n, C) float64. cost: (n,). target: (C,). 0 < budget < n. start: (C,) multipliers to begin at.
    tolerance: absolute, on the sum of all complementarities; the answer is as good as rounding allows if that is worse.
    Each step eliminates everything but the C multipliers y and the threshold t (Wright 1997, ch. 11), whose matrix is
    P^T D P plus the Hessian of Y's constraints; so a step costs n C^2 and no more, whichever the distance.
    """
    heavy = float(probabilities.sum(axis=1).max()) > HEAVY
    found: list[tuple[float, _Point]] = []
    for softness in SOFTNESS if heavy else SOFTNESS[:1]:
        given = probabilities, cost, target, budget, distance
        worst, point, arrived = _follow(*given, start, tolerance, softness, FAR if heavy else np.inf, most_steps)
        found.append((worst, point))
        if arrived:
            break
    best = min(found, key=lambda pair: pair[0])[1]
    return Relaxed(_feasible(best.z, budget), best.y)


def _follow(
    probabilities: FloatArray,
    cost: FloatArray,
    target: FloatArray,
    budget: int,
    distance: Distance,
    start: FloatArray,
    tolerance: float,
    softness: float,
    far: float,
    most_steps: int,
) -> tuple[float, _Point, bool]:
    """How far the best point on the way from one beginning is from an optimum, that point, and whether it is nearly
    feasible: off by less than `far` of the largest residual. Rows that are heavy beside the costs may need a softer
    beginning to get there."""
    n = len(probabilities)
    point = _begin(probabilities, cost, budget, distance, distance.inside(start, 0.9), softness)
    best, best_gap, arrived = point, np.inf, False
    furthest, stalled = float(np.abs(target).sum()), 0
    for _ in range(most_steps):
        edge = distance.edge(point.y)
        slack = edge.slack
        if not slack.min(initial=1.0) > 0:
            break  # y has reached the edge, as far as float64 can tell
        gap = float(point.z @ point.low + point.left @ point.high + point.a @ slack)
        away = target - probabilities.T @ point.z - edge.pull(point.a) - distance.curvature * point.y
        missed = float(np.abs(away).sum())
        worst = gap + missed * (distance.weight + float(np.abs(point.y).max()))
        furthest = max(furthest, missed)
        # On the way to a feasible point `worst` may rise with |y|, which is no stall.
        stalled = 0 if worst < 0.9 * best_gap or missed > far * furthest else stalled + 1
        if worst < best_gap:
            best, best_gap, arrived = point, worst, worst <= tolerance or missed <= far * furthest
        if worst <= tolerance or stalled == PATIENCE or gap < SPENT * worst:
            break
        try:
            point = _step(probabilities, cost, budget, distance, point, edge, away, gap / (2 * n + len(slack)))
        except LinAlgError:
            break
    return best_gap, best, arrived


def _begin(
    probabilities: FloatArray, cost: FloatArray, budget: int, distance: Distance, y: FloatArray, softness: float
) -> _Point:
    n = len(cost)
    reduced = cost - probabilities @ y
    t = float(np.partition(reduced, budget - 1)[budget - 1])
    spread = float(np.abs(reduced - t).mean()) + 1e-3 * (distance.weight + TINY)
    low, high = split(reduced - t, softness * spread)
    z, left = high / (low + high), low / (low + high)
    slack = distance.edge(y).slack
    mu = float(low @ z + high @ left) / (2 * n)
    return _Point(z, left, low, high, y, t, mu / slack)


def split(reduced: FloatArray, softness: float) -> tuple[FloatArray, FloatArray]:
    """Two positive arrays whose difference is `reduced` and whose product is softness^2.

    >>> [part.round(6).tolist() for part in split(np.array([1.5, -1.5]), 1.0)]
    [[2.0, 0.5], [0.5, 2.0]]
    """
    larger = (np.abs(reduced) + np.sqrt(np.square(reduced) + 4 * softness**2)) / 2
    smaller = softness**2 / larger
    return np.where(reduced > 0, larger, smaller), np.where(reduced > 0, smaller, larger)


def _step(
    P: FloatArray,
    cost: FloatArray,
    budget: int,
    distance: Distance,
    at: _Point,
    edge: Edge,
    away: FloatArray,
    mu: float,
) -> _Point:
    """One predictor and corrector step from `at`."""
    left, slack = at.left, edge.slack
    theta = 1 / (at.low / at.z + at.high / left)
    # Items far from the threshold hardly move: the matrix does without them, and what that errs the next step sees.
    kept = np.flatnonzero(theta > STILL * float(theta.max()))
    rows, mobile = (P, theta) if 2 * len(kept) > len(P) else (P[kept], theta[kept])
    inner = rows.T @ mobile
    corner = float(mobile.sum())
    matrix = gram(rows, mobile) + edge.hessian(at.a)
    matrix[np.diag_indices_from(matrix)] += distance.curvature + 1e-13 * (matrix.trace() / len(matrix) + corner)
    # The threshold is eliminated first: P 1 = 1 makes [P 1] short of one rank, which only Y's part makes up for.
    factor = cho_factor(matrix - np.outer(inner, inner) / corner, check_finite=False)
    missing = budget - float(at.z.sum())
    gradient = cost - P @ at.y - at.t

    def towards(centre: FloatArray | float, low: FloatArray, high: FloatArray, a: FloatArray) -> _Point:
        """The Newton direction to low*z = centre and so on; low, high, a: second order terms to take off."""
        rho = gradient - (centre - low) / at.z + (centre - high) / left
        push = (centre - a) / slack - at.a
        right = away + P.T @ (theta * rho) - edge.pull(push)
        total = missing + float(theta @ rho)
        dy = cho_solve(factor, right - inner * (total / corner), check_finite=False)
        dt = (total - float(inner @ dy)) / corner
        dz = theta * (P @ dy + dt - rho)
        da = push + at.a * edge.normals(dy) / slack
        dlow = (centre - low - at.low * dz) / at.z - at.low
        dhigh = (centre - high + at.high * dz) / left - at.high
        return _Point(dz, -dz, dlow, dhigh, dy, dt, da)

    zero_n, zero_k = np.zeros_like(cost), np.zeros_like(slack)
    guess = towards(0.0, zero_n, zero_n, zero_k)
    primal, dual = _lengths(distance, at, guess, edge)
    ahead = at.moved(guess, primal, dual)
    reached = float(ahead.z @ ahead.low + ahead.left @ ahead.high + ahead.a @ distance.edge(ahead.y).slack)
    count = 2 * len(cost) + len(slack)
    centre = mu * min(1.0, max(reached / (mu * count), 0.0)) ** 3
    move = towards(centre, guess.z * guess.low, -guess.z * guess.high, -guess.a * edge.normals(guess.y))
    primal, dual = _lengths(distance, at, move, edge)
    return at.moved(move, STEP * primal, STEP * dual)


def gram(rows: FloatArray, weights: FloatArray) -> FloatArray:
    """(C, C) rows^T diag(weights) rows of (n, C) rows, in parts whose order no number of threads can change.

    >>> gram(np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([3.0, 1.0]))
    array([[4., 2.],
           [2., 4.]])
    """

    def part(start: int) -> FloatArray:
        scaled = rows[start : start + PART] * np.sqrt(weights[start : start + PART])[:, None]
        return np.asarray(scaled.T @ scaled)

    starts = range(0, len(rows), PART)
    if len(rows) * rows.shape[1] ** 2 < FEW:
        return np.asarray(sum(map(part, starts)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.asarray(sum(pool.map(part, starts)))


def _lengths(distance: Distance, at: _Point, move: _Point, edge: Edge) -> tuple[float, float]:
    """How far, at most 1 / STEP, shares and Y's multipliers may go, and the others, before something reaches 0."""
    primal = min(_reach(at.z, move.z), _reach(at.left, move.left), _reach(at.a, move.a))
    dual = min(_reach(at.low, move.low), _reach(at.high, move.high))
    dual = min(dual, _reach(edge.slack, -edge.normals(move.y)))
    if not distance.polyhedral:
        primal = dual = min(primal, dual)
        floor = 1e-4 * float(edge.slack.min(initial=0.0))
        while float(distance.edge(at.y + dual * STEP * move.y).slack.min(initial=1.0)) <= floor:
            primal = dual = 0.7 * dual
    return primal, dual


def _reach(values: FloatArray, step: FloatArray) -> float:
    falling = step < 0
    return float(np.min(values[falling] / -step[falling], initial=1 / STEP))


def _feasible(z: FloatArray, budget: int) -> FloatArray:
    """z moved within [0, 1] so that it sums to the budget; the move is as small as the sum is off."""
    z = np.clip(z, 0.0, 1.0)
    off = budget - float(z.sum())
    room = 1 - z if off > 0 else z
    total = float(room.sum())
    return np.clip(z + off / total * room, 0.0, 1.0) if total > 0 else z
