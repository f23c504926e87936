"""A scene: everything of a drive, and any frame of it, drawn from its description and seed alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.actors import make_actor
from simulation.road_scenes.camera import Camera
from simulation.road_scenes.canvas import OBJECTS, Canvas, Picture
from simulation.road_scenes.effects import Effects
from simulation.road_scenes.ego import drive
from simulation.road_scenes.ground import make_ground
from simulation.road_scenes.light import make_light
from simulation.road_scenes.lights import Glow, car_glows
from simulation.road_scenes.painter import Moment, Painted, Painter
from simulation.road_scenes.road import LAYOUTS, make_road
from simulation.road_scenes.scenery import make_scenery
from simulation.road_scenes.shadows import Shadows
from simulation.road_scenes.sky import Sky
from simulation.road_scenes.table import Condition, Drive, SceneError
from simulation.road_scenes.traffic import behind_the_barrier, follows, make_paths
from simulation.road_scenes.truth import Frame, Seen, extent

_BEHIND = -2.5  # metres: a car beside the camera still shows its front


class Scene:
    """A drive made ready. frame(t) needs no other frame; one scene must not be used by two threads at once."""

    def __init__(self, scene: Drive) -> None:
        self.drive = scene
        # one stream for each part, so that a change to one leaves the others as they are
        streams = [np.random.default_rng(child) for child in np.random.SeedSequence(scene.seed).spawn(8)]
        self.layout = LAYOUTS[scene.area]
        self.light = make_light(scene.condition, streams[0])
        self.road = make_road(scene.area, streams[1])
        following = follows(scene, streams[2])
        self.ego = drive(self.layout, scene.frames, following, streams[3])
        end = float(self.ego.s[-1]) + self.layout.range + 60.0
        paths = make_paths(scene, self.ego, following=following, rng=streams[4])
        self.actors = [make_actor(path, scene.condition) for path in paths]
        self.scenery = make_scenery(
            scene.area, self.road, end, self.light, snow=scene.condition is Condition.WINTER, rng=streams[5]
        )
        self.ground = make_ground(scene.area, self.road, end, streams[6])
        self.canvas = Canvas(scene.width, scene.height, scene.oversampling)
        self._s = np.array([path.s for path in paths]).reshape(len(paths), scene.frames)
        self._lateral = np.array([path.lateral for path in paths]).reshape(len(paths), scene.frames)
        self._turns = np.array([path.turn for path in paths])
        beyond = np.array([behind_the_barrier(path, scene.area) for path in paths], dtype=bool)
        shadows = Shadows(self.canvas)
        self.painter = Painter(
            self.canvas,
            self.light,
            scene.area,
            scene.condition,
            self.ground,
            shadows,
            self.actors,
            beyond,
            scene.visible,
        )
        focal = Camera(0, 0, 0, 0, self.canvas.width, self.canvas.height).focal
        self.sky = Sky(self.canvas, scene.area, self.light, focal, streams[7])
        self.effects = Effects(scene.width, scene.height, scene.condition, self.light, streams[7])

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(t) for t in range(self.drive.frames))

    def camera(self, t: int, width: int, height: int) -> Camera:
        """The camera in frame t for a picture of so many pixels."""
        s = self.ego.s[t]
        x, z = self.road.world(np.array(self.layout.own), s)
        yaw = float(self.road.heading(s) + self.ego.yaw[t])
        return Camera(float(x), float(z), yaw, float(self.ego.pitch[t]), width, height)

    def frame(self, t: int) -> Frame:
        """Frame t, from 0, with its ground truth."""
        if not 0 <= t < self.drive.frames:
            raise SceneError(f"Drive '{self.drive.name}' has no frame {t}; it has 0 to {self.drive.frames - 1}.")
        moment = self._moment(t)
        self.sky.draw(self.canvas, moment.camera)
        self.ground.draw(self.canvas, moment.camera, self.light, moment.s)
        painted = self.painter.paint(moment)
        slots = self.canvas.slots.copy()
        camera = self.camera(t, self.drive.width, self.drive.height)
        glows = [*painted.glows, *self._lamps(moment, camera, painted)]
        own = np.random.default_rng([self.drive.seed, t])
        picture = self.effects.lay(self.canvas, slots, camera, glows, t, own)
        numbers = np.zeros(256, np.uint16)
        numbers[1 : len(moment.chosen) + 1] = moment.chosen + 1
        return Frame(picture, slots, numbers, self._seen(slots, moment, painted))

    def _moment(self, t: int) -> Moment:
        s = float(self.ego.s[t])
        chosen = self._chosen(t, s)
        along = self._s[chosen, t]
        x, z = self.road.world(self._lateral[chosen, t], along)
        heading = self.road.heading(along) + self._turns[chosen]
        return Moment(
            frame=t,
            s=s,
            camera=self.camera(t, self.canvas.width, self.canvas.height),
            chosen=chosen,
            places=list(zip(x.tolist(), z.tolist(), heading.tolist(), strict=True)),
            ahead=(along - s).tolist(),
            standing=self.scenery.between(s + 0.5, s + self.layout.range + 20.0),
        )

    def _chosen(self, t: int, s: float) -> NDArray[np.intp]:
        """Objects in reach, by number; of more than fit into a slot's byte the nearest."""
        ahead = self._s[:, t] - s
        chosen = np.flatnonzero((ahead > _BEHIND) & (ahead < self.layout.range))
        if len(chosen) > OBJECTS:
            chosen = np.sort(chosen[np.argsort(ahead[chosen], kind="stable")[:OBJECTS]])
        return chosen

    def _lamps(self, moment: Moment, camera: Camera, painted: Painted) -> Iterator[Glow]:
        """Halos of the cars in the picture, where it is dark or wet."""
        if self.light.sun is not None:
            return
        for slot in painted.shown:
            actor = self.actors[moment.chosen[slot - 1]]
            braking = bool(actor.braking[moment.frame])
            yield from car_glows(actor, moment.places[slot - 1], camera, slot, braking=braking)

    def _seen(self, slots: Picture, moment: Moment, painted: Painted) -> tuple[Seen, ...]:
        """The objects with enough visible pixels, by id."""
        found = []
        for slot, (whole_pixels, whole_box) in sorted(painted.drawn.items()):
            if whole_pixels <= self.drive.visible:
                continue
            pixels, box = extent(slots, slot, whole_box)
            if pixels > self.drive.visible:
                x0, y0, x1, y1 = whole_box
                cut = x0 == 0 or y0 == 0 or x1 == self.drive.width or y1 == self.drive.height
                number = int(moment.chosen[slot - 1])
                kind = self.actors[number].path.kind
                found.append(Seen(number + 1, kind, box, pixels, whole_box, whole_pixels, cut))
        return tuple(found)
