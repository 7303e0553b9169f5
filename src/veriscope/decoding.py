"""From a file's bytes to upright sRGB pixels, reading as far as a file that ends early goes.

Pillow decodes into a buffer of its own and raises when the data runs out; the rows it had decoded are still in that
buffer. Decoding twice, over a black and over a white buffer, tells exactly which pixels the file does not hold. JPEG
needs only an end marker appended: libjpeg then fills what is missing with its mid-grey. No flag of Pillow's that other
users of the process share is touched.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from veriscope.errors import PictureError
from veriscope.recognition import count_frames, open_lazily

MISSING = 128  # the grey of what a truncated file does not hold
SAME_COLOUR = 2  # of 255; profiles no further than this from sRGB leave the pixels as they are stored
JPEG_END = b"\xff\xd9"
ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoded:
    """What decoding read: the fields of ``Picture`` of the same names."""

    format: str
    rgb: NDArray[np.uint8]
    mode: str
    frames: int
    orientation: int
    truncated: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Stored:
    """The pixels as the file stores them, and ``missing``: a mask image, 255 where the file ends before the pixel."""

    image: Image.Image
    missing: Image.Image | None = None
    notes: tuple[str, ...] = ()
    truncated: bool = False


def decode(name: str, data: bytes, *, max_pixels: int) -> Decoded:
    """Decode the first frame of a file.

    Args:
        name: the file as the user named it, for the error.
        data: the file's bytes.
        max_pixels: how many pixels the header may declare.

    Raises:
        PictureError: not a picture, over the limit, or not one pixel can be read.
    """
    kind, image, notes = open_lazily(name, data)
    width, height = image.size
    if width * height > max_pixels:
        raise PictureError(
            name,
            f"its {width} x {height} pixels are over the limit of {max_pixels / 1e6:g} megapixels; scale it down first",
        )
    try:
        frames = count_frames(kind, image, data)
        mode, depth, declared = image.mode, _depth(kind, image, data), _orientation(kind, image)
        stored = _load(name, kind, image, data)
        if kind == "PNG":
            declared = _orientation(kind, image)  # an eXIf chunk may follow the pixels
        left = 1 if kind == "HEIC" or (kind == "TIFF" and stored.image is image) else declared
        rgb, more = _srgb(stored.image, depth)
        if stored.missing is not None:
            rgb.paste((MISSING, MISSING, MISSING), mask=stored.missing)
        if left in UPRIGHT:
            rgb = rgb.transpose(UPRIGHT[left])
        pixels = np.asarray(rgb)
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError(name, f"its {width} x {height} pixels do not fit in memory") from error
    except Exception as error:
        raise PictureError(name, f"its {kind} data cannot be read ({_short(error)})") from error
    if frames > 1:
        notes += (f"The file holds {frames} {'pages' if kind == 'TIFF' else 'frames'}; only the first is examined.",)
    pixels.flags.writeable = False
    return Decoded(kind, pixels, mode, frames, declared, stored.truncated, notes + stored.notes + more)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


# Reading as far as the file goes


def _load(name: str, kind: str, image: ImageFile.ImageFile, data: bytes) -> _Stored:
    try:
        image.load()
        return _Stored(image)
    except Exception as error:
        failure = error
    if kind in ("WEBP", "AVIF", "HEIC"):
        reason = f"the {kind} file ends early or is damaged, and this format cannot be read in part ({_short(failure)})"
        raise PictureError(name, reason) from failure
    if kind in ("JPEG", "MPO"):
        try:
            ended = open_lazily(name, data + JPEG_END)[1]
            ended.load()
            return _partial(name, ended, _grey_rows(ended))
        except PictureError:
            raise
        except Exception as error:
            failure = error  # damaged, not only short: read what comes before the damage
    black, white = _decode_over(name, data, 0), _decode_over(name, data, 255)
    differs = np.asarray(black) != np.asarray(white)
    if not differs.any():
        return _Stored(black, None, ("What follows the pixels in the file is damaged and was not read.",))
    return _partial(name, black, differs.any(axis=2) if differs.ndim == 3 else differs)


def _decode_over(name: str, data: bytes, level: int) -> Image.Image:
    """What Pillow decodes before it fails, into a buffer filled with ``level``."""
    image = open_lazily(name, data)[1]
    prepare = image.load_prepare

    def prepare_filled() -> None:
        prepare()
        colour = level if len(image.getbands()) == 1 else (level,) * len(image.getbands())
        image.im = Image.new(image.mode, image.im.size, colour).im

    image.__dict__["load_prepare"] = prepare_filled
    try:
        image.load()
    except Exception:
        if image._im is None:
            raise
    if image.palette is not None:
        image.palette.dirty = 1
    Image.Image.load(image)  # no decoding: gives the buffer its palette
    read = image._new(image.im)
    read.info = image.info
    return read


def _grey_rows(image: Image.Image) -> NDArray[np.bool_]:
    """The rows at the bottom that libjpeg filled: zero coefficients, so one even mid-grey."""
    pixels = np.asarray(image).reshape(image.height, -1).astype(np.int16)
    even: NDArray[np.bool_] = np.all(abs(pixels - MISSING) <= 1, axis=1)
    first = image.height - int(np.argmin(even[::-1])) if not even.all() else 0
    missing = np.zeros((image.height, image.width), np.bool_)
    missing[first:] = True
    return missing


def _partial(name: str, image: Image.Image, missing: NDArray[np.bool_]) -> _Stored:
    share = float(missing.mean())
    if share == 1:
        raise PictureError(name, "the file ends, or is damaged, before the first of its pixels")
    if share == 0:
        says = "The file ends early or is damaged; every row is there, but some of its detail is missing."
        return _Stored(image, None, (says,), truncated=True)
    percent = f"{share:.0%}" if share >= 0.01 else "less than 1%"
    says = f"The file ends early or is damaged: about {percent} of the picture is missing and shown as grey."
    return _Stored(image, Image.fromarray(missing.astype(np.uint8) * 255), (says,), truncated=True)


# Depth, colour, alpha, orientation


def _depth(kind: str, image: Image.Image, data: bytes) -> int:
    """Bits a channel as stored, where the format says so; 8 otherwise."""
    if kind == "PNG":
        return data[24]
    if kind == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, 8)
        return int(bits[0] if isinstance(bits, tuple) else bits)
    return int(image.info.get("bit_depth") or 8) if kind == "HEIC" else 8


def _srgb(image: Image.Image, depth: int) -> tuple[Image.Image, tuple[str, ...]]:
    profile = image.info.get("icc_profile")
    transparent = image.info.get("transparency")
    image, alpha, notes = _eight_bit(image, depth, transparent)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or (transparent is not None and alpha is None):
        if depth == 16 and isinstance(transparent, tuple):
            image.info["transparency"] = tuple(value >> 8 for value in transparent)
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    if image.mode == "LAB" and not profile:
        lab = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        image = ImageCms.applyTransform(image, lab) or image
    elif isinstance(profile, bytes) and profile:
        image, says = _apply_profile(image, profile)
        notes += says
    image = image.convert("RGB")
    if alpha is not None and alpha.getextrema() != (255, 255):
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=alpha)
        image, notes = white, (*notes, "The picture is partly transparent; it is examined on a white ground.")
    return image, notes


def _eight_bit(
    image: Image.Image, depth: int, transparent: Any
) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    if image.mode.startswith("I;16"):
        most = (1 << depth) - 1 if 8 < depth < 16 else 65535
        values = np.asarray(image).astype(np.uint32)
        alpha = None
        if isinstance(transparent, int):
            alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
        grey = Image.fromarray(np.minimum((values * 255 + most // 2) // most, 255).astype(np.uint8))
        return grey, alpha, (f"Stored at {max(depth, 9)} bits a channel; scaled to 8.",)
    if image.mode in ("I", "F"):
        numbers = np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        brightest = float(numbers.max())
        steps = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        top = next((step for step in steps if brightest <= step), brightest)
        grey = Image.fromarray(np.rint(np.clip(numbers * (255 / top), 0, 255)).astype(np.uint8))
        kind = "floating-point numbers" if image.mode == "F" else "integers of up to 32 bits"
        return grey, None, (f"Stored as {kind}; {top:g} is shown as white.",)
    return image, None, (f"Stored at {depth} bits a channel; scaled to 8.",) if depth > 8 else ()


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """The way from a profile to sRGB and the profile's name; no transform where the profile is sRGB already."""
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    said = ImageCms.getProfileDescription(opened)
    name = "".join(letter for letter in said if letter.isprintable()).strip()[:60] or "unnamed"
    if mode != "CMYK":
        levels = np.arange(0, 256, 15, dtype=np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, len(levels), 3)
        before = Image.fromarray(grid if mode == "RGB" else grid[..., 0])
        after = ImageCms.applyTransform(before, transform)
        change = np.asarray(before.convert("RGB"), np.int16) - np.asarray(after, np.int16)
        if abs(change).max() <= SAME_COLOUR:
            return None, name
    return transform, name


