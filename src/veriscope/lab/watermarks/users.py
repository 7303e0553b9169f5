"""One decoder for each user, by weight modulation, so that a picture tells whose decoder drew it.

A mapping from fingerprint to one factor a channel is trained once, on random fingerprints; a new user then costs one pass
of it. The factors are folded into plain weights, so what a user gets looks like any other decoder. To trace a picture its
bits are compared with every registered user's; the p-value of the nearest one counts the users that were tried. Where the
paper trains its reader along, ours is the fixed extractor of all rooted marks. Users who average their decoders' pictures
weaken the marks.

Paper: Kim et al., "WOUAF: Weight Modulation for User Attribution and Fingerprinting in Text-to-Image Diffusion Models",
CVPR 2024.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.generators import kept
from veriscope.lab.generators.training import Say, Schedule, descend, learn
from veriscope.lab.networks.modulation import Modulation, channels, fold, modulated
from veriscope.lab.watermarks import keys
from veriscope.lab.watermarks.channel import changed
from veriscope.lab.watermarks.coders import Coder, open_coder
from veriscope.lab.watermarks.extractor import Extractor, load_extractor, pixels_of
from veriscope.lab.watermarks.root import VISIBILITY, draw_from, identity, message_loss, rough
from veriscope.lab.watermarks.seen import psnr, visible
from veriscope.lab.watermarks.statistics import FAIR_COIN
from veriscope.watermarks.payload import binomial, corrected_p

KIND = "users"
FPR = 1e-6  # a picture is traced to a user where the p-value is at most this
STRANGERS = 100_000  # users that are not the right one, in the figures
SENSED = 8  # squares that the mapping's start is computed on
SHIFT = 1.5  # readings of unit spread: how far the start moves each
CHECKED = 64  # squares that the figures are measured on


@dataclass(frozen=True)
class Traced:
    """To whom a picture was traced.

    Attributes:
        user: the nearest user; None where the p-value is over ``FPR``.
        nearest: the nearest user whatever the p-value.
        matched, bits: how many bits of the nearest user's fingerprint agree, and of how many.
        p_value: of so many, for the best of all users that were tried (``statistics.FAIR_COIN`` and Šidák).
        users: how many were tried.
    """

    user: str | None
    nearest: str
    matched: int
    bits: int
    p_value: float
    users: int
    null: str = FAIR_COIN

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class Users:
    """What hands out decoders and traces pictures.

    Args:
        coder: the original.
        mapping: from fingerprints to factors, trained.
        extractor: reads fingerprints.
    """

    def __init__(self, coder: Coder, mapping: Modulation, extractor: Extractor) -> None:
        self.coder = coder
        self.mapping = mapping.eval().requires_grad_(False)
        self.extractor = extractor

    def fingerprint(self, user: str, key: str) -> NDArray[np.uint8]:
        """A user's bits, ``uint8 (bits,)``.

        Raises:
            VeriscopeError: the user has no name, or the key is too short.
        """
        if not user.strip():
            raise VeriscopeError("--user is empty; name the user")
        return keys.bits(keys.checked(key), f"user {user}", self.extractor.bits)

    @torch.no_grad()
    def decoder_of(self, user: str, key: str) -> Coder:
        """The autoencoder with the user's decoder.

        Raises:
            VeriscopeError: as ``fingerprint``.
        """
        made = copy.deepcopy(self.coder)
        print_ = torch.from_numpy(self.fingerprint(user, key).astype(np.float32))[None]
        fold(made.decoder, self.mapping(print_))
        return made

    def trace(self, rgb: NDArray[np.uint8], users: Sequence[str], key: str) -> Traced:
        """Whose decoder drew a picture ``uint8 (H, W, 3) RGB``.

        Raises:
            VeriscopeError: there are no users, the key is too short, or the picture too small.
        """
        names = list(dict.fromkeys(users))
        if not names:
            raise VeriscopeError("no user is named; --among takes a file with one name a line")
        prints = np.stack([self.fingerprint(name, key) for name in names])
        agree = (prints == self.extractor.bits_of(rgb)).sum(1)
        best = int(agree.argmax())
        p_value = corrected_p(binomial(int(agree[best]), self.extractor.bits), len(names))
        user = names[best] if p_value <= FPR else None
        return Traced(user, names[best], int(agree[best]), self.extractor.bits, p_value, len(names))

    def save(self, folder: Path, **about: Any) -> None:
        """Write the original, the mapping and the extractor.

        Raises:
            VeriscopeError: they cannot be written.
        """
        self.coder.save(folder / "original")
        self.extractor.save(folder)
        kept.save(folder, KIND, self.mapping.state_dict(), {"bits": self.extractor.bits, **about})


def load_users(folder: Path) -> Users:
    """What ``train_users`` wrote.

    Raises:
        ModelError: the folder holds no such thing, or it is damaged.
    """
    if not (folder / f"{KIND}.json").is_file():
        raise ModelError(f"{folder} holds no {KIND}.json; veriscope lab train-users --out {folder} makes one")
    tensors, about = kept.load(folder, KIND)
    coder = open_coder(str(folder / "original"))
    try:
        mapping = Modulation(int(about["bits"]), channels(coder.decoder))
        mapping.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{folder}: {KIND} is damaged ({error!r}); train it again or copy it again") from error
    return Users(coder, mapping, load_extractor(folder))


class _Mapping:
    """A mapping in training."""

    def __init__(self, coder: Coder, extractor: Extractor, squares: NDArray[np.uint8], schedule: Schedule) -> None:
        self.device = schedule.torch_device
        self.coder = coder.to(self.device)
        self.extractor = extractor.to(self.device)
        self.mapping = Modulation(extractor.bits, channels(coder.decoder)).to(self.device)
        near = np.asarray(squares[:SENSED])
        self.mapping.begin(sensitivity(self.coder, self.extractor, self.mapping, near), SHIFT)
        self.optimiser = torch.optim.AdamW(self.mapping.parameters(), schedule.rate, (0.9, 0.99), weight_decay=0.0)

    def step(self, batch: NDArray[np.uint8], progress: float, rate: float) -> dict[str, float]:  # noqa: ARG002 (a Learner)
        generator = torch.Generator().manual_seed(int(torch.randint(1 << 31, ())))
        with torch.no_grad():
            latents = rough(self.coder.encode(pixels_of(batch, self.device)))
            wanted = self.coder.decode(latents)
        prints = torch.randint(0, 2, (len(latents), self.extractor.bits), device=self.device).float()
        with modulated(self.coder.decoder, self.mapping(prints)):
            made = self.coder.decode(latents)
        readings = self.extractor(changed(made.clamp(0, 1), generator))
        message, seen = message_loss(readings, prints), visible(made, wanted)
        descend(self.optimiser, message + VISIBILITY * seen, rate)
        agree = ((readings > 0) == (prints > 0.5)).float().mean()
        return {"message": message.item(), "visible": seen.item(), "accuracy": agree.item(), "psnr": psnr(made, wanted)}

    def state(self) -> dict[str, Any]:
        return {"mapping": self.mapping.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.mapping.load_state_dict(state["mapping"])
        self.optimiser.load_state_dict(state["optimiser"])


def sensitivity(coder: Coder, extractor: Extractor, mapping: Modulation, squares: NDArray[np.uint8]) -> Tensor:
    """How far each factor of a decoder moves each reading of pictures ``uint8 (N, S, S, 3)``: ``(bits, all channels)``."""
    device = next(coder.parameters()).device
    factors = torch.ones(1, sum(mapping.sizes.values()), device=device, requires_grad=True)
    with torch.no_grad():
        latents = coder.encode(pixels_of(squares, device))
    with modulated(coder.decoder, mapping.split(factors)):
        readings = extractor(coder.decode(latents).clamp(0, 1)).mean(0)
    return torch.cat([torch.autograd.grad(one, factors, retain_graph=True)[0] for one in readings])


def train_users(
    coder: Coder,
    extractor: Extractor,
    squares: NDArray[np.uint8],
    checked: NDArray[np.uint8],
    work: Path,
    out: Path,
    schedule: Schedule,
    say: Say,
) -> dict[str, Any]:
    """Train the mapping and write it into ``out``; run again over the same ``work`` it resumes. Returns its figures.

    Args:
        coder: the autoencoder; its decoder is modulated and stays as it is.
        extractor: reads fingerprints.
        squares: real pictures to learn on, ``uint8 (N, S, S, 3)``.
        checked: others to measure on; may be empty.
        work: where the checkpoint is kept.
        out: the folder of what was trained.
        schedule: how long.
        say: called with lines of progress.
    Raises:
        VeriscopeError: something cannot be written.
    """
    torch.manual_seed(schedule.seed)
    learner = _Mapping(coder, extractor, squares, schedule)
    of = identity(coder, extractor, schedule)
    steps = learn(learner, draw_from(squares, schedule.batch), schedule, work / f"users-{of[:12]}.ckpt", of=of, say=say)
    users = Users(coder, learner.mapping, extractor)
    figures: dict[str, Any] = {"decoder": coder.words, "steps": steps, "seed": schedule.seed}
    figures |= measured(users, checked[:CHECKED]) if len(checked) else {}
    users.save(out, **figures)
    return figures


@torch.no_grad()
def measured(users: Users, squares: NDArray[np.uint8]) -> dict[str, Any]:
    """How often a square that a random user's decoder drew is traced to that user among ``STRANGERS`` more."""
    generator = torch.Generator().manual_seed(0)
    bits = users.extractor.bits
    strangers = np.random.default_rng(0).integers(0, 2, (STRANGERS, bits), np.uint8)
    prints = np.random.default_rng(1).integers(0, 2, (len(squares), bits), np.uint8)
    near: list[float] = []
    figures: dict[str, Any] = {}
    read: dict[str, list[NDArray[np.uint8]]] = {"as_drawn": [], "changed": []}
    for square, print_ in zip(squares, prints, strict=True):
        latents = users.coder.encode(pixels_of(square[None], next(users.coder.parameters()).device))
        wanted = users.coder.decode(latents).clamp(0, 1)
        with modulated(users.coder.decoder, users.mapping(torch.from_numpy(print_[None]).to(wanted))):
            made = users.coder.decode(latents).clamp(0, 1)
        near.append(psnr(made, wanted))
        for name, pixels in (("as_drawn", made), ("changed", changed(made, generator))):
            read[name].append((users.extractor(pixels)[0] > 0).cpu().numpy().astype(np.uint8))
    for name, found in read.items():
        agree = np.array([(one == print_).sum() for one, print_ in zip(found, prints, strict=True)])
        others = np.array([(strangers == one).sum(1).max() for one in found])
        p_values = np.array([corrected_p(binomial(int(one), bits), STRANGERS + 1) for one in agree])
        figures[name] = {
            "bit_accuracy": round(float(agree.mean()) / bits, 4),
            "right_user_first": round(float((agree > others).mean()), 4),
            "traced": round(float(((agree > others) & (p_values <= FPR)).mean()), 4),
        }
    return {
        "checked": len(squares),
        "among": STRANGERS + 1,
        "psnr_to_original": round(float(np.mean(near)), 2),
        **figures,
    }
