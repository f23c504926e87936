"""Temporal coherence word by word, in loops over frames and boxes: what the fast code must equal."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.video.detections import Detections, Frames

Array = NDArray[Any]
Box = tuple[float, float, float, float]


def random_video(seed: int, frames: int = 14, objects: int = 3, clutter: float = 0.7, **columns: Any) -> Detections:
    """Objects that move and are sometimes missed, false positives, duplicates and flickering classes, shuffled."""
    rng = np.random.default_rng(seed)
    start, step = rng.uniform(10, 150, (objects, 2)), rng.normal(0, 4, (objects, 2))
    side, kind = rng.uniform(20, 50, (objects, 2)), rng.integers(2, size=objects)
    rows: list[tuple[int, Box, int]] = []
    for f in range(frames):
        for o in range(objects):
            if rng.random() < 0.8:
                low = start[o] + step[o] * f + rng.normal(0, 1.5, 2)
                high = low + side[o] + rng.normal(0, 1.5, 2)
                label = int(kind[o]) if rng.random() < 0.9 else int(1 - kind[o])
                rows.append((f, (low[0], low[1], high[0], high[1]), label))
        for _ in range(rng.poisson(clutter)):
            low = rng.uniform(0, 180, 2)
            high = low + rng.uniform(10, 60, 2)
            rows.append((f, (low[0], low[1], high[0], high[1]), int(rng.integers(2))))
    order, numbers = rng.permutation(len(rows)), rng.permutation(frames)  # position p holds frame number numbers[p]
    place = np.argsort(numbers)
    given: dict[str, Any] = {"number": numbers, "size": np.array([200.0, 200.0]), **columns}
    return Detections(
        Frames(**given),
        place[np.array([rows[i][0] for i in order], dtype=np.int64)],
        np.array([rows[i][1] for i in order]).reshape(-1, 4),
        rng.random(len(rows)).round(2),  # rounded, so that some are equal
        np.array([rows[i][2] for i in order], dtype=np.int64),
    )


def iou(a: Box, b: Box) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


@dataclass
class Literal:
    """One set of detections, and what the words of the method say of it. Boxes and frames by the caller's position."""

    detections: Detections
    k: int = 3
    threshold: float = 0.5
    cluster: float = 0.75
    same_class: bool = True
    moving: bool = True
    stride: int = 1
    boxes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        d, frames = self.detections, self.detections.frames
        if not self.boxes:
            self.boxes = [i for i in range(len(d)) if not d.dropped[i]]
        video, shot = np.asarray(frames.video), np.asarray(frames.shot)
        self.around: dict[int, dict[int, int]] = {}  # frame -> place relative to it -> frame
        for f in range(len(frames)):
            line = sorted((g for g in range(len(frames)) if video[g] == video[f]), key=lambda g: int(frames.number[g]))
            here = line.index(f)
            self.around[f] = {}
            for s, way in itertools.product(range(1, self.k + 1), (-1, 1)):
                path = line[here : here + s + 1] if way > 0 else line[max(here - s, 0) : here + 1]
                other = path[-1] if way > 0 else path[0]
                near = abs(int(frames.number[other] - frames.number[f])) <= self.k * self.stride
                if len(path) == s + 1 and all(shot[g] == shot[f] for g in path) and near:
                    self.around[f][way * s] = other
        self.on = {f: [i for i in self.boxes if d.frame[i] == f] for f in range(len(frames))}

    def box(self, i: int) -> Box:
        a, b, c, e = self.detections.box[i].tolist()
        return (a, b, c, e)

    def velocity(self, i: int) -> Array:
        d, frames = self.detections, self.detections.frames
        f = int(d.frame[i])
        ends = []
        for place in (-1, 1):
            best, most = None, 0.3
            for j in self.on.get(self.around[f].get(place, -1), []):
                if iou(self.box(i), self.box(j)) > most:
                    best, most = j, iou(self.box(i), self.box(j))
            at = i if best is None else best
            ends.append((d.box[at], int(frames.number[d.frame[at]])))
        (before, start), (after, end) = ends
        return np.zeros(4) if end == start else np.asarray((after - before) / (end - start))

    def tracked(self, i: int) -> dict[int, Box]:
        """Place -> box of detection i there."""
        d = self.detections
        f = int(d.frame[i])
        speed = self.velocity(i) if self.moving else np.zeros(4)
        found = {}
        for place, g in self.around[f].items():
            a, b, c, e = (d.box[i] + speed * int(d.frames.number[g] - d.frames.number[f])).tolist()
            if a > c:
                a = c = (a + c) / 2
            if b > e:
                b = e = (b + e) / 2
            found[place] = (a, b, c, e)
        return found

    def links(self) -> set[tuple[int, int]]:
        """Pairs (earlier, later)."""
        d, found = self.detections, set()
        moved = {i: self.tracked(i) for i in self.boxes}
        for i in self.boxes:
            for place, g in self.around[int(d.frame[i])].items():
                if place < 0:
                    continue
                for j in self.on[g]:
                    alike = d.label[i] == d.label[j] or not self.same_class
                    forward, back = iou(moved[i][place], self.box(j)), iou(moved[j][-place], self.box(i))
                    if alike and (forward > self.threshold or back > self.threshold):
                        found.add((i, j))
        return found

    def candidates(self) -> list[tuple[int, int, frozenset[int]]]:
        """(frame, label, detections it comes from) of each, sorted; and their mean boxes in the same order."""
        d, links = self.detections, self.links()
        linked = {(i, int(d.frame[j])) for i, j in links} | {(j, int(d.frame[i])) for i, j in links}
        loose: list[tuple[int, int, int, Box]] = []
        for i in self.boxes:
            moved = self.tracked(i)
            for place, g in self.around[int(d.frame[i])].items():
                a, _, c, _ = moved[place]
                width = np.asarray(d.frames.size)[g][0]
                out = min(1.0, (max(-a, 0) + max(c - width, 0)) / max(c - a, 1e-9)) if not np.isnan(width) else 0.0
                if (i, g) not in linked and out < 0.5:
                    loose.append((g, int(d.label[i]), i, moved[place]))
        groups: list[set[int]] = [{n} for n in range(len(loose))]
        for n, m in itertools.combinations(range(len(loose)), 2):
            if loose[n][:2] == loose[m][:2] and iou(loose[n][3], loose[m][3]) > self.cluster:
                one, other = (next(g for g in groups if x in g) for x in (n, m))
                if one is not other:
                    groups.remove(other)
                    one |= other
        found = []
        self.mean_boxes: dict[tuple[int, int, frozenset[int]], Array] = {}
        for group in groups:
            first = loose[min(group)]
            key = (first[0], first[1], frozenset(loose[n][2] for n in group))
            self.mean_boxes[key] = np.mean([loose[n][3] for n in group], axis=0)
            found.append(key)
        return sorted(found, key=lambda one: (one[0], one[1], sorted(one[2])))


