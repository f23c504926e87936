"""Scenes: the same pixels for the same seed, from any frame, and ground truth that is what the pixels show."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from simulation.road_scenes.road import MEDIAN
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import Area, Condition, Drive, Kind, SceneError, Spawn
from simulation.road_scenes.truth import Frame, Seen

CROWDED = Spawn(pedestrian=0.6, cyclist=0.6, car=0.6, wheelchair=0.6)
WAYS = [(area, condition) for area in Area for condition in Condition]


def drive(area: Area, condition: Condition = Condition.SPRING, **settings: object) -> Drive:
    given = {"name": "d", "frames": 40, "width": 192, "height": 108, "seed": 5, "visible": 20, "spawn": CROWDED}
    return Drive(area=area, condition=condition, **(given | settings))


@lru_cache
def scene(area: Area, condition: Condition = Condition.SPRING) -> Scene:
    return Scene(drive(area, condition))


def literal(frame: Frame, number: int) -> tuple[int, tuple[int, int, int, int]]:
    """Pixels and box of an id, pixel by pixel."""
    rows, columns = [], []
    for row, line in enumerate(frame.ids.tolist()):
        for column, value in enumerate(line):
            if value == number:
                rows.append(row)
                columns.append(column)
    return len(rows), (min(columns), min(rows), max(columns) + 1, max(rows) + 1)


@pytest.mark.parametrize(("area", "condition"), WAYS)
def test_any_frame_is_the_same_directly_and_in_turn(area: Area, condition: Condition) -> None:
    directly = scene(area, condition).frame(17)
    in_turn = iter(Scene(drive(area, condition)))
    frame = [next(in_turn) for _ in range(18)][-1]
    assert np.array_equal(directly.picture, frame.picture)
    assert np.array_equal(directly.ids, frame.ids)
    assert directly.objects == frame.objects


def test_another_seed_is_another_scene_and_conditions_change_no_object() -> None:
    here = scene(Area.TOWN)
    other = Scene(drive(Area.TOWN, seed=6))
    assert not np.array_equal(here.frame(3).picture, other.frame(3).picture)
    winter = scene(Area.TOWN, Condition.WINTER)
    assert [path.path.looks for path in winter.actors] == [path.path.looks for path in here.actors]
    assert np.array_equal(winter.ego.s, here.ego.s)


@pytest.mark.parametrize("area", list(Area))
def test_boxes_are_the_extents_of_the_ids(area: Area) -> None:
    for t in (0, 20, 39):
        frame = scene(area).frame(t)
        assert frame.ids.dtype == np.uint16
        assert frame.objects
        for seen in frame.objects:
            assert (seen.pixels, seen.box) == literal(frame, seen.id)


@pytest.mark.parametrize("area", list(Area))
def test_every_object_with_enough_visible_pixels_is_there_and_no_other(area: Area) -> None:
    for t in range(0, 40, 8):
        frame = scene(area).frame(t)
        numbers, counts = np.unique(frame.ids, return_counts=True)
        enough = {int(n) for n, count in zip(numbers, counts, strict=True) if n and count > 20}
        assert {seen.id for seen in frame.objects} == enough
        assert [seen.id for seen in frame.objects] == sorted(enough)


def test_the_limit_is_fifty_pixels_by_default() -> None:
    assert Drive(name="d").visible == 50


@pytest.mark.parametrize("area", list(Area))
def test_whole_pixels_are_those_of_the_object_alone(area: Area) -> None:
    """Each object is painted once more on an empty canvas, all of which is counted."""
    here = scene(area)
    frame = here.frame(25)
    moment = here._moment(25)
    for seen in frame.objects:
        place = moment.chosen.tolist().index(seen.id - 1)
        here.canvas.pixels[:] = 0
        here.actors[seen.id - 1].draw(
            here.canvas, moment.camera, here.light, moment.places[place], 25, moment.ahead[place], 9
        )
        rows, columns = np.nonzero(here.canvas.slots == 9)
        assert seen.whole_pixels == len(rows)
        assert seen.whole_box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert 0 < seen.visibility <= 1


def test_something_is_hidden_and_something_is_cut() -> None:
    seen = [each for area in Area for t in range(0, 40, 8) for each in scene(area).frame(t).objects]
    assert any(each.visibility < 0.8 for each in seen)
    assert any(each.visibility == 1 for each in seen)
    assert any(each.cut for each in seen)
    for each in seen:
        inner, outer = np.array(each.box), np.array(each.whole_box)
        assert (inner[:2] >= outer[:2]).all()
        assert (inner[2:] <= outer[2:]).all()


def test_ids_are_those_of_one_object_over_the_video() -> None:
    kinds: dict[int, set[Kind]] = {}
    last: dict[int, Seen] = {}
    for frame in Scene(drive(Area.CITY)):
        now = {seen.id: seen for seen in frame.objects}
        for number, seen in now.items():
            kinds.setdefault(number, set()).add(seen.kind)
            if number in last and not seen.cut:  # a whole box moves little in 1/25 s
                moved = np.abs(np.array(seen.whole_box) - np.array(last[number].whole_box)).max()
                assert moved <= max(4, 0.3 * (seen.whole_box[3] - seen.whole_box[1]))
        last = now
    assert len(kinds) > 5
    assert all(len(found) == 1 for found in kinds.values())


def test_a_highway_has_cars_only_whatever_is_asked_for() -> None:
    assert {actor.path.kind for actor in scene(Area.HIGHWAY).actors} == {Kind.CAR}


@pytest.mark.parametrize("area", [Area.CITY, Area.TOWN])
def test_a_probability_of_one_takes_every_place_and_of_zero_none(area: Area) -> None:
    full = Scene(drive(area, spawn=Spawn(pedestrian=0, cyclist=0, car=0, wheelchair=1)))
    assert {actor.path.kind for actor in full.actors} == {Kind.WHEELCHAIR}
    empty = Scene(drive(area, spawn=Spawn(pedestrian=0, cyclist=0, car=0, wheelchair=0)))
    assert not empty.actors
    assert not empty.frame(0).objects


@pytest.mark.parametrize("area", list(Area))
@pytest.mark.parametrize("seed", range(4))
def test_nobody_runs_into_anybody(area: Area, seed: int) -> None:
    """The camera's car keeps clear of everyone, and moving cars of one another."""
    here = Scene(drive(area, seed=seed, frames=500))
    paths = [actor.path for actor in here.actors]
    for path in paths:
        near = (np.abs(path.s - here.ego.s) < 3.5) & (np.abs(path.lateral - here.layout.own) < 1.3)
        assert not near.any()
    cars = [path for path in paths if path.kind is Kind.CAR and np.ptp(path.s) > 1]
    for k, one in enumerate(cars):
        for other in cars[:k]:
            assert not ((np.abs(one.s - other.s) < 4.0) & (np.abs(one.lateral - other.lateral) < 1.5)).any()