def _apply_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    try:
        space = profile[16:20].strip().decode("ascii", "replace")
        if space == "RGB":
            image = image.convert("RGB")
        elif space == "GRAY" and image.mode in ("1", "L"):
            image = image.convert("L")
        elif space != {"CMYK": "CMYK", "LAB": "Lab"}.get(image.mode):
            return image, (
                f"The file's colour profile is for {space or 'nothing'}, not for its pixels, and was ignored.",
            )
        transform, name = _transform(profile, image.mode)
        if transform is None:
            return image, ()
        return ImageCms.applyTransform(image, transform) or image, (f"Colours converted from '{name}' to sRGB.",)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, KeyError):
        return image, ("The file's colour profile is damaged and was ignored; colours may be slightly off.",)


def _orientation(kind: str, image: Image.Image) -> int:
    if kind == "TIFF":
        value = getattr(image, "tag_v2", {}).get(ORIENTATION_TAG, 1)
    elif kind == "HEIC":
        value = image.info.get("original_orientation") or 1
    else:
        exif = image.info.get("exif")
        value = _exif_orientation(exif.removeprefix(b"Exif\0\0")) if isinstance(exif, bytes) else 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _exif_orientation(exif: bytes) -> int:
    """The orientation in IFD0 and nothing else: Pillow's parser would copy every value the block claims to hold."""
    order = "little" if exif[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)  # type: ignore[arg-type]

    first = number(4, 4)
    for entry in range(first + 2, first + 2 + 12 * number(first, 2), 12):
        if number(entry, 2) == ORIENTATION_TAG:
            return number(entry + 8, 2)
    return 1
