"""The stored pixels of a picture that is to be marked, and all that must come out of it as it went in.

Unlike ``Picture.rgb``, which is made for looking, these pixels keep their depth, their colour space, their transparency and the
way they are turned in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.errors import PictureError
from veriscope.picture import Picture

STRUCTURE = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 285, 288, 289, 290, 291}
    | {297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 338, 339, 347, 512, 513, 514}
)
# tags of TIFF that say how its pixels lie, which a new file says anew
XMP_TAG, PROFILE_TAG, ORIENTATION_TAG = 700, 34675, 274
PLAIN = ("L", "LA", "RGB", "RGBA")  # modes that are marked as they are


@dataclass(frozen=True, eq=False)
class Original:
    """Stored pixels, and what goes with them.

    Attributes:
        pixels: uint8 or uint16, (H, W, 3) RGB or (H, W) grey, turned as in the file.
        alpha: (H, W) of the same type, or None.
        orientation: EXIF orientation by which the pixels are turned upright, 1 to 8.
        exif: the block without its header; empty where there is none.
        profile: the colour profile; empty where there is none.
        xmp: the packet; empty where there is none.
        dpi: dots an inch across and down, or None.
        notes: plain sentences about what is not kept.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    orientation: int = 1
    exif: bytes = field(default=b"", repr=False)
    profile: bytes = field(default=b"", repr=False)
    xmp: bytes = field(default=b"", repr=False)
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def most(self) -> int:
        """The largest value of a pixel, 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)


def original(picture: Picture) -> Original:
    """The stored pixels of an opened picture.

    Raises:
        PictureError: it is animated or has several pages, ends early, or its pixels cannot be read again.
    """
    if picture.frames > 1 and picture.format != "MPO":
        what = "pages" if picture.format == "TIFF" else "frames"
        raise PictureError(
            picture.name,
            f"it holds {picture.frames} {what}, and a mark goes into one; save one of them as a file of its own",
        )
    if picture.truncated:
        raise PictureError(
            picture.name, "the file ends early; a mark would fix what is missing for good. Get the whole file"
        )
    image = picture.pillow()
    exif, turned = _exif(picture, image)
    kept: dict[str, Any] = {
        "exif": exif,
        "orientation": turned,
        "profile": image.info.get("icc_profile") or b"",
        "xmp": _xmp(image),
        "dpi": image.info.get("dpi"),
    }
    if _depth(picture, image) == 16:
        deep = _sixteen(picture)
        if deep is not None:
            pixels, alpha = deep
            return Original(pixels, alpha, **kept)
    notes: tuple[str, ...] = ()
    if picture.frames > 1:
        notes = (f"The file holds {picture.frames} pictures; only the first is marked and written.",)
    if any("bits a channel" in note for note in picture.notes):
        notes += ("The marked picture is written at 8 bits a channel.",)
    try:
        image.load()
    except Exception as error:
        raise PictureError(picture.name, f"its pixels cannot be read ({error})") from error
    if "transparency" in image.info:
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    plain = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}.get(image.mode, image.mode)
    if plain not in PLAIN:
        # Colours that a mark cannot be added to as they are; Picture has them as sRGB, upright.
        notes += (f"The {picture.mode} picture is marked and written in sRGB.",)
        return Original(
            picture.rgb, None, **{**kept, "profile": b"", "orientation": 1, "exif": _upright(exif)}, notes=notes
        )
    array = np.asarray(image.convert(plain))
    alpha = np.ascontiguousarray(array[..., -1]) if plain in ("LA", "RGBA") else None
    pixels = array[..., 0] if plain == "LA" else array[..., :3] if plain == "RGBA" else array
    return Original(np.ascontiguousarray(pixels), alpha, **kept, notes=notes)


def _depth(picture: Picture, image: Image.Image) -> int:
    if picture.format == "PNG":
        return picture.data[24]
    if picture.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, 8)
        return int(bits[0] if isinstance(bits, tuple) else bits)
    return 8


def _sixteen(picture: Picture) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None] | None:
    """Pixels and alpha of a PNG or TIFF of 16 bits a channel, as stored; None where OpenCV reads it otherwise."""
    read = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16:
        return None
    if read.ndim == 2:
        return read, None
    alpha = np.ascontiguousarray(read[..., 3]) if read.shape[2] == 4 else None
    pixels = np.ascontiguousarray(read[..., 2::-1])
    if alpha is not None and picture.mode in ("LA", "I;16"):
        pixels = np.ascontiguousarray(pixels[..., 0])
    return pixels, alpha


def _exif(picture: Picture, image: Image.Image) -> tuple[bytes, int]:
    """The EXIF block, and the orientation that is still to be applied to the pixels that ``original`` reads."""
    deep = _depth(picture, image) == 16
    if picture.format == "TIFF":
        tags = Image.Exif()
        found = image.getexif()
        for tag, value in found.items():
            if tag not in STRUCTURE and tag not in (XMP_TAG, PROFILE_TAG):
                tags[tag] = value
        for nested in (0x8769, 0x8825):
            if inner := found.get_ifd(nested):
                tags.get_ifd(nested).update(inner)
        turned = picture.orientation if deep else 1  # Pillow turns a TIFF as it reads it
        if ORIENTATION_TAG in tags:
            tags[ORIENTATION_TAG] = turned
        return (tags.tobytes().removeprefix(b"Exif\0\0") if len(tags) else b""), turned
    block = image.info.get("exif")
    if picture.format == "PNG" and not isinstance(block, bytes):
        image.load()  # an eXIf chunk may follow the pixels
        block = image.info.get("exif")
    exif = block.removeprefix(b"Exif\0\0") if isinstance(block, bytes) else b""
    if picture.format == "HEIC":
        return _upright(exif), 1  # pillow-heif has turned it
    return exif, picture.orientation


def _upright(exif: bytes) -> bytes:
    if not exif:
        return b""
    tags = Image.Exif()
    try:
        tags.load(b"Exif\0\0" + exif)
    except Exception:
        return b""
    if ORIENTATION_TAG in tags:
        tags[ORIENTATION_TAG] = 1
    return tags.tobytes().removeprefix(b"Exif\0\0")


def _xmp(image: Image.Image) -> bytes:
    packet = (
        image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or getattr(image, "tag_v2", {}).get(XMP_TAG) or b""
    )
    return packet.encode("utf-8") if isinstance(packet, str) else bytes(packet)


def turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array ``(H, W, ...)`` as stored, turned upright by an EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    down, across = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return array[::down, ::across]


def turned_back(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The inverse of ``turned``."""
    return turned(array, {6: 8, 8: 6}.get(orientation, orientation))
