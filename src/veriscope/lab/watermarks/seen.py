"""How much a mark would be seen: differences of pictures, weighed less where the picture is busy, at several scales.

Stands for the perceptual losses that published methods take from networks trained on photographs, which are not at hand
here: an error as large as the texture around it is hidden by it (contrast masking), an error on a smooth wall or sky is
not.

Papers: Watson 1993 (contrast masking); Fernandez et al. 2023 (Stable Signature: a perceptual loss beside the message's).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 3  # each half as large as the one before
AROUND = 7  # pixels: the texture that hides an error
VISIBLE = 3 / 255  # standard deviation: a difference of so much on a plain area counts as one


def visible(made: Tensor, wanted: Tensor) -> Tensor:
    """How far ``made`` is from ``wanted`` as eyes weigh it: a number, 0 where they are equal, about 1 where it is plain to see.

    Args:
        made, wanted: pixels ``(N, 3, H, W)``, about [0, 1].
    """
    total = torch.zeros((), device=made.device)
    for scale in range(SCALES):
        if scale:
            made, wanted = F.avg_pool2d(made, 2), F.avg_pool2d(wanted, 2)
        error = (made - wanted).square().mean(1, keepdim=True)
        total = total + 2.0**scale * (_mean(error) / hidden(wanted.detach())).mean()
    return total / (2**SCALES - 1)


def psnr(made: Tensor, wanted: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pixels in [0, 1]; 100 where they are equal."""
    error = float((made.detach().clamp(0, 1) - wanted.clamp(0, 1)).square().mean())
    return min(100.0, -10 * float(torch.log10(torch.tensor(max(error, 1e-10)))))


def _mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, AROUND, 1, AROUND // 2, count_include_pad=False)


def hidden(pixels: Tensor) -> Tensor:
    """The variance of an error that is just seen at each place of pixels ``(N, 3, H, W)``: ``(N, 1, H, W)``."""
    spread = (_mean(pixels.square()) - _mean(pixels).square()).clamp(min=0).mean(1, keepdim=True)
    return spread + VISIBLE**2
