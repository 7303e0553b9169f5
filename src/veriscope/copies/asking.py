"""By which vectors is an index asked about a picture, and what is taken off the similarities that they bring?

The whole, its mirror image, its negative and its parts, and the whole through the map of each pattern that the index
has learned from pairs. A similarity only tells beside how crowded the surroundings are, so candidates of different vectors are
ranked by what is above that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veriscope.copies import normalisation, patterns
from veriscope.copies.descriptor import Descriptor
from veriscope.copies.learned import Learned


@dataclass(frozen=True, eq=False)
class Questions:
    """What an index is searched by.

    Attributes:
        vectors: float32 (Q, size) of length 1, the whole first.
        crowds: float32 (Q,), the mean cosine of each to the nearest pictures of the background; 0 where there is none.
    """

    vectors: NDArray[np.float32] = field(repr=False)
    crowds: NDArray[np.float32] = field(repr=False)


def questions(rgb: NDArray[np.uint8], descriptor: Descriptor, folder: Path) -> Questions:
    """By what the index in ``folder`` is asked about ``uint8 (H, W, 3)`` RGB.

    Raises:
        VeriscopeError: a learned pattern is damaged or of another descriptor, or the network cannot be opened.
    """
    asked = descriptor.of_query(rgb)
    learned = patterns.read(folder, identity(descriptor))
    vectors = np.concatenate([asked, *(pattern(asked[:1]) for pattern in learned)])
    return Questions(vectors, normalisation.crowd(vectors, background(descriptor)))


def identity(descriptor: Descriptor) -> str:
    """Name and version, as a learned pattern keeps them."""
    return f"{descriptor.name} {descriptor.version}"


def background(descriptor: Descriptor) -> NDArray[np.float32]:
    """Vectors (B, size) of pictures that are in no index; none for a descriptor that comes without them."""
    if descriptor.name == Learned.name:
        return normalisation.background(version=descriptor.version)
    return np.zeros((0, descriptor.size), np.float32)
