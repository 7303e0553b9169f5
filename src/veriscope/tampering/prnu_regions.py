"""Where does a picture lack its own camera's sensor fingerprint?

A part pasted from elsewhere, repainted or generated does not carry the pattern that the rest of the picture does. In each
window the correlation of the noise residual with the fingerprint is compared with what the window's light and texture let
expect, learned from the picture's own other windows, and with the zero that a missing fingerprint gives. Windows where
the two cannot be told apart (dark, clipped, strongly textured) are not judged, and a region under about half a window is
not seen. It needs a picture that as a whole matches the camera. After Chen, Fridrich, Goljan and Lukas, "Determining
image origin and integrity using sensor noise", TIFS 2008, with the predictor fitted to the picture instead of in advance.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg_coefficients import upright
from veriscope.picture import Picture
from veriscope.tampering.demosaicing import without_specks
from veriscope.tampering.localisation import Localisation
from veriscope.tampering.prnu import Fingerprint, Match, compare, light_and_noise
from veriscope.tampering.sensor_residual import without_shared_traces

CELL = 16  # pixels a side, the map's resolution
WINDOWS = (3, 5, 7, 9, 13)  # cells a side: 48 to 208 px; the paper's is 128 px
STRONG = 7.0  # standard deviations expected in the median lit window, from which the window is large enough
TOLD = 4.0  # standard deviations expected, under which present and missing look alike
ROUNDING = 1 / 12 / 255**2  # squared share of full light: the least energy of a residual of whole grey levels
LEAST_LIGHT = 0.05  # energy of the expected pattern, cell over window, under which the window says nothing of the cell
MISFIT = 0.2  # of the expected correlation: how far a present fingerprint may be from it
PRIOR = 0.01  # share of windows that lack it, before looking
LEAST_SHARE = 0.005  # of the picture: smaller regions are not called
_Plane = NDArray[np.float32]


def compare_regions(picture: Picture, fingerprint: Fingerprint, match: Match | None = None) -> Localisation:
    """Where the fingerprint of the picture's camera is missing.

    Args:
        picture: of the fingerprint's size, or a crop.
        fingerprint: the camera's.
        match: what ``compare`` gave for the two, where it is at hand.
    Returns:
        The map, one value for each 16x16 px, upright; of reliability 0 where the picture as a whole shows no match.
    Raises:
        PictureError: the picture is too small, or larger than the fingerprint.
    """
    match = match or compare(picture, fingerprint)
    light, noise = light_and_noise(picture)
    if not match.matches:
        nothing = np.zeros((-(-picture.height // CELL), -(-picture.width // CELL)), np.float32)
        says = match.says(fingerprint.camera)
        reason = "The picture as a whole does not match the camera, so no part can be said to lack its fingerprint."
        return Localisation(nothing, nothing, 0.0, says, 0.0, reason)
    missing, told = missing_fingerprint(without_shared_traces(noise), light * _under(fingerprint, match, light.shape))
    missing, told = (np.ascontiguousarray(upright(plane, picture.orientation)) for plane in (missing, told))
    share = float((missing >= 0.5).mean())
    says = (
        f"About {share:.0%} of the picture lacks the sensor fingerprint of {fingerprint.camera} that the rest carries."
        if share > 0
        else f"The sensor fingerprint of {fingerprint.camera} runs through all of the picture that could be judged."
    )
    judged = float(told.mean())
    reason = f"{1 - judged:.0%} of the picture is too dark, clipped or textured to judge." if judged < 0.9 else ""
    return Localisation(missing, told, float(missing.max()), says, min(1.0, 2 * judged), reason)


def _under(fingerprint: Fingerprint, match: Match, shape: tuple[int, ...]) -> _Plane:
    """The part of the pattern that lies under the picture, turned as the picture is stored."""
    height, width = shape if match.turn % 2 == 0 else shape[::-1]
    (top, left) = match.shift
    return np.rot90(fingerprint.pattern[top : top + height, left : left + width], -match.turn)


def missing_fingerprint(noise: _Plane, expected: _Plane) -> tuple[_Plane, _Plane]:
    """Where ``expected`` is not in ``noise`` as it is in the rest.

    Args:
        noise: float32 (H, W), the noise residual.
        expected: float32 (H, W), light times fingerprint, 0 where clipped.
    Returns:
        The posterior of its absence, float32 (ceil(H/16), ceil(W/16)) in [0, 1], and where it could be told, 0 or 1.
    """
    counted = _cells(np.ones_like(noise))
    products = [_cells(first * second) for first, second in ((noise, expected), (noise, noise), (expected, expected))]
    for side in WINDOWS:
        whole, joint, own, template = (
            cv2.blur(plane, (side, side), borderType=cv2.BORDER_CONSTANT) for plane in (counted, *products)
        )
        own += ROUNDING
        root = np.sqrt(whole) * side * CELL  # of the window's pixels
        deviations = root * joint / np.sqrt(own * template + 1e-30)
        predicted = _predicted(deviations, root * np.sqrt(template / own), np.log(own))
        if predicted.any() and np.median(predicted[predicted > 0]) >= STRONG:
            break
    told = (predicted >= TOLD) & (products[2] > LEAST_LIGHT * template)
    spread = 1 + (MISFIT * predicted) ** 2
    ratio = ((deviations - predicted) ** 2 / spread - deviations**2 + np.log(spread)) / 2
    posterior = 1 / (1 + np.exp(-np.clip(ratio + np.log(PRIOR / (1 - PRIOR)), -50, 50)))
    missing = np.where(told & (deviations < predicted), posterior, 0).astype(np.float32)
    least = max(LEAST_SHARE * missing.size, (side / 2) ** 2)
    reach = 2 * (side // 4) + 1  # a window is called only when most of it lacks the fingerprint: the region is larger
    grown = cv2.dilate(without_specks(missing, least), np.ones((reach, reach), np.uint8))
    return np.asarray(grown * told, np.float32), told.astype(np.float32)


def _cells(values: _Plane) -> _Plane:
    """Means of 16x16 px, those that stand over the edge counted as 0."""
    lack = [-side % CELL for side in values.shape]
    padded = cv2.copyMakeBorder(values, 0, lack[0], 0, lack[1], cv2.BORDER_CONSTANT, value=0)
    return np.asarray(padded.reshape(padded.shape[0] // CELL, CELL, -1, CELL).mean((1, 3)), np.float32)


def _predicted(deviations: _Plane, power: _Plane, texture: _Plane) -> _Plane:
    """What a window with the fingerprint should give: ``power`` times a gain that falls linearly with texture.

    Fitted to all windows by iterated least squares with Tukey's weights, so that a part without the fingerprint does not
    pull it down.
    """
    levels = texture - float(np.median(texture))
    terms = np.stack([power.ravel(), (power * levels).ravel()], 1).astype(np.float64)
    seen = deviations.ravel().astype(np.float64)
    gain = np.array([np.median(seen / (terms[:, 0] + 1e-9)), 0.0])
    for _ in range(10):
        off = seen - terms @ gain
        scale = max(1.0, 1.4826 * float(np.median(np.abs(off))))
        weights = np.square(np.maximum(1 - np.square(off / (4.685 * scale)), 0))
        normal = (terms * weights[:, None]).T @ terms
        gain = np.linalg.solve(normal + np.diag([1e-9, 0.1 * normal[0, 0] + 1e-9]), terms.T @ (weights * seen))
    return np.asarray(np.maximum(terms @ gain, 0).reshape(power.shape), np.float32)
