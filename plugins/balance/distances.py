"""How far a batch is from what is wanted: convex distances of a residual, and the multipliers that bound them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray

BoolArray = NDArray[np.bool_]


class Edge:
    """The constraints of Y seen from one y (C,): slack (K,) >= 0, and A, the (K, C) Jacobian of -slack.

    This one is of a Y without constraints.
    """

    def __init__(self, classes: int, slack: FloatArray) -> None:
        self.classes, self.slack = classes, slack

    def normals(self, step: FloatArray) -> FloatArray:
        """(K,) A step: how fast each slack shrinks along step (C,)."""
        return np.zeros_like(step[:0])

    def pull(self, multipliers: FloatArray) -> FloatArray:
        """(C,) A^T multipliers (K,)."""
        return np.zeros(self.classes, dtype=multipliers.dtype)

    def hessian(self, multipliers: FloatArray) -> FloatArray:
        """(C, C) A^T diag(multipliers / slack) A + sum of multipliers times the Hessians of -slack."""
        return np.zeros((self.classes, self.classes), dtype=multipliers.dtype)


class Distance(ABC):
    """weight * dist(s) of a residual s (C,), wanted minus got, as max over y in Y of y.s - curvature / 2 |y|^2.

    Any y in Y gives a lower bound of the distance (its conjugate; Boyd & Vandenberghe 2004, ch. 3.3 and 5.1.6), which
    is what makes every bound of this package true.
    """

    curvature = 0.0
    cheap = True  # the value of thousands of residuals takes milliseconds
    polyhedral = True  # d is piecewise linear, so the relaxation is a linear program

    def __init__(self, weight: float, classes: int) -> None:
        self.weight, self.classes = weight, classes

    @abstractmethod
    def value(self, residuals: FloatArray) -> FloatArray:
        """(...,) weight * dist of residuals (..., C)."""

    @abstractmethod
    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        """y (C,) cut or scaled into Y, at most `share` of the way from 0 to its edge."""

    def edge(self, y: FloatArray) -> Edge:
        """The constraints of Y at y."""
        return Edge(len(y), np.empty(0))

    def tight(self, y: FloatArray) -> BoolArray:
        """(C,) classes whose residual costs something in both directions, given the multipliers of an optimum."""
        return np.ones(len(y), dtype=bool)

    def conjugate(self, y: FloatArray) -> float:
        """What the bound pays for y: curvature / 2 |y|^2."""
        return self.curvature / 2 * float(y @ y)

    def at_least(self, residuals: FloatArray) -> FloatArray:
        """(...,) lower bounds of `value`, cheap to have for many residuals; here the values themselves."""
        return self.value(residuals)


class Box(Edge):
    """|y| <= reach for every class."""

    def __init__(self, y: FloatArray, reach: float) -> None:
        super().__init__(len(y), np.concatenate([reach - y, reach + y]))

    def normals(self, step: FloatArray) -> FloatArray:
        return np.concatenate([step, -step])

    def pull(self, multipliers: FloatArray) -> FloatArray:
        return np.asarray(multipliers[: self.classes] - multipliers[self.classes :])

    def hessian(self, multipliers: FloatArray) -> FloatArray:
        ratio = multipliers / self.slack
        return np.diag(ratio[: self.classes] + ratio[self.classes :])


class L1(Distance):
    """weight * sum |s|, thesis Eq. 4.8; Y is the box |y| <= weight.

    >>> float(L1(0.5, 2).value(np.array([3.0, -1.0])))
    2.0
    """

    def value(self, residuals: FloatArray) -> FloatArray:
        return np.asarray(self.weight * np.abs(residuals).sum(axis=-1))

    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        return np.clip(y, -share * self.weight, share * self.weight)

    def tight(self, y: FloatArray) -> BoolArray:
        return np.abs(y) < self.weight * (1 - 1e-6)

    def edge(self, y: FloatArray) -> Edge:
        return Box(y, self.weight)


class Ball(Edge):
    """|y|_2 <= radius, written as (radius^2 - |y|^2) / (2 radius) >= 0."""

    def __init__(self, y: FloatArray, radius: float) -> None:
        norm = float(np.linalg.norm(y))
        super().__init__(len(y), np.array([(radius - norm) * (radius + norm) / (2 * radius)]))
        self.radius, self.outward = radius, y / radius

    def normals(self, step: FloatArray) -> FloatArray:
        return np.array([self.outward @ step])

    def pull(self, multipliers: FloatArray) -> FloatArray:
        return np.asarray(multipliers[0] * self.outward)

    def hessian(self, multipliers: FloatArray) -> FloatArray:
        curved = np.eye(self.classes) * (multipliers[0] / self.radius)
        return np.asarray(curved + multipliers[0] / self.slack[0] * np.outer(self.outward, self.outward))


class L2(Distance):
    """weight * |s|_2; Y is the ball |y|_2 <= weight.

    >>> float(L2(2.0, 2).value(np.array([3.0, -4.0])))
    10.0
    """

    polyhedral = False

    def value(self, residuals: FloatArray) -> FloatArray:
        return np.asarray(self.weight * np.sqrt(np.square(residuals).sum(axis=-1)))

    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        norm, most = float(np.linalg.norm(y)), share * self.weight * (1 - 1e-14)
        return y if norm <= most else np.asarray(y * (most / norm))

    def edge(self, y: FloatArray) -> Edge:
        return Ball(y, self.weight)


class L2Squared(Distance):
    """weight * |s|_2^2; Y is everything, and y costs |y|^2 / (4 weight).

    >>> float(L2Squared(2.0, 2).value(np.array([3.0, -4.0])))
    50.0
    """

    polyhedral = False

    def __init__(self, weight: float, classes: int) -> None:
        super().__init__(weight, classes)
        self.curvature = 0.5 / weight

    def value(self, residuals: FloatArray) -> FloatArray:
        return np.asarray(self.weight * np.square(residuals).sum(axis=-1))

    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        return np.asarray(y * min(share, 1.0))
