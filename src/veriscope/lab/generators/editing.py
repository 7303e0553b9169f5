"""Edits of real pictures with the mask that says where: what a localiser of tampering learns from, fast enough to draw on the fly.

``edited`` below, and ``veriscope.lab.data.histories.history`` for the life of the picture before and after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.lab.generators.patches import patched, random_mask

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Regenerate = Callable[[Pixels], Pixels]
AREA = (0.005, 0.4)  # of the picture
KINDS = ("splice", "copy_move", "removal", "regenerate", "blur", "relight", "resample", "noise", "text", "none")


def edited(
    host: Pixels,
    donor: Pixels,
    kind: str,
    generator: np.random.Generator,
    regenerate: Regenerate | None = None,
) -> tuple[Pixels, Mask, dict[str, Any]]:
    """A picture with one edit, where it was edited, and how.

    Args:
        host: the picture that is edited, ``uint8 (H, W, 3)`` RGB, at least 64 px a side.
        donor: another, of any size; looked at by "splice" alone.
        kind: one of ``KINDS``.
        generator: source of chance; the same state gives the same edit.
        regenerate: a generator's version of a part, same shape; needed by "regenerate" alone.
    Returns:
        ``uint8 (H, W, 3)``; ``bool (H, W)``, true over 0.5 to 40 % of the picture, nowhere for "none"; facts that JSON can hold.
    Raises:
        ValueError: the kind is unknown, or "regenerate" has no generator.
    """
    if kind not in KINDS:
        raise ValueError(f"no edit is called {kind!r}; there are: {', '.join(KINDS)}")
    if kind == "none":
        return host.copy(), np.zeros(host.shape[:2], bool), {"kind": kind}
    mask, facts = random_mask(*host.shape[:2], generator, AREA)
    made = np.resize(donor, host.shape) if donor.shape != host.shape else donor
    picture, mask = patched(host, made, mask, 0.0)
    return picture, mask, {"kind": kind, **facts}
