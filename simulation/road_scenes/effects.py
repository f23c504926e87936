"""What lies over the finished picture: the ground's grain, headlight cones, glare, rain, the sensor's noise."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.camera import EYE, Camera
from simulation.road_scenes.canvas import GROUND, Canvas, Picture
from simulation.road_scenes.light import Light
from simulation.road_scenes.lights import Glow
from simulation.road_scenes.table import Condition

_TILE = 512
_NEUTRAL = 128  # grey of the grain that changes nothing


class Effects:
    """Made once for a drive; all pictures are of the final size."""

    def __init__(self, width: int, height: int, condition: Condition, light: Light, rng: np.random.Generator) -> None:
        self.light, self.rain = light, condition is Condition.RAIN
        self.grain = _grain(condition, rng)
        self.rows = np.arange(height, dtype=np.float32)
        self.columns = np.arange(width, dtype=np.float32)
        self.noise = np.rint(np.abs(rng.normal(0, 1, (height + 32, width + 32, 3)) * 2.2)).astype(np.uint8)
        self.streaks = [_streaks(width, height, rng) for _ in range(4)] if self.rain else []
        radius = 64
        away = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) / radius
        self.halo: NDArray[np.float32] = (np.clip(1 - away, 0, 1) ** 2.4).astype(np.float32)

    def lay(
        self, canvas: Canvas, slots: Picture, camera: Camera, glows: list[Glow], frame: int, rng: np.random.Generator
    ) -> Picture:
        """The canvas' picture, finished; slots: (height, width); rng: the frame's own."""
        picture = canvas.picture()
        self._ground(picture, self._shares(canvas, slots), camera)
        for glow in glows:
            if glow.burns(slots):
                self._glow(picture, slots, glow)
        if self.rain:
            streaks = self.streaks[frame % len(self.streaks)]
            top, left = (int(n) for n in rng.integers(0, 64, 2))
            cv2.add(picture, streaks[top : top + len(picture), left : left + picture.shape[1]], dst=picture)
        top, left = (int(n) for n in rng.integers(0, 32, 2))
        noise = self.noise[top : top + len(picture), left : left + picture.shape[1]]
        return np.asarray(cv2.add(picture, noise) if frame % 2 else cv2.subtract(picture, noise), dtype=np.uint8)

    def _shares(self, canvas: Canvas, slots: Picture) -> NDArray[np.float32]:
        """(height, width): the share of each pixel that is ground; by day rounded, since grain is faint."""
        if self.light.night and canvas.oversampling > 1:
            bare = (cv2.extractChannel(canvas.pixels, 3) == GROUND).astype(np.uint8)
            size = (slots.shape[1], slots.shape[0])
            return np.asarray(cv2.resize(255 * bare, size, interpolation=cv2.INTER_AREA) / 255, dtype=np.float32)
        return np.asarray(slots == GROUND, dtype=np.float32)

    def _ground(self, picture: Picture, shares: NDArray[np.float32], camera: Camera) -> None:
        """Multiplies the ground by a grain that lies still in the world, and at night by our headlights."""
        top = max(0, math.floor(camera.horizon) + 2)
        if top >= len(picture):
            return
        ahead = camera.focal * EYE / (self.rows[top:] - np.float32(camera.horizon))
        slope = (self.columns - camera.width / 2) / np.float32(camera.focal)
        cos, sin = np.float32(math.cos(camera.yaw)), np.float32(math.sin(camera.yaw))
        # 1 texel is 4 cm; whole tiles are taken off the camera's place, for float32 to keep the texels
        x0, z0 = (np.float32((place * 25) % _TILE) for place in (camera.x, camera.z))
        texels = np.multiply.outer(ahead * 25, slope)
        depth = (ahead * 25)[:, None]
        u, v = texels * cos + (depth * sin + x0), depth * cos + z0 - texels * sin
        grain = cv2.remap(self.grain, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP)
        weight = np.clip(1.15 - ahead / 28, 0, 1)[:, None]
        values = _NEUTRAL + (grain.astype(np.float32) - _NEUTRAL) * weight
        if self.light.night:
            values *= self._beams(ahead, slope)
        factors = (_NEUTRAL + (values - _NEUTRAL) * shares[top:]).astype(np.uint8)
        part = picture[top:]
        cv2.multiply(part, cv2.cvtColor(factors, cv2.COLOR_GRAY2BGR), dst=part, scale=1 / _NEUTRAL)

    def _beams(self, ahead: NDArray[np.float32], slope: NDArray[np.float32]) -> NDArray[np.float32]:
        """Light.headlights on the ground, for every pixel."""
        near = 0.85 * np.exp(-((ahead / 42) ** 2)) * np.clip((ahead - 2) / 5, 0.35, 1)
        reach = np.multiply.outer(ahead, slope) / (1.6 + 0.16 * ahead)[:, None]
        lit: NDArray[np.float32] = 0.27 + near[:, None] * np.exp(-(reach**2)) + 0.08 * np.exp(-ahead / 25)[:, None]
        return lit

    def _glow(self, picture: Picture, slots: Picture, glow: Glow) -> None:
        across, up = max(1, round(glow.across)), max(1, round(glow.up))
        left, top = round(glow.u) - across, round(glow.v) - up
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + 2 * across + 1, picture.shape[1]), min(top + 2 * up + 1, len(picture))
        if x0 >= x1 or y0 >= y1:
            return
        shape = (2 * across + 1, 2 * up + 1)
        halo = cv2.resize(self.halo, shape, interpolation=cv2.INTER_LINEAR)[y0 - top : y1 - top, x0 - left : x1 - left]
        if glow.slot == GROUND:
            halo = halo * (slots[y0:y1, x0:x1] == GROUND)
        added = np.rint(halo[:, :, None] * np.array(glow.colour, np.float32)).astype(np.uint8)
        part = picture[y0:y1, x0:x1]
        cv2.add(part, added, dst=part)


def _grain(condition: Condition, rng: np.random.Generator) -> Picture:
    """A tile of the ground's roughness, grey around 128, that fits itself at its edges."""
    noise = np.zeros((_TILE, _TILE), np.float32)
    for cell, strength in ((1, 9.0), (4, 7.0), (16, 6.0), (64, 6.0)):
        coarse = rng.normal(0, strength, (_TILE // cell, _TILE // cell)).astype(np.float32)
        wrapped = np.pad(coarse, 1, mode="wrap")
        large = cv2.resize(wrapped, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR)
        noise += large[cell : cell + _TILE, cell : cell + _TILE]
    if condition is Condition.FALL:
        leaves = rng.integers(_TILE, size=(700, 2))
        noise[leaves[:, 0], leaves[:, 1]] += 70
        noise[(leaves[:, 0] + 1) % _TILE, leaves[:, 1]] += 50
    strength = 1.5 if condition is Condition.RAIN else 0.8 if condition is Condition.WINTER else 1.0
    return np.asarray(np.clip(_NEUTRAL + strength * noise, 40, 230), dtype=np.uint8)


def _streaks(width: int, height: int, rng: np.random.Generator) -> Picture:
    """Falling drops, blurred by the shutter, on black."""
    layer = np.zeros((height + 64, width + 64, 3), np.uint8)
    for _ in range(int(width * height / 620)):
        x, y = rng.uniform(0, width + 64), rng.uniform(0, height + 64)
        length, grey = rng.uniform(0.02, 0.075) * height, int(rng.uniform(12, 52))
        end = (round(x + 0.16 * length), round(y + length))
        cv2.line(layer, (round(x), round(y)), end, (grey, grey, grey), 1)
    return np.asarray(cv2.GaussianBlur(layer, (3, 3), 0), dtype=np.uint8)
