"""Graded replicas, and the ordinal logistic model that reads replication levels: made, fitted, and measured on other pictures.

Nobody graded them: the grade of a copy is that of the patterns that made it, as listed in ``GRADES``. Pictures of one group are
never both fitted on and measured with, as the splits of a manifest keep groups together. Levels 0 and 1 have no examples, as
pairs of those seldom pass verification; their thresholds lie below all examples of level 2.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veriscope.copies.difference import difference
from veriscope.copies.levels import LEVELS, READINGS, probabilities, readings
from veriscope.copies.verification import verify
from veriscope.errors import VeriscopeError
from veriscope.lab.data.augmentation import jpeg, resized
from veriscope.lab.data.copy_patterns import copied
from veriscope.lab.data.manifest import Row, load_pixels

Pixels = NDArray[np.uint8]
GRADES: dict[int, tuple[tuple[str, ...], ...]] = {  # level: chains of patterns; none for 5, which is only saved again
    5: ((),),
    4: (
        *(("crop most",), ("brighter",), ("darker",), ("gamma",), ("tinted",), ("greyscale",), ("more contrast",)),
        *(("border",), ("letterbox",), ("subtitle",), ("date stamp",), ("caption bar",), ("flip",), ("jpeg again",)),
        *(("rotate slightly",), ("polaroid",), ("vignette",), ("pointed at",), ("watermark",)),
    ),
    3: (
        *(("crop half",), ("meme text", "tinted"), ("words all over",), ("emoji many",), ("under other",), ("bars",)),
        *(("perspective strongly",), ("negative",), ("duotone", "crop most"), ("breaking news", "faded")),
        *(("picture in picture", "flip"), ("phone screen", "sepia"), ("scribbled", "crop most"), ("blended",)),
        *(("other hue", "rotate freely"), ("embossed",), ("under cut out",), ("posterised",)),
    ),
    2: (
        *(("crop tenth",), ("small on other",), ("crop quarter", "on other"), ("collage four", "tinted")),
        *(("crop quarter", "meme text"), ("crop half", "small on other"), ("crop half", "collage four")),
    ),
}
BELOW = 1.0, 3.0  # logits: of the thresholds of levels 2 and 1 below the least example of level 2
ROUNDS, RATE = 4000, 0.05  # of Adam
SHRINKING = 1e-3  # of the weights


@dataclass(frozen=True, eq=False)
class Graded:
    """Readings (N, 6) and levels (N,) of verified pairs, and how many copies of each level did not verify."""

    readings: NDArray[np.float64]
    levels: NDArray[np.int64]
    missed: dict[int, int]


def graded(rows: Sequence[Row], *, each: int = 2, seed: int = 0, say: Callable[[str], None] = print) -> Graded:
    """Copies of each picture, ``each`` of every grade, verified and read.

    Args:
        rows: pictures of a manifest.
        each: copies of a picture and grade.
        seed: of the copies.
        say: called with lines of progress.
    Raises:
        VeriscopeError: fewer than two pictures can be read.
    """
    if len(rows) < 2:
        raise VeriscopeError("replicas need at least two pictures")
    read: list[NDArray[np.float64]] = []
    levels: list[int] = []
    missed = dict.fromkeys(GRADES, 0)
    other = _small(load_pixels(rows[-1]))
    for number, row in enumerate(rows, 1):
        rgb = _small(load_pixels(row))
        generator = np.random.default_rng(zlib.crc32(f"{row.key}#{seed}".encode()))
        for grade, chains in GRADES.items():
            for _ in range(each):
                copy = _copy(rgb, other, chains[int(generator.integers(len(chains)))], generator)
                found = verify(copy, rgb)
                if found is None:
                    missed[grade] += 1
                    continue
                read.append(readings(found, difference(copy, rgb, found)))
                levels.append(grade)
        other = rgb
        if number % 10 == 0:
            say(f"{number} of {len(rows)} pictures")
    return Graded(np.array(read).reshape(-1, len(READINGS)), np.array(levels, np.int64), missed)


def _small(rgb: Pixels) -> Pixels:
    return resized(rgb, min(1.0, 640 / max(rgb.shape[:2])))


def _copy(rgb: Pixels, other: Pixels, chain: tuple[str, ...], generator: np.random.Generator) -> Pixels:
    for name in chain:
        rgb = copied(rgb, other, name, generator)
    if not chain and generator.random() < 0.5:
        rgb = resized(rgb, float(generator.uniform(0.5, 0.95)))
    return jpeg(rgb, int(generator.integers(55, 96)), subsample=True)


def fitted(examples: Graded) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (6,), none negative, and thresholds (5,) of the model, every level weighing alike.

    Raises:
        VeriscopeError: a level has no verified example.
    """
    counts = np.bincount(examples.levels, minlength=LEVELS)[2:]
    if not counts.all():
        raise VeriscopeError("each of the levels 2 to 5 needs verified copies; name more pictures")
    weigh = (1 / counts)[examples.levels - 2] / 4
    parameters = np.concatenate(
        [np.zeros(len(READINGS)), [-4.0, 1.0, 1.0]]
    )  # log weights; threshold of 3 and log steps
    momentum, square = np.zeros_like(parameters), np.zeros_like(parameters)
    for step in range(1, ROUNDS + 1):
        slope = _slope(parameters, examples, weigh)
        momentum, square = 0.9 * momentum + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        parameters -= RATE * (momentum / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    weights, upper = _unpacked(parameters)
    least = float((-examples.readings @ weights).min())
    return weights, np.concatenate([[least - BELOW[1], least - BELOW[0]], upper])


def _unpacked(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (6,), and the thresholds (3,) of levels 3, 4 and 5 in rising order."""
    weights = np.exp(parameters[: len(READINGS)])
    third, *steps = parameters[len(READINGS) :]
    return weights, third + np.cumsum([0.0, *np.exp(steps)])


def _loss(parameters: NDArray[np.float64], examples: Graded, weigh: NDArray[np.float64]) -> float:
    weights, upper = _unpacked(parameters)
    reached = 1 / (1 + np.exp(examples.readings @ weights[:, None] + upper[None]))
    edges = np.ones((len(reached), 1)), reached, np.zeros((len(reached), 1))
    chances = -np.diff(np.concatenate(edges, 1), axis=1)
    own = np.maximum(chances[np.arange(len(chances)), examples.levels - 2], 1e-9)
    return float(-(weigh * np.log(own)).sum() + SHRINKING * np.square(weights).sum())


def _slope(parameters: NDArray[np.float64], examples: Graded, weigh: NDArray[np.float64]) -> NDArray[np.float64]:
    slope = np.empty_like(parameters)
    for place in range(len(parameters)):
        step = np.zeros_like(parameters)
        step[place] = 1e-5
        ahead, behind = (_loss(parameters + sign * step, examples, weigh) for sign in (1, -1))
        slope[place] = (ahead - behind) / 2e-5
    return slope


def confusion(examples: Graded, weights: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Counts (6, 6): rows are the levels of the copies, columns those that the model gives."""
    table = np.zeros((LEVELS, LEVELS), np.int64)
    for read, grade in zip(examples.readings, examples.levels, strict=True):
        table[grade, int(probabilities(read, weights, thresholds).argmax())] += 1
    return table
