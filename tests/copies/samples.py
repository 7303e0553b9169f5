"""Pictures and rows that the tests of the index share."""

import io

import numpy as np
from PIL import Image
from skimage import data

from veriscope import open_picture
from veriscope.copies.describing import Entry, entry
from veriscope.copies.descriptor import default, make

NAMES = ("coffee", "chelsea", "astronaut", "rocket")
PICTURES = {name: getattr(data, name)() for name in NAMES}
TEXTURE = np.repeat(data.brick()[:, :, None], 3, 2)
DESCRIPTOR = make(default())
SIZE = DESCRIPTOR.size


def picture(rgb, name="made.png", quality=0):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(file, "JPEG" if quality else "PNG", quality=quality)
    return open_picture(file.getvalue(), name=name)


def known(name, **options):
    """A row of a picture by its own name."""
    return entry(picture(PICTURES[name], name), DESCRIPTOR, reference=name, **options)


def row(number, hash_=None, quality=100):
    """A row of no picture, with a hash and a vector at random."""
    generator = np.random.default_rng(number)
    vector = generator.normal(size=(1 + number % 3, SIZE)).astype(np.float32)
    bits = generator.integers(0, 256, 32, dtype=np.uint8) if hash_ is None else hash_
    return Entry(
        reference=f"{number}'s.jpg",
        sha256=f"{number:064x}",
        pdq=bits,
        quality=quality,
        vectors=vector / np.linalg.norm(vector, axis=1, keepdims=True),
        width=100 + number,
        height=100,
        added="2026-01-01T00:00:00+00:00",
        meta={"number": number},
        preview=f"small copy of {number}".encode(),
    )
