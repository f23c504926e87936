"""Learning: how good the model is by labels and by hours, what random labels would have given, class by class."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ml_backend.loop.gain import read_gain
from ml_backend.loop.gain_sentences import sentences
from ml_backend.loop.learning_curve import class_rows, learning_points, measure_of
from ml_backend.server.admin import Known, Open
from ml_backend.server.charts import against_hours, against_labels
from ml_backend.server.pages.frame import Tab, page
from ml_backend.server.pages.live import events_of
from ml_backend.server.queue_cards import classes_of

TAB = Tab("Learning", "learning", order=40)
router = APIRouter(prefix="/projects/{project_id}/learning", include_in_schema=False)


@router.get("")
def show(request: Request, session: Open, project: Known) -> Response:
    """Reads cycles and sums alone, so that it costs the same at 100 000 tasks."""
    points = learning_points(session, project.id)
    gain = read_gain(session, project.id)
    measure = measure_of(session, project.id)
    charts = [against_labels(points, gain.savings, measure), against_hours(points, measure)] if points else []
    return page(
        request,
        "learning.html",
        title="Learning",
        project=project,
        events=events_of(project.id),
        newest=points[-1] if points else None,
        measure=measure,
        gain=gain,
        said=sentences(gain),
        charts=charts,
        classes=class_rows(session, project.id, classes_of(project)),
    )
