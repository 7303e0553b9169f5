"""Does a picture carry a mark that image generators put into what they draw?

Stable Diffusion's and FLUX's own programs sign pictures through the package ``invisible-watermark``, always with the same bits,
which its algorithms read again without a secret: a wavelet band of the U channel in blocks of 4 x 4, whose largest coefficient
(dwtDct) or singular value (dwtDctSvd) lies in the lower or upper half of a step. It fails after a crop, another size or a JPEG
of low quality, and anybody can write the mark: it is evidence, with a p-value, and its absence says nothing.
Paper: Navas et al. 2008 (DWT-DCT-SVD); Sellke, Bayarri and Berger 2001 (what a p-value is worth at most).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.evidence import Evidence, Question
from veriscope.picture import Picture
from veriscope.watermarks.payload import SURE, binomial, corrected_p

STEP = 36.0  # of the package's quantiser, by default
BLOCK = 4  # coefficients a side
LEAST_AREA = 256 * 256  # pixels: the package marks nothing smaller
MOST_BLOCKS = 24_000  # that are read, from the top: the bits come round every 136 blocks at most
MOST_SINGULAR = 6_000  # of them by their singular values, which take longer and err less
MOST_LOG10_LR = 4.0  # that is claimed, since anybody can write the mark
METHODS = ("dwtDct", "dwtDctSvd")


@dataclass(frozen=True, eq=False)
class Mark:
    """A mark that is always the same.

    Attributes:
        writer: whose it is, as a sentence names it.
        bits: of 0 and 1.
    """

    writer: str
    bits: NDArray[np.uint8]


def _text_bits(text: str) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(text.encode("ascii"), np.uint8))


def _number_bits(number: int) -> NDArray[np.uint8]:
    """The digits of a number without leading zeros, as those programs write it."""
    return np.array([int(digit) for digit in f"{number:b}"], np.uint8)


MARKS = (
    Mark("the reference program of Stable Diffusion 1", _text_bits("StableDiffusionV1")),
    Mark("the reference program of Stable Diffusion 2", _text_bits("SDV2")),
    Mark("Stable Diffusion XL", _number_bits(0xB3EC907BB19E)),
    Mark("the reference program of FLUX", _number_bits(0x2AFE879CF52E)),
)
ORDERS = (cv2.COLOR_RGB2YUV, cv2.COLOR_BGR2YUV)  # some programs hand the channels over the wrong way round
TRIED = len(MARKS) * len(METHODS) * len(ORDERS)


@dataclass(frozen=True)
class Finding:
    """The most telling of all marks.

    Attributes:
        mark: which.
        method: of ``METHODS``.
        matches: bits that agree with it.
        p_value: the probability of so many by fair coins, corrected for all that was tried.
    """

    mark: Mark
    method: str
    matches: int
    p_value: float


def blocks_of(rgb: NDArray[np.uint8], order: int) -> NDArray[np.float32]:
    """The blocks of the coarse Haar band of the U channel, float32 (n, 4, 4), row by row, ``MOST_BLOCKS`` at most.

    Args:
        rgb: uint8 (H, W, 3).
        order: OpenCV's conversion to YUV.
    """
    side = 2 * BLOCK
    columns = rgb.shape[1] // side
    rows = min(rgb.shape[0] // side, max(1, MOST_BLOCKS // max(1, columns)))
    plane = cv2.cvtColor(np.ascontiguousarray(rgb[: rows * side, : columns * side]), order)[..., 1].astype(np.float32)
    coarse = plane.reshape(rows * BLOCK, 2, columns * BLOCK, 2).sum((1, 3)) / 2
    return np.ascontiguousarray(coarse.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)).reshape(-1, BLOCK, BLOCK)


def upper_halves(blocks: NDArray[np.float32], method: str) -> NDArray[np.bool_]:
    """Which blocks say 1, bool (n,), of all or of the first ``MOST_SINGULAR``."""
    if method == "dwtDct":
        flat = np.abs(blocks.reshape(len(blocks), -1)[:, 1:])
        value = flat.max(1)
    else:
        # The cosine transform is orthonormal: the block's singular values are its transform's.
        value = np.linalg.svd(blocks[:MOST_SINGULAR], compute_uv=False)[:, 0]
    return np.asarray(np.mod(value, STEP) > STEP / 2)


def find(rgb: NDArray[np.uint8]) -> Finding:
    """The mark that agrees best, whether the picture carries one or not.

    Args:
        rgb: uint8 (H, W, 3) of ``LEAST_AREA`` at least.
    """
    found: list[Finding] = []
    for order in ORDERS:
        blocks = blocks_of(rgb, order)
        for method in METHODS:
            votes = upper_halves(blocks, method)
            for mark in MARKS:
                of = len(mark.bits)
                which = np.arange(len(votes)) % of
                share = np.bincount(which, votes, of) / np.maximum(np.bincount(which, minlength=of), 1)
                matches = int(((share > 0.5) == mark.bits).sum())
                found.append(Finding(mark, method, matches, corrected_p(binomial(matches, of), TRIED)))
    return min(found, key=lambda finding: finding.p_value)


def log10_lr(p_value: float) -> float:
    """The most that a p-value can speak for the mark, log10, at most ``MOST_LOG10_LR``; 0 where it is not small.

    >>> log10_lr(0.2), log10_lr(1e-30)
    (0.0, 4.0)
    """
    if p_value >= SURE:
        return 0.0
    bound = -math.log10(-math.e * p_value * math.log(p_value)) if p_value > 0 else MOST_LOG10_LR
    return min(MOST_LOG10_LR, bound)


class GeneratorMarks:
    """Whether one of the marks stands in the picture."""

    name: ClassVar[str] = "generator_marks"
    version: ClassVar[str] = "1"
    question: ClassVar[Question] = Question.MARKED

    def __call__(self, picture: Picture) -> Evidence | None:
        """The evidence; None where the picture is too small for such a mark. Only a mark that was found is weighed."""
        if picture.width * picture.height < LEAST_AREA:
            return None
        found = find(picture.rgb)
        of = len(found.mark.bits)
        marked = found.p_value < SURE
        if marked:
            says = (
                f"It carries the mark that {found.mark.writer} puts into its pictures ({found.matches} of {of} bits agree, "
                f"p = {found.p_value:.1e} by the binomial test, corrected for {TRIED} readings). Anybody can write this mark."
            )
        else:
            says = (
                f"None of {len(MARKS)} known marks of image generators was found (p = {found.p_value:.2g} for the nearest, "
                f"corrected for {TRIED} readings). Most generators write none, and a resize or a crop ends these: absence "
                "means nothing."
            )
        return Evidence(
            self.name,
            self.version,
            self.question,
            score=-math.log10(max(found.p_value, 1e-300)),
            log10_lr=log10_lr(found.p_value),
            reliability=1.0 if marked else 0.1,
            says=says,
            reason="" if marked else "The absence of a mark means nothing.",
            weighed=marked,
        )
