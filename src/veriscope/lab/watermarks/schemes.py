"""Watermarks as benchmarks and attacks see them: bits go into pixels, bits and perhaps a p-value come out of pixels.

Ours stand beside two packages that are compared with when they are installed, and never needed otherwise:
``invisible-watermark`` (dwtDct, dwtDctSvd and rivaGan, the marks of Stable Diffusion's early tools) and
``blind-watermark``. Those two must be told how many bits to read, and give no p-value.

Papers: Navas et al. 2008 (DWT-DCT-SVD); Zhang et al. 2019 (RivaGAN).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.watermarks.payload import binomial

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Bits = NDArray[np.uint8]  # (N,) of 0 and 1
DEFAULT_KEY = "veriscope benchmark"
OURS = ("learned", "dwt_dct_svd")
INVISIBLE = ("dwtDct", "dwtDctSvd", "rivaGan")  # methods of invisible-watermark
RIVAGAN_BITS = 32  # all that it carries
BLIND = "blind-watermark"
OUR_BITS = 64


@dataclass(frozen=True)
class Reading:
    """What was read off a picture.

    Attributes:
        bits: after error correction, if there is one; None where nothing could be read, as in a picture too small.
        p_value: the scheme's own, for a reader who was not told the bits; None where it has none.
    """

    bits: Bits | None
    p_value: float | None = None


@dataclass(frozen=True)
class Scheme:
    """One way of marking.

    Attributes:
        name: as tables show it.
        embed: pixels and bits to marked pixels of the same shape.
        detect: pixels to what is read.
        fixed: the bits that it always writes, where it cannot write others.
    """

    name: str
    embed: Callable[[Pixels, Bits], Pixels]
    detect: Callable[[Pixels], Reading]
    fixed: Bits | None = None


def agreeing(reading: Reading, bits: Bits) -> int:
    """How many bits were read as they were written; half where nothing could be read, as a guess would have."""
    return len(bits) // 2 if reading.bits is None else int((reading.bits == bits).sum())


def test_p(reading: Reading, bits: Bits) -> float:
    """The p-value of a test for these bits: binomial where bits were read, else the scheme's own, or 1."""
    if reading.bits is not None:
        return binomial(int((reading.bits == bits).sum()), len(bits))
    return 1.0 if reading.p_value is None else reading.p_value


def schemes(bits: int, names: tuple[str, ...] = (), key: str = DEFAULT_KEY) -> tuple[list[Scheme], dict[str, str]]:
    """The schemes that can carry so many bits, and why each of the others is absent.

    Args:
        bits: of the payload.
        names: which ones; all that there are by default. ``rooted=DIR`` is a decoder of ``root-signature``.
        key: of those that take one.
    Raises:
        VeriscopeError: there is none of that name, or a rooted decoder cannot be opened.
    """
    found, absent = [], {}
    for name in names or ALL:
        if name.startswith("rooted="):
            found.append(_rooted(Path(name.removeprefix("rooted=")), key))
            continue
        if name not in ALL:
            raise VeriscopeError(f"no scheme is called {name!r}; there are: {', '.join(ALL)} and rooted=DIR")
        reason = _absent(name, bits)
        if reason:
            absent[name] = reason
        else:
            found.append(_made(name, bits, key))
    return found, absent


def _absent(name: str, bits: int) -> str:
    if name in OURS:
        return "" if bits <= OUR_BITS else f"it carries {OUR_BITS} bits"
    package, module = (BLIND, "blind_watermark") if name == BLIND else ("invisible-watermark", "imwatermark")
    for needed in (module, "pywt"):
        if find_spec(needed) is None:
            return f"not installed: pip install {package}"
    return f"it carries {RIVAGAN_BITS} bits only" if name == "rivaGan" and bits != RIVAGAN_BITS else ""


def _made(name: str, bits: int, key: str) -> Scheme:
    if name in OURS:
        module = import_module(f"veriscope.watermarks.{OUR_MODULES[name]}")
        return Scheme(name, partial(_embed_ours, module, key), partial(_read_ours, module, key, bits))
    if name == BLIND:
        return Scheme(name, _embed_blind, partial(_read_blind, bits))
    return Scheme(name, partial(_embed_invisible, name), partial(_read_invisible, name, bits))


def _embed_ours(module: Any, key: str, rgb: Pixels, bits: Bits) -> Pixels:
    filled = np.zeros(OUR_BITS, np.uint8)
    filled[: len(bits)] = bits
    return np.asarray(module.embed_data(rgb, np.packbits(filled).tobytes(), key), np.uint8)


def _read_ours(module: Any, key: str, count: int, rgb: Pixels) -> Reading:
    try:
        bits, p_value = module.read_data(rgb, key)
    except VeriscopeError:  # too small
        return Reading(None, 1.0)
    return Reading(np.asarray(bits[:count], np.uint8), float(p_value))


def _embed_invisible(method: str, rgb: Pixels, bits: Bits) -> Pixels:
    encoder = import_module("imwatermark").WatermarkEncoder()
    if method == "rivaGan":
        encoder.loadModel()
    encoder.set_watermark("bits", bits.tolist())
    marked = encoder.encode(np.ascontiguousarray(rgb[:, :, ::-1]), method)
    return np.ascontiguousarray(marked[:, :, ::-1])


def _read_invisible(method: str, count: int, rgb: Pixels) -> Reading:
    decoder = import_module("imwatermark").WatermarkDecoder("bits", count)
    if method == "rivaGan":
        decoder.loadModel()
    try:
        read = decoder.decode(np.ascontiguousarray(rgb[:, :, ::-1]), method)
    except RuntimeError:  # too small for it
        return Reading(None)
    return Reading(np.asarray(read, np.uint8))


def _blind() -> Any:
    package = import_module("blind_watermark")
    package.bw_notes.close()  # it greets on the terminal otherwise
    return package.WaterMark(password_wm=1, password_img=1)


def _embed_blind(rgb: Pixels, bits: Bits) -> Pixels:
    mark = _blind()
    mark.read_img(img=np.ascontiguousarray(rgb[:, :, ::-1]))
    mark.read_wm(bits.astype(bool), mode="bit")
    return np.ascontiguousarray(np.rint(mark.embed()[:, :, ::-1]).astype(np.uint8))


def _read_blind(count: int, rgb: Pixels) -> Reading:
    try:
        read = _blind().extract(embed_img=np.ascontiguousarray(rgb[:, :, ::-1]), wm_shape=count, mode="bit")
    except (AssertionError, ValueError):  # too small for it
        return Reading(None)
    return Reading(np.asarray(read, bool).astype(np.uint8))


def _rooted(folder: Path, key: str) -> Scheme:
    from veriscope.lab.watermarks import keys
    from veriscope.lab.watermarks.coders import open_coder
    from veriscope.lab.watermarks.root import opened

    coder = open_coder(str(folder))
    extractor, about = opened(folder)
    fixed = keys.signature_bits(about["signature"], keys.checked(key), extractor.bits)
    return Scheme(
        f"rooted={folder.name}",
        lambda rgb, _: coder.reconstruct(rgb),
        lambda rgb: Reading(extractor.bits_of(rgb)),
        fixed,
    )


OUR_MODULES = {"learned": "learned", "dwt_dct_svd": "classical"}
ALL = (*OURS, *INVISIBLE, BLIND)
