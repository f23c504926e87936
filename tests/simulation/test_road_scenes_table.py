"""Table 2.1, and the drives made of it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.road_scenes.table import SUBSETS, Area, Condition, Kind, SceneError, Spawn, drives, lengths

# areas and conditions by their letters, as the thesis prints them
TABLE = [
    ("default", 150, 74_000, "CH", "SWFR", (30, 20, 35, 0)),
    ("town", 36, 17_000, "T", "SWFR", (30, 20, 35, 0)),
    ("night", 6, 3_000, "CH", "N", (0, 0, 35, 0)),
    ("wheelchair", 5, 2_000, "CT", "S", (20, 20, 0, 100)),
    ("test", 85, 40_000, "CHT", "SFRN", (30, 20, 35, 0)),
    ("test-wheelchair", 12, 5_000, "CT", "S", (20, 20, 0, 100)),
]
LETTERS = {"C": Area.CITY, "T": Area.TOWN, "H": Area.HIGHWAY}
SEASONS = {condition.value[0].upper(): condition for condition in Condition}


@pytest.mark.parametrize(("name", "videos", "frames", "areas", "conditions", "percent"), TABLE)
def test_the_subsets_are_those_of_the_table(
    name: str, videos: int, frames: int, areas: str, conditions: str, percent: tuple[int, ...]
) -> None:
    row = SUBSETS[name]
    assert (row.videos, row.frames) == (videos, frames)
    assert row.areas == tuple(LETTERS[letter] for letter in areas)
    assert row.conditions == tuple(SEASONS[letter] for letter in conditions)
    assert tuple(round(100 * getattr(row.spawn, kind)) for kind in Kind) == percent


def test_there_is_no_other_subset() -> None:
    assert list(SUBSETS) == [row[0] for row in TABLE]


@pytest.mark.parametrize("name", list(SUBSETS))
def test_default_drives_have_the_tables_frames_at_10_to_30_seconds(name: str) -> None:
    row = SUBSETS[name]
    made = drives(row, seed=3)
    assert len(made) == row.videos
    assert sum(drive.frames for drive in made) == row.frames
    assert all(250 <= drive.frames <= 750 for drive in made)
    assert len({drive.frames for drive in made}) > 1
    assert len({drive.name for drive in made}) == len({drive.seed for drive in made}) == row.videos


@given(st.sampled_from(list(SUBSETS)), st.integers(1, 400), st.integers(0, 2**32))
def test_lengths_keep_the_mean_for_any_number_of_videos(name: str, videos: int, seed: int) -> None:
    row = SUBSETS[name]
    found = lengths(row, videos, seed)
    assert len(found) == videos
    assert abs(sum(found) - videos * row.frames / row.videos) <= 1
    assert min(found) >= 249
    assert max(found) <= 751


def test_every_area_meets_every_condition_equally_often() -> None:
    made = drives(SUBSETS["default"], videos=16)
    counts = Counter((drive.area, drive.condition) for drive in made)
    assert len(counts) == 8
    assert set(counts.values()) == {2}


def test_spawn_probabilities_hold_but_for_the_highway() -> None:
    spawn = Spawn(pedestrian=0.3, cyclist=0.2, car=0.35, wheelchair=1)
    assert [spawn.of(kind, Area.TOWN) for kind in Kind] == [0.3, 0.2, 0.35, 1]
    assert [spawn.of(kind, Area.HIGHWAY) for kind in Kind] == [0, 0, 0.35, 0]


def test_seeds_make_other_drives_and_more_videos_keep_the_first() -> None:
    first = drives(SUBSETS["town"], videos=3, seconds=2, seed=1)
    assert first == drives(SUBSETS["town"], videos=5, seconds=2, seed=1)[:3]
    assert {drive.seed for drive in first}.isdisjoint(
        drive.seed for drive in drives(SUBSETS["town"], videos=3, seconds=2, seed=2)
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"videos": 0}, "0 videos cannot be made; ask for at least one."),
        ({"seconds": 0.0}, "0 seconds is no length of a video; give one between 0.04 and 3600."),
        ({"size": (481, 270)}, "The width 481 of a drive should be a multiple of 2."),
        ({"size": (480, 10)}, "The height 10 of a drive should be greater than or equal to 48."),
        (
            {"size": (3840, 2160), "oversampling": 4},
            "A frame takes 133 megapixels at 4 x oversampling, more than 40; ask for a smaller size or less "
            "oversampling.",
        ),
        ({"oversampling": 9}, "The oversampling 9 of a drive should be less than or equal to 4."),
    ],
)
def test_what_cannot_be_made_is_said_in_one_sentence(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SceneError) as caught:
        drives(SUBSETS["town"], **settings)  # type: ignore[arg-type]
    assert str(caught.value) == said
