"""A ledger as a project of any size leaves it after weeks of work, made by code: for pages, tests and times."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert

from ml_backend.loop.house import House
from ml_backend.loop.learning import evidence_key, model_key
from ml_backend.loop.plan import Plan
from ml_backend.loop.publish import PERCENTILE, PROPENSITY, VALUE, WEIGHT, ranking_key
from ml_backend.store.arrays import Arrays
from ml_backend.store.ledger import note_problem
from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import (
    Change,
    ControlAnswer,
    Cycle,
    Item,
    PlanVersion,
    Project,
    Publication,
    PublishedItem,
    Switch,
    now,
)

CLASSES = tuple(["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"])
CHOICES = "".join(f'<Choice value="{name}"/>' for name in CLASSES)
CONFIG = f'<View><Image name="image" value="$image"/><Choices name="label" toName="image">{CHOICES}</Choices></View>'
HEAD = 500
VERSIONS = 6  # the live one and five that can be rolled back to
FIRST_TASK = 1001


def fill(rooms: House, tasks: int, *, cycles: int = 40, title: str = "Ten kinds", running: bool = False) -> int:
    """A connected project with so many tasks, a tenth of them labeled (at most 10 000); its number in the ledger.

    running: the newest cycle is under way. The same numbers give the same ledger, but for the moments.
    """
    rng = np.random.default_rng(tasks)
    labeled = min(10_000, tasks // 10)
    project_id = _project(rooms, title, tasks)
    ids = np.arange(FIRST_TASK, FIRST_TASK + tasks)
    truth = rng.integers(len(CLASSES), size=tasks)
    _items(rooms, project_id, ids, truth, labeled)
    numbers = _cycles(rooms, project_id, cycles, labeled, tasks, rng, running=running)
    waiting = ids[labeled:]
    for place, number in enumerate(sorted(numbers)[-VERSIONS:]):
        live = place == min(VERSIONS, len(numbers)) - 1
        _version(rooms, project_id, number, numbers[number], rng.permutation(waiting), rng, live=live)
    _people(rooms, project_id, ids, truth, rng)
    return project_id


def _project(rooms: House, title: str, tasks: int) -> int:
    with rooms.ledger.session() as session:
        count = session.query(Project).count()
        project = Project(
            studio_url="http://127.0.0.1:9",
            studio_id=count + 1,
            key=f"{count + 1}.1790000000",
            title=title,
            label_config=CONFIG,
            webhook_secret=f"secret {tasks} {count}",
            annotators=3,
            fresh_labels=min(7, tasks // 10),
            shown=True,
            reconciled_at=now(),
        )
        session.add(project)
        session.flush()
        return project.id


def _items(rooms: House, project_id: int, ids: Any, truth: Any, labeled: int) -> None:
    rows = [
        {
            "project_id": project_id,
            "task_id": int(task),
            "url": f"http://127.0.0.1:9/images/{task}.png",
            "content": hashlib.sha256(str(task).encode()).hexdigest(),
            "status": "labeled" if i < labeled else "unlabeled",
            "label": CLASSES[truth[i]] if i < labeled else None,
            "annotation_id": int(task) if i < labeled else None,
            "annotator": 1 + i % 3 if i < labeled else None,
            "lead_time": 4.0 if i < labeled else None,
        }
        for i, task in enumerate(ids)
    ]
    with rooms.ledger.session() as session:
        for start in range(0, len(rows), 5000):
            session.execute(insert(Item), rows[start : start + 5000])


def _cycles(
    rooms: House, project_id: int, count: int, labeled: int, tasks: int, rng: Any, *, running: bool
) -> dict[int, int]:
    """Number -> id of the published ones, oldest first; one in ten failed, one in ten was cancelled."""
    made = {}
    with rooms.ledger.session() as session:
        for number in range(1, count + 1):
            labels = labeled * number // count
            status = "failed" if number % 10 == 4 else "cancelled" if number % 10 == 7 else "published"
            if number == count:
                status = "running" if running else "published"
            row = _cycle(project_id, number, labels, tasks - labels, status, rng)
            row.started_at = now() - timedelta(hours=count - number, seconds=20)
            row.finished_at = None if status == "running" else row.started_at + timedelta(seconds=18)
            session.add(row)
            session.flush()
            lines = [f"12:00:{second:02d} learn: step {second} of 20" for second in range(20)]
            session.add(CycleRun(cycle_id=row.id, machine="trainer-1", log=lines, phase_at=row.started_at))
            if status == "published":
                made[number] = row.id
    return made


def _cycle(project_id: int, number: int, labels: int, pool: int, status: str, rng: Any) -> Cycle:
    accuracy = 0.95 - 0.5 / (1 + number / 6)
    counts = rng.multinomial(max(labels, 1), np.full(len(CLASSES), 1 / len(CLASSES))).tolist()
    score = float(np.abs(np.array(counts) / max(sum(counts), 1) - 1 / len(CLASSES)).sum() / 1.8)
    interval = {"value": accuracy - 0.02, "low": accuracy - 0.06, "high": accuracy + 0.02, "n": 100}
    trained = number if number % 3 else number - 1
    return Cycle(
        project_id=project_id,
        number=number,
        kind="train" if number % 3 else "rank",
        trigger=f"{labels} new labels" if number % 3 else "plan 2 by ada",
        status=status,
        phase="learn" if status == "running" else "done" if status == "published" else "publish",
        plan_number=1 + number * 12 // 41,
        evidence_cycle=trained,
        model_version=f"nextlabel-{number}-abcd" if status == "published" else None,
        features="ResNet-18 features, 512 numbers for each image",
        labels=labels,
        pool=pool,
        accuracy=accuracy if number % 3 else None,
        accuracy_low=accuracy - 0.04 if number % 3 else None,
        accuracy_high=accuracy + 0.03 if number % 3 else None,
        metrics={
            "counts": counts,
            "balance": {"score": score, "added": counts, "added_score": score, "facts": {}},
            "phase": "scored",
            "batch": 80,
            "control": {"answered": number * 4, "measured": number * 4, "skipped": 0, "remaining": interval},
        },
        seconds={"sync": 0.4, "learn": 9.0, "rank": 1.2, "publish": 2.5},
        notes=["12 items have the problem 'image_missing'; `nextlabel problems` lists them."],
        error={"failed": "Label Studio does not answer.", "cancelled": "Cancelled by ada; the queue stays."}.get(
            status
        ),
    )


def _version(rooms: House, project_id: int, number: int, cycle_id: int, order: Any, rng: Any, *, live: bool) -> None:
    version, n = f"nextlabel-{number}-abcd", len(order)
    probabilities = rng.dirichlet(np.full(len(CLASSES), 0.3), size=n).astype(np.float32)
    margin = np.sort(1 - np.diff(np.sort(probabilities, axis=1)[:, -2:], axis=1)[:, 0])[::-1]
    drawn = np.full(n, np.nan)
    drawn[::20] = 1.0 / np.arange(n, 0, -1)[::20]
    ranking: Arrays = {
        "task_id": np.asarray(order, dtype=np.int64),
        "probabilities": probabilities,
        f"{VALUE}margin": margin.astype(np.float64),
        f"{PERCENTILE}margin": np.linspace(1, 0, n),
        f"{WEIGHT}margin": np.array(1.0),
        PROPENSITY: drawn,
    }
    rooms.arrays.write(ranking_key(project_id, version), ranking)
    trained = number if number % 3 else number - 1
    if live or number % 3:
        rooms.arrays.write(model_key(project_id, trained), {"weights": rng.normal(size=(512, 10)).astype(np.float32)})
        rooms.arrays.write(evidence_key(project_id, trained), {"task_id": ranking["task_id"][:10]})
    with rooms.ledger.session() as session:
        row = Publication(
            project_id=project_id,
            cycle_id=cycle_id,
            model_version=version,
            total=n,
            published=min(n, HEAD),
            state="live" if live else "retired",
            live_at=now(),
        )
        session.add(row)
        session.flush()
        session.execute(insert(PublishedItem), [_place(row.id, rank, ranking, n) for rank in range(min(n, HEAD))])
        session.add(Switch(project_id=project_id, model_version=version))
        if live:
            session.get_one(Project, project_id).live_version = version


def _place(publication: int, rank: int, ranking: Arrays, n: int) -> dict[str, Any]:
    best = int(ranking["probabilities"][rank].argmax())
    propensity = float(ranking[PROPENSITY][rank])
    part = {"value": float(ranking[f"{VALUE}margin"][rank]), "percentile": 1 - rank / n, "weight": 1.0}
    return {
        "publication_id": publication,
        "task_id": int(ranking["task_id"][rank]),
        "rank": rank,
        "score": rank / n,
        "label": CLASSES[best],
        "confidence": float(ranking["probabilities"][rank, best]),
        "reason": "undecided between cat (0.51) and dog (0.47)",
        "detail": {"margin": {**part, "reason": "undecided between cat (0.51) and dog (0.47)"}},
        "arm": "ranked" if np.isnan(propensity) else "control",
        "propensity": None if np.isnan(propensity) else propensity,
    }


def _people(rooms: House, project_id: int, ids: Any, truth: Any, rng: Any) -> None:
    """Plans, changes, control answers, and images that cannot be read."""
    body = Plan().model_dump(mode="json")
    with rooms.ledger.session() as session:
        for number in range(1, 13):
            note = "" if number % 2 else "fewer near-duplicates"
            plan = PlanVersion(project_id=project_id, number=number, body={**body, "seed": number}, author="ada")
            plan.note = note
            session.add(plan)
        changes = [
            {"project_id": project_id, "author": f"person {i % 4}", "what": f"plan {i}: changed"} for i in range(300)
        ]
        session.execute(insert(Change), changes)
        answers = min(400, len(ids) // 20)
        session.add_all(
            ControlAnswer(
                project_id=project_id,
                task_id=int(ids[i * 10]),
                cycle=1 + i // 12,
                model_version="nextlabel-1-abcd",
                rank=i,
                propensity=0.01,
                predicted=CLASSES[truth[i * 10]] if rng.random() < 0.9 else CLASSES[0],
                label=CLASSES[truth[i * 10]],
                status="answered",
                answered_at=now() - timedelta(minutes=answers - i),
            )
            for i in range(answers)
        )
    with rooms.ledger.session() as session:
        for task in ids[-min(12, len(ids)) :]:
            note_problem(session, project_id, "image_missing", "The image is not there (404).", int(task))