def energy(x: tuple[bool, ...], wants: list[bool], edges: list[tuple[int, int]], pairwise: int) -> int:
    """Thesis Eq. 2.1-2.4."""
    return sum(a != b for a, b in zip(x, wants, strict=True)) + pairwise * sum(x[a] != x[b] for a, b in edges)


def brute_force(wants: list[bool], edges: list[tuple[int, int]], pairwise: int) -> tuple[int, list[tuple[bool, ...]]]:
    """The least energy and all labelings that have it."""
    every = list(itertools.product((False, True), repeat=len(wants)))
    costs = [energy(x, wants, edges, pairwise) for x in every]
    return min(costs), [x for x, cost in zip(every, costs, strict=True) if cost == min(costs)]


def _network(wants: list[bool], edges: list[tuple[int, int]], pairwise: int) -> dict[int, dict[int, int]]:
    n = len(wants)
    left: dict[int, dict[int, int]] = {node: {} for node in range(n + 2)}

    def add(a: int, b: int, there: int, back: int) -> None:
        left[a][b] = left[a].get(b, 0) + there
        left[b][a] = left[b].get(a, 0) + back

    for node, want in enumerate(wants):
        add(n if want else node, node if want else n + 1, 1, 0)
    for a, b in edges:
        add(a, b, pairwise, pairwise)
    return left


def literal_cut(wants: list[bool], edges: list[tuple[int, int]], pairwise: int, ties: bool) -> list[bool]:
    """Ford and Fulkerson by shortest paths, then what the source reaches, or what does not reach the sink."""
    n, left = len(wants), _network(wants, edges, pairwise)

    def reached(start: int) -> dict[int, int]:
        seen, queue = {start: start}, deque([start])
        while queue:
            node = queue.popleft()
            for other, room in left[node].items():
                if room > 0 and other not in seen:
                    seen[other] = node
                    queue.append(other)
        return seen

    while n + 1 in (seen := reached(n)):
        node = n + 1
        while node != n:
            left[seen[node]][node] -= 1
            left[node][seen[node]] = left[node].get(seen[node], 0) + 1
            node = seen[node]
    if not ties:
        return [node in seen for node in range(n)]
    return [n + 1 not in reached(node) for node in range(n)]
