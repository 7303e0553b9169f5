"""Mark a picture's file and read a mark again: what the command line, the library and the server call.

``detect`` asks every scheme unless one is named; the p-value is then corrected for their number as well.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import PictureError, VeriscopeError
from veriscope.picture import Limits, Picture, open_picture
from veriscope.watermarks import alignment, classical, learned, payload, strength, writing
from veriscope.watermarks.original import Original, original, turned_back

SCHEMES: dict[str, ModuleType] = {learned.NAME: learned, classical.NAME: classical}
DEFAULT = learned.NAME
PSNRS = (30.0, 60.0)  # dB that may be asked for
UNLIKELY = 1e-3  # p-value of the template over which a picture that is to be marked is read at one place only
WEAKEST = 33.0  # dB: the least that is tried unasked, where a mark is too weak to be read
STRENGTHS = (strength.PSNR, 39.0, 36.0, WEAKEST)


@dataclass(frozen=True)
class Detection:
    """What a picture says under a key.

    Attributes:
        message: the text; None where there is no mark under this key, or it carries no text.
        p_value: probability of so telling a reading without a mark under this key.
        bits_corrected: raw bits, of 192, that the code had to change; None where there is no mark.
        scheme: the scheme whose reading this is; the p-value's null is ``payload.NULL`` for each.
    """

    message: str | None
    p_value: float
    bits_corrected: int | None
    scheme: str

    def as_json(self) -> dict[str, str | float | int | None]:
        """The four values by their names, as ``veriscope watermark detect --json`` prints them."""
        return asdict(self)


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


def detect(picture: Picture, key: str, scheme: str | None = None) -> Detection:
    """What a picture's mark says under a key; neither the length of the message nor the scheme need be known.

    Args:
        picture: opened; of an animation the first frame is read.
        key: the text that it was marked with.
        scheme: the only one to ask; all by default, and the p-value is corrected for their number.
    Raises:
        VeriscopeError: the key is empty, or there is no such scheme.
        ModelError: the weights are missing or damaged.
    """
    payload.require_key(key)
    asked = list(SCHEMES) if scheme is None else [require_scheme(scheme)]
    heard: dict[str, payload.Reading] = {}
    for name in asked:
        heard[name] = SCHEMES[name].read(picture.rgb, key)
        if heard[name].found:
            break
    name, reading = min(heard.items(), key=lambda item: (not item[1].found, item[1].p_value))
    p_value = payload.corrected_p(reading.p_value, len(asked))
    found = reading.holds and p_value < payload.SURE
    return Detection(reading.message if found else None, p_value, reading.bits_corrected if found else None, name)


def marked_file(
    picture: Picture,
    message: str,
    key: str,
    scheme: str | None = None,
    *,
    psnr: float | None = None,
    over: bool = False,
) -> bytes:
    """The bytes of a picture's file with a message in it: in its own format where that can be written, else as a PNG.

    Args:
        picture: opened.
        message, key, psnr, over: as for ``mark``.
        scheme: which mark; ``DEFAULT`` where it is None.
    Raises:
        VeriscopeError, PictureError, ModelError: as for ``mark``.
    """
    kind = "JPEG" if picture.format == "MPO" else picture.format
    kind = kind if kind in writing.FORMATS.values() else "PNG"
    return mark(picture, message, key, kind, scheme=scheme or DEFAULT, psnr=psnr, over=over).data


def mark(
    picture: Picture,
    message: str,
    key: str,
    kind: str,
    *,
    scheme: str = DEFAULT,
    psnr: float | None = None,
    over: bool = False,
) -> Marked:
    """A picture's file with a message in it.

    Args:
        picture: opened.
        message: 1 to 8 bytes of text.
        key: a secret; the same one reads the mark again.
        kind: the format of the file, as in ``writing.FORMATS``.
        scheme: which mark.
        psnr: dB, at least so much, of the learned mark. By default ``strength.PSNR``, and less, down to ``WEAKEST``, in a
            picture so busy that the mark could not be read from the finished file.
        over: mark a picture that is marked already as well.
    Raises:
        VeriscopeError: a message or key that does not fit, an unknown scheme, or a PSNR out of range.
        PictureError: the picture is too small, animated, cut short, marked already, too plain to carry a mark, or has
            transparency that ``kind`` cannot keep.
        ModelError: the weights are missing or damaged.
    """
    data = payload.message_bytes(message)
    payload.require_key(key)
    require_scheme(scheme)
    if psnr is not None and not PSNRS[0] <= psnr <= PSNRS[1]:
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
    found = _residual(picture.rgb, source, payload.raw_bits(data, key), key, scheme)
    notes = []
    if earlier:
        notes = [f"{earlier[0].upper()}{earlier[1:]}; marked over, the earlier mark may still be read."]
    for wanted in (psnr,) if psnr is not None or scheme != learned.NAME else STRENGTHS:
        pixels, reached = _marked(source, found, scheme, strength.PSNR if wanted is None else wanted)
        written = writing.encoded(pixels, source, kind)
        if not _readable(written, message, key, scheme):
            continue
        if wanted is not None and wanted < strength.PSNR and psnr is None:
            notes.append(f"The picture is busy: only at a PSNR of {wanted:g} dB can its mark be read.")
        return Marked(written, reached, scheme, (*notes, *writing.lost(source, kind)))
    raise PictureError(
        picture.name,
        f"the mark of {scheme} could not be read from the finished file, and nothing was written: the picture hides it, or "
        f"{kind} does. Try a lower --psnr, .png, or another --scheme",
    )


def _readable(written: bytes, message: str, key: str, scheme: str) -> bool:
    """Whether a finished file says what it should, also to who does not know the scheme."""
    again = open_picture(written, name="marked", limits=Limits(bytes=2**40, pixels=2**40))
    reading: payload.Reading = SCHEMES[scheme].read(again.rgb, key)
    return reading.message == message and payload.corrected_p(reading.p_value, len(SCHEMES)) < payload.SURE


def _residual(
    rgb: NDArray[np.uint8], source: Original, raw: NDArray[np.uint8], key: str, scheme: str
) -> NDArray[np.float32]:
    """What is added to the stored pixels, turned as they are."""
    found = classical.residual(rgb, raw, key) if scheme == classical.NAME else learned.residual(rgb, raw)
    return np.ascontiguousarray(turned_back(found, source.orientation))


def _marked(
    source: Original, found: NDArray[np.float32], scheme: str, wanted: float
) -> tuple[NDArray[np.integer], float]:
    if scheme == classical.NAME:
        pixels = strength.added(source.pixels, found, 1.0, source.most)
        return pixels, strength.psnr(source.pixels, pixels, source.most)
    return strength.strengthened(source.pixels, found, wanted, source.most)


def mark_already(rgb: NDArray[np.uint8], key: str) -> str:
    """What mark a picture carries already, as a sentence without its full stop; empty where none is found."""
    canvas = alignment.small(rgb)
    places = alignment.align(canvas)
    if places[0].p_value > UNLIKELY:
        places = places[:1]
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
