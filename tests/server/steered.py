"""A project with a ranking that goes on behind the written head, for tests of what steers it."""

from __future__ import annotations

import numpy as np

from ml_backend.loop.house import House
from ml_backend.loop.publish import PERCENTILE, PROPENSITY, VALUE, WEIGHT, ranking_key
from ml_backend.store.tables import Cycle, Item, Project, Publication, PublishedItem
from tests.server.conftest import add_project

WRITTEN, TOTAL, BATCH = 4, 12, 3


def steered_project(rooms: House) -> int:
    """Twelve ranked tasks, 100 .. 111, the first four written; 102 and 105 are of the control arm."""
    number = add_project(rooms)
    tasks = np.arange(100, 100 + TOTAL)
    propensity = np.full(TOTAL, np.nan)
    propensity[[2, 5]] = 1 / (TOTAL - np.array([2, 5]))
    likely = np.linspace(0.5, 0.9, TOTAL)
    percentile = np.linspace(1, 0, TOTAL)
    rooms.arrays.write(
        ranking_key(number, "nextlabel-1-abcd"),
        {
            "task_id": tasks,
            "probabilities": np.stack([likely, 1 - likely], axis=1),
            f"{VALUE}margin": 1 - likely,
            f"{PERCENTILE}margin": percentile,
            f"{WEIGHT}margin": np.array(1.0),
            PROPENSITY: propensity,
        },
    )
    with rooms.ledger.session() as session:
        cycle = Cycle(project_id=number, number=1, kind="train", trigger="test", status="published")
        cycle.metrics = {"phase": "scored", "batch": BATCH}
        session.add(cycle)
        session.flush()
        live = Publication(project_id=number, cycle_id=cycle.id, model_version="nextlabel-1-abcd", state="live")
        live.total, live.published = TOTAL, WRITTEN
        session.add(live)
        session.flush()
        for rank, task in enumerate(tasks.tolist()):
            session.add(Item(project_id=number, task_id=task, url=f"u{task}", content=f"{task:064x}"))
            if rank < WRITTEN:
                detail = {"value": float(1 - likely[rank]), "percentile": float(percentile[rank]), "weight": 1.0}
                session.add(
                    PublishedItem(
                        publication_id=live.id,
                        task_id=task,
                        rank=rank,
                        score=rank / TOTAL,
                        label="cat",
                        confidence=float(likely[rank]),
                        reason="the two likeliest are close",
                        detail={"margin": {**detail, "reason": "the two likeliest are close"}},
                        arm="control" if rank == 2 else "ranked",
                        propensity=0.1 if rank == 2 else None,
                    )
                )
        session.get_one(Project, number).live_version = "nextlabel-1-abcd"
    return number
