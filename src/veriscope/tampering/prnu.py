"""Photo-response non-uniformity: was the picture taken by this very camera?

Each pixel of a sensor is a little more or less sensitive than the next, so all its pictures carry one weak pattern,
multiplied by the light. Averaged over a camera's pictures it is a fingerprint; a picture is tested by correlating its
noise residual with it. Strong compression, resizing, rotation, stabilisation and computational photography weaken or move
the pattern: a match speaks for the camera, a miss does not speak against it. After Lukas, Fridrich and Goljan (TIFS
2006), Chen et al. (TIFS 2008: the estimate) and Goljan, Fridrich and Filler (SPIE 2009: peak-to-correlation energy).
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg_coefficients import as_stored
from veriscope.errors import PictureError, VeriscopeError
from veriscope.picture import Limits, Picture
from veriscope.tampering.localisation import LEAST_SIDE
from veriscope.tampering.sensor_residual import residual, without_shared_traces

FORMAT = 1  # of a saved fingerprint
MATCH = 60.0  # peak-to-correlation energy: 2.4e-5 false alarms over a million pictures (Goljan et al. 2009)
CLIPPED = 250.0  # grey levels from which a pixel has not counted the light
LEAST_PATTERN = 1e-5  # standard deviation of a pattern: sensors have 1e-3 to 1e-2, rounding of floats 1e-7
PEAK_RADIUS = 5  # pixels around the peak that are not counted as noise: 11x11 (Goljan et al. 2009)
FEW_PICTURES = 15  # a fingerprint of fewer varied pictures is weak

_Plane = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One camera's pattern, in the orientation in which its sensor stores pictures.

    Attributes:
        camera: what to call it.
        pattern: float32 (H, W), each pixel's relative deviation in sensitivity, zero mean.
        pictures: how many it was made from.
    """

    camera: str
    pattern: _Plane = field(repr=False)
    pictures: int

    def save(self, path: str | Path) -> None:
        """Write it as a NumPy archive, whole or not at all.

        Raises:
            VeriscopeError: it cannot be written; the message names the path.
        """
        target, partial = Path(path), Path(f"{path}.partial")
        buffer = io.BytesIO()
        np.savez(buffer, format=FORMAT, camera=self.camera, pictures=self.pictures, pattern=self.pattern)
        try:
            partial.write_bytes(buffer.getbuffer())
            os.replace(partial, target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise VeriscopeError(f"{target}: cannot be written ({error.strerror})") from error

    @classmethod
    def load(cls, path: str | Path, limits: Limits | None = None) -> Fingerprint:
        """Read what ``save`` wrote; nothing in the file is run.

        Raises:
            VeriscopeError: it is missing, no fingerprint, damaged or over the limit of pixels; the message names the path.
        """
        most = (limits or Limits()).pixels
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > 4 * most + 100_000:
                    raise VeriscopeError(f"{path}: a fingerprint of more than {most / 1e6:g} megapixels")
            with np.load(path, allow_pickle=False) as stored:
                values = {name: stored[name] for name in ("format", "camera", "pictures", "pattern")}
        except OSError as error:
            raise VeriscopeError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise VeriscopeError(f"{path}: not a camera fingerprint; make one with 'veriscope camera enrol'") from error
        return cls._checked(str(path), values)

    @classmethod
    def _checked(cls, path: str, values: dict[str, NDArray[np.generic]]) -> Fingerprint:
        pattern, camera = values["pattern"], values["camera"]
        counts = [values[name] for name in ("format", "pictures")]
        if any(count.shape != () or count.dtype.kind not in "iu" for count in counts) or camera.dtype.kind != "U":
            raise VeriscopeError(f"{path}: damaged: its name, format or count is of the wrong kind")
        if int(counts[0].item()) != FORMAT:
            raise VeriscopeError(f"{path}: format {counts[0].item()}, where this version reads format {FORMAT}")
        if pattern.dtype != np.float32 or pattern.ndim != 2 or min(pattern.shape) < LEAST_SIDE:
            raise VeriscopeError(f"{path}: damaged: its pattern is no float32 plane of at least {LEAST_SIDE} px a side")
        if not np.isfinite(pattern).all() or not pattern.any() or int(counts[1].item()) < 1:
            raise VeriscopeError(f"{path}: damaged: its pattern is empty or holds values that are no numbers")
        return cls(str(camera), np.asarray(pattern, np.float32), int(counts[1].item()))


@dataclass(frozen=True)
class Match:
    """One picture against one fingerprint.

    Attributes:
        pce: peak-to-correlation energy, signed; 60 is the usual threshold.
        p_value: how often a picture of another camera would reach it by chance, over all places searched.
        shift: (down, right) in pixels, where the picture's stored corner lies on the fingerprint.
        turn: quarter turns counter-clockwise that bring the picture, as stored, onto the fingerprint.
        searched: how many places and turns were tried.
    """

    pce: float
    p_value: float
    shift: tuple[int, int]
    turn: int
    searched: int

    @property
    def matches(self) -> bool:
        """Whether the energy reaches the usual threshold."""
        return self.pce >= MATCH

    def says(self, camera: str) -> str:
        """One plain sentence."""
        if not self.matches:
            return (
                f"The fingerprint of {camera} was not found; a resized, strongly compressed, stabilised or very dark or "
                "textured picture of that camera would look like this too."
            )
        crop = f", as a crop from {self.shift[1]} px right and {self.shift[0]} px down" if any(self.shift) else ""
        return f"The picture carries the sensor fingerprint of {camera}{crop}."


class Enrolment:
    """A fingerprint in the making: the maximum-likelihood estimate, picture by picture, in bounded memory."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.pictures = 0
        self._weighted = self._light = np.zeros((0, 0), np.float32)

    def add(self, picture: Picture) -> None:
        """Take one more picture of the camera.

        Raises:
            PictureError: it is too small, or of another size than the first.
        """
        light, noise = light_and_noise(picture)
        if not self.pictures:
            self._weighted, self._light = np.zeros_like(light), np.zeros_like(light)
        if light.shape != self._light.shape:
            raise PictureError(
                picture.name,
                f"{light.shape[1]}x{light.shape[0]} px as stored, where the first picture has "
                f"{self._light.shape[1]}x{self._light.shape[0]}; a fingerprint needs uncropped pictures of one size",
            )
        self._weighted += noise * light
        self._light += light * light
        self.pictures += 1

    def fingerprint(self) -> Fingerprint:
        """The fingerprint of all pictures so far.

        Raises:
            VeriscopeError: there are none, or no light in them.
        """
        estimate = np.asarray(self._weighted / np.maximum(self._light, 1e-3), np.float32)
        if not self.pictures or float(estimate.std()) < LEAST_PATTERN:
            raise VeriscopeError(f"{self.camera}: no picture with light and noise in it to make a fingerprint of")
        return Fingerprint(self.camera, without_shared_traces(estimate), self.pictures)


def enrol(pictures: Iterable[Picture], camera: str = "the camera") -> Fingerprint:
    """The fingerprint of a camera from its pictures, all uncropped and of one size; 15 or more varied, bright ones are good.

    Raises:
        PictureError: a picture is too small or differs in size.
        VeriscopeError: there is no picture.
    """
    enrolment = Enrolment(camera)
    for picture in pictures:
        enrolment.add(picture)
    return enrolment.fingerprint()


def light_and_noise(picture: Picture) -> tuple[_Plane, _Plane]:
    """The picture's light in [0, 1], 0 where clipped, and its noise residual as a share of it, as stored: float32 (H, W).

    Raises:
        PictureError: it is too small.
    """
    if min(picture.height, picture.width) < LEAST_SIDE:
        raise PictureError(picture.name, f"under {LEAST_SIDE} px a side, too small for a sensor fingerprint")

    def compute() -> tuple[_Plane, _Plane]:
        luma = np.ascontiguousarray(as_stored(picture.luma, picture.orientation))
        light = np.where(luma < CLIPPED, luma / 255, 0).astype(np.float32)
        return light, np.asarray(residual(luma) / 255, np.float32)

    return picture.once("light and noise", compute)


def compare(picture: Picture, fingerprint: Fingerprint, *, turns: bool = False) -> Match:
    """Test a picture, or a crop of one, against a fingerprint.

    A picture of the fingerprint's size is tested in place; a smaller one at every place where it fits.

    Args:
        picture: it is tested as its file stores it, before the EXIF orientation, which is how the sensor lies.
        fingerprint: the camera's.
        turns: also try the picture turned by 90, 180 and 270 degrees, for files that were turned without saying so.
    Raises:
        PictureError: it is too small, or larger than the fingerprint.
    """
    light, noise = light_and_noise(picture)
    fitting = [
        turn
        for turn in (range(4) if turns else (0,))
        if all(side <= most for side, most in zip(np.rot90(light, turn).shape, fingerprint.pattern.shape, strict=True))
    ]
    if not fitting:
        raise PictureError(
            picture.name,
            f"{light.shape[1]}x{light.shape[0]} px as stored do not fit into the fingerprint's "
            f"{fingerprint.pattern.shape[1]}x{fingerprint.pattern.shape[0]}"
            + ("" if turns else "; a picture that was turned needs the search over turns"),
        )
    signal = without_shared_traces(noise) * light
    pattern = np.fft.rfft2(fingerprint.pattern)
    found = [(*_peak(np.rot90(signal, turn), pattern, fingerprint.pattern.shape), turn) for turn in fitting]
    searched = sum(places for _, _, places, _ in found)
    energy, shift, _, turn = max(found)
    return Match(energy, false_alarm(energy, searched), shift, turn, searched)


def _peak(
    signal: _Plane, pattern: NDArray[np.complexfloating], shape: tuple[int, int]
) -> tuple[float, tuple[int, int], int]:
    """The peak-to-correlation energy of a signal in the spectrum of a pattern, its place, and how many were tried."""
    spectrum = np.conj(np.fft.rfft2(signal, s=shape))
    spectrum *= pattern
    correlation = np.fft.irfft2(spectrum, s=shape)
    places = correlation[: shape[0] - signal.shape[0] + 1, : shape[1] - signal.shape[1] + 1]
    at = np.unravel_index(int(np.argmax(places)), places.shape)
    shift = int(at[0]), int(at[1])
    return peak_to_correlation_energy(correlation, shift), shift, places.size


def peak_to_correlation_energy(correlation: NDArray[np.floating], at: tuple[int, int]) -> float:
    """Squared height of a peak, with its sign, over the mean square away from it (Goljan et al. 2009, eq. 6).

    Args:
        correlation: cyclic cross-correlation, float (H, W), both sides over 11.
        at: the peak's row and column.

    >>> plane = np.ones((32, 32)); plane[3, 30] = -8
    >>> peak_to_correlation_energy(plane, (3, 30))
    -64.0
    """
    around = np.arange(-PEAK_RADIUS, PEAK_RADIUS + 1)
    near = correlation[np.ix_((at[0] + around) % correlation.shape[0], (at[1] + around) % correlation.shape[1])]
    total = float(np.einsum("ij,ij->", correlation, correlation, dtype=np.float64))
    energy = (total - float(np.square(near, dtype=np.float64).sum())) / (correlation.size - near.size)
    height = float(correlation[at])
    return math.copysign(height * height / energy, height) if energy > 0 else 0.0


def false_alarm(pce: float, searched: int) -> float:
    """The probability that the highest of ``searched`` places of an unrelated picture reaches this energy.

    The correlation at one place is taken as normal (Goljan et al. 2009, eq. 9). 0.0 stands for less than 1e-300.

    >>> round(false_alarm(0.0, 1), 3)
    0.5
    >>> 1e-9 < false_alarm(60.0, 1_000_000) < 1e-7
    True
    """
    one = 0.5 * math.erfc(math.copysign(math.sqrt(abs(pce) / 2), pce))
    return -math.expm1(searched * math.log1p(-one)) if one < 1 else 1.0
