"""Our style and scripts, and Plotly's bundle from its package, cached for a year under the hash of the content."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

FOLDER = Path(__file__).parent / "static"
PLOTLY = "plotly.min.js"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
YEAR = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class StaticFile:
    """A file as it is sent; `tag` is 16 hexadecimal digits of its SHA-256."""

    kind: str
    plain: bytes
    packed: bytes
    tag: str


@lru_cache(maxsize=64)
def static_file(name: str) -> StaticFile | None:
    """A file of our folder, or Plotly's; None for any other name."""
    names = {path.name for path in FOLDER.iterdir() if path.is_file()}
    if name == PLOTLY:
        content = files("plotly").joinpath("package_data", PLOTLY).read_bytes()
    elif name in names:
        content = (FOLDER / name).read_bytes()
    else:
        return None
    suffix = Path(name).suffix
    kind = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return StaticFile(kind, content, gzip.compress(content, 6, mtime=0), hashlib.sha256(content).hexdigest()[:16])


def static_url(name: str) -> str:
    """The address under which a browser may keep the file for good. Raises FileNotFoundError for a name of none."""
    found = static_file(name)
    if found is None:
        raise FileNotFoundError(f"There is no static file '{name}'; put it into {FOLDER}.")
    return f"/static/{name}?v={found.tag}"


@router.get("/static/{name}")
def serve_static(name: str, request: Request, v: str = "") -> Response:
    """Open to everyone, since the login page needs it too."""
    found = static_file(name)
    if found is None:
        raise HTTPException(404, f"There is no static file '{name[:80]}'.")
    tag = f'"{found.tag}"'
    headers = {"ETag": tag, "Cache-Control": YEAR if v == found.tag else "no-cache", "Vary": "Accept-Encoding"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.packed, media_type=found.kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(found.plain, media_type=found.kind, headers=headers)
