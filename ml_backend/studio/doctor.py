"""Label Studio's half of `nextlabel doctor`: each thing that could spoil the queue, what was found, and its remedy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx

from ml_backend.studio.allowed_hosts import AllowedHosts
from ml_backend.studio.client import Json, Studio, StudioError
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.connect import PRIVATE_ADDRESSES, SAMPLING, SECRET_HEADER, webhook_fits
from ml_backend.studio.media import MediaCache
from ml_backend.studio.question import Question, read_answer, read_question
from ml_backend.studio.regions.config import BoxesConfig, TimelineConfig, TracksConfig

FAST_IMPORTS = "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short"
RECONNECT = "Run `nextlabel connect` again."
SAMPLE = 5  # images
SLOW_IMPORT_TASKS = 10_000  # a write takes 7 s there on the slow path, and 98 s at 100 000


@dataclass(frozen=True)
class Check:
    """One examined thing. ok: None where it cannot be known or is only worth a look. remedy: what to do, else ''."""

    name: str
    ok: bool | None
    result: str
    remedy: str = ""


def studio_checks(
    studio: Studio,
    project_id: int,
    *,
    backend_url: str,
    secret: str,
    live_version: str | None,
    head: Sequence[int] | None,
    local_root: Path | None = None,
    hosts: AllowedHosts | None = None,
) -> list[Check]:
    """Every check that Label Studio's API can answer, in the order in which to repair. Never raises StudioError.

    backend_url: as Label Studio reaches us. live_version: the model_version whose queue is live, None before the first.
    head: the task ids written under it. local_root, hosts: as for MediaCache, so that the sample is read as the loop
    reads it. Asking changes nothing in Label Studio.
    """
    url = backend_url.rstrip("/")
    reachable = _reachable(studio)
    if not reachable.ok:
        return [reachable]
    token = _token(studio)
    checks = [reachable, token]
    if not token.ok:
        return checks
    try:
        row = studio.project(project_id)
    except StudioError as error:
        return [*checks, Check("project", False, str(error), "Name a project that this token's user can open.")]
    checks.append(Check("project", True, f"{project_id}: '{row.get('title')}', {row.get('task_number')} tasks."))
    config, check = _config(row)
    checks += [check, _sampling(row), _overlap(row), _members(project_id)]
    examined: list[tuple[str, Callable[[], Check]]] = [
        ("private addresses", lambda: _private_addresses(studio, project_id, url)),
        ("backend", lambda: _backend(studio, project_id, url)),
        ("webhook", lambda: _webhook(studio, project_id, url, secret)),
        ("model_version", lambda: _model_version(studio, project_id, row, live_version)),
        ("queue head", lambda: _head(studio, project_id, live_version, head)),
        ("fast imports", lambda: _fast_imports(studio, project_id, row)),
    ]
    if config is not None:
        examined.append(("images", lambda: _images(studio, project_id, config, local_root, hosts)))
    return checks + [_guarded(name, examine) for name, examine in examined]


def _guarded(name: str, examine: Callable[[], Check]) -> Check:
    try:
        return examine()
    except StudioError as error:
        return Check(name, None, str(error), "Ask again once Label Studio answers this.")


def _reachable(studio: Studio) -> Check:
    remedy = "Start Label Studio or correct LABEL_STUDIO_URL."
    try:
        answer = httpx.get(f"{studio.url}/api/version", timeout=10.0, follow_redirects=True)
        release = answer.json()["release"]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Check("Label Studio", False, f"{studio.url} does not answer ({error}).", remedy)
    except (ValueError, KeyError, TypeError):
        return Check("Label Studio", False, f"{studio.url} answers, but not as Label Studio does.", remedy)
    return Check("Label Studio", True, f"{release} at {studio.url}.")


def _token(studio: Studio) -> Check:
    kinds = {"personal": "personal access token", "legacy": "legacy token"}
    kind = kinds.get(studio.kind, "token of no known kind")
    try:
        user = studio.whoami()
    except StudioError as error:
        remedy = "Make a personal access token under Account & Settings and give that to `nextlabel connect`"
        if studio.kind == "legacy":
            remedy += ", or allow legacy tokens under Organization > Access Token Settings"
        return Check("token", False, f"The {kind} is refused: {error}", remedy + ".")
    return Check("token", True, f"The {kind} of {user.get('email')} works.")


def _config(row: Json) -> tuple[Question | None, Check]:
    try:
        config = read_question(str(row.get("label_config") or ""))
    except ConfigError as error:
        return None, Check("labeling config", False, str(error), "Change it under Settings > Labeling Interface.")
    kinds = {BoxesConfig: "boxes of", TracksConfig: "boxes through a video of", TimelineConfig: "time ranges of"}
    asked = kinds.get(type(config), "one of")
    result = f"'{config.from_name}' asks for {asked} {len(config.classes)} classes of data.{config.data_key}."
    return config, Check("labeling config", True, " ".join((result, *getattr(config, "notes", ()))))


def _sampling(row: Json) -> Check:
    sampling = row.get("sampling")
    if sampling == SAMPLING:
        return Check("sampling", True, f"{sampling}.")
    return Check("sampling", False, f"{sampling}: scores are ignored.", f"Set sampling to '{SAMPLING}'. {RECONNECT}")


def _overlap(row: Json) -> Check:
    overlap = row.get("maximum_annotations")
    if overlap == 1:
        return Check("overlap", True, "1 annotation per task.")
    return Check(
        "overlap",
        False,
        f"{overlap} annotations per task: tasks that others annotated come first, at random.",
        "Set maximum_annotations to 1 with PATCH /api/projects/ID, or accept that later annotators get random tasks.",
    )


def _members(project: int) -> Check:
    return Check(
        "project members",
        None,
        "No API of Label Studio shows ProjectMember rows; with more than one it shuffles the head of the queue.",
        "In its database, SELECT count(*) FROM projects_projectmember "
        f"WHERE project_id = {project} should give 0 or 1, and does unless the database came from elsewhere.",
    )


def _private_addresses(studio: Studio, project: int, url: str) -> Check:
    """Asks with a wrong second field: Label Studio judges the address first, then refuses without doing a thing."""
    attempts: list[tuple[str, str, Json]] = [
        ("backends", "/api/ml/", {"url": url, "auth_method": "none of them"}),
        ("webhooks", "/api/webhooks/", {"url": f"{url}/webhook", "actions": ["none of them"]}),
    ]
    refused = []
    for what, path, body in attempts:
        try:
            studio.call("POST", path, json={"project": project, **body})
        except StudioError as error:
            if error.status == 403 and "reserved network" in str(error):
                refused.append(what)
            elif error.status != 400:
                raise
    if refused:
        result = f"Label Studio refuses {url} for {' and '.join(refused)}."
        return Check("private addresses", False, result, PRIVATE_ADDRESSES[0].upper() + PRIVATE_ADDRESSES[1:] + ".")
    return Check("private addresses", True, f"Label Studio may call {url}.")


def _backend(studio: Studio, project: int, url: str) -> Check:
    rows = studio.backends(project)
    ours = [row for row in rows if str(row.get("url")).rstrip("/") == url]
    if len(ours) != 1:
        listed = ", ".join(str(row.get("url")) for row in rows) or "none"
        return Check("backend", False, f"{len(ours)} rows for {url}; the project has: {listed}.", RECONNECT)
    title, state = ours[0].get("title"), ours[0].get("readable_state")
    if state != "Connected":
        said = str(ours[0].get("error_message") or "no reason given")
        return Check(
            "backend",
            False,
            f"'{title}' is {state}: {said}.",
            f"Start the backend and check that Label Studio's machine can open {url}/health. {RECONNECT}",
        )
    return Check("backend", True, f"'{title}' is connected at {url}.")


def _webhook(studio: Studio, project: int, url: str, secret: str) -> Check:
    target = f"{url}/webhook"
    rows = studio.webhooks(project)
    ours = [row for row in rows if str(row.get("url")).rstrip("/") == target]
    lost = [row for row in rows if (row.get("headers") or {}).get(SECRET_HEADER) == secret and row not in ours]
    right = [row for row in ours if webhook_fits(row, secret)]
    if len(ours) == 1 and right and not lost:
        return Check("webhook", True, f"One, to {target}, with the secret.")
    found = [f"{len(ours)} to {target}, {len(right)} of them as it should be"]
    if bare := sum(SECRET_HEADER not in (row.get("headers") or {}) for row in ours):
        found.append(f"{bare} without the secret")
    found += [f"one with our secret to {row.get('url')}" for row in lost]
    return Check("webhook", False, "; ".join(found) + ".", RECONNECT)


def _model_version(studio: Studio, project: int, row: Json, live: str | None) -> Check:
    current = row.get("model_version") or ""
    titles = {str(backend.get("title")) for backend in studio.backends(project)}
    if current in titles:
        return Check(
            "model_version",
            False,
            f"It is '{current}', a backend's title: the queue is random and every next task waits for that backend.",
            f"PATCH /api/projects/{project} with model_version '{live or ''}'. {RECONNECT}",
        )
    if live is None:
        return Check("model_version", None, f"It is '{current}'; nothing is published yet.", "Label a few items first.")
    if current != live:
        return Check(
            "model_version",
            False,
            f"It is '{current}', but '{live}' is live: the queue does not follow our order.",
            f"PATCH /api/projects/{project} with model_version '{live}', or wait for the next reconcile.",
        )
    return Check("model_version", True, f"'{live}'.")


def _head(studio: Studio, project: int, live: str | None, head: Sequence[int] | None) -> Check:
    if live is None or not head:
        return Check("queue head", None, "Nothing is published yet.", "Label a few items first.")
    waiting = studio.waiting(project, head)
    if not waiting:
        return Check(
            "queue head", False, f"All {len(head)} published items are labeled.", "Run a cycle to publish more."
        )
    covered = sum(live in versions for versions in waiting.values())
    result = f"{covered} of {len(waiting)} published items that wait carry '{live}' ({covered / len(waiting):.0%})."
    if covered == len(waiting):
        return Check("queue head", True, result)
    return Check("queue head", False, result, "Run a cycle to publish them again; the others come last and at random.")


def _fast_imports(studio: Studio, project: int, row: Json) -> Check:
    """The two import paths word their refusal of an unknown task differently; neither then stores anything."""
    try:
        studio.call("POST", f"/api/projects/{project}/import/predictions", json=[{"task": 0}])
        said = ""
    except StudioError as error:
        if error.status != 400:
            raise
        said = str(error)
    if "task ID 0 not found" in said:
        return Check("fast imports", True, "On.")
    if "retrieved" in said or "Invalid task ID" in said:
        tasks = int(row.get("task_number") or 0)
        ok = False if tasks > SLOW_IMPORT_TASKS else None
        return Check(
            "fast imports",
            ok,
            f"Off: a write costs time for all {tasks} tasks.",
            f"Start Label Studio with {FAST_IMPORTS}=true.",
        )
    return Check(
        "fast imports", None, "This Label Studio does not tell.", f"Start Label Studio with {FAST_IMPORTS}=true."
    )


def _images(
    studio: Studio, project: int, config: Question, local_root: Path | None, hosts: AllowedHosts | None
) -> Check:
    readings = [
        (int(task["id"]), read_answer(task, config)) for task in islice(studio.tasks(project, page_size=SAMPLE), SAMPLE)
    ]
    if not readings:
        return Check("images", None, "The project has no tasks.", "Import images.")
    problems = {task: reading.problem for task, reading in readings if reading.url is None and reading.problem}
    with tempfile.TemporaryDirectory() as folder:
        media = MediaCache(Path(folder), studio, local_root=local_root, hosts=hosts, threads=SAMPLE, seconds=20.0)
        fetched = media.fetch([(task, reading.url) for task, reading in readings if reading.url is not None])
    problems.update(fetched.problems)
    result = f"{len(fetched.contents)} of {len(readings)} sampled images can be read."
    if not problems:
        return Check("images", True, result)
    task, (kind, message) = next(iter(problems.items()))
    return Check(
        "images", False, f"{result} {kind} at task {task}: {message}", "Repair the storage or the tasks' URLs."
    )
