"""How surprising a reading is if the picture was not marked: the p-values of all marks here, each with its null.

The nulls speak of the key, not of the picture: whoever made an unmarked picture did not know the key, so the bits, signs
and noises that the key gives are, for that picture, fair coins and independent draws. That holds for any picture and any
extractor, however uneven its readings are; it fails when the key is known, or when one key is tried many times without
saying so (``payload.corrected_p``).

Papers: Fernandez et al. 2023 (Stable Signature: the binomial test).
"""

from __future__ import annotations

from scipy.special import betainc

from veriscope.watermarks.payload import binomial

FAIR_COIN = "each bit of the keyed signature agrees with an unmarked picture's reading by a fair coin: binomial(n, 1/2)"
INDEPENDENT_NOISE = "the keyed noise is Gaussian and independent of the picture's: cosine of a random direction"


def least_matched(bits: int, rate: float) -> int:
    """The fewest agreeing bits that fair coins reach with a chance of at most ``rate``; ``bits + 1`` where none are enough.

    >>> least_matched(32, 1e-6), least_matched(64, 1e-6), least_matched(8, 1e-6)
    (30, 51, 9)
    """
    return next((matched for matched in range(bits + 1) if binomial(matched, bits) <= rate), bits + 1)


def cosine_p(cosine: float, size: int) -> float:
    """The chance that a random direction of ``size`` numbers has at least this cosine with a fixed one (``INDEPENDENT_NOISE``).

    >>> round(cosine_p(0.0, 100), 9), cosine_p(0.5, 1000) < 1e-60
    (0.5, True)
    """
    tail = float(betainc((size - 1) / 2, 0.5, max(0.0, 1 - cosine**2))) / 2
    return tail if cosine >= 0 else 1 - tail
