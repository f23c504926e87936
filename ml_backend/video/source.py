"""What is common to a video file and a folder of frames: a name, a rate, and frames that come one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

PIXEL_LIMIT = 100_000_000  # of one frame


@dataclass(frozen=True)
class Frame:
    """number: from 1. time: seconds from the start of the video, None where nobody knows.

    encode: the bytes of a picture that browsers show, made on demand; None if the frame cannot be decoded.
    """

    number: int
    time: float | None
    encode: Callable[[], bytes | None] = field(repr=False, compare=False)


class Source(Protocol):
    """A video. `key`: SHA-256 of its content. `expected`: frames it announces, 0 if it does not; `rate`: frames a
    second, None if unknown. `indexed`: whether a pass is worth remembering, since it decodes. `notes`: one sentence for
    each thing that a pass over the frames found wrong."""

    path: Path
    indexed: bool
    notes: list[str]

    @property
    def key(self) -> str: ...
    @property
    def expected(self) -> int: ...
    @property
    def rate(self) -> float | None: ...
    def suffix(self, number: int) -> str:
        """The ending of the stored file of a frame."""

    def frames(self) -> Iterator[Frame]:
        """All frames in order, each valid until the next is asked for. A pass begins anew every time."""
