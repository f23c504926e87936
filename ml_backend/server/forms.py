"""What a browser's form carries, read at the door: small, URL-encoded, each field once."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Request

LIMIT = 256 * 1024  # bytes
KIND = "application/x-www-form-urlencoded"

Form = dict[str, str]


async def read_form(request: Request) -> Form:
    """Field -> value, the last one where a field stands twice. HTTPException where it is no form or too large."""
    kind = request.headers.get("content-type", KIND).partition(";")[0].strip().lower()
    if kind != KIND:
        raise HTTPException(415, f"The form came as '{kind[:80]}'; send it as {KIND}.")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LIMIT:
            raise HTTPException(413, f"The form is longer than {LIMIT} bytes; send less.")
        parts.append(part)
    try:
        text = b"".join(parts).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=2000, errors="strict"))
    except ValueError:
        raise HTTPException(400, "The form cannot be read; it must be UTF-8 with at most 2000 fields.") from None


Filled = Annotated[Form, Depends(read_form)]


def field(form: Form, name: str) -> str:
    """A field that must be there. HTTPException 422 where it is not."""
    if name not in form:
        raise HTTPException(422, f"The form lacks '{name}'; load the page again.")
    return form[name]
