"""Label Studio's local files: addresses below its document root, and the storage that lets people see them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from ml_backend.studio.client import Json, Studio, StudioError

ROUTE = "/data/local-files/"
_NOTHING = "(?!)"  # matches no name: a press on "Sync" shall not add every file as a task once more
_PEEK = 64 * 1024  # bytes


def url_of(relative: str) -> str:
    """Where a file below the document root is served, relative to Label Studio, so that a new port changes nothing.

    >>> url_of("a b/c.jpg")
    '/data/local-files/?d=a%20b/c.jpg'
    """
    return f"{ROUTE}?d={quote(relative)}"


def path_of(url: object) -> str | None:
    """The file behind such an address, with or without Label Studio's own before it; None for anything else.

    >>> path_of("http://127.0.0.1:8080/data/local-files/?d=a%20b/c.jpg")
    'a b/c.jpg'
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return None
    if parts is None or not f"{parts.path.rstrip('/')}/".endswith(ROUTE):
        return None
    return (parse_qs(parts.query).get("d") or [""])[0].lstrip("/") or None


def data_key(project: Json, tag: str) -> str | None:
    """The key of the tasks' data that the config's first such tag ("Image", "Video") shows; None without one."""
    for control in (project.get("parsed_label_config") or {}).values():
        for shown in control.get("inputs") or ():
            if shown.get("type") == tag and shown.get("value"):
                return str(shown["value"])
    return None


def allow(studio: Studio, project: int, folder: str, title: str) -> bool:
    """Label Studio serves a file only inside a storage of a project that the user may see: adds one for the folder, as
    Label Studio itself sees it, unless the project has one that covers it. Returns whether it did. StudioError."""
    for storage in studio.call("GET", "/api/storages/localfiles/", params={"project": project}):
        path = str(storage["path"] or "").rstrip("/")
        if path and (folder == path or folder.startswith(f"{path}/")):
            return False
    fields = {"project": project, "title": title, "path": folder, "regex_filter": _NOTHING, "use_blob_urls": True}
    try:
        studio.call("POST", "/api/storages/localfiles/", json=fields)
    except StudioError as error:
        if error.status != 400:
            raise
        raise StudioError(
            f"Label Studio does not serve '{folder}' ({error}); start it with "
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT as here.",
            400,
        ) from error
    return True


def check_served(studio: Studio, url: str, file: Path) -> None:
    """Asks Label Studio for the file and compares how it begins. Raises StudioError if people would not see it."""
    with file.open("rb") as opened:
        begins = opened.read(_PEEK)
    try:
        served = studio.download(studio.url + url, limit=_PEEK, cut=True)
    except StudioError as error:
        raise StudioError(
            f"Label Studio does not serve '{file}' at {url} ({error}); its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT must "
            "be the folder that LOCAL_FILES_DOCUMENT_ROOT names here.",
            error.status,
        ) from error
    if served != begins:
        raise StudioError(f"Label Studio serves another file than '{file}' at {url}; give both the same document root.")
