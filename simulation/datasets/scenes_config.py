"""Which road scenes a study is run on: videos of each subset, their length, their size, and which frames are kept."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict, Field, model_validator

POOL = ("default", "town", "night", "wheelchair")  # rows of SYNTHIA-AL's table (thesis Table 2.1)
TEST = ("test", "test_wheelchair")


class Scenes(BaseModel):
    """Numbers of videos by subset, and what the frames are. The same scenes give the same frames.

    >>> Scenes(stride=5).frames
    300
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: int = Field(6, ge=0, le=1_000, description="Videos by day through city and highway, to label.")
    town: int = Field(2, ge=0, le=1_000, description="Videos of the town, to label.")
    night: int = Field(1, ge=0, le=1_000, description="Videos by night, to label.")
    wheelchair: int = Field(1, ge=0, le=1_000, description="Videos with wheelchairs and no cars, to label.")
    test: int = Field(5, ge=0, le=1_000, description="Videos that mAP is measured on.")
    test_wheelchair: int = Field(1, ge=0, le=1_000, description="Videos with wheelchairs that mAP is measured on.")
    seconds: float = Field(6.0, ge=0.04, le=600, description="Length of each video, at 25 frames a second.")
    width: int = Field(320, ge=64, le=3840, multiple_of=2, description="Pixels; a detector shrinks what is larger.")
    height: int = Field(180, ge=48, le=2160, multiple_of=2, description="Pixels.")
    stride: int = Field(
        2, ge=1, le=1_000, description="One frame in so many is kept; above 2 neighbours agree less over time."
    )
    oversampling: int = Field(1, ge=1, le=4, description="Drawn so many times larger, then averaged: slower, smoother.")
    seed: int = Field(0, ge=0, le=2**31, description="Another seed, other videos.")

    @model_validator(mode="after")
    def _some(self) -> Scenes:
        for part, names in (("label", POOL), ("test on", TEST)):
            if not any(getattr(self, name) for name in names):
                raise ValueError(f"there is no video to {part}; ask for some of {', '.join(names)}")
        return self

    @property
    def frames(self) -> int:
        """Kept frames that may be labeled."""
        of_each = len(range(0, round(self.seconds * 25), self.stride))
        return (self.default + self.town + self.night + self.wheelchair) * of_each

    @property
    def key(self) -> str:
        """The name of the folder where these scenes lie: a hash of all that decides them."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
