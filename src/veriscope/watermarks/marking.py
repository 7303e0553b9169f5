"""Mark a picture's file and read a mark again: what the command line, the library and the server call.

``detect`` asks every scheme unless one is named; the p-value is then corrected for their number as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import PictureError, VeriscopeError
from veriscope.picture import Picture
from veriscope.watermarks import alignment, classical, learned, payload, strength, writing
from veriscope.watermarks.original import Original, original, turned_back

SCHEMES: dict[str, ModuleType] = {learned.NAME: learned, classical.NAME: classical}
DEFAULT = learned.NAME
PSNRS = (30.0, 60.0)  # dB that may be asked for


@dataclass(frozen=True)
class Detection:
    """What a picture says under a key.

    Attributes:
        message: the text; None where there is no mark under this key, or it carries no text.
        p_value: probability of so telling a reading without a mark under this key.
        bits_corrected: raw bits, of 192, that the code had to change; None where there is no mark.
        scheme: the scheme whose reading this is.
        null: what the p-value is the probability under.
    """

    message: str | None
    p_value: float
    bits_corrected: int | None
    scheme: str
    null: str = payload.NULL


@dataclass(frozen=True)
class Marked:
    """A marked picture.

    Attributes:
        data: the bytes of its file.
        psnr: dB, of the marked pixels beside the original's, before they are encoded.
        scheme: that marked it.
        notes: plain sentences about what was not kept, or found.
    """

    data: bytes
    psnr: float
    scheme: str
    notes: tuple[str, ...] = ()


def detect(rgb: NDArray[np.uint8], key: str, scheme: str | None = None) -> Detection:
    """What a picture's mark says under a key.

    >>> detect(np.full((160, 160, 3), 128, np.uint8), "secret", "dwt_dct_svd").message is None
    True

    Args:
        rgb: uint8 (H, W, 3).
        key: the text that it was marked with.
        scheme: the only one to ask; all by default.
    Raises:
        VeriscopeError: the key is empty, or there is no such scheme.
        ModelError: the weights are missing or damaged.
    """
    payload.require_key(key)
    asked = list(SCHEMES) if scheme is None else [require_scheme(scheme)]
    heard: dict[str, payload.Reading] = {}
    for name in asked:
        heard[name] = SCHEMES[name].read(rgb, key)
        if heard[name].found:
            break
    name, reading = min(heard.items(), key=lambda item: (not item[1].found, item[1].p_value))
    reading = replace(reading, p_value=payload.corrected_p(reading.p_value, len(heard)))
    return Detection(reading.message, reading.p_value, reading.bits_corrected, name)


def mark(
    picture: Picture,
    message: str,
    key: str,
    kind: str,
    *,
    scheme: str = DEFAULT,
    psnr: float = strength.PSNR,
    over: bool = False,
) -> Marked:
    """A picture's file with a message in it.

    Args:
        picture: opened.
        message: 1 to 8 bytes of text.
        key: a secret; the same one reads the mark again.
        kind: the format of the file, as in ``writing.FORMATS``.
        scheme: which mark.
        psnr: dB, at least so much; of the learned mark.
        over: mark a picture that is marked already as well.
    Raises:
        VeriscopeError: a message or key that does not fit, an unknown scheme, or a PSNR out of range.
        PictureError: the picture is too small, animated, cut short, marked already, or has transparency that ``kind`` cannot keep.
        ModelError: the weights are missing or damaged.
    """
    data = payload.message_bytes(message)
    payload.require_key(key)
    require_scheme(scheme)
    if not PSNRS[0] <= psnr <= PSNRS[1]:
        raise VeriscopeError(f"the PSNR must be between {PSNRS[0]:g} and {PSNRS[1]:g} dB, not {psnr:g}")
    source = original(picture)
    writing.require_fitting(source, picture.name, kind)
    try:
        SCHEMES[scheme].require_room(picture.height, picture.width)
    except VeriscopeError as error:
        raise PictureError(picture.name, str(error)) from error
    earlier = mark_already(picture.rgb, key)
    if earlier and not over:
        raise PictureError(picture.name, f"{earlier}. Mark the unmarked original, or mark over it with --force")
    pixels, reached = _marked(picture.rgb, source, data, key, scheme, psnr)
    notes = [
        f"{earlier}; marked over, the earlier mark may still be read" if earlier else "",
        *writing.lost(source, kind),
    ]
    return Marked(writing.encoded(pixels, source, kind), reached, scheme, tuple(note for note in notes if note))


def _marked(
    rgb: NDArray[np.uint8], source: Original, data: bytes, key: str, scheme: str, psnr: float
) -> tuple[NDArray[np.integer], float]:
    raw = payload.raw_bits(data, key)
    if scheme == classical.NAME:
        found = turned_back(classical.residual(rgb, raw, key), source.orientation)
        pixels = strength.added(source.pixels, np.ascontiguousarray(found), 1.0, source.most)
        return pixels, strength.psnr(source.pixels, pixels, source.most)
    found = turned_back(learned.residual(rgb, raw), source.orientation)
    return strength.strengthened(source.pixels, np.ascontiguousarray(found), psnr, source.most)


def mark_already(rgb: NDArray[np.uint8], key: str) -> str:
    """What mark a picture carries already, as a sentence without its full stop; empty where none is found."""
    canvas = alignment.small(rgb)
    places = alignment.align(canvas)
    for name in SCHEMES:
        reading = learned.read_aligned(canvas, places, key) if name == learned.NAME else classical.read(rgb, key)
        if reading.found:
            said = f"the message {reading.message!r}" if reading.message else "a payload that is not text"
            return f"it is marked already: under this key it carries {said} ({name}, p {reading.p_value:.0e})"
    if places[0].p_value < payload.SURE:
        return (
            f"it is marked already, under another key (the template of {learned.NAME}, p under {places[0].p_value:.0e})"
        )
    return ""


def require_scheme(name: str) -> str:
    """The name of a scheme.

    Raises:
        VeriscopeError: there is none of that name.
    """
    if name not in SCHEMES:
        raise VeriscopeError(f"no scheme of watermarks is called {name!r}; there are: {', '.join(SCHEMES)}")
    return name
