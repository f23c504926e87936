"""The sky and what stands at the horizon, painted once as a wide picture of which a frame shows a part."""

from __future__ import annotations

import math

import cv2
import numpy as np

from simulation.road_scenes.camera import Camera
from simulation.road_scenes.canvas import Canvas, Picture
from simulation.road_scenes.light import Light
from simulation.road_scenes.table import Area

_SIDE = 0.55  # radians to either side of the road's first heading
_ABOVE, _BELOW = 0.72, 0.08  # of the canvas' height, above and below the horizon


class Sky:
    """panorama: (rows, columns, 4), slot GROUND; its horizon is at row `horizon`."""

    def __init__(self, canvas: Canvas, area: Area, light: Light, focal: float, rng: np.random.Generator) -> None:
        self.focal = focal
        self.margin = int(_SIDE * focal)
        self.horizon = int(_ABOVE * canvas.height)
        rows, columns = self.horizon + int(_BELOW * canvas.height), canvas.width + 2 * self.margin
        self.panorama = _gradient(light, rows, columns, self.horizon)
        if light.night:
            _stars(self.panorama, self.horizon, rng)
        elif light.cloud:
            _clouds(self.panorama, self.horizon, light, rng)
        _skyline(self.panorama, self.horizon, area, light, focal, rng)

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Copies the part that the camera sees above the horizon."""
        column = self.margin + round(self.focal * math.remainder(camera.yaw, 2 * math.pi))
        column = min(max(column, 0), self.panorama.shape[1] - canvas.width)
        bottom = min(max(math.floor(camera.horizon) + 1, 0), canvas.height)
        start = self.horizon - math.floor(camera.horizon)
        skipped = max(0, -start)
        part = self.panorama[max(start, 0) : start + bottom, column : column + canvas.width]
        canvas.pixels[:skipped] = self.panorama[0, 0]
        canvas.pixels[skipped : skipped + len(part)] = part


def _gradient(light: Light, rows: int, columns: int, horizon: int) -> Picture:
    share = np.clip(np.arange(rows) / horizon, 0, 1)[:, None] ** 1.4
    tones = (1 - share) * np.array(light.sky[0]) + share * np.array(light.sky[1])
    panorama = np.zeros((rows, columns, 4), np.uint8)
    panorama[:, :, :3] = np.rint(tones)[:, None]
    return panorama


def _stars(panorama: Picture, horizon: int, rng: np.random.Generator) -> None:
    count = panorama.shape[1] // 6
    rows = (rng.random(count) ** 1.3 * 0.8 * horizon).astype(int)
    panorama[rows, rng.integers(panorama.shape[1], size=count), :3] = rng.integers(90, 220, count)[:, None]


def _clouds(panorama: Picture, horizon: int, light: Light, rng: np.random.Generator) -> None:
    """Smooth noise, flattened towards the horizon; where it is high there is cloud."""
    columns = panorama.shape[1]
    noise = np.zeros((horizon, columns), np.float32)
    for octave in range(4):
        cells = rng.random((4 * 2**octave, 5 * 2**octave), dtype=np.float32)
        noise += cv2.resize(cells, (columns, horizon), interpolation=cv2.INTER_CUBIC) / 2**octave
    noise = (noise - noise.mean()) / (noise.std() + 1e-6)
    cover = np.clip((noise - (1 - 2.2 * light.cloud)) * 0.9, 0, 1)[:, :, None] * 0.8
    bright = min(255.0, 1.12 * float(np.mean(light.sky[1]))) if light.cloud < 1 else 0.92 * float(np.mean(light.sky[1]))
    tone = bright - 18 * np.clip(noise, 0, 2)[:, :, None]
    panorama[:horizon, :, :3] = np.rint((1 - cover) * panorama[:horizon, :, :3] + cover * tone).astype(np.uint8)


def _skyline(panorama: Picture, horizon: int, area: Area, light: Light, focal: float, rng: np.random.Generator) -> None:
    """Towers, roofs and woods, or hills, paler the farther they are."""
    columns = panorama.shape[1]
    x = np.arange(columns)
    for layer, (height, pale) in enumerate(((0.075, 0.75), (0.045, 0.5))):
        if area is Area.HIGHWAY or (area is Area.TOWN and layer == 0):
            waves = sum(np.sin(x / focal * k + rng.uniform(0, 6)) / k**0.7 for k in (2.2, 5.1, 9.7, 31.0))
            top = focal * height * (0.62 + 0.3 * waves)
        elif area is Area.TOWN:
            top = focal * 0.02 * (1.3 + rng.random(columns // 5 + 1).repeat(5)[:columns])
        else:
            width = max(2, int(0.045 * focal))
            top = focal * height * rng.uniform(0.35, 1.9, columns // width + 1).repeat(width)[:columns]
        base = np.array(light.ground["far"] if area is not Area.CITY else (150.0, 140.0, 132.0))
        if light.night:
            base = base * 0.16
        colour = pale * np.array(light.haze) + (1 - pale) * base
        outline = np.concatenate([np.column_stack([x, horizon - top]), [[columns - 1, horizon + 9], [0, horizon + 9]]])
        cv2.fillPoly(panorama, [np.rint(outline).astype(np.int32)], (*colour.tolist(), 0))
    if light.night and area is not Area.HIGHWAY:
        count = columns // 9
        rows = horizon - (rng.random(count) * 0.05 * focal).astype(int)
        panorama[rows, rng.integers(columns, size=count), :3] = (110, 190, 230)
    panorama[horizon:, :, :3] = np.rint(light.haze).astype(np.uint8)
