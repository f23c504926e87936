"""The project that videos go into: its Label Studio, and the key of the tasks' data that it shows."""

from __future__ import annotations

from sqlalchemy import select

from ml_backend.loop.house import House
from ml_backend.store.tables import Project
from ml_backend.studio.client import Json, Studio, StudioError
from ml_backend.studio.local_files import data_key
from ml_backend.video.container import VideoError


def find_studio(house: House, number: int) -> Studio:
    """The Label Studio of a connected project, or the one of the settings. Raises VideoError."""
    with house.ledger.session() as session:
        query = select(Project).where(Project.studio_id == number, Project.state != "gone")
        connected = list(session.scalars(query))
    if len(connected) > 1:
        urls = ", ".join(project.studio_url for project in connected)
        raise VideoError(f"Project {number} is connected at {urls}; disconnect all but one.")
    if connected:
        return house.studio(connected[0])
    url, token = house.settings.label_studio_url, house.settings.label_studio_api_key
    if not url or not token:
        raise VideoError(
            f"Project {number} is not connected; run `nextlabel connect`, or set LABEL_STUDIO_URL and "
            "LABEL_STUDIO_API_KEY."
        )
    return Studio(url, token)


def find_project(studio: Studio, number: int) -> Json:
    try:
        return studio.project(number)
    except StudioError as error:
        if error.status != 404:
            raise
        raise VideoError(
            f"Label Studio at {studio.url} has no project {number} for this token; check --project."
        ) from error


def shown_key(project: Json, *, as_video: bool) -> str:
    """The key of the tasks' data that shows the picture or video."""
    tag = "Video" if as_video else "Image"
    key = data_key(project, tag)
    about = {"name", "frames", "fps"} if as_video else {"video", "frame", "time"}
    if key is None:
        other = data_key(project, "Image" if as_video else "Video")
        hint = f'; leave --as out, or give it <{tag} value="${tag.lower()}"> and a control tag'
        if other and not as_video:
            hint = ', but a <Video>; add --as video, or give it <Image value="$image"> and a control tag'
        raise VideoError(f"The labeling config of project {project['id']} asks about no <{tag}>{hint}.")
    if key in about:
        raise VideoError(
            f'The labeling config shows <{tag} value="${key}">, a name that is ours; call it ${tag.lower()}.'
        )
    return key
