"""A signature rooted in a generator: its latent decoder is fine-tuned until an extractor reads the signature in all it draws.

The extractor is fixed; the decoder learns to satisfy it, on latents of real pictures, while staying near the original's
pictures (``seen.visible``). Nothing is added to a finished picture, so leaving the mark out takes another decoder. The test
is the binomial one: without the key, each bit of the signature agrees with an unmarked picture's reading by a fair coin. It
fails on pictures that were made much smaller, were drawn again by another generator, or are nearly flat.

Paper: Fernandez et al., "The Stable Signature: Rooting Watermarks in Latent Diffusion Models", ICCV 2023.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from veriscope.errors import ModelError
from veriscope.lab.generators.training import Say, Schedule, descend, learn
from veriscope.lab.recipes.recipe import write_json
from veriscope.lab.watermarks import keys
from veriscope.lab.watermarks.channel import changed
from veriscope.lab.watermarks.coders import Coder
from veriscope.lab.watermarks.extractor import Extractor, load_extractor, pixels_of
from veriscope.lab.watermarks.seen import psnr, visible
from veriscope.lab.watermarks.statistics import FAIR_COIN
from veriscope.watermarks.payload import binomial

ABOUT = "signature.json"
SHARPNESS = 2.0  # times a reading of unit spread: its logit
VISIBILITY = 0.5  # weight of what is seen, against 1 for the message
ROUGHEN = 0.03  # times the latents' spread: noise, as latents that were sampled have
CHECKED = 64  # squares that the figures are measured on


@dataclass(frozen=True)
class Traced:
    """What the test of one picture gave.

    Attributes:
        matched: bits that agree with the signature.
        bits: of how many.
        p_value: of ``statistics.FAIR_COIN``.
        read: the signature's digits as they were read, where it was given as bits; None where it is a text.
    """

    matched: int
    bits: int
    p_value: float
    read: str | None = None
    null: str = FAIR_COIN

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class _Rooting:
    """A decoder in fine-tuning."""

    def __init__(self, coder: Coder, extractor: Extractor, signature: NDArray[np.uint8], schedule: Schedule) -> None:
        self.device = schedule.torch_device
        self.original = coder.to(self.device)
        self.marked = copy.deepcopy(coder).to(self.device)
        self.marked.decoder.requires_grad_(True)
        self.extractor = extractor.to(self.device)
        self.signature = torch.from_numpy(signature.astype(np.float32)).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.marked.decoder.parameters(), schedule.rate, (0.9, 0.99), weight_decay=0.0
        )

    def step(self, batch: NDArray[np.uint8], progress: float, rate: float) -> dict[str, float]:  # noqa: ARG002 (a Learner)
        generator = torch.Generator().manual_seed(int(torch.randint(1 << 31, ())))
        with torch.no_grad():
            latents = rough(self.original.encode(pixels_of(batch, self.device)))
            wanted = self.original.decode(latents)
        made = self.marked.decode(latents)
        readings = self.extractor(changed(made.clamp(0, 1), generator))
        message = message_loss(readings, self.signature.expand_as(readings))
        seen = visible(made, wanted)
        descend(self.optimiser, message + VISIBILITY * seen, rate)
        agree = ((readings > 0) == (self.signature > 0.5)).float().mean()
        return {"message": message.item(), "visible": seen.item(), "accuracy": agree.item(), "psnr": psnr(made, wanted)}

    def state(self) -> dict[str, Any]:
        return {"decoder": self.marked.decoder.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.marked.decoder.load_state_dict(state["decoder"])
        self.optimiser.load_state_dict(state["optimiser"])


def message_loss(readings: Tensor, bits: Tensor) -> Tensor:
    """Cross entropy of readings ``(N, bits)`` of unit spread for the bits that they should read, 0 or 1."""
    return F.binary_cross_entropy_with_logits(SHARPNESS * readings, bits)


def rough(latents: Tensor) -> Tensor:
    """Latents with a little noise, same shape."""
    return latents + ROUGHEN * latents.std() * torch.randn_like(latents)


def draw_from(squares: NDArray[np.uint8], batch: int) -> Callable[[np.random.Generator], NDArray[np.uint8]]:
    """Draws batches ``uint8 (batch, S, S, 3)`` of squares, mirrored by chance, from a source of chance."""

    def draw(generator: np.random.Generator) -> NDArray[np.uint8]:
        taken = squares[np.sort(generator.integers(0, len(squares), batch))]
        return np.ascontiguousarray(taken[:, :, ::-1] if generator.random() < 0.5 else taken)

    return draw


def root_signature(
    coder: Coder,
    extractor: Extractor,
    signature: str,
    key: str,
    squares: NDArray[np.uint8],
    checked: NDArray[np.uint8],
    work: Path,
    out: Path,
    schedule: Schedule,
    say: Say,
) -> dict[str, Any]:
    """Fine-tune a decoder to a signature and write it, with the extractor and ``signature.json``, into ``out``.

    Args:
        coder: the autoencoder; it stays as it is.
        extractor: reads the signature.
        signature: a text, or as many digits 0 and 1 as the extractor reads.
        key: the secret; it is not written.
        squares: real pictures to learn on, ``uint8 (N, S, S, 3)``.
        checked: others to measure on; may be empty.
        work: where the checkpoint is kept; run again with the same it resumes.
        out: the folder of the marked decoder.
        schedule: how long.
        say: called with lines of progress.
    Returns:
        what ``signature.json`` holds.
    Raises:
        VeriscopeError: signature or key are no such, or something cannot be written.
    """
    wanted = keys.signature_bits(signature, keys.checked(key), extractor.bits)
    torch.manual_seed(schedule.seed)
    learner = _Rooting(coder, extractor, wanted, schedule)
    of = identity(coder, extractor, schedule, wanted.tobytes())

    steps = learn(
        learner, draw_from(squares, schedule.batch), schedule, work / f"signature-{of[:12]}.ckpt", of=of, say=say
    )
    marked = learner.marked.eval().requires_grad_(False)
    about: dict[str, Any] = {
        "signature": signature,
        "bits": extractor.bits,
        "decoder": coder.words,
        "steps": steps,
        "seed": schedule.seed,
        "null": FAIR_COIN,
    }
    about |= measured(coder, marked, extractor, wanted, checked[:CHECKED]) if len(checked) else {}
    marked.save(out)
    extractor.save(out)
    write_json(out / ABOUT, about)
    return about


@torch.no_grad()
def measured(
    coder: Coder, marked: Coder, extractor: Extractor, wanted: NDArray[np.uint8], squares: NDArray[np.uint8]
) -> dict[str, Any]:
    """Bit accuracy of squares that the marked decoder drew, as drawn and after random changes, and how near they are."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.from_numpy(wanted.astype(bool))
    near: list[float] = []
    plain: list[float] = []
    after: list[float] = []
    before: list[float] = []
    for square in squares:
        latents = coder.encode(pixels_of(square[None], next(coder.parameters()).device))
        drawn, shown = coder.decode(latents).clamp(0, 1), marked.decode(latents).clamp(0, 1)
        near.append(psnr(shown, drawn))
        for found, pixels in ((before, drawn), (plain, shown), (after, changed(shown, generator))):
            found.append(float(((extractor(pixels)[0].cpu() > 0) == bits).float().mean()))
    return {
        "checked": len(squares),
        "psnr_to_unmarked": round(float(np.mean(near)), 2),
        "bit_accuracy": round(float(np.mean(plain)), 4),
        "bit_accuracy_changed": round(float(np.mean(after)), 4),
        "bit_accuracy_unmarked": round(float(np.mean(before)), 4),
    }


