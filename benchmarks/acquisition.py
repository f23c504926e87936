"""Every registered scorer and selector on pools of 10 000 to 1 000 000 items, beside scikit-activeml and baal.

Each figure is taken in a process forked from one that holds the evidence: seconds are the fastest of up to three runs
after a small one, memory is how far the resident size rose above what it was before (VmHWM - VmRSS), so arrays that
the evidence already holds do not count. A plugin that is too slow for a size, or lacks its columns, says so.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks import box_evidence, peers
from plugins.contract import Scorer
from plugins.evidence import Column, Evidence
from plugins.registry import available, make

TITLE = "Acquisition: seconds and memory of every scorer and selector by pool size, beside peers"
SIZES, CLASSES, WIDTH = (10_000, 100_000, 1_000_000), (10, 100), 512
LABELED, BATCH, EPOCHS, PASSES = 200, 100, 20, 20
FEW = 300  # items of the run before the first that counts
LIMIT = 60.0  # seconds for one plugin at one size
IMAGES_UP_TO = 10_000  # pool items with pictures
BOXES_UP_TO = 100_000  # pool items with boxes, ten each
BY_CLASS = {
    "probabilities",
    "expected_probabilities",
    "expected_entropy",
    "label_history",
    "labels",
    "labeled_embeddings",
}
CENTRES = {"items": 50_000, "width": 512, "batch": 2_500, "peer_batch": 250}


def run() -> dict[str, Any]:
    """rows: plugin by size and classes. kcenter: ours, scikit-activeml's and the matrix product of the same shape."""
    absent = peers.install()
    centres = kcenter(absent is None)
    print(centres, flush=True)
    rows: list[dict[str, Any]] = []
    for classes in CLASSES:
        past: dict[str, list[tuple[int, float]]] = {}
        for n in SIZES:
            evidence = made_up(n, classes)
            print(f"{n} items, {classes} classes", flush=True)
            rows += [row for kind, name in _plugins(classes) for row in _row(kind, name, evidence, n, classes, past)]
            if absent is None:
                rows += _peer_scores(evidence, n, classes)
    return {
        "rows": rows,
        "kcenter": centres,
        "peers": absent or "scikit-activeml and baal, installed beside NextLabel in a cache folder",
        "memory": "resident size above that before the call; the evidence is not counted",
        "read": reading(),
        "seconds_limit": LIMIT,
    }


def reading() -> dict[str, float]:
    """GiB/s at which one core reads float32 probabilities: their maximum, and the float64 logarithm of every entry.

    The first is the speed of memory; the second what a measure that takes one logarithm per entry could reach.
    """
    probabilities = np.random.default_rng(5).random((200_000, 100), dtype=np.float32)
    size = probabilities.nbytes / 2**30

    def logarithms() -> None:
        for start in range(0, len(probabilities), 1_024):
            np.log(probabilities[start : start + 1_024].astype(np.float64) + 1e-9)

    found = in_child(
        lambda: {"max": size / peers.best_of(probabilities.max), "log": size / peers.best_of(logarithms)}, 60
    )
    return {f"{what}_gib_per_s": round(rate, 2) for what, rate in found.items()}


def made_up(n: int, classes: int, seed: int = 0) -> Evidence:
    """n items in 100 groups, WIDTH features wide, with every column that no simulation is needed for."""
    rng = np.random.default_rng(seed)
    group = rng.integers(100, size=n)
    centres = 2 * rng.standard_normal((100, WIDTH), dtype=np.float32)

    def near(groups: NDArray[np.int64]) -> NDArray[np.float32]:
        points = rng.standard_normal((len(groups), WIDTH), dtype=np.float32)
        for start in range(0, len(groups), 16_384):
            points[start : start + 16_384] += centres[groups[start : start + 16_384]]
        return points

    def distributions() -> NDArray[np.float32]:
        drawn = rng.standard_exponential((n, classes), dtype=np.float32) ** 3
        return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))

    labels = np.arange(LABELED) % classes
    expected = distributions()
    columns: dict[str, Column] = {
        "task_id": np.arange(1, n + 1),
        "probabilities": distributions(),
        "expected_probabilities": expected,
        "expected_entropy": -0.9 * (expected * np.log(np.maximum(expected, 1e-30))).sum(axis=1),
        "embeddings": near(group),
        "label_history": rng.integers(classes, size=(n, EPOCHS), dtype=np.uint8),
        "labels": labels,
        "labeled_embeddings": near(labels),
        "counts": np.bincount(labels, minlength=classes),
    }
    if n <= IMAGES_UP_TO:
        columns["images"] = rng.integers(256, size=(n, 28, 28, 1), dtype=np.uint8)
        columns["labeled_images"] = rng.integers(256, size=(LABELED, 28, 28, 1), dtype=np.uint8)
    if n <= BOXES_UP_TO:
        columns |= box_evidence.columns(n, LABELED, classes, seed)
    return Evidence(columns, classes=tuple(f"class {c}" for c in range(classes)))


