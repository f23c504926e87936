"""What is driven where: the subsets of SYNTHIA-AL (thesis Table 2.1) and the drives that a subset consists of."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FPS = 25
LARGEST = 40_000_000  # pixels that are drawn for a frame: 4K at twice its size
SHORTEST, LONGEST = 10, 30  # seconds of a drive in the table


class Area(StrEnum):
    """Where a drive goes."""

    CITY = "city"
    TOWN = "town"
    HIGHWAY = "highway"


class Condition(StrEnum):
    """Season, weather or hour. Rain and night are spring otherwise, so that one condition changes at a time."""

    FALL = "fall"
    WINTER = "winter"
    SPRING = "spring"
    RAIN = "rain"
    NIGHT = "night"


class Kind(StrEnum):
    """The classes, in the table's order."""

    PEDESTRIAN = "pedestrian"
    CYCLIST = "cyclist"
    CAR = "car"
    WHEELCHAIR = "wheelchair"


class SceneError(ValueError):
    """A scene or an output that cannot be made, in one sentence with the remedy."""


class Spawn(BaseModel):
    """Probability that a place made for a kind (a stretch of pavement, a parking bay, a gap in a lane) is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pedestrian: float = Field(0.3, ge=0, le=1)
    cyclist: float = Field(0.2, ge=0, le=1)
    car: float = Field(0.35, ge=0, le=1)
    wheelchair: float = Field(0.0, ge=0, le=1)

    def of(self, kind: Kind, area: Area) -> float:
        """The probability in an area: a highway has cars only."""
        if area is Area.HIGHWAY and kind is not Kind.CAR:
            return 0.0
        return float(getattr(self, kind.value))


@dataclass(frozen=True)
class Subset:
    """One row of Table 2.1."""

    name: str
    videos: int
    frames: int
    areas: tuple[Area, ...]
    conditions: tuple[Condition, ...]
    spawn: Spawn


class Drive(BaseModel):
    """One video, fully described: the same drive gives the same frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    area: Area = Area.CITY
    condition: Condition = Condition.SPRING
    spawn: Spawn = Spawn()
    frames: int = Field(500, ge=1, le=100_000)
    width: int = Field(480, ge=64, le=3840, multiple_of=2, description="Pixels; even, as video codecs want it.")
    height: int = Field(270, ge=48, le=2160, multiple_of=2)
    seed: int = Field(0, ge=0, lt=2**63)
    visible: int = Field(50, ge=0, description="An object is annotated in a frame where it shows more pixels.")
    oversampling: int = Field(2, ge=1, le=4, description="Drawn so many times larger and averaged; 1 is jagged.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        pixels = self.width * self.height * self.oversampling**2
        if pixels > LARGEST:
            raise ValueError(
                f"takes {pixels / 1e6:.0f} megapixels at {self.oversampling} x oversampling, more than "
                f"{LARGEST / 1e6:.0f}; ask for a smaller size or less oversampling"
            )
        return self


_C, _T, _H = Area.CITY, Area.TOWN, Area.HIGHWAY
_S, _W, _F, _R, _N = Condition.SPRING, Condition.WINTER, Condition.FALL, Condition.RAIN, Condition.NIGHT
_USUAL = Spawn(pedestrian=0.3, cyclist=0.2, car=0.35, wheelchair=0.0)
_WHEELCHAIRS = Spawn(pedestrian=0.2, cyclist=0.2, car=0.0, wheelchair=1.0)
_CARS = Spawn(pedestrian=0.0, cyclist=0.0, car=0.35, wheelchair=0.0)

SUBSETS: dict[str, Subset] = {
    row.name: row
    for row in (
        Subset("default", 150, 74_000, (_C, _H), (_S, _W, _F, _R), _USUAL),
        Subset("town", 36, 17_000, (_T,), (_S, _W, _F, _R), _USUAL),
        Subset("night", 6, 3_000, (_C, _H), (_N,), _CARS),
        Subset("wheelchair", 5, 2_000, (_C, _T), (_S,), _WHEELCHAIRS),
        Subset("test", 85, 40_000, (_C, _H, _T), (_S, _F, _R, _N), _USUAL),
        Subset("test-wheelchair", 12, 5_000, (_C, _T), (_S,), _WHEELCHAIRS),
    )
}


def lengths(subset: Subset, videos: int, seed: int) -> list[int]:
    """Frames of each video: spread evenly around the table's mean, none under 10 s or over 30 s, in random order.

    >>> sum(lengths(SUBSETS["night"], 6, 0)), min(lengths(SUBSETS["night"], 6, 0)) >= 250
    (3000, True)
    """
    mean = subset.frames / subset.videos
    half = min(mean - SHORTEST * FPS, LONGEST * FPS - mean)
    places = (np.arange(videos) + 0.5) / videos * 2 - 1
    ends = np.rint(np.cumsum(mean + half * places)).astype(int)  # rounding the ends keeps the sum
    frames = np.diff(ends, prepend=0)
    return [int(n) for n in np.random.default_rng([seed, _number(subset.name)]).permutation(frames)]


def drives(
    subset: Subset,
    *,
    videos: int | None = None,
    seconds: float | None = None,
    size: tuple[int, int] = (480, 270),
    seed: int = 0,
    oversampling: int = 2,
) -> list[Drive]:
    """The drives of a subset, every area with every condition in turn.

    videos: how many, the table's number by default. seconds: length of each; the table's 10 to 30 by default.
    """
    count = subset.videos if videos is None else videos
    if count < 1:
        raise SceneError(f"{count} videos cannot be made; ask for at least one.")
    if seconds is not None and not 1 / FPS <= seconds <= 3600:
        raise SceneError(f"{seconds:g} seconds is no length of a video; give one between {1 / FPS:g} and 3600.")
    frames = lengths(subset, count, seed) if seconds is None else [round(seconds * FPS)] * count
    areas, conditions = subset.areas, subset.conditions
    made = []
    for index in range(count):
        area = areas[index % len(areas)]
        condition = conditions[index // len(areas) % len(conditions)]
        own = np.random.SeedSequence([seed, _number(subset.name), index]).generate_state(1, np.uint64)[0]
        made.append(
            _drive(
                name=f"{subset.name}-{index:03d}-{area}-{condition}",
                area=area,
                condition=condition,
                spawn=subset.spawn,
                frames=frames[index],
                width=size[0],
                height=size[1],
                seed=int(own >> np.uint64(1)),
                oversampling=oversampling,
            )
        )
    return made


def _drive(**settings: Any) -> Drive:
    """A drive, or one sentence about what it cannot have."""
    try:
        return Drive(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        says = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
        where = f"The {first['loc'][0]} {first['input']!r} of a drive" if first["loc"] else "A frame"
        raise SceneError(f"{where} {says}.") from None


def _number(name: str) -> int:
    return zlib.crc32(name.encode())
