"""Which frames are taken: every n-th, or so many a second by the times in the container."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ml_backend.video.container import VideoError
from ml_backend.video.source import Source

Sampler = Callable[[int, float | None], bool]
_EARLY = 1.5e-3  # seconds: Matroska cuts times to a millisecond, and 1/30 s is no whole number of them


@dataclass(frozen=True)
class Sampling:
    """every: one frame in so many, from the first. rate: frames a second of time, instead. Raises VideoError."""

    every: int = 1
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise VideoError(f"Every {self.every}th frame is impossible; give 1 or more.")
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise VideoError(f"{self.rate:g} frames a second is impossible; give a number above 0.")
        if self.rate is not None and self.every != 1:
            raise VideoError(f"Every {self.every}th frame and {self.rate:g} a second are two wishes; give one.")

    def check(self, source: Source) -> None:
        """Raises VideoError if the source cannot give this rate."""
        if self.rate is None:
            return
        if source.rate is None:
            raise VideoError(
                f"'{source.path}' has no times, so {self.rate:g} frames a second are impossible; take every n-th "
                "frame, or say with --folder-fps how many a second a folder holds."
            )
        if self.rate > source.rate * 1.01:
            raise VideoError(
                f"'{source.path}' has {source.rate:.4g} frames a second, so {self.rate:g} are impossible; ask for less."
            )

    def start(self) -> Sampler:
        """A fresh sampler, to be asked about each frame in order: (number from 1, seconds) -> taken or not."""
        if self.rate is None:
            return lambda number, _: (number - 1) % self.every == 0
        return at_rate(self.rate)


def at_rate(rate: float) -> Sampler:
    """Cuts time into slots of 1 / rate seconds and takes the first frame in each; a slot without frames stays empty.

    So a video of a variable frame rate is taken evenly in time, and none of its frames twice.

    >>> takes = at_rate(2.0)
    >>> [takes(number, time) for number, time in enumerate([0.0, 0.3, 0.5, 0.9, 2.1], 1)]
    [True, False, True, False, True]
    """
    last = -1

    def takes(_: int, time: float | None) -> bool:
        nonlocal last
        if time is None:
            raise VideoError("A frame has no time; take every n-th frame.")
        slot = math.floor((time + _EARLY) * rate)
        taken, last = slot > last, max(slot, last)
        return taken

    return takes