def _plugins(classes: int) -> Iterator[tuple[str, str]]:
    """(kind, name); what reads nothing that depends on the number of classes is measured once."""
    for kind in ("scorer", "selector"):
        for name, listing in available(kind).items():
            by_class = kind == "scorer" and listing.cls is not None and set(listing.cls.needs) & BY_CLASS
            if classes == CLASSES[0] or by_class:
                yield kind, name


def _row(
    kind: str, name: str, evidence: Evidence, n: int, classes: int, past: dict[str, list[tuple[int, float]]]
) -> list[dict[str, Any]]:
    row: dict[str, Any] = {"what": name, "by": "ours", "items": n, "classes": classes}
    note = _unable(kind, name, evidence, n, past.get(name, []))
    if note is None:
        answer = in_child(lambda: _measured(kind, name, evidence), LIMIT)
        note = answer.pop("note", None)
        row |= answer
    if note is not None:
        return [{**row, "note": note}]
    known = past.setdefault(name, [])
    known.append((n, float(row["seconds"])))
    if len(known) > 1:
        sizes, seconds = np.log(np.array(known).T)
        row["growth"] = round(float(np.polyfit(sizes, seconds, 1)[0]), 2)
    return [row]


def _unable(kind: str, name: str, evidence: Evidence, n: int, past: list[tuple[int, float]]) -> str | None:
    """Why this plugin is not run at this size, if so."""
    cls = available(kind)[name].cls
    if cls is None:
        return f"cannot be loaded: {available(kind)[name].error}"
    lacking = sorted(column for column in cls.needs if not evidence.has(column))
    if any(column.startswith("truth") for column in lacking):
        return "needs the truth, which only a simulation has"
    if lacking:
        most = IMAGES_UP_TO if "images" in lacking else BOXES_UP_TO
        return f"needs {lacking[0]}, measured up to {most} items"
    if n > SIZES[0] and (not past or past[-1][0] * 10 < n):
        return "a smaller pool took too long"
    if past and past[-1][1] * 10 > 1.5 * LIMIT:
        return f"{past[-1][1]:.0f} s for {past[-1][0]} items, so more than {LIMIT:.0f} s are expected"
    free = psutil.virtual_memory().available
    size = sum(evidence.column(column).nbytes for column in cls.needs)
    return None if 4 * size < free else f"{size / 2**30:.1f} GiB of evidence, {free / 2**30:.1f} GiB of free memory"


