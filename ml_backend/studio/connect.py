"""Label Studio's half of `nextlabel connect`: one backend, one webhook, the right sampling, nothing else changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from ml_backend.studio.client import Json, Studio, StudioError
from ml_backend.studio.question import Question, read_question

SECRET_HEADER = "X-NextLabel-Secret"
SAMPLING = "Uncertainty sampling"
ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
    "PROJECT_UPDATED",
)
PRIVATE_ADDRESSES = (
    "start Label Studio with both ML_BLOCK_LOCAL_IP=false (backends) and SSRF_PROTECTION_ENABLED=false (webhooks), "
    "on a trusted network only, or give the backend a public address"
)


class ConnectError(StudioError):
    """The project cannot be connected as asked; what was begun has been taken back."""


@dataclass(frozen=True)
class Attachment:
    """What connecting left behind. project: Label Studio's row afterwards. notes: sentences for the person."""

    backend_id: int
    webhook_id: int
    project: Json
    config: Question
    notes: tuple[str, ...]


def attach(
    studio: Studio,
    project: int,
    *,
    backend_url: str,
    secret: str,
    user: str | None,
    password: str | None,
    title: str = "NextLabel",
) -> Attachment:
    """Connects the backend at `backend_url` (as Label Studio reaches it) to a project; repeating it repairs.

    secret: sent by the webhook in X-NextLabel-Secret. user, password: what Label Studio sends the backend as Basic
    authentication. Predictions, other people's backends and other people's webhooks stay as they are.
    Raises StudioError (ConnectError where the remedy is ours to name) and ConfigError.
    """
    if bool(user) != bool(password):
        raise ConnectError("Basic authentication has only one of user and password; set both or neither.")
    row = studio.project(project)
    config = read_question(str(row["label_config"]))
    url = backend_url.rstrip("/")
    check_health(url)
    live = _real_version(studio, project, row)
    addresses = {url, *_addresses_with(secret, studio.webhooks(project))}
    backend, created = _put_backend(studio, project, url, addresses, _fields(url, title, user, password))
    try:
        webhook = _put_webhook(studio, project, url, addresses, secret)
    except StudioError:
        if created:
            _withdraw(studio, project, backend, url)
        raise
    row = _settle(studio, project, title, live)
    return Attachment(
        backend,
        webhook,
        row,
        config,
        (*getattr(config, "notes", ()), *_strangers(studio, project, row, backend, webhook)),
    )


def detach(studio: Studio, project: int, backend_url: str) -> None:
    """Removes our backend and webhook from a project; predictions and the project's settings stay."""
    url = backend_url.rstrip("/")
    for backend in studio.backends(project):
        if _address(backend) == url:
            studio.delete_backend(int(backend["id"]))
    for webhook in studio.webhooks(project):
        if _address(webhook) == f"{url}/webhook":
            studio.delete_webhook(int(webhook["id"]))


def check_health(url: str) -> None:
    """Asks the backend's /health from here. Raises ConnectError."""
    try:
        answer = httpx.get(f"{url}/health", timeout=5.0)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConnectError(
            f"The backend at {url} does not answer /health ({error}); start it or correct its address."
        ) from error


def webhook_fits(webhook: Json, secret: str) -> bool:
    """Whether a webhook carries the secret and is active, with payload, for exactly our actions."""
    return (
        webhook.get("headers") == {SECRET_HEADER: secret}
        and set(webhook.get("actions") or ()) == set(ACTIONS)
        and webhook.get("is_active") is True
        and webhook.get("send_payload") is True
        and webhook.get("send_for_all_actions") is False
    )


def _address(row: Json) -> str:
    return str(row.get("url") or "").rstrip("/")


def _addresses_with(secret: str, webhooks: Iterable[Json]) -> set[str]:
    """Where our backend stood before its port or host changed: only our webhook knows the secret."""
    ours = (webhook for webhook in webhooks if (webhook.get("headers") or {}).get(SECRET_HEADER) == secret)
    return {_address(webhook).removesuffix("/webhook") for webhook in ours}


def _real_version(studio: Studio, project: int, row: Json) -> str:
    """The project's model_version if predictions carry it; connecting may put the backend's title in its place."""
    version = str(row.get("model_version") or "")
    return version if version and studio.model_versions(project).get(version) else ""


