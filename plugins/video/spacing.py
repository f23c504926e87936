"""Temporal representativeness: videos take turns, frames beside labeled or chosen ones are skipped (thesis ch. 2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from plugins.combination import checked_values
from plugins.contract import FloatArray, IntArray, PluginConfig, PluginError, Selection, Selector
from plugins.evidence import Evidence
from plugins.video.clip import usual_steps
from plugins.video.detections import Array


class SpacedConfig(PluginConfig):
    """How far apart, and how many of a video."""

    distance: int = Field(
        3,
        ge=0,
        le=1_000,
        description="Frames on either side of a chosen one that are skipped; more makes the batch more varied and "
        "leaves less choice: at 3 at most 1 frame in 4 fits.",
    )
    cap: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Most frames of one video in a batch, lifted when nothing else is left; fewer spreads the batch "
        "over more videos, null sets no limit.",
    )


NONE: IntArray = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Apart:
    """order: (b,) positions, best first.

    strict: how many of them, from the front, keep both distance and cap. distant: how many keep the distance.
    """

    order: IntArray
    strict: int
    distant: int


def spaced(
    values: FloatArray,
    video: Array,
    number: IntArray,
    budget: int,
    *,
    ties: FloatArray,
    k: int = 3,
    cap: int | None = None,
    labeled_video: Array | None = None,
    labeled_number: IntArray = NONE,
) -> Apart:
    """The best min(budget, N) frames with distance between them.

    In each round every video gives its best frame that is more than k strides from labeled and chosen ones, the video
    with the best such frame first.

    values: (N,), higher = sooner; ties: (N,), of equal values the smaller goes first. video, number: (N,) id of the
    video and frame number in it; labeled_video, labeled_number: (L,). A video's stride is the median step of its
    numbers. cap: most frames of a video in this batch. When no frame is left that keeps both, the cap is lifted, and
    then the distance shrinks by one stride at a time: at k strides at most 1 frame in k + 1 fits.

    >>> spaced(np.array([9.0, 8.0, 7.0, 1.0]), np.array([0, 0, 0, 1]), np.array([1, 2, 3, 1]), 3, ties=np.zeros(4), k=1)
    Apart(order=array([0, 3, 2]), strict=3, distant=3)
    """
    turns = _Turns(values, ties, video, number, labeled_video if labeled_video is not None else NONE, labeled_number)
    budget = max(0, min(budget, len(values)))
    strict = turns.run(budget, k, cap)
    distant = turns.run(budget, k, None)
    for closer in range(k - 1, -1, -1):
        turns.run(budget, closer, None)
    return Apart(np.array(turns.order, dtype=np.int64), strict, distant)


class _Turns:
    """The state of a selection: what is chosen, and per video the chosen and labeled numbers."""

    def __init__(
        self,
        values: FloatArray,
        ties: FloatArray,
        video: Array,
        number: IntArray,
        labeled_video: Array,
        labeled_number: IntArray,
    ) -> None:
        n = len(values)
        if video.shape != (n,) or number.shape != (n,) or labeled_video.shape != labeled_number.shape:
            raise ValueError(
                f"{n} values came with videos {video.shape}, frame numbers {number.shape} and labeled frames "
                f"{labeled_video.shape} and {labeled_number.shape}; give one of each."
            )
        everywhere = np.concatenate([video, labeled_video]) if len(labeled_video) else video
        of = np.unique(everywhere, return_inverse=True)[1]
        every = np.concatenate([number, labeled_number])
        by_time = np.lexsort((every, of))
        self._stride = np.ones(int(of.max(initial=-1)) + 1, dtype=np.int64)
        self._stride[of[by_time]] = np.maximum(usual_steps(of[by_time], every[by_time]), 1)  # 0 where frames repeat
        self._video, self._number = of[:n], number
        self._taken: list[IntArray] = [NONE] * len(self._stride)
        for one in np.unique(of[n:]).tolist():
            self._taken[one] = np.sort(labeled_number[of[n:] == one])
        ranked = np.lexsort((ties, -values, self._video))
        starts = np.searchsorted(self._video[ranked], np.arange(len(self._stride) + 1))
        self._best = [ranked[a:b] for a, b in itertools.pairwise(starts)]
        self._key = np.empty(n, dtype=np.int64)
        self._key[np.lexsort((ties, -values))] = np.arange(n)
        self._count = np.zeros(len(self._stride), dtype=np.int64)
        self._chosen = np.zeros(n, dtype=bool)
        self.order: list[int] = []

    def run(self, budget: int, k: int, cap: int | None) -> int:
        """Rounds until `budget` frames are chosen or none is left that keeps k and cap. Returns how many are chosen."""
        free = {one: self._free(one, k) for one in range(len(self._best))}
        ahead = {one: next(left, None) for one, left in free.items()}
        while len(self.order) < budget:
            open_ = [one for one in ahead if cap is None or self._count[one] < cap]
            able = [(self._key[i], one, i) for one in open_ if (i := ahead[one]) is not None]
            if not able:
                break
            for _, one, i in sorted(able)[: budget - len(self.order)]:
                self._choose(one, i)
                ahead[one] = next(free[one], None)
        return len(self.order)

    def _free(self, one: int, k: int) -> Iterator[int]:
        """The frames of a video, best first, that are k strides from all that is taken when they are asked for."""
        reach = k * self._stride[one]
        for i in self._best[one].tolist():
            taken = self._taken[one]
            low = np.searchsorted(taken, self._number[i] - reach)
            near = low < len(taken) and taken[low] <= self._number[i] + reach
            if not self._chosen[i] and (not near or k == 0):
                yield i

    def _choose(self, one: int, i: int) -> None:
        self.order.append(i)
        self._chosen[i] = True
        self._count[one] += 1
        taken = self._taken[one]
        self._taken[one] = np.insert(taken, np.searchsorted(taken, self._number[i]), self._number[i])


class Spaced(Selector[SpacedConfig]):
    """order: as `spaced`, with the frame numbers and videos of the pool and of what is labeled.

    It works around any scorer; around `random` it is the Random+R of the thesis.
    """

    name, title = "spaced", "Frames apart"
    summary = "Videos take turns with their best frames; frames beside a labeled or a chosen one are skipped."
    reference = "thesis ch. 2, temporal representativeness"
    needs = frozenset({"task_id", "video", "frame", "labeled_video", "labeled_frame"})
    orders_all = True

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        values = checked_values("The combined score", values, len(evidence))
        video, number = evidence.video, evidence.frame
        beside_video, beside_number = evidence.labeled_video, evidence.labeled_frame
        for name, column in (("frame", number), ("labeled_frame", beside_number)):
            if len(column) and column.dtype.kind not in "iu":
                raise PluginError(f"Selector 'spaced' got {name} of type {column.dtype}; give whole numbers.")
        distance, cap = self.config.distance, self.config.cap
        try:
            found = spaced(
                values,
                video,
                number.astype(np.int64),
                budget,
                ties=evidence.jitter,
                k=distance,
                cap=cap,
                labeled_video=beside_video,
                labeled_number=beside_number.astype(np.int64),
            )
        except ValueError as error:
            raise PluginError(f"Selector 'spaced': {error}") from None
        close = len(found.order) - found.distant
        notes: tuple[str, ...] = ()
        if close and budget < len(evidence):  # of a whole pool most must stand close
            notes = (
                f"{close} of {len(found.order)} frames stand within {distance} frames of a labeled or chosen one: "
                f"nothing else was left, since at that distance at most 1 frame in {distance + 1} fits.",
            )
        facts = {"frames": len(found.order), "apart": found.distant, "within_cap": found.strict, "distance": distance}
        return Selection(found.order, notes=notes, facts=facts)  # a frame's reason is what its scorer says
