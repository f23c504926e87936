"""Renders drives into a folder, several at a time; a finished video is not rendered again."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from enum import StrEnum
from pathlib import Path
from typing import Any

import cv2

from simulation.road_scenes.canvas import Picture
from simulation.road_scenes.coco import coco, image_name, merge
from simulation.road_scenes.mot import gt, seqinfo
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import FPS, Drive, SceneError
from simulation.road_scenes.tasks import IMAGE_CONFIG, VIDEO_CONFIG, Answers, write_tasks

SETTINGS, TRUTH, TASKS, CONFIG, VIDEO = "scenes.json", "coco.json", "tasks.json", "label_config.xml", "video.mp4"
STEP = 25  # frames between two reports
Report = Callable[[int], None]  # is told how many more frames are done


class Format(StrEnum):
    """How pictures are kept."""

    MP4 = "mp4"
    JPG = "jpg"


def open_folder(folder: Path, drives: Sequence[Drive], form: Format) -> list[Drive]:
    """Prepares a folder, and returns the drives that are not finished in it."""
    settings = {"format": form.value, "drives": [drive.model_dump(mode="json") for drive in drives]}
    path = folder / SETTINGS
    if path.exists():
        _compare(folder, _read(path), settings)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SceneError(f"{folder} holds something else than road scenes; choose a new or an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists() or len(_read(path)["drives"]) < len(drives):
        path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return [drive for drive in drives if not (folder / drive.name / TRUTH).exists()]


def _read(path: Path) -> dict[str, Any]:
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        return {"format": there["format"], "drives": list(there["drives"])}
    except (ValueError, KeyError, TypeError):
        raise SceneError(f"{path} is not what this command wrote; choose another folder.") from None


def _compare(folder: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """A folder goes on with the settings it was begun with; more videos may be asked for."""
    common = min(len(there["drives"]), len(wanted["drives"]))
    same = there["drives"][:common] == wanted["drives"][:common]
    if there["format"] != wanted["format"] or not same:
        raise SceneError(f"{folder} was begun with other settings ({SETTINGS} says which); choose another folder.")


def render(folder: Path, drives: Sequence[Drive], form: Format, processes: int, report: Report) -> None:
    """Renders drives, each in one process; ends with the first error."""
    if processes == 1 or len(drives) < 2:
        for drive in drives:
            render_drive(folder, drive, form, report)
        return
    context = multiprocessing.get_context("spawn")
    done, said = context.Value("q", 0), 0
    workers = min(processes, len(drives))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(done,)) as pool:
        waiting = {pool.submit(_render, folder, drive, form) for drive in drives}
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                report(done.value - said)
                said = done.value
                for each in finished:
                    each.result()
        except BrokenProcessPool:
            raise SceneError("A process was ended, most likely for lack of memory; use fewer --processes.") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


_done: Any = None  # in a worker: the counter that it shares with the others


def _begin(done: Any) -> None:
    global _done
    _done = done
    cv2.setNumThreads(1)  # there is a process for each core already


def _render(folder: Path, drive: Drive, form: Format) -> None:
    def report(frames: int) -> None:
        with _done.get_lock():
            _done.value += frames

    render_drive(folder, drive, form, report)


def render_drive(folder: Path, drive: Drive, form: Format, report: Report) -> None:
    """One video with its ground truth; its COCO file is written last and says that it is finished."""
    own = folder / drive.name
    shutil.rmtree(own, ignore_errors=True)  # what an interrupted run left
    (own / "gt").mkdir(parents=True)
    truth = []
    keep = _movie(own / VIDEO, drive) if form is Format.MP4 else _images(folder, drive)
    next(keep)
    try:
        for t, frame in enumerate(Scene(drive)):
            keep.send(frame.picture)
            truth.append(frame.objects)
            if (t + 1) % STEP == 0 or t + 1 == drive.frames:
                report(t % STEP + 1)
    finally:
        keep.close()
    if form is Format.MP4:
        _check(own / VIDEO, drive.frames)
    (own / "gt" / "gt.txt").write_text(gt(truth), encoding="ascii")
    (own / "seqinfo.ini").write_text(seqinfo(drive), encoding="ascii")
    part = own / f"{TRUTH}.part"
    part.write_text(json.dumps(coco(drive, truth), separators=(",", ":")) + "\n", encoding="utf-8")
    part.replace(own / TRUTH)


def _movie(path: Path, drive: Drive) -> Generator[None, Picture, None]:
    """Takes pictures and writes an MPEG-4 file."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (drive.width, drive.height))
    if not writer.isOpened():
        raise SceneError(f"{path} cannot be written as MPEG-4 by this OpenCV; use --format jpg.")
    try:
        while True:
            writer.write((yield))
    finally:
        writer.release()


def _check(path: Path, frames: int) -> None:
    """OpenCV's writer says nothing of a full disk."""
    capture = cv2.VideoCapture(str(path))
    there = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    capture.release()
    if there != frames:
        raise SceneError(f"{path} holds {there} of {frames} frames; is the disk full?")


def _images(folder: Path, drive: Drive) -> Generator[None, Picture, None]:
    """Takes pictures and writes a JPEG file for each."""
    (folder / drive.name / "img1").mkdir()
    frame = 0
    while True:
        picture: Picture = yield
        path = folder / image_name(drive.name, frame)
        if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise SceneError(f"{path} cannot be written; is the disk full?")
        frame += 1


def conclude(folder: Path, drives: Sequence[Drive], form: Format, prefix: str, answers: Answers) -> tuple[int, int]:
    """The files about all videos; returns the numbers of annotations and of tasks."""
    files = [folder / drive.name / TRUTH for drive in drives]
    annotations = merge(files, folder / TRUTH)
    images = form is Format.JPG
    tasks = write_tasks(files, folder / TASKS, images=images, prefix=prefix, answers=answers)
    (folder / CONFIG).write_text(IMAGE_CONFIG if images else VIDEO_CONFIG, encoding="utf-8")
    return annotations, tasks
