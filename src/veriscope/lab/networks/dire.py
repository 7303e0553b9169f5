"""The networks of the detectors ``dire`` and ``distildire``. Papers: Wang et al. 2023 (DIRE); Lim et al. 2024 (DistilDIRE)."""

from __future__ import annotations

from torch import Tensor, nn

from veriscope.lab.networks.residual import Trunk

GAIN = 4.0  # of error maps, which are faint
WIDTHS = (32, 64, 128)


class OnErrors(nn.Module):
    """A small residual network on the error map of a reconstruction.

    Args:
        widths: of the stages.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.trunk = Trunk(3, widths)
        self.score = nn.Linear(widths[-1], 1)

    def features(self, errors: Tensor) -> Tensor:
        """Error maps ``(N, 3, H, W)`` in [0, 1] to ``(N, widths[-1])``."""
        return self.trunk(errors * GAIN)

    def forward(self, errors: Tensor) -> Tensor:
        """Error maps ``(N, 3, H, W)`` in [0, 1] to scores ``(N,)``."""
        return self.score(self.features(errors)).squeeze(1)


class OnFirstNoise(nn.Module):
    """A network of the same shape on the picture and the noise of the denoiser's first step.

    Args:
        channels: of its input, 3 and those of the noise.
        widths: of the stages, the last one as the teacher's.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.channels = channels
        self.trunk = Trunk(channels, widths)
        self.score = nn.Linear(widths[-1], 1)

    def features(self, pixels: Tensor) -> Tensor:
        """Picture and noise ``(N, channels or more, H, W)`` in [0, 1] to ``(N, widths[-1])``; further channels are not read."""
        return self.trunk(pixels[:, : self.channels])

    def forward(self, pixels: Tensor) -> Tensor:
        """Picture and noise ``(N, channels or more, H, W)`` in [0, 1] to scores ``(N,)``."""
        return self.score(self.features(pixels)).squeeze(1)
