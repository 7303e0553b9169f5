"""A mark in the latent of a picture that exists: its noise is found by inversion and optimised to carry keyed signs on rings.

Only what the mark changes is added to the picture, at its own size, weakened until the structural similarity is as high as
asked; a small model's blur stays out of it. To detect, the picture is inverted again and the rings are read. It survives
saving, noise, blur and mirroring; like the paper's it does not survive crops and turns of more than a few degrees.

Paper: Zhang et al., "Attack-Resilient Image Watermarking Using Stable Diffusion" (ZoDiac), NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from veriscope.lab.networks.watermark_noise import jpeg
from veriscope.lab.watermarks import keys
from veriscope.lab.watermarks.models import LatentModel, inverted, run, square
from veriscope.lab.watermarks.rings import Rings
from veriscope.lab.watermarks.seen import visible
from veriscope.lab.watermarks.statistics import FAIR_COIN
from veriscope.synthetic import ddim
from veriscope.watermarks.payload import corrected_p

PURPOSE = "latent rings"
QUALITY = 80  # of the JPEG that the mark is made to outlive
STEPS = 10  # of the denoiser, each way
TURNS = 30  # of the optimisation
RATE = 0.02
SEEN = 0.3  # weight of what is seen, against 1 for a message of which nothing is read
AMPLITUDE = 3.0  # what each ring should read in the recovered noise: standard deviations of its reading in white noise
SSIM = 0.95  # of the marked picture to the original, at least
FPR = 1e-6
Say = Callable[[str], None]


@dataclass(frozen=True)
class LatentMark:
    """What the test of one picture gave.

    Attributes:
        marked: whether the p-value is at most ``FPR``.
        p_value: of ``statistics.FAIR_COIN``, of the better of the picture and its mirror image.
        agreeing, signs: rings whose sign agrees, and of how many.
    """

    marked: bool
    p_value: float
    agreeing: int
    signs: int
    null: str = FAIR_COIN

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def rings_of(model: LatentModel) -> Rings:
    """The rings of all channels of a model's latents."""
    return Rings(model.size, tuple(range(model.channels)))


def embed(
    model: LatentModel,
    rgb: NDArray[np.uint8],
    key: str,
    *,
    turns: int = TURNS,
    ssim: float = SSIM,
    amplitude: float = AMPLITUDE,
    say: Say = lambda _: None,
) -> NDArray[np.uint8]:
    """A picture ``uint8 (H, W, 3) RGB`` with a mark of the key in its latent, same shape.

    Args:
        model: that the latent is of; the same is needed to detect.
        rgb: the picture, of any size.
        key: the secret.
        turns: of the optimisation.
        ssim: structural similarity to the original that is kept.
        amplitude: of the mark in the noise.
        say: called with lines of progress.
    Raises:
        VeriscopeError: the key is too short.
    """
    rings = rings_of(model)
    signs = rings.signs(keys.checked(key), PURPOSE)
    pixels = square(rgb, model.side)
    noise = inverted(model, pixels, STEPS)

    def drawn(start: Tensor) -> Tensor:
        return model.decode(run(model, start, model.most, ddim.LEAST, STEPS))

    with torch.no_grad():
        plain = drawn(noise)
    free = rings.marked(noise, signs, amplitude).requires_grad_(True)
    wanted = torch.from_numpy(signs.astype(np.float32))
    optimiser = torch.optim.Adam([free], RATE)
    for turn in range(turns):
        shown = (pixels + drawn(free) - plain).clamp(0, 1)
        found = run(model, model.encode(jpeg(shown, QUALITY)), ddim.LEAST, model.most, STEPS)
        short = (1 - wanted * rings.means(found) / amplitude).clamp(min=0).mean()
        seen = visible(shown, pixels)
        optimiser.zero_grad()
        (short + SEEN * seen).backward()
        optimiser.step()
        if turn % 10 == 0 or turn == turns - 1:
            agree = int((rings.means(found)[0].sign() == wanted).sum())
            say(f"turn {turn + 1} of {turns}: visible {seen.item():.3f}, {agree} of {rings.count} signs")
    with torch.no_grad():
        residual = drawn(free) - plain
    return mixed(rgb, residual, ssim)


def mixed(rgb: NDArray[np.uint8], residual: Tensor, ssim: float) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3) RGB`` with as much of a residual ``(1, 3, h, w)`` as a structural similarity allows, same shape."""
    height, width = rgb.shape[:2]
    wide = F.interpolate(residual, (height, width), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy() * 255

    def at(share: float) -> NDArray[np.uint8]:
        return np.clip(np.rint(rgb + share * wide), 0, 255).astype(np.uint8)

    least, most = 0.0, 1.0
    if similarity(rgb, at(most)) >= ssim:
        return at(most)
    for _ in range(10):
        middle = (least + most) / 2
        least, most = (middle, most) if similarity(rgb, at(middle)) >= ssim else (least, middle)
    return at(least)


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Structural similarity of two pictures ``uint8 (H, W, 3)``, 1 where they are equal (Wang et al. 2004)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    pair = [torch.from_numpy(np.ascontiguousarray(one_.transpose(2, 0, 1)[None])).float() for one_ in (one, other)]
    return float(structural_similarity_index_measure(*pair, data_range=255.0))


def detect(model: LatentModel, rgb: NDArray[np.uint8], key: str) -> LatentMark:
    """Whether a picture ``uint8 (H, W, 3) RGB`` carries a mark of the key.

    Raises:
        VeriscopeError: the key is too short.
    """
    rings = rings_of(model)
    signs = rings.signs(keys.checked(key), PURPOSE)
    tried = []
    for seen in (rgb, np.ascontiguousarray(rgb[:, ::-1])):
        tried.append(rings.p_value(inverted(model, square(seen, model.side), STEPS), signs))
    p_value, agreeing = min(tried)
    p_value = corrected_p(p_value, len(tried))
    return LatentMark(p_value <= FPR, p_value, agreeing, rings.count)
