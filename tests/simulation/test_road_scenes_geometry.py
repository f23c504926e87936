"""The parts that draw: camera, road, solids, shadows and slots, against plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.road_scenes.actors import make_actor
from simulation.road_scenes.camera import EYE, HALF_VIEW, HORIZON, NEAR, Camera, clipped
from simulation.road_scenes.canvas import Canvas
from simulation.road_scenes.cars import BODIES, PAINTS, make_car
from simulation.road_scenes.ego import drive
from simulation.road_scenes.fixed import look, paint_faces
from simulation.road_scenes.light import Light, make_light
from simulation.road_scenes.mesh import draw_mesh, fix_mesh
from simulation.road_scenes.people import stride
from simulation.road_scenes.riders import cyclist_joints
from simulation.road_scenes.road import LAYOUTS, make_road
from simulation.road_scenes.shadows import footprints
from simulation.road_scenes.table import Area, Condition, Drive, Kind
from simulation.road_scenes.traffic import Path, make_paths

metres = st.floats(-80, 80)
angles = st.floats(-math.pi, math.pi)


def literal_pixel(camera: Camera, point: tuple[float, float, float]) -> tuple[float, float]:
    """A point (x, up, z) of the world through rotation, division and shift, one number at a time."""
    dx, dy, dz = point[0] - camera.x, point[1] - EYE, point[2] - camera.z
    right = dx * math.cos(camera.yaw) - dz * math.sin(camera.yaw)
    ahead = dx * math.sin(camera.yaw) + dz * math.cos(camera.yaw)
    focal = camera.width / (2 * math.tan(HALF_VIEW))
    horizon = HORIZON * camera.height + focal * camera.pitch
    return camera.width / 2 + focal * right / ahead, horizon - focal * dy / ahead


@given(
    metres, metres, st.floats(-0.6, 0.6), st.floats(-0.05, 0.05), st.floats(-20, 20), st.floats(0, 9), st.floats(2, 90)
)
def test_all_ways_to_a_pixel_agree(
    x: float, z: float, yaw: float, pitch: float, right: float, up: float, ahead: float
) -> None:
    camera = Camera(x, z, yaw, pitch, 480, 270)
    wx = x + right * math.cos(yaw) + ahead * math.sin(yaw)
    wz = z - right * math.sin(yaw) + ahead * math.cos(yaw)
    expected = literal_pixel(camera, (wx, up, wz))
    assert camera.project(camera.place(np.array([[0.0, up, 0.0]]), wx, wz, 1.3))[0] == pytest.approx(expected)
    assert camera.project(camera.world(np.array([[wx, up, wz]])))[0] == pytest.approx(expected)
    flat = literal_pixel(camera, (wx, 0.0, wz))
    assert camera.ground(np.array([wx]), np.array([wz]))[0] == pytest.approx(flat)


@given(metres, metres, angles, metres, metres, st.floats(0.5, 10))
def test_what_is_in_the_picture_is_never_left_out(
    x: float, z: float, yaw: float, tx: float, tz: float, radius: float
) -> None:
    camera = Camera(x, z, yaw, 0, 480, 270)
    around = np.arange(0, 2 * math.pi, 0.3)
    rim = np.column_stack([tx + radius * np.cos(around), np.zeros(len(around)), tz + radius * np.sin(around)])
    seen = camera.world(rim)
    seen = seen[seen[:, 2] > NEAR]
    if len(seen) and (np.abs(camera.project(seen)[:, 0] - 240) <= 240).any():
        assert camera.sees(tx, tz, radius)


@given(st.lists(st.tuples(metres, metres, st.floats(-5, 5)), min_size=3, max_size=8))
def test_clipping_keeps_what_is_ahead_and_nothing_else(corners: list[tuple[float, float, float]]) -> None:
    polygon = np.array(corners)
    kept = clipped(polygon)
    assert (kept[:, 2] >= NEAR - 1e-9).all()
    ahead = polygon[polygon[:, 2] >= NEAR]
    assert all((kept == corner).all(axis=1).any() for corner in ahead)
    if len(ahead) == len(polygon):
        assert np.array_equal(kept, polygon)


@pytest.mark.parametrize("area", list(Area))
def test_the_road_heads_where_it_goes(area: Area) -> None:
    road = make_road(area, np.random.default_rng(1))
    s = np.linspace(0, 400, 50)
    slope = (road.centre(s + 1e-4) - road.centre(s - 1e-4)) / 2e-4
    assert np.tan(road.heading(s)) == pytest.approx(slope, abs=1e-6)
    x, z = road.world(np.full(50, 3.0), s)
    assert np.hypot(x - road.centre(s), z - s) == pytest.approx(np.full(50, 3.0))
    assert ((x - road.centre(s)) * np.sin(road.heading(s)) + (z - s) * np.cos(road.heading(s))) == pytest.approx(0)


@pytest.mark.parametrize("body", list(BODIES))
@pytest.mark.parametrize("afar", [False, True])
def test_a_cars_faces_look_outwards_and_it_stands_on_the_ground(body: str, afar: bool) -> None:
    mesh = make_car(body, PAINTS[0], lamps=True, afar=afar)
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(np.ones(len(mesh.normals)))
    assert abs(mesh.vertices[:, 1].min()) < 0.1
    assert 1.3 < mesh.vertices[:, 1].max() < 2.2
    assert np.ptp(mesh.vertices[:, 2]) == pytest.approx(BODIES[body].length, abs=0.1)
    for row, normal, offset in zip(mesh.faces, mesh.normals, mesh.offsets, strict=True):
        assert mesh.vertices[row] @ normal == pytest.approx(np.full(len(row), offset), abs=0.05)  # flat


def day() -> Light:
    return make_light(Condition.SPRING, np.random.default_rng(0))


@given(st.floats(-6, 6), st.floats(8, 40), angles)
@settings(max_examples=25, deadline=None)
def test_standing_things_are_painted_like_moving_ones(x: float, z: float, heading: float) -> None:
    mesh, light, camera = make_car("suv", PAINTS[2], lamps=False), day(), Camera(0, 0, 0.05, 0.01, 240, 136)
    moving, standing = Canvas(240, 136, 1), Canvas(240, 136, 1)
    draw_mesh(moving, camera, light, mesh, (x, z, heading), 255, plain=False)
    thing = fix_mesh(mesh, (x, z, heading), light, plain=False)
    view = look([(thing, (x, z, heading), mesh.radius)], camera, light)[0]
    paint_faces(standing, thing, view)
    different = (np.abs(moving.pixels.astype(int) - standing.pixels.astype(int)) > 1).any(axis=2)
    assert different.mean() < 0.002  # a corner on the edge of a pixel may fall to either side


def test_a_body_beside_the_camera_is_cut_not_bent() -> None:
    canvas, camera = Canvas(240, 136, 1), Camera(0, 0, 0, 0, 240, 136)
    box = draw_mesh(canvas, camera, day(), make_car("van", PAINTS[1], lamps=False), (2.4, 1.5, 0.0), 7, plain=False)
    assert box is not None
    columns = np.nonzero(canvas.pixels[:, :, 3] == 7)[1]
    assert len(columns) > 0
    assert columns.min() > 120  # it is on the right and stays there


def test_one_stroke_writes_colour_and_slot() -> None:
    canvas = Canvas(64, 48, 2)
    canvas.polygon(np.array([[20.0, 20], [80, 20], [80, 70], [20, 70]]), (10, 20, 30, 9))
    inside = canvas.pixels[:, :, 3] == 9
    assert (canvas.pixels[inside] == (10, 20, 30, 9)).all()
    assert not canvas.pixels[~inside].any()
    assert np.array_equal(canvas.slots, canvas.pixels[::2, ::2, 3])
    assert canvas.picture().shape == (48, 64, 3)


@given(st.floats(1.2, 2.0), angles, st.floats(0, 0.6))
def test_walkers_have_bones_that_do_not_stretch(h: float, phase: float, swing: float) -> None:
    joints = stride(h, phase, swing)
    for hip in (3, 9):
        assert np.linalg.norm(joints[hip + 1] - joints[hip]) == pytest.approx(0.24 * h, rel=0.01)
        assert np.linalg.norm(joints[hip + 2] - joints[hip + 1]) == pytest.approx(0.245 * h, rel=0.01)
    assert joints[:, 1].min() > -0.01 * h
    assert joints[[5, 11], 1].min() < 0.12 * h  # one foot is near the ground


@given(st.floats(1.5, 2.0), angles)
def test_feet_of_cyclists_stay_on_the_pedals(h: float, phase: float) -> None:
    joints = cyclist_joints(h, phase)[28:]
    for foot in (10, 16):
        assert np.hypot(joints[foot, 1] - 0.3, joints[foot, 2] - 0.02) == pytest.approx(0.17)


@given(st.floats(-1, 1), st.floats(0.2, 0.9), st.floats(0.5, 20))
def test_shadows_fall_away_from_the_sun(east: float, up: float, height: float) -> None:
    sun = (east, up, 0.3)
    corners = footprints(np.array([[3.0, 10, 0.4, 2, height, 4]]), sun)[0]
    for foot, top in zip(corners[:4], corners[4:], strict=True):
        assert top - foot == pytest.approx([-height * east / up, -height * 0.3 / up])
    overcast = footprints(np.array([[3.0, 10, 0.4, 2, height, 4]]), None)[0]
    assert np.array_equal(overcast[:4], overcast[4:])


def test_spawn_probability_is_the_share_of_places_taken() -> None:
    """Parking bays of the city: their number over many seeds is binomial."""
    counts = {}
    for share in (0.2, 0.8):
        taken = 0
        for seed in range(12):
            scene = Drive(name="d", area=Area.CITY, frames=25, seed=seed, spawn={"car": share, "pedestrian": 0})
            rng = np.random.default_rng(seed)
            ego = drive(LAYOUTS[Area.CITY], 25, False, rng)
            paths = make_paths(scene, ego, following=False, rng=rng)
            taken += sum(path.kind is Kind.CAR and abs(abs(path.lateral[0]) - 5.95) < 0.2 for path in paths)
        counts[share] = taken
    assert counts[0.8] / counts[0.2] == pytest.approx(4, rel=0.2)


@given(st.integers(0, 2**31 - 1), st.sampled_from(list(Kind)), st.sampled_from(list(Condition)))
@settings(max_examples=40)
def test_looks_depend_on_nothing_but_the_objects_own_seed(looks: int, kind: Kind, condition: Condition) -> None:
    s = np.linspace(0, 5, 30)
    path = Path(kind, s, np.zeros(30), 0.0, looks)
    one, other = make_actor(path, condition), make_actor(Path(kind, s, np.zeros(30), 0.0, looks), condition)
    assert (one.size, one.body, one.paint, one.person) == (other.size, other.body, other.paint, other.person)
    assert one.phases == pytest.approx(other.phases)
