"""How far a batch is from what is wanted: convex distances of a residual, and the multipliers that bound them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from plugins.contract import FloatArray

class Distance(ABC):
    """weight * dist(s) of a residual s (C,), wanted minus got, as max over y in Y of y.s - curvature / 2 |y|^2.

    Y is {y: slack(y) >= 0}. Any y in Y gives a lower bound of the distance (its conjugate; Boyd & Vandenberghe 2004,
    ch. 3.3 and 5.1.6), which is what makes every bound of this package true. `normals`, `pull` and `hessian` are the
    constraints' derivatives, with A the (K, C) Jacobian of -slack: A d, A^T a, and A^T diag(a / slack) A plus the
    curvature of the constraints under multipliers a.
    """

    curvature = 0.0
    polyhedral = True  # d is piecewise linear, so a relaxation is a linear program

    def __init__(self, weight: float, classes: int) -> None:
        self.weight, self.classes = weight, classes

    @abstractmethod
    def value(self, residuals: FloatArray) -> FloatArray:
        """(...,) weight * dist of residuals (..., C)."""

    @abstractmethod
    def slack(self, y: FloatArray) -> FloatArray:
        """(K,) how far y (C,) is inside each constraint."""

    @abstractmethod
    def normals(self, y: FloatArray, step: FloatArray) -> FloatArray:
        """(K,) A step: how fast each slack shrinks along step (C,)."""

    @abstractmethod
    def pull(self, y: FloatArray, multipliers: FloatArray) -> FloatArray:
        """(C,) A^T multipliers."""

    @abstractmethod
    def hessian(self, y: FloatArray, multipliers: FloatArray, slack: FloatArray) -> FloatArray:
        """(C, C) A^T diag(multipliers / slack) A + sum of multipliers times the Hessians of -slack."""

    @abstractmethod
    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        """A y (C,) of any size scaled or cut into Y, at most `share` of the way from 0 to its edge."""

    def conjugate(self, y: FloatArray) -> float:
        """What the bound pays for y: curvature / 2 |y|^2."""
        return self.curvature / 2 * float(y @ y)


class L1(Distance):
    """weight * sum |s|, thesis Eq. 4.8; Y is the box |y| <= weight.

    >>> float(L1(0.5, 2).value(np.array([3.0, -1.0])))
    2.0
    """

    def value(self, residuals: FloatArray) -> FloatArray:
        return np.asarray(self.weight * np.abs(residuals).sum(axis=-1))

    def slack(self, y: FloatArray) -> FloatArray:
        return np.concatenate([self.weight - y, self.weight + y])

    def normals(self, y: FloatArray, step: FloatArray) -> FloatArray:
        return np.concatenate([step, -step])

    def pull(self, y: FloatArray, multipliers: FloatArray) -> FloatArray:
        return np.asarray(multipliers[: self.classes] - multipliers[self.classes :])

    def hessian(self, y: FloatArray, multipliers: FloatArray, slack: FloatArray) -> FloatArray:
        ratio = multipliers / slack
        return np.diag(ratio[: self.classes] + ratio[self.classes :])

    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        return np.clip(y, -share * self.weight, share * self.weight)


class L2(Distance):
    """weight * |s|_2; Y is the ball |y|_2 <= weight, written as (weight^2 - |y|^2) / (2 weight) >= 0.

    >>> float(L2(2.0, 2).value(np.array([3.0, -4.0])))
    10.0
    """

    polyhedral = False

    def value(self, residuals: FloatArray) -> FloatArray:
        return np.asarray(self.weight * np.sqrt(np.square(residuals).sum(axis=-1)))

    def slack(self, y: FloatArray) -> FloatArray:
        norm = float(np.linalg.norm(y))
        return np.array([(self.weight - norm) * (self.weight + norm) / (2 * self.weight)])

    def normals(self, y: FloatArray, step: FloatArray) -> FloatArray:
        return np.array([y @ step / self.weight])

    def pull(self, y: FloatArray, multipliers: FloatArray) -> FloatArray:
        return np.asarray(multipliers[0] * y / self.weight)

    def hessian(self, y: FloatArray, multipliers: FloatArray, slack: FloatArray) -> FloatArray:
        direction = y / self.weight
        curved = np.eye(self.classes) * (multipliers[0] / self.weight)
        return np.asarray(curved + multipliers[0] / slack[0] * np.outer(direction, direction))

    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        norm, most = float(np.linalg.norm(y)), share * self.weight
        return y if norm <= most * (1 - 1e-14) else np.asarray(y * (most / norm * (1 - 1e-14)))


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

    def slack(self, y: FloatArray) -> FloatArray:
        return np.empty(0)

    def normals(self, y: FloatArray, step: FloatArray) -> FloatArray:
        return np.empty(0)

    def pull(self, y: FloatArray, multipliers: FloatArray) -> FloatArray:
        return np.zeros(self.classes)

    def hessian(self, y: FloatArray, multipliers: FloatArray, slack: FloatArray) -> FloatArray:
        return np.zeros((self.classes, self.classes))

    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        return y