def _fields(url: str, title: str, user: str | None, password: str | None) -> Json:
    if user and password:  # Label Studio answers 500 to an empty password
        access = {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
    else:
        access = {"auth_method": "NONE", "basic_auth_user": ""}
    return {"url": url, "title": title, "is_interactive": False, **access}


def _put_backend(studio: Studio, project: int, url: str, addresses: set[str], fields: Json) -> tuple[int, bool]:
    """The id of the one row of ours, and whether it is new."""
    before = [backend for backend in studio.backends(project) if _address(backend) in addresses]
    try:
        if not before:
            return int(studio.add_backend(project, **fields)["id"]), True
        kept, *surplus = sorted(before, key=lambda backend: int(backend["id"]))
        # Label Studio checks the backend again on every change and needs url and project for it.
        studio.update_backend(int(kept["id"]), project=project, **fields)
    except StudioError as error:
        if not before:  # refused for its webhook's address, Label Studio keeps the row all the same
            for backend in studio.backends(project):
                if _address(backend) == url:
                    _withdraw(studio, project, int(backend["id"]), url)
        raise _refusal(url, error) from error
    for backend in surplus:
        studio.delete_backend(int(backend["id"]))
    return int(kept["id"]), False


def _put_webhook(studio: Studio, project: int, url: str, addresses: set[str], secret: str) -> int:
    """Adds ours before it removes the one that Label Studio registered by itself, so that no event is lost."""
    targets = {f"{address}/webhook" for address in addresses}
    before = [webhook for webhook in studio.webhooks(project) if _address(webhook) in targets]
    right = [webhook for webhook in before if _address(webhook) == f"{url}/webhook" and webhook_fits(webhook, secret)]
    try:
        kept = right[0] if right else _add_webhook(studio, project, url, secret)
    except StudioError as error:
        raise _refusal(url, error) from error
    for webhook in before:
        if webhook["id"] != kept["id"]:
            studio.delete_webhook(int(webhook["id"]))
    return int(kept["id"])


def _add_webhook(studio: Studio, project: int, url: str, secret: str) -> Json:
    return studio.add_webhook(
        project,
        url=f"{url}/webhook",
        headers={SECRET_HEADER: secret},
        actions=list(ACTIONS),
        send_payload=True,
        send_for_all_actions=False,
        is_active=True,
    )


def _refusal(url: str, error: StudioError) -> ConnectError:
    said = str(error)
    if error.status == 403 and "reserved network" in said:
        return ConnectError(f"Label Studio refuses the private address {url}; {PRIVATE_ADDRESSES}.", 403)
    if "Enter a valid URL" in said:
        return ConnectError(
            f"Label Studio takes no webhook to {url}, since its host name has no dot; "
            "use an IP address, localhost, or a name such as backend.internal.",
            error.status,
        )
    if "Can't connect to ML backend" in said:
        return ConnectError(
            f"Label Studio cannot reach {url}, though this machine can; give the address as seen from Label Studio "
            "(NEXTLABEL_URL), for example the container's name instead of 127.0.0.1.",
            error.status,
        )
    return ConnectError(f"Label Studio does not accept the backend at {url}: {said}", error.status)


def _withdraw(studio: Studio, project: int, backend: int, url: str) -> None:
    """Takes back a new row, and the webhook that Label Studio added with it and never removes."""
    studio.delete_backend(backend)
    for webhook in studio.webhooks(project):
        if _address(webhook) == f"{url}/webhook" and not webhook.get("headers"):
            studio.delete_webhook(int(webhook["id"]))


def _settle(studio: Studio, project: int, title: str, live: str) -> Json:
    """Sampling by score, and never our title or a version without predictions as model_version: the queue would be
    random, and for a title every next task would wait for the backend."""
    row = studio.project(project)
    theirs = {backend.get("title") for backend in studio.backends(project)} - {title}
    wanted: Json = {}
    if row.get("sampling") != SAMPLING:
        wanted["sampling"] = SAMPLING
    version = row.get("model_version") or ""
    if version != live and (live or version not in theirs):
        wanted["model_version"] = live
    return studio.update_project(project, **wanted) if wanted else row


def _strangers(studio: Studio, project: int, row: Json, backend: int, webhook: int) -> tuple[str, ...]:
    notes = []
    for other in studio.backends(project):
        if other["id"] != backend:
            notes.append(f"Another backend, '{other.get('title')}' at {other.get('url')}, stays connected.")
            if row.get("model_version") == other.get("title"):
                notes.append("The project's model_version is that title, so the queue is random until we publish.")
    for other in studio.webhooks(project):
        if other["id"] != webhook:
            notes.append(f"Another webhook, to {other.get('url')}, stays.")
    return tuple(notes)