def test_the_drive_goes_forward_and_stops_at_crossings() -> None:
    stops = 0
    for seed in range(6):
        ego = Scene(drive(Area.CITY, seed=seed, frames=600)).ego
        assert (np.diff(ego.s) >= 0).all()
        stops += len(ego.stops)
        for crossing, since, until in ego.stops:
            assert np.ptp(ego.s[since + 1 : until]) == 0
            assert 4 < crossing - ego.s[since] < 20
    assert stops


def test_oncoming_cars_of_a_highway_are_beyond_the_barrier() -> None:
    here = scene(Area.HIGHWAY)
    lateral = np.array([actor.path.lateral[0] for actor in here.actors])
    assert (lateral < MEDIAN).any()
    assert (here.painter.beyond == (lateral < MEDIAN)).all()


def test_one_frame_and_another_size_can_be_drawn() -> None:
    one = Scene(drive(Area.TOWN, frames=1, width=64, height=48, oversampling=1)).frame(0)
    assert one.picture.shape == (48, 64, 3)
    assert one.picture.dtype == np.uint8


def test_a_frame_beyond_the_end_is_an_error() -> None:
    with pytest.raises(SceneError, match=r"Drive 'd' has no frame 40; it has 0 to 39\."):
        scene(Area.CITY).frame(40)


def test_night_is_dark_and_winter_bright() -> None:
    brightness = {c: scene(Area.TOWN, c).frame(5).picture.mean() for c in Condition}
    assert brightness[Condition.NIGHT] < 0.5 * brightness[Condition.SPRING]
    assert brightness[Condition.WINTER] == max(brightness.values())
