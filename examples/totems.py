"""Totems at work on rendered rooms: python examples/totems.py --out DIR.

Renders a room with two glass balls, erases a box and pastes one in the camera's view alone, and asks whether the balls agree
with the picture: with the balls' places known exactly, known to about 1 %, and refined from there. Writes each picture and its
map; prints how much of the edit and of the rest was called. All of it is simulated.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from veriscope.tampering import totem_fit, totem_scene, totems
from veriscope.tampering.rays import Box

PASTED = Box((-0.2, -0.9, 3.0), (0.5, -0.3, 3.6))
ERROR = 0.01  # of the distance: how badly the balls' places are known


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--out", type=Path, default=Path("totems-demo"))
    options.add_argument("--width", type=int, default=320)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    scene = totem_scene.example(chosen.width * 3 // 4, chosen.width, chosen.seed)
    light = totem_scene.render(scene)
    gone, more = totem_scene.without_last(scene.room), totem_scene.with_boxes(scene.room, [PASTED])
    cases = {
        "untouched": (light, np.zeros(light.shape[:2], bool), scene.room),
        "erased": (*totem_scene.edited(light, totem_scene.render(scene, gone), scene), gone),
        "pasted": (*totem_scene.edited(light, totem_scene.render(scene, more), scene), more),
    }
    random = np.random.default_rng(chosen.seed)
    rough = [
        replace(ball, centre=tuple(np.array(ball.centre) + random.uniform(-ERROR, ERROR, 3) * ball.centre[2]))
        for ball in scene.balls
    ]
    print("picture    balls    judged  called of the edit  called elsewhere  score")
    for name, (picture, truth, room) in cases.items():
        rgb = totem_scene.stored(picture)
        Image.fromarray(rgb).save(chosen.out / f"{name}.png")
        for known, balls in (("exact", scene.balls), ("1 % off", rough), ("refined", None)):
            used = totem_fit.refined(rgb, scene.camera, rough, room) if balls is None else balls
            found = totems.check(rgb, scene.camera, used, room)
            size = found.map.shape[::-1]
            edit = cv2.resize(truth.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
            judged, called = found.judged > 0, found.map >= 0.5
            caught = f"{called[edit & judged].mean():.0%}" if (edit & judged).any() else "-"
            elsewhere = f"{called[~edit & judged].mean():.1%}"
            print(f"{name:10} {known:8} {judged.mean():6.0%} {caught:>19} {elsewhere:>17} {found.score:6.3f}")
            drawn = Image.fromarray((255 * found.map).astype(np.uint8)).resize(rgb.shape[1::-1])
            drawn.save(chosen.out / f"{name}.{known.replace(' % ', '_percent_')}.map.png")


if __name__ == "__main__":
    main()
