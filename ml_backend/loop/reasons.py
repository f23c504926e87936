"""Why, for annotators: a sentence in the data of the tasks that come next, where the plan wants it.

`<Header value="$nextlabel_why"/>` in the labeling config shows it. It is made of what scorers say of the item,
for the control arm as for everyone: nothing in it tells who was drawn at random. Label Studio has no bulk write of task
data (some ten tasks a second), so only what is served soon is written, once for each sentence, after the switch.
"""

from __future__ import annotations

import json
import time
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.plan import read_plan
from ml_backend.store.ledger import note_problem, publication, solve_problems
from ml_backend.store.steering import Told
from ml_backend.store.tables import Item, Project, PublishedItem
from ml_backend.studio.client import Studio, StudioError

log = structlog.get_logger()

KEY = "nextlabel_why"  # in the task's data
AHEAD = 50  # tasks that carry a sentence before they are served, or 20 for each annotator
MOST = 500
SECONDS = 30.0  # for one round of writing; the next reconcile goes on
LONGEST = 240  # characters
EARLY = "The model is still getting to know the classes."
HIDDEN = (
    f'Reasons are on, but the labeling config does not show them; add <Header value="${KEY}"/> to it, or turn '
    "show_reasons off."
)
WAITING = ("unlabeled", "skipped")


def told_sentence(detail: dict[str, dict[str, Any]]) -> str:
    """What an annotator reads, from the scorers' say alone (`PublishedItem.detail`): the same for every arm.

    >>> told_sentence({"margin": {"value": -0.1, "percentile": 0.9, "weight": 1, "reason": "between 3 and 8"}})
    'Between 3 and 8.'
    >>> told_sentence({"margin": {"value": -0.9, "percentile": 0.25, "weight": 1, "reason": ""}})
    'Margin: higher than 25 % of what is left.'
    """
    if not detail:
        return EARLY
    name, part = max(detail.items(), key=lambda pair: (pair[1]["weight"] * pair[1]["percentile"], pair[0]))
    said = part["reason"] or f"{name.replace('_', ' ')}: higher than {part['percentile']:.0%} of what is left"
    said = said.replace("%", " %").replace("  %", " %").strip().rstrip(".")
    return f"{said[:1].upper()}{said[1:LONGEST]}."


def tell_reasons(house: House, studio: Studio, project_id: int) -> int:
    """Writes sentences that are new, takes back those that nobody wants any more; returns how many tasks changed.

    The queue does not depend on it: what Label Studio refuses is a problem of the project's.
    """
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        wanted = _wanted(session, project)
        told = _told(session, project_id)
        stale = [] if wanted is not None else list(told)
    writes: dict[int, str | None] = {task: said for task, said in (wanted or {}).items() if told.get(task) != said}
    writes |= dict.fromkeys(stale[:MOST])
    if not writes:
        return 0
    try:
        return _write(house, studio, project, writes)
    except StudioError as error:
        log.warning("reasons_failed", project=project_id, error=str(error))
        with house.ledger.session() as session:
            note_problem(session, project_id, "reasons_failed", f"Reasons were not written: {error}")
        return 0


def _wanted(session: Session, project: Project) -> dict[int, str] | None:
    """task -> sentence of what is served soon; None where the plan wants none."""
    _, plan = read_plan(session, project.id)
    live = publication(session, project.id, project.live_version)
    if not plan.show_reasons:
        solve_problems(session, project.id, "reasons_hidden")
        return None
    if f"${KEY}" not in project.label_config:
        note_problem(session, project.id, "reasons_hidden", HIDDEN)
        return {}
    solve_problems(session, project.id, "reasons_hidden")
    if live is None:
        return {}
    query = (
        select(PublishedItem.task_id, PublishedItem.detail)
        .join(Item, (Item.task_id == PublishedItem.task_id) & (Item.project_id == project.id))
        .where(PublishedItem.publication_id == live.id, Item.status.in_(WAITING))
    )
    ahead = min(MOST, max(AHEAD, 20 * project.annotators))
    rows = session.execute(query.order_by(PublishedItem.rank).limit(ahead))
    return {task: told_sentence(detail) for task, detail in rows}


def _told(session: Session, project_id: int) -> dict[int, str]:
    """task -> sentence of those that an annotator may still open; the others' is forgotten here and stays there."""
    query = select(Told.task_id, Told.sentence, Item.status).outerjoin(
        Item, (Item.project_id == Told.project_id) & (Item.task_id == Told.task_id)
    )
    told, over = {}, []
    for task, sentence, status in session.execute(query.where(Told.project_id == project_id)):
        if status in WAITING:
            told[task] = sentence
        else:
            over.append(task)
    for start in range(0, len(over), MOST):
        gone = Told.task_id.in_(over[start : start + MOST])
        session.execute(delete(Told).where(Told.project_id == project_id, gone))
    return told


def _write(house: House, studio: Studio, project: Project, writes: dict[int, str | None]) -> int:
    """Task by task, each kept in the ledger at once, until the time is over."""
    deadline, done = time.monotonic() + SECONDS, 0
    for task, data in _data(studio, project.studio_id, list(writes)).items():
        if time.monotonic() > deadline:
            break
        said = writes[task]
        changed = {**{key: value for key, value in data.items() if key != KEY}, **({} if said is None else {KEY: said})}
        if changed != data:
            studio.call("PATCH", f"/api/tasks/{task}/", json={"data": changed})
            done += 1
        with house.ledger.session() as session:
            if said is None:
                session.execute(delete(Told).where(Told.project_id == project.id, Told.task_id == task))
            else:
                house.ledger.upsert(
                    session,
                    Told,
                    [{"project_id": project.id, "task_id": task, "sentence": said}],
                    ("project_id", "task_id"),
                )
    with house.ledger.session() as session:
        solve_problems(session, project.id, "reasons_failed")
    return done


def _data(studio: Studio, number: int, tasks: list[int]) -> dict[int, dict[str, Any]]:
    """The data of tasks as Label Studio holds it now, in the order asked; deleted ones are left out."""
    chosen = {"all": False, "included": tasks}
    parameters = {
        "project": number,
        "page_size": len(tasks),
        "fields": "all",
        "resolve_uri": "false",
        "include": "id,data",
        "query": json.dumps({"selectedItems": chosen}),
    }
    rows = studio.call("GET", "/api/tasks", params=parameters)["tasks"]
    found = {int(row["id"]): dict(row["data"]) for row in rows}
    return {task: found[task] for task in tasks if task in found}