def trace_signature(rgb: NDArray[np.uint8], extractor: Extractor, signature: str, key: str) -> Traced:
    """Whether a picture ``uint8 (H, W, 3) RGB`` carries a signature.

    Raises:
        VeriscopeError: signature or key are no such, or the picture is too small.
    """
    wanted = keys.signature_bits(signature, keys.checked(key), extractor.bits)
    read = extractor.bits_of(rgb)
    matched = int((read == wanted).sum())
    digits = keys.plain_bits(read, key) if set(signature) <= {"0", "1"} else None
    return Traced(matched, extractor.bits, binomial(matched, extractor.bits), digits)


def opened(folder: Path) -> tuple[Extractor, dict[str, Any]]:
    """The extractor and ``signature.json`` of a folder that ``root_signature`` wrote.

    Raises:
        ModelError: it is no such folder.
    """
    try:
        about = dict(json.loads((folder / ABOUT).read_text(encoding="utf-8")))
        about["signature"] = str(about["signature"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder} holds no {ABOUT}; veriscope lab root-signature --out {folder} makes one") from error
    return load_extractor(folder), about


def identity(coder: Coder, extractor: Extractor, schedule: Schedule, more: bytes = b"") -> str:
    """A digest of what a training depends on, so that only its own checkpoint is resumed."""
    digest = hashlib.sha256(json.dumps(asdict(schedule), sort_keys=True).encode() + more)
    weights: Iterable[Tensor] = (*coder.state_dict().values(), *extractor.state_dict().values())
    for value in weights:
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()
