"""Why an image cannot be had: a kind that can be counted, and a sentence for a person."""

from __future__ import annotations

KINDS = {  # HTTP status -> kind; any other is image_unreachable
    401: "image_forbidden",
    403: "image_forbidden",
    404: "image_missing",
    410: "image_missing",
    413: "image_too_large",
}
_REMEDIES = {
    401: "allow its reading, or serve it through Label Studio",
    403: "allow its reading, or serve it through Label Studio",
    404: "restore the file or its storage, or delete the task",
    410: "restore the file or its storage, or delete the task",
    413: "shrink it",
}


class MediaError(Exception):
    """An image that cannot be had; `kind` is one of the problem kinds that `MediaCache.fetch` lists."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def refused_by(url: str, status: int, what: str) -> MediaError:
    """The error for an HTTP status; 0 is none."""
    remedy = _REMEDIES.get(status, "it will be tried again")
    message = f"'{shortened(url)}' cannot be read: {what.rstrip('.')}; {remedy}."
    return MediaError(KINDS.get(status, "image_unreachable"), message)


def shortened(url: str) -> str:
    return url if len(url) <= 160 else f"{url[:120]}...({len(url)} characters)"
