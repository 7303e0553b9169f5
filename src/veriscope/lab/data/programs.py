"""Short image programs: expressions such as ``warp(noise(6, 4, 0.5, 71), cells(40, 9), 0.2)`` that draw a picture.

A program is drawn at random as a tree of operations and written as text; the text alone draws its picture again, at any size.
What such pictures have in common with photographs is structure at all scales, and no subject, camera or licence.

Limits: textures of a dozen kinds, not the variety of the paper's programs, and neither objects nor light.
Paper: Baradad et al. 2022 (Procedural Image Programs for Representation Learning).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError

Field = NDArray[np.float32]  # (S, S, 3) in [0, 1]
Number = int | float
SEEDS = 100_000
DEPTH = 4  # operations on the longest way of a drawn program
LEAF_SHARE = 0.25  # of the places above the last where a branch ends
STEPS = 24  # of a fractal's iteration
MOST_NODES = 200  # of a program that is read
INTERPOLATE = cv2.INTER_LINEAR


@dataclass(frozen=True)
class Operation:
    """One word of the language.

    Attributes:
        draw: numbers for it, from a source of chance.
        apply: the side in pixels, the fields of its operands and its numbers to a field.
        operands: how many programs it takes before its numbers.
    """

    draw: Callable[[np.random.Generator], tuple[Number, ...]]
    apply: Callable[..., Field]
    operands: int = 0


@dataclass(frozen=True)
class Program:
    """A node of a program: an operation, the programs it works on, its numbers."""

    name: str
    operands: tuple[Program, ...]
    numbers: tuple[Number, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, (*self.operands, *self.numbers)))})"

    def field(self, side: int) -> Field:
        """The picture ``float32 (side, side, 3)`` in [0, 1]."""
        made = OPERATIONS[self.name].apply(side, *(part.field(side) for part in self.operands), *self.numbers)
        return np.clip(made, 0, 1).astype(np.float32)

    def picture(self, side: int) -> NDArray[np.uint8]:
        """The picture ``uint8 (side, side, 3)`` RGB."""
        return np.rint(self.field(side) * 255).astype(np.uint8)


def drawn(generator: np.random.Generator, depth: int = DEPTH) -> Program:
    """A random program; at most ``depth`` operations lie on any way through it, and at least two where depth allows."""
    return _drawn(generator, depth, top=True)


def _drawn(generator: np.random.Generator, depth: int, *, top: bool) -> Program:
    ends = depth <= 1 or (not top and generator.random() < LEAF_SHARE)
    names = [name for name, operation in OPERATIONS.items() if (operation.operands == 0) == ends]
    name = names[int(generator.integers(len(names)))]
    operation = OPERATIONS[name]
    operands = tuple(_drawn(generator, depth - 1, top=False) for _ in range(operation.operands))
    return Program(name, operands, operation.draw(generator))


def parsed(text: str) -> Program:
    """The program that a text says.

    Raises:
        VeriscopeError: it says none.
    """
    try:
        tree = ast.parse(text, mode="eval").body
        if sum(1 for _ in ast.walk(tree)) > 8 * MOST_NODES:
            raise ValueError(f"it has more than {MOST_NODES} operations")
        return _read(tree)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise VeriscopeError(f"{text[:60]!r} is no image program: {error}") from error


def _read(node: ast.AST) -> Program:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.keywords:
        raise ValueError("an operation with its operands in brackets was expected")
    name = node.func.id
    if name not in OPERATIONS:
        raise ValueError(f"no operation is called {name!r}; there are: {', '.join(OPERATIONS)}")
    count = OPERATIONS[name].operands
    numbers = [ast.literal_eval(part) for part in node.args[count:]]
    wanted = len(OPERATIONS[name].draw(np.random.default_rng(0)))
    if len(node.args) != count + wanted or not all(type(number) in (int, float) for number in numbers):
        raise ValueError(f"{name} takes {count} programs and {wanted} numbers")
    return Program(name, tuple(_read(part) for part in node.args[:count]), tuple(numbers))


def _share(generator: np.random.Generator, low: float, high: float) -> float:
    return round(float(generator.uniform(low, high)), 3)


def _whole(generator: np.random.Generator, low: int, high: int) -> int:
    return int(generator.integers(low, high + 1))


def _seed(generator: np.random.Generator) -> int:
    return int(generator.integers(SEEDS))


def _grid(side: int) -> tuple[Field, Field]:
    """Places across and down, each ``(side, side)`` in [-1, 1]."""
    line = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    return np.meshgrid(line, line)[0].astype(np.float32), np.meshgrid(line, line)[1].astype(np.float32)


def _coloured(value: Field, seed: int) -> Field:
    """A field ``(side, side)`` in [0, 1] through a random palette of five colours."""
    palette = np.random.default_rng(seed).random((5, 3)).astype(np.float32)
    stops = np.linspace(0, 1, len(palette))
    return np.stack([np.interp(value, stops, palette[:, channel]) for channel in range(3)], axis=2).astype(np.float32)


def _grey(field: Field) -> Field:
    return np.asarray(field.mean(2), np.float32)


def _noise(side: int, cells: int, octaves: int, persistence: float, seed: int) -> Field:
    generator = np.random.default_rng(seed)
    total, weight = np.zeros((side, side), np.float32), 0.0
    for octave in range(octaves):
        count = min(cells * 2**octave, side)
        rough = generator.random((count + 1, count + 1)).astype(np.float32)
        total += persistence**octave * np.asarray(cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC))
        weight += persistence**octave
    spread = total / np.float32(weight)
    return _coloured(np.clip((spread - 0.5) * 1.8 + 0.5, 0, 1), seed + 1)


def _gradient(side: int, angle: float, bend: float, seed: int) -> Field:
    x, y = _grid(side)
    straight = (x * np.cos(angle) + y * np.sin(angle)) / 2.9 + 0.5
    return _coloured(np.clip((1 - bend) * straight + bend * np.hypot(x, y) / 1.42, 0, 1), seed)


def _julia(side: int, real: float, imaginary: float, zoom: float, seed: int) -> Field:
    x, y = _grid(side)
    z = ((x + 1j * y) * zoom).astype(np.complex64)
    left = np.full(z.shape, STEPS, np.float32)
    for step in range(STEPS):
        z = z * z + np.complex64(complex(real, imaginary))
        gone = np.abs(z) > 4
        left[gone & (left == STEPS)] = step
        z[gone] = 4
    return _coloured(np.sqrt(left / STEPS), seed)


def _shapes(side: int, count: int, seed: int) -> Field:
    generator = np.random.default_rng(seed)
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = generator.random(3)
    for number in range(count):
        colour = generator.random(3).tolist()
        size = float(side * 0.4 * (1 - number / count) ** 2 + side * 0.02)
        middle = generator.random(2) * side
        kind = generator.integers(3)
        angle = float(generator.random() * 180)
        if kind == 0:
            axes = (int(size * generator.uniform(0.3, 1)) + 1, int(size) + 1)
            cv2.ellipse(canvas, (int(middle[0]), int(middle[1])), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            around = np.sort(generator.random(int(generator.integers(3, 7)))) * 2 * np.pi
            corners = middle + size * np.stack([np.cos(around), np.sin(around)], axis=1)
            cv2.fillPoly(canvas, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        else:
            far = generator.random(2) * side
            ends = [tuple(map(int, end)) for end in (middle, far)]
            cv2.line(canvas, ends[0], ends[1], colour, max(1, int(size / 8)), cv2.LINE_AA)
    return canvas


def _waves(side: int, frequency: float, angle: float, second: float, seed: int) -> Field:
    x, y = _grid(side)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    value = np.sin(np.pi * frequency * along + second * np.sin(np.pi * frequency * across / 2))
    return _coloured(value / 2 + 0.5, seed)


def _cells(side: int, count: int, seed: int) -> Field:
    points = np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)
    x, y = _grid(side)
    nearest = np.full((side, side), 9, np.float32)
    for point in points:
        nearest = np.minimum(nearest, (x - point[0]) ** 2 + (y - point[1]) ** 2)
    return _coloured(np.clip(np.sqrt(nearest) / max(float(np.sqrt(nearest.max())), 1e-6), 0, 1), seed + 1)


def _moved(field: Field, x: Field, y: Field) -> Field:
    """A field looked up at places in [-1, 1], mirrored beyond its edges."""
    side = len(field)
    across, down = (((place + 1) * side / 2 - 0.5).astype(np.float32) for place in (x, y))
    return np.asarray(cv2.remap(field, across, down, INTERPOLATE, borderMode=cv2.BORDER_REFLECT), np.float32)


def _warp(side: int, field: Field, by: Field, reach: float) -> Field:
    x, y = _grid(side)
    return _moved(field, x + reach * (2 * by[..., 0] - 1), y + reach * (2 * by[..., 1] - 1))


def _turn(side: int, field: Field, angle: float, scale: float) -> Field:
    x, y = _grid(side)
    cosine, sine = np.float32(np.cos(angle) * scale), np.float32(np.sin(angle) * scale)
    return _moved(field, x * cosine - y * sine, x * sine + y * cosine)


def _tile(side: int, field: Field, count: int) -> Field:
    x, y = _grid(side)
    across, down = (np.abs(((place + 1) * count / 2) % 2 - 1) * 2 - 1 for place in (x, y))
    return _moved(field, across, down)


def _polar(side: int, field: Field, turns: int) -> Field:
    x, y = _grid(side)
    around = np.abs((np.arctan2(y, x) / np.pi * turns) % 2 - 1) * 2 - 1
    return _moved(field, around.astype(np.float32), (np.hypot(x, y) * 1.4 - 1).astype(np.float32))


def _recolour(side: int, field: Field, seed: int) -> Field:  # noqa: ARG001 (operations share one signature)
    mixed = (field - 0.5) @ np.random.default_rng(seed).normal(0, 1.6, (3, 3)).astype(np.float32)
    return np.asarray(1 / (1 + np.exp(-2 * mixed)), np.float32)


def _posterise(side: int, field: Field, levels: int) -> Field:  # noqa: ARG001
    return np.asarray(np.floor(field * levels) / max(1, levels - 1), np.float32)


def _blur(side: int, field: Field, share: float) -> Field:
    return np.asarray(cv2.GaussianBlur(field, (0, 0), max(0.3, share * side)), np.float32)


def _emboss(side: int, field: Field, angle: float, strength: float) -> Field:
    step = side / 128
    shift = np.array([[1, 0, step * np.cos(angle)], [0, 1, step * np.sin(angle)]], np.float32)
    moved = cv2.warpAffine(field, shift, (side, side), flags=INTERPOLATE, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(field / 2 + 0.25 + strength * (field - moved), np.float32)


def _blend(side: int, one: Field, other: Field, share: float) -> Field:  # noqa: ARG001
    return one * np.float32(1 - share) + other * np.float32(share)


def _difference(side: int, one: Field, other: Field) -> Field:  # noqa: ARG001
    return np.abs(one - other)


def _multiply(side: int, one: Field, other: Field) -> Field:  # noqa: ARG001
    return np.sqrt(one * other)


def _masked(side: int, one: Field, other: Field, mask: Field, threshold: float, softness: float) -> Field:  # noqa: ARG001
    middle = np.quantile(_grey(mask), threshold)
    share = 1 / (1 + np.exp(-np.clip((_grey(mask) - middle) / softness, -30, 30)))
    return np.asarray(one + (other - one) * share[..., None], np.float32)


def _turned(generator: np.random.Generator) -> float:
    return _share(generator, 0, 6.283)


OPERATIONS: dict[str, Operation] = {
    "noise": Operation(lambda g: (_whole(g, 1, 12), _whole(g, 1, 7), _share(g, 0.35, 0.8), _seed(g)), _noise),
    "gradient": Operation(lambda g: (_turned(g), _share(g, 0, 1), _seed(g)), _gradient),
    "julia": Operation(
        lambda g: (_share(g, -1.2, 0.4), _share(g, -0.9, 0.9), _share(g, 0.3, 1.6), _seed(g)),
        _julia,
    ),
    "shapes": Operation(lambda g: (_whole(g, 5, 120), _seed(g)), _shapes),
    "waves": Operation(lambda g: (_share(g, 1, 40), _turned(g), _share(g, 0, 4), _seed(g)), _waves),
    "cells": Operation(lambda g: (_whole(g, 4, 90), _seed(g)), _cells),
    "warp": Operation(lambda g: (_share(g, 0.03, 0.5),), _warp, 2),
    "turn": Operation(lambda g: (_turned(g), _share(g, 0.3, 2.5)), _turn, 1),
    "tile": Operation(lambda g: (_whole(g, 2, 6),), _tile, 1),
    "polar": Operation(lambda g: (_whole(g, 1, 5),), _polar, 1),
    "recolour": Operation(lambda g: (_seed(g),), _recolour, 1),
    "posterise": Operation(lambda g: (_whole(g, 2, 8),), _posterise, 1),
    "blur": Operation(lambda g: (_share(g, 0.003, 0.03),), _blur, 1),
    "emboss": Operation(lambda g: (_turned(g), _share(g, 0.5, 3)), _emboss, 1),
    "blend": Operation(lambda g: (_share(g, 0.25, 0.75),), _blend, 2),
    "difference": Operation(lambda _: (), _difference, 2),
    "multiply": Operation(lambda _: (), _multiply, 2),
    "masked": Operation(lambda g: (_share(g, 0.3, 0.7), _share(g, 0.01, 0.2)), _masked, 3),
}