def _measured(kind: str, name: str, evidence: Evidence) -> dict[str, Any]:
    plugin = make(kind, name)
    read = {*plugin.needs, *filter(evidence.has, plugin.optional)}
    view = evidence.for_plugin(name, plugin.needs, plugin.optional)
    values = np.random.default_rng(1).random(len(evidence))
    first = Evidence(
        {
            c: evidence.column(c)[: None if c.startswith(("label", "counts")) and c != "label_history" else FEW]
            if not c.startswith("detection")
            else evidence.column(c)[: np.searchsorted(evidence.detection_item, FEW)]
            for c in (*read, "task_id", "counts")
        },
        classes=evidence.classes,
    ).for_plugin(name, plugin.needs, plugin.optional)

    def work(known: Evidence) -> None:
        if isinstance(plugin, Scorer):
            plugin.score(known)
        else:
            plugin.select(known, values[: len(known)], min(BATCH, len(known) // 10))

    if "images" not in plugin.needs:  # those train a network, for which a small pool costs as much as a large one
        work(first)  # imports, thread pools
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts here
    seconds = peers.best_of(lambda: work(view))
    over = max(0, _status("VmHWM") - before)
    size = sum(evidence.column(column).nbytes for column in read) or evidence.task_id.nbytes
    return {
        "seconds": seconds,
        "gib_per_s": round(size / 2**30 / seconds, 3),
        "peak_mib": round(over / 2**20, 1),
        "peak_per_evidence": round(over / size, 2),
    }


def _status(field: str) -> int:
    """Bytes of a line in /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}; this benchmark needs Linux")


def in_child(work: Callable[[], dict[str, Any]], limit: float) -> dict[str, Any]:
    """What work() returns in a forked process, or a note when it raises, dies, or takes more than `limit` seconds."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def answer(sender: Connection) -> None:
        try:
            sender.send(work())
        except Exception as error:  # noqa: BLE001  # whatever a plugin raises becomes its row's note
            sender.send({"note": f"{type(error).__name__}: {error}"})

    child = context.Process(target=answer, args=(sender,))
    child.start()
    sender.close()
    try:
        return dict(receiver.recv()) if receiver.poll(limit) else {"note": f"more than {limit:.0f} s"}
    except EOFError:
        return {"note": "the process died; most likely for memory"}
    finally:
        child.kill()
        child.join()


def _peer_scores(evidence: Evidence, n: int, classes: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="nextlabel-peers-") as folder:
        np.save(Path(folder) / "probabilities.npy", evidence.probabilities)
        if n * classes <= 1_000_000:
            drawn = np.random.default_rng(2).standard_exponential((n, classes, PASSES), dtype=np.float32)
            np.save(Path(folder) / "passes.npy", drawn / drawn.sum(axis=1, keepdims=True))
        rows = peers.measure("scores", Path(folder), 3 * LIMIT)
    return [{"what": "", "by": "", "items": n, "classes": classes, **row} for row in rows]


def kcenter(with_peers: bool) -> dict[str, Any]:
    """Ours on CENTRES, the product of the pool with as many centres, and both libraries on a batch that both can do.

    share: seconds of the product / ours; share_of_cpu the same in processor seconds, which a busy machine spoils less.
    """
    n, width, batch, few = (CENTRES[key] for key in ("items", "width", "batch", "peer_batch"))
    points = np.random.default_rng(3).standard_normal((n, width), dtype=np.float32)
    product = in_child(lambda: _timed(lambda: [points @ points[i : i + 500].T for i in range(0, batch, 500)]), 600)
    ours = in_child(lambda: _traversed(points, batch), 600)
    result: dict[str, Any] = {
        **CENTRES,
        "ours_seconds": ours["seconds"],
        "product_seconds": product["seconds"],
        "product_gflops": round(2e-9 * n * width * batch / product["seconds"], 1),
        "share": round(product["seconds"] / ours["seconds"], 3),
        "share_of_cpu": round(product["cpu"] / ours["cpu"], 3),
        "radius": ours["radius"],
    }
    if with_peers:
        with tempfile.TemporaryDirectory(prefix="nextlabel-peers-") as folder:
            np.save(Path(folder) / "points.npy", points)
            peer = peers.measure("core_set", Path(folder), 300, budget=few)[0]
        mine = in_child(lambda: _traversed(points, few), 600)
        result["peer"] = peer.get("note", "scikit-activeml CoreSet")
        if "seconds" in peer:
            same = sum(a == b for a, b in zip(peer["order"], mine["order"], strict=True))
            result |= {
                "peer_seconds": round(peer["seconds"], 2),
                "ours_seconds_same_batch": mine["seconds"],
                "times_faster": round(peer["seconds"] / mine["seconds"], 1),
                "same_choices": f"{same} of {few}",
            }
    return result


def _timed(work: Callable[[], Any]) -> dict[str, Any]:
    """The fastest of three runs, in seconds and in processor seconds."""
    work()
    seconds, cpu = [], []
    for _ in range(3):
        began, spent = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
    return {"seconds": round(min(seconds), 3), "cpu": round(min(cpu), 3)}


def _traversed(points: NDArray[np.float32], budget: int) -> dict[str, Any]:
    from plugins.coverage.kcenter import kcenter_greedy  # in the child, where its threads live

    ties = np.random.default_rng(4).random(len(points) - 1)
    order, radii = kcenter_greedy(points[1:], points[:1], budget, ties)
    times = _timed(lambda: kcenter_greedy(points[1:], points[:1], budget, ties))
    return {**times, "radius": round(float(radii[-1]), 3), "order": (order + 1).tolist()}
