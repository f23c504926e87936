"""The thesis' cut as one would write it first, in plain loops and with a dense matrix of all pairs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.video.candidates import find_candidates
from plugins.video.clip import sorted_clip
from plugins.video.detections import Detections
from plugins.video.frame_errors import Found
from plugins.video.grouping import totals
from plugins.video.linking import Links
from plugins.video.motion import linear
from plugins.video.temporal_coherence import best_cut

Array = NDArray[Any]
Box = tuple[float, float, float, float]
K, IOU, CLUSTER, SAME = 3, 0.5, 0.75, 0.3


def loops(detections: Detections) -> Array:
    """(F,) false positives of one video with frames 0, 1, ...: boxes of neighbouring frames, pair by pair."""
    import maxflow  # type: ignore[import-untyped]  # it has no stubs

    frames = len(detections.frames)
    boxes: list[Box] = [tuple(row) for row in detections.box.tolist()]
    labels, at = detections.label.tolist(), detections.frame.tolist()
    on: list[list[int]] = [[] for _ in range(frames)]
    for i, f in enumerate(at):
        on[f].append(i)
    speeds = [_speed(i, at[i], boxes, on) for i in range(len(boxes))]
    graph = maxflow.GraphInt()
    nodes = graph.add_nodes(len(boxes))
    linked = set()
    for i, f in enumerate(at):
        graph.add_tedge(nodes[i], 1, 0)
        for g in range(f + 1, min(f + K + 1, frames)):
            for j in on[g]:
                forward, back = _moved(boxes[i], speeds[i], g - f), _moved(boxes[j], speeds[j], f - g)
                if labels[i] == labels[j] and (_iou(forward, boxes[j]) > IOU or _iou(back, boxes[i]) > IOU):
                    linked |= {(i, g), (j, f)}
                    graph.add_edge(nodes[i], nodes[j], 1, 1)
    for sources in _candidates(boxes, labels, at, speeds, linked, frames, np.asarray(detections.frames.size)[0, 0]):
        node = graph.add_nodes(1)[0]
        graph.add_tedge(node, 0, 1)
        for i in sources:
            graph.add_edge(node, nodes[i], 1, 1)
    graph.maxflow()
    false = np.zeros(frames)
    for i, f in enumerate(at):
        false[f] += graph.get_segment(nodes[i])
    return false


def _iou(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def _speed(i: int, f: int, boxes: list[Box], on: list[list[int]]) -> Box:
    ends = []
    for g in (f - 1, f + 1):
        near = [(_iou(boxes[i], boxes[j]), -j) for j in (on[g] if 0 <= g < len(on) else [])]
        best = max(near, default=(0.0, 0))
        ends.append((boxes[-best[1]], g) if best[0] > SAME else (boxes[i], f))
    (before, start), (after, end) = ends
    if end == start:
        return (0.0, 0.0, 0.0, 0.0)
    a, b, c, d = ((y - x) / (end - start) for x, y in zip(before, after, strict=True))
    return (a, b, c, d)


def _moved(box: Box, speed: Box, places: int) -> Box:
    a, b, c, d = (x + places * v for x, v in zip(box, speed, strict=True))
    if a > c:
        a = c = (a + c) / 2
    if b > d:
        b = d = (b + d) / 2
    return (a, b, c, d)


def _candidates(
    boxes: list[Box],
    labels: list[int],
    at: list[int],
    speeds: list[Box],
    linked: set[tuple[int, int]],
    frames: int,
    width: float,
) -> list[set[int]]:
    """The detections that each candidate comes from."""
    loose: dict[tuple[int, int], list[tuple[Box, int]]] = {}
    for i, f in enumerate(at):
        for g in range(max(f - K, 0), min(f + K + 1, frames)):
            if g != f and (i, g) not in linked:
                box = _moved(boxes[i], speeds[i], g - f)
                if (max(-box[0], 0) + max(box[2] - width, 0)) < 0.5 * max(box[2] - box[0], 1e-9):
                    loose.setdefault((g, labels[i]), []).append((box, i))
    found: list[set[int]] = []
    for members in loose.values():
        groups = [{n} for n in range(len(members))]
        for n, m in itertools.combinations(range(len(members)), 2):
            if _iou(members[n][0], members[m][0]) > CLUSTER:
                one, other = (next(group for group in groups if x in group) for x in (n, m))
                if one is not other:
                    groups.remove(other)
                    one |= other
        found += [{members[n][1] for n in group} for group in groups]
    return found


def dense(detections: Detections) -> Array:
    """(F,) false positives of one video, links from a K x K matrix: quadratic in its length."""
    clip = sorted_clip(detections, K)
    tracked = linear(clip)
    count = len(clip)
    adjacent = np.zeros((count, count), dtype=bool)
    area = (clip.box[:, 2] - clip.box[:, 0]) * (clip.box[:, 3] - clip.box[:, 1])
    for start in range(0, count, 256):
        rows = np.arange(start, min(start + 256, count))
        places = clip.frame[None, :] - clip.frame[rows][:, None]
        near = (np.abs(places) <= K) & (places != 0) & (clip.label[rows][:, None] == clip.label[None, :])
        slot = np.clip(np.where(places > 0, places + K - 1, places + K), 0, 2 * K - 1)
        moved = tracked[rows[:, None], slot]
        width = np.minimum(moved[..., 2], clip.box[:, 2]) - np.maximum(moved[..., 0], clip.box[:, 0])
        height = np.minimum(moved[..., 3], clip.box[:, 3]) - np.maximum(moved[..., 1], clip.box[:, 1])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        union = (moved[..., 2] - moved[..., 0]) * (moved[..., 3] - moved[..., 1]) + area - common
        adjacent[rows] = near & (common > IOU * union)
    earlier, later = np.nonzero(np.triu(adjacent | adjacent.T))
    linked = np.zeros((count, 2 * K), dtype=bool)
    places = clip.frame[later] - clip.frame[earlier]
    linked[earlier, K + places - 1] = True
    linked[later, K - places] = True
    links = Links(earlier, later, linked)
    wrong, _ = best_cut(Found(clip, links, find_candidates(clip, tracked, links)), 1, True, "pymaxflow")
    return totals(clip.frame, wrong, len(clip.run))
