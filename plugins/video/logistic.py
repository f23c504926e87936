"""Logistic regression with a Gaussian prior, by damped Newton steps."""

from __future__ import annotations

import numpy as np
import scipy.special

from plugins.contract import FloatArray

STEPS = 100


def fit(design: FloatArray, right: FloatArray, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """(D,) coefficients b that minimise sum_i log(1 + exp(m_i)) - y_i m_i + sum_d ((b_d - mean_d) / deviation_d)² / 2.

    design: (n, D), m = design b. right: (n,) 0 or 1. mean, deviation: (D,) of the prior. A Newton step is halved until
    the loss falls by a part of what the slope promises: the plain one diverges where one outcome is rare.

    >>> fit(np.ones((0, 2)), np.ones(0), np.array([1.0, -2.0]), np.ones(2)).tolist()
    [1.0, -2.0]
    """
    precision = 1 / np.square(deviation)

    def loss(b: FloatArray) -> float:
        margin = design @ b
        prior = 0.5 * float(precision @ np.square(b - mean))
        return float(np.logaddexp(0, margin).sum() - right @ margin) + prior

    b, now = mean.astype(np.float64), loss(mean)
    for _ in range(STEPS):
        p = scipy.special.expit(design @ b)
        slope = design.T @ (p - right) + precision * (b - mean)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(curvature, slope)
        promised = float(slope @ step)
        size = 1.0
        while size > 1e-10 and loss(b - size * step) > now - 1e-4 * size * promised:
            size /= 2
        if size <= 1e-10 or promised < 1e-12:
            return b
        b = b - size * step
        now = loss(b)
    return b
