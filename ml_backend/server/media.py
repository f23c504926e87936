"""Stored frames and videos for browsers, under signed links: parts on demand, and nothing without a signature."""

from __future__ import annotations

import stat
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse

from ml_backend.loop.house import House
from ml_backend.loop.import_links import ROUTE, TYPES, LinkError, SignedLinks
from ml_backend.server.views import Refusal

router = APIRouter(tags=["media"])
REFUSALS: dict[int | str, dict[str, Any]] = {
    206: {"description": "The bytes that were asked for."},
    400: {"description": "The Range header cannot be read."},
    403: {"model": Refusal, "description": "The signature is missing, wrong, or over."},
    404: {"model": Refusal, "description": "The file is not stored any more."},
    416: {"description": "The file has no such bytes."},
    503: {"model": Refusal, "description": "The key of the links cannot be read."},
}
HEADERS = {
    "Cache-Control": "private, max-age=86400, immutable",  # a link's bytes never change; a revoked one fades in a day
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Access-Control-Allow-Origin": "*",  # Label Studio's pages are of another origin, and fetch by script; a link is
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",  # all that one needs, no cookie
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
}
REFUSED = "The link is not valid (any more); run `nextlabel import-video` again, which gives tasks fresh links."
GONE = (
    "The file of this link is not stored (any more); run `nextlabel import-video` again, which writes what is missing."
)


QUERY = {
    "parameters": [
        {"name": name, "in": "query", "required": name == "s", "schema": {"type": "string"}, "description": what}
        for name, what in (("s", "The link's signature."), ("until", "When the link ends, seconds since 1970."))
    ]
}


@router.head(f"{ROUTE}{{name:path}}", include_in_schema=False)
@router.get(f"{ROUTE}{{name:path}}", response_class=FileResponse, responses=REFUSALS, openapi_extra=QUERY)
def serve_stored(name: str, request: Request) -> FileResponse:
    """A stored frame or video; browsers may ask for ranges of its bytes. Links are made by `nextlabel import-video`."""
    house: House = request.app.state.house
    try:
        file = SignedLinks(house.settings.model_dir.absolute()).file(name, request.url.query)
    except LinkError as error:
        raise HTTPException(503, str(error)) from error
    if file is None:
        raise HTTPException(403, REFUSED, headers={"Cache-Control": "no-store"})
    try:
        about = file.lstat()  # what the store writes is no link to elsewhere
    except OSError:
        about = None
    if about is None or not stat.S_ISREG(about.st_mode):
        raise HTTPException(404, GONE, headers={"Cache-Control": "no-store"})
    return FileResponse(file, media_type=TYPES[file.suffix], stat_result=about, headers=HEADERS)
