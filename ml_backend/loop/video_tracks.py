"""Detections on the sampled frames of a video, linked into tracks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.boxes import areas, overlaps
from plugins.video.clip import Clip, sorted_clip
from plugins.video.detections import Detections
from plugins.video.linking import link
from plugins.video.motion import linear

OVERLAP = 0.3  # IoU, after linear motion: sampled frames lie further apart than those of temporal coherence
REACH = 2  # sampled frames: a track outlives one in which its object was not found
NEAR = 1.5  # sides of a box (root of its area) that an object may move between two sampled frames without overlap
ALIKE = 0.5  # least ratio of areas of one object in two sampled frames, where overlap does not tell


@dataclass(frozen=True, eq=False)
class Drawn:
    """A track through sampled frames. place: (L,) ascending positions among these. box: (L, 4) px. label: class index.

    score: mean of its boxes' scores. id: of what is written, the same for the same boxes.
    """

    id: str
    label: int
    score: float
    place: NDArray[np.int64]
    box: FloatArray


def linked(detections: Detections, overlap: float = OVERLAP, reach: int = REACH) -> list[NDArray[np.int64]]:
    """Rows of the detections of one video, track by track and by time; every usable detection is in one track.

    Links are those of temporal coherence (`plugins.video.linking`) within a class, boxes moved on linearly. They are
    taken greedily: nearer in time first, then by overlap; a detection has one follower and one predecessor. What then
    has none goes on in the next sampled frame at the nearest box of its class and about its size that is left.
    """
    clip = sorted_clip(detections, reach)
    moved = linear(clip)
    links = link(clip, moved, overlap)
    gap = clip.frame[links.later] - clip.frame[links.earlier]
    shared = _overlap(clip, moved, links.earlier, links.later, gap)
    follower = np.full(len(clip), -1, dtype=np.int64)
    preceded = np.zeros(len(clip), dtype=bool)
    _take(links.earlier, links.later, np.lexsort((links.later, links.earlier, -shared, gap)), follower, preceded)
    earlier, later, away = _near(clip, np.flatnonzero(follower < 0), np.flatnonzero(~preceded))
    _take(earlier, later, np.lexsort((later, earlier, away)), follower, preceded)
    chains = []
    for start in np.flatnonzero(~preceded).tolist():
        chain = [start]
        while follower[chain[-1]] >= 0:
            chain.append(int(follower[chain[-1]]))
        chains.append(np.asarray(clip.box_rows[chain], dtype=np.int64))
    return chains


def _overlap(clip: Clip, moved: FloatArray, earlier: IntArray, later: IntArray, gap: IntArray) -> FloatArray:
    """(P,) IoU of each pair after moving one of them into the other's frame, whichever way fits better."""
    ahead = overlaps(moved[earlier, clip.k + gap - 1], clip.box[later])
    back = overlaps(moved[later, clip.k - gap], clip.box[earlier])
    return np.asarray(np.fmax(ahead, back))


def _take(earlier: IntArray, later: IntArray, order: IntArray, follower: IntArray, preceded: NDArray[np.bool_]) -> None:
    """Joins pairs in this order wherever both ends are free."""
    for a, b in zip(earlier[order].tolist(), later[order].tolist(), strict=True):
        if follower[a] < 0 and not preceded[b]:
            follower[a], preceded[b] = b, True


def _near(clip: Clip, ends: IntArray, starts: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """(P,) (P,) pairs of an end and a start in the next frame that may be one object, and how many sides apart (P,)."""
    following = clip.neighbours[clip.frame[ends], clip.k]
    low = np.searchsorted(clip.frame[starts], following)  # detections stand frame by frame
    count = np.where(following >= 0, np.searchsorted(clip.frame[starts], following, side="right") - low, 0)
    a = np.repeat(ends, count)
    b = starts[np.arange(len(a)) + np.repeat(low - (np.cumsum(count) - count), count)]
    area = areas(clip.box)
    centre = (clip.box[:, :2] + clip.box[:, 2:]) / 2
    away = np.hypot(*(centre[b] - centre[a]).T) / np.sqrt(np.maximum(area[a], area[b]))
    alike = np.minimum(area[a], area[b]) >= ALIKE * np.maximum(area[a], area[b])
    good = (clip.label[a] == clip.label[b]) & alike & (away <= NEAR)
    return a[good], b[good], away[good]


def drawn_tracks(detections: Detections, doubtful: IntArray) -> list[Drawn]:
    """The tracks of one video, for people: those that pass a doubtful frame first, the least sure first among them.

    detections: on sampled frames in order. doubtful: positions of frames.
    """
    tracks = [_drawn(detections, rows) for rows in linked(detections)]
    suspect = {id(track) for track in tracks if np.isin(track.place, doubtful).any()}
    tracks.sort(key=lambda track: (id(track) not in suspect, track.score if id(track) in suspect else 0.0,
                                   int(track.place[0]), track.id))  # fmt: skip
    return list(_told_apart(tracks))


def _drawn(detections: Detections, rows: IntArray) -> Drawn:
    place, box = np.asarray(detections.frame[rows], dtype=np.int64), detections.box[rows]
    label = int(detections.label[rows[0]])
    seen = f"{label}#{int(detections.frames.number[place[0]])}#{box[0].round(2).tolist()}"
    name = hashlib.blake2b(seen.encode(), digest_size=6).hexdigest()
    return Drawn(name, label, float(detections.score[rows].mean()), place, box)


def _told_apart(tracks: Iterable[Drawn]) -> Iterable[Drawn]:
    """Doubles of one box begin tracks of one id; the second is '-2' and so on."""
    seen: Counter[str] = Counter()
    for track in tracks:
        seen[track.id] += 1
        nth = seen[track.id]
        yield track if nth == 1 else Drawn(f"{track.id}-{nth}", track.label, track.score, track.place, track.box)


def every_frame(
    frame: IntArray, joined: NDArray[np.bool_], box: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) all frames in which a track is seen and (n, 4) its box in each, on straight lines between sampled frames.

    frame: (L,) ascending numbers of sampled frames. joined: (L,) whether it is seen all the way to the next of them.

    >>> frame, box = every_frame(np.array([1, 3, 9]), np.array([True, False, False]), np.zeros((3, 4)))
    >>> frame.tolist()
    [1, 2, 3, 9]
    """
    ends = np.where(joined, np.append(frame[1:], 0) - 1, frame)
    seen = np.concatenate([np.arange(start, end + 1) for start, end in zip(frame.tolist(), ends.tolist(), strict=True)])
    return seen, np.stack([np.interp(seen, frame, box[:, side]) for side in range(4)], axis=1)
