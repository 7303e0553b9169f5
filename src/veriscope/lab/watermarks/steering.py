"""How far the channels of a decoder steer the strengths of fine waves, and from it a reader and a first mapping in closed form.

Not everything that a reader could look at can be steered: the same change of a channel makes a wave stronger in one picture and
weaker in another. So reader and mapping are chosen together, as the paper trains them together: the sums of strengths that
channels move most, for the same visibility, against how much these sums differ from picture to picture, change on a
picture's way, and are moved otherwise in other pictures: the leading singular pairs of the mean sensitivity, whitened.

Paper: Kim et al. 2024 (WOUAF: mapping and fingerprint decoder are trained jointly).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from veriscope.lab.networks.modulation import Modulation, channels, modulated
from veriscope.lab.watermarks.channel import changed
from veriscope.lab.watermarks.coders import Coder
from veriscope.lab.watermarks.extractor import TURN_SEED, Extractor, pixels_of
from veriscope.lab.watermarks.seen import hidden

SEEN = 240  # squares whose strengths are read
PROBED = 12  # squares whose sensitivity is computed
PROBES = 48  # random directions in which visibility is measured
LOOSE = 0.03  # spread of factors whose differing effects are counted as noise
RIDGE = 0.1  # of the strongest pair, so that what hardly moves is not forced
SHIFT = 2.0  # readings of unit spread: how far the start moves each


def steer(coder: Coder, squares: NDArray[np.uint8], bits: int, seed: int = 0) -> tuple[Extractor, Modulation]:
    """A reader of ``bits`` bits and a mapping that moves them, for a decoder.

    Args:
        coder: whose decoder is modulated.
        squares: real pictures ``uint8 (N, S, S, 3)``, some hundred.
        bits: of a fingerprint.
        seed: of what happens to the pictures and of the probes.
    """
    generator = torch.Generator().manual_seed(seed)
    extractor, mapping = Extractor(bits), Modulation(bits, channels(coder.decoder))
    places = np.unique(np.linspace(0, len(squares) - 1, SEEN).round().astype(int))
    mean, noise = _strengths(coder, extractor, squares[places], generator)
    probed = squares[places[:: max(1, len(places) // PROBED)]]
    slopes = torch.stack([sensitivity(coder, extractor, mapping, one[None]) for one in probed])
    cost = visibility(coder, mapping, probed, generator)
    apart = slopes - slopes.mean(0)
    noise = noise + LOOSE**2 * (apart @ apart.transpose(1, 2)).mean(0).double()
    root = torch.linalg.cholesky(noise + 1e-6 * noise.diagonal().mean() * torch.eye(len(noise), dtype=torch.float64))
    white = torch.linalg.solve_triangular(root, (slopes.mean(0) / cost.sqrt()).double(), upper=False)
    left, sizes, right = torch.linalg.svd(white, full_matrices=False)
    turn = torch.linalg.qr(torch.randn(bits, bits, generator=torch.Generator().manual_seed(TURN_SEED)).double())[0]
    read = turn @ torch.linalg.solve_triangular(root.T, left[:, :bits], upper=True).T
    inverse = sizes[:bits] / (sizes[:bits].square() + (RIDGE * sizes[0]) ** 2)
    moves = right[:bits].T @ torch.diag(inverse) @ turn.T / cost.sqrt()[:, None].double()
    extractor.shift.copy_(mean)
    extractor.weights.copy_(read)
    mapping.begin((SHIFT * moves).float())
    return extractor, mapping


def sensitivity(coder: Coder, extractor: Extractor, mapping: Modulation, squares: NDArray[np.uint8]) -> Tensor:
    """How far each factor moves each mean strength of pictures ``uint8 (N, S, S, 3)``: ``(features, all channels)``."""
    factors, latents = _at_rest(coder, mapping, squares)
    with modulated(coder.decoder, mapping.split(factors)):
        strengths = extractor.reader(coder.decode(latents).clamp(0, 1)).mean(0)
    return torch.cat([torch.autograd.grad(one, factors, retain_graph=True)[0] for one in strengths])


def visibility(coder: Coder, mapping: Modulation, squares: NDArray[np.uint8], generator: torch.Generator) -> Tensor:
    """How much is seen of each factor's unit change, ``(all channels,)``: mean squares of random projections."""
    factors, latents = _at_rest(coder, mapping, squares)
    with modulated(coder.decoder, mapping.split(factors)):
        made = coder.decode(latents)
    weights = hidden(made.detach()).rsqrt() / made[0].numel() ** 0.5
    total = torch.zeros_like(factors[0])
    for _ in range(PROBES):
        probe = torch.randn(made.shape, generator=generator).to(made) * weights
        (slope,) = torch.autograd.grad((made * probe).sum(), factors, retain_graph=True)
        total += slope[0].square() / len(squares)
    cost = total / PROBES
    return cost + 0.05 * cost.mean()


def _at_rest(coder: Coder, mapping: Modulation, squares: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    device = next(coder.parameters()).device
    with torch.no_grad():
        latents = coder.encode(pixels_of(np.asarray(squares), device))
    return torch.ones(1, sum(mapping.sizes.values()), device=device, requires_grad=True), latents


@torch.no_grad()
def _strengths(
    coder: Coder, extractor: Extractor, squares: NDArray[np.uint8], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The mean of the strengths of pictures that the decoder drew, and their covariance with that of what happens to them."""
    device = next(coder.parameters()).device
    plain, after = [], []
    for at in range(0, len(squares), 12):
        made = coder.decode(coder.encode(pixels_of(np.asarray(squares[at : at + 12]), device))).clamp(0, 1)
        plain.append(extractor.reader(made))
        after.append(extractor.reader(changed(made, generator)))
    before, then = torch.cat(plain).double(), torch.cat(after).double()
    mean = before.mean(0)
    covariance = (before - mean).T @ (before - mean) / len(before) + (then - before).T @ (then - before) / len(before)
    return mean, covariance
