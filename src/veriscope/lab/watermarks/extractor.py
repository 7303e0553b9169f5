"""The extractor of a signature: bits from the strengths of fine waves, fitted to pictures in closed form, on disk and loaded.

Among all sums of the strengths those are taken that differ least from picture to picture and change least on a picture's
way, each scaled to unit spread and all turned at random, so that no bit is weaker than another. Readings of unmarked
pictures are thereby even (whitened): each bit is as often 0 as 1 and none follows another, so the binomial test, exact for
one picture over all keys, also holds nearly for one key over many pictures. It reads little from flat pictures, and from
ones smaller than 100 px.

Paper: Fernandez et al. 2023 (Stable Signature, section 4.1: whitening of the extractor).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.data.manifest import Row
from veriscope.lab.generators import kept
from veriscope.lab.generators.crops import crops
from veriscope.lab.networks.signature import LEAST_SIDE, SpectralReader
from veriscope.lab.watermarks.channel import changed

KIND = "extractor"
BITS = 48
FITTED = 2000  # squares of pictures
CHECKED = 256  # squares that the figures are measured on
MOST_SIDE = 512  # pixels: of a larger picture, five parts of this size are read
TURN_SEED = 98  # of the turn that makes bits alike


class Extractor(nn.Module):
    """A reader of strengths and what makes bits of them.

    Args:
        bits: how many.
    """

    shift: Tensor
    weights: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.reader = SpectralReader()
        self.bits = bits
        self.register_buffer("shift", torch.zeros(self.reader.features))
        self.register_buffer("weights", torch.zeros(bits, self.reader.features))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W) in [0, 1]`` to readings ``(N, bits)`` of unit spread; positive reads 1."""
        return (self.reader(pixels) - self.shift) @ self.weights.T

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], generator: torch.Generator) -> None:
        """Choose the sums, from unmarked pixels in batches ``(N, 3, H, W) in [0, 1]``.

        Raises:
            ModelError: they are too few.
        """
        pairs = [(self.reader(batch), self.reader(changed(batch, generator))) for batch in batches]
        plain, after = (
            (torch.cat(side).double() for side in zip(*pairs, strict=True)) if pairs else (torch.zeros(0),) * 2
        )
        if len(plain) < 2 * self.reader.features:
            raise ModelError(f"an extractor is fitted to at least {2 * self.reader.features} squares, not {len(plain)}")
        mean = plain.mean(0)
        covariance = (plain - mean).T @ (plain - mean) / len(plain)
        covariance += (after - plain).T @ (after - plain) / len(plain)
        values, vectors = torch.linalg.eigh(covariance)
        steady = vectors[:, : self.bits] / values[: self.bits].sqrt()
        turn = torch.randn(self.bits, self.bits, generator=torch.Generator().manual_seed(TURN_SEED)).double()
        self.shift.copy_(mean)
        self.weights.copy_(torch.linalg.qr(turn)[0] @ steady.T)

    @torch.no_grad()
    def read(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The readings ``float32 (bits,)`` of a picture ``uint8 (H, W, 3) RGB``; of a large one, the mean over parts.

        Raises:
            VeriscopeError: it is too small.
        """
        if min(rgb.shape[:2]) < LEAST_SIDE:
            raise VeriscopeError(
                f"a picture of {rgb.shape[1]} x {rgb.shape[0]} px is too small: {LEAST_SIDE} px at least"
            )
        found = [self(pixels_of(part[None], self.shift.device))[0].float().cpu() for part in parts(rgb)]
        return np.asarray(torch.stack(found).mean(0).numpy(), np.float32)

    def bits_of(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bits ``uint8 (bits,)`` read from a picture ``uint8 (H, W, 3) RGB``.

        Raises:
            VeriscopeError: it is too small.
        """
        return (self.read(rgb) > 0).astype(np.uint8)

    def save(self, folder: Path, **figures: Any) -> None:
        """Write ``extractor.safetensors`` and ``extractor.json``.

        Raises:
            VeriscopeError: they cannot be written.
        """
        kept.save(folder, KIND, self.state_dict(), {"bits": self.bits, **figures})


def pixels_of(squares: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Pictures ``uint8 (N, H, W, 3)`` as ``float32 (N, 3, H, W) in [0, 1]``."""
    return torch.from_numpy(np.ascontiguousarray(squares.transpose(0, 3, 1, 2))).to(device).float() / 255


def parts(rgb: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """What is read of ``uint8 (H, W, 3)``: all of it, or five parts of at most ``MOST_SIDE`` a side."""
    height, width = (min(MOST_SIDE, side) for side in rgb.shape[:2])
    down, right = rgb.shape[0] - height, rgb.shape[1] - width
    places = {(down // 2, right // 2), (0, 0), (0, right), (down, 0), (down, right)} if down or right else {(0, 0)}
    return [rgb[top : top + height, left : left + width] for top, left in sorted(places)]


def load_extractor(folder: Path, *, device: str = "cpu") -> Extractor:
    """The extractor of a folder, frozen and in evaluation mode.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    if not (folder / f"{KIND}.json").is_file():
        raise ModelError(f"{folder} holds no {KIND}.json; veriscope lab fit-extractor --out {folder} makes one")
    tensors, about = kept.load(folder, KIND)
    try:
        model = Extractor(int(about["bits"]))
        model.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{folder}: {KIND} is damaged ({error!r}); fit it again or copy it again") from error
    return model.to(device).eval().requires_grad_(False)


def fit_extractor(
    rows: Sequence[Row],
    checked: Sequence[Row],
    work: Path,
    *,
    bits: int = BITS,
    seed: int = 0,
    say: Callable[[str], None],
) -> tuple[Extractor, dict[str, Any]]:
    """An extractor fitted to squares of real pictures, frozen, and how even its readings of other pictures are.

    Args:
        rows: real pictures to fit to.
        checked: real pictures to measure on, apart from them; may be empty.
        work: where squares are kept.
        bits: how many it reads.
        seed: of squares and of what happens to them.
        say: called with lines of progress.
    Raises:
        VeriscopeError: there are too few pictures, or bits too many.
    """
    model = Extractor(bits)
    if not 8 <= bits <= model.reader.features // 2 + 1:
        raise VeriscopeError(f"--bits must be 8 to {model.reader.features // 2 + 1}, not {bits}")
    squares = crops(rows, work, count=FITTED, seed=seed, say=say)
    say(f"fitting an extractor of {bits} bits to {len(squares)} squares")
    model.fit(_batches(squares, FITTED), torch.Generator().manual_seed(seed))
    model.eval().requires_grad_(False)
    figures: dict[str, Any] = {"squares": len(squares), "seed": seed}
    if checked:
        figures |= evenness(model, _batches(crops(checked, work, count=CHECKED, seed=seed, say=say), CHECKED))
    return model, figures


@torch.no_grad()
def evenness(model: Extractor, batches: Iterable[Tensor]) -> dict[str, float]:
    """How near readings of unmarked pixels are to fair coins: the worst bit's share of 1, the root mean square correlation."""
    ones = torch.cat([model(batch) > 0 for batch in batches]).double()
    share = ones.mean(0)
    spread = (ones - share).square().mean(0).sqrt() + 1e-9
    follow = (ones - share).T @ (ones - share) / len(ones) / spread[:, None] / spread[None]
    apart = follow[~torch.eye(model.bits, dtype=torch.bool)]
    return {
        "unmarked_most_uneven_bit": round(float((share - 0.5).abs().max()), 4),
        "unmarked_correlation": round(float(apart.square().mean().sqrt()), 4),
        "checked": len(ones),
    }


def _batches(squares: NDArray[np.uint8], most: int, size: int = 16) -> Iterable[Tensor]:
    places = np.unique(np.linspace(0, len(squares) - 1, min(most, len(squares))).round().astype(int))
    return (
        pixels_of(np.asarray(squares[places[at : at + size]]), torch.device("cpu"))
        for at in range(0, len(places), size)
    )
