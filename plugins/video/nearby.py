"""What labeled frames say of the frames around them: errors that coherence cannot see last, so a surplus lasts too."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

from plugins.contract import FloatArray, IntArray

MEMORY = 30.0  # strides after which a surplus has faded to 1/e
NOISE = 1.0  # variance of what does not last, in units of the variance of what does


def smoothed(run: IntArray, time: FloatArray, surplus: FloatArray) -> FloatArray:
    """(F,) expected lasting part of (F,) `surplus`, which is NaN where it is not known.

    run: (F,) id of the shot; nothing passes from one to the next. time: (F,) in strides, ascending within a run. The
    posterior mean of a Gaussian process with covariance exp(-|t - t'| / MEMORY) and independent noise of variance NOISE
    (Rasmussen & Williams 2006, Eq. 2.23 and 4.9). It is Markov, so between two known frames it depends on these alone,
    and its precision matrix is tridiagonal: time is linear in F.
    """
    known = np.flatnonzero(~np.isnan(surplus))
    if not known.size:
        return np.zeros(len(surplus))
    gap = np.diff(time[known])
    kept = np.where(np.diff(run[known]) == 0, np.exp(-np.abs(gap) / MEMORY), 0.0)
    inner = 1 / (1 - kept**2)  # terms of the precision of an Ornstein-Uhlenbeck process at these times
    bands = np.zeros((2, len(known)))
    bands[1] = 1 + 1 / NOISE
    bands[1, :-1] += kept**2 * inner
    bands[1, 1:] += kept**2 * inner
    bands[0, 1:] = -kept * inner
    said = surplus[known] / NOISE
    mean = solveh_banded(bands, said) if len(known) > 1 else said / bands[1]  # LAPACK wants a second diagonal
    return _between(run, time, known, mean)


def _between(run: IntArray, time: FloatArray, known: IntArray, mean: FloatArray) -> FloatArray:
    """(F,) the process at every frame, given its mean at the known ones before and after."""
    frames = np.arange(len(run))
    place = np.searchsorted(known, frames)
    before, after = known[np.maximum(place - 1, 0)], known[np.minimum(place, len(known) - 1)]
    value = np.zeros(len(run))
    value[known] = mean
    a, b, ab = (_fade(run, time, one, other) for one, other in ((frames, before), (frames, after), (before, after)))
    alone = before == after  # before the first or after the last known frame
    a[alone], ab[alone] = 0, 0
    spread = 1 - ab**2
    return np.asarray(((a - ab * b) * value[before] + (b - ab * a) * value[after]) / spread)


def _fade(run: IntArray, time: FloatArray, one: IntArray, other: IntArray) -> FloatArray:
    return np.where(run[one] == run[other], np.exp(-np.abs(time[one] - time[other]) / MEMORY), 0.0)
