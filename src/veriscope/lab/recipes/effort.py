"""Train the detector ``effort``: a ninth block of the backbone, tuned in the residual subspace of its attention's weights.

The tokens that enter it come from the shared pass, are read once and kept (0.3 MB a sample), so that an epoch costs this one
block forwards and backwards.

Paper: Yan et al. 2025 (Effort).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope import models
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.samples import Samples, Shards, derived
from veriscope.lab.networks.clip_vit import TOKENS, Block, load_from_quantised
from veriscope.lab.networks.effort import TunedBlock
from veriscope.lab.recipes.export import BLOCKS
from veriscope.lab.recipes.heads import once_each
from veriscope.lab.recipes.networks import NetworkRecipe
from veriscope.lab.recipes.recipe import Say, Settings, checked
from veriscope.synthetic import backbone

KEPT = "tokens"


@dataclass(frozen=True)
class Tokened(Samples):
    """Samples with what the backbone makes of them.

    Attributes:
        tokens: N arrays ``float16 (197, 768)``, the whole square's tokens after the last bundled block.
    """

    tokens: Shards

    def chosen(self, which: NDArray[Any]) -> Tokened:
        """The samples at the places, or under the mask, ``which``."""
        found = super().chosen(which)
        assert isinstance(found, Tokened)
        return replace(found, tokens=self.tokens.chosen(np.arange(len(self))[which]))


def with_tokens(samples: Samples, say: Say) -> Tokened:
    """The samples and their tokens, which are kept beside them."""

    def read(square: NDArray[np.uint8]) -> NDArray[np.float16]:
        return backbone.pass_of([square])[1][0].astype(np.float16)

    tokens = derived(samples, KEPT, read, say=say)
    return Tokened(**{field.name: getattr(samples, field.name) for field in fields(Samples)}, tokens=tokens)


def next_block() -> Block:
    """The block of the whole tower that follows the bundled ones; the tower is fetched by hash where it is not here.

    Raises:
        ModelError: it could not be fetched.
    """
    block = load_from_quantised(models.pull("clip-vit-b16-tower"), BLOCKS + 1).blocks[BLOCKS]
    assert isinstance(block, Block)
    return block


def constrained(network: nn.Module, tokens: Tensor, labels: Tensor) -> Tensor:
    """The cross entropy of a ``TunedBlock`` and its constraint."""
    assert isinstance(network, TunedBlock)
    return F.binary_cross_entropy_with_logits(network(tokens), labels) + network.constraint()


@dataclass(frozen=True)
class Tuning(NetworkRecipe):
    """A network on the backbone's tokens."""

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Read the tokens of ``settings.most`` pictures of each class; train, stop and calibrate on these."""
        checked(rows, settings.folds)
        samples = with_tokens(once_each(rows, work / "samples", settings, say), say)
        return self.learn(samples, work, out, _once_an_epoch(settings, len(samples)), say)

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores of all samples by a network trained on those under ``fitted``, a sixth of which stop the training."""
        of = _once_an_epoch(settings, int(fitted.sum()))
        return super().refit(with_tokens(samples, say), fitted, work, of, say)


def _once_an_epoch(settings: Settings, samples: int) -> Settings:
    """An epoch no longer than the samples are many, for each is the same whenever it is drawn."""
    return replace(settings, draws=min(settings.draws, samples))


def as_floats(tokens: NDArray[Any]) -> Tensor:
    """Tokens as the network's input, ``float32 (197, 768)``."""
    return torch.from_numpy(tokens.astype(np.float32))


RECIPE = Tuning(
    name="effort",
    about="Is it generated? A ninth block on the frozen backbone, tuned in the weakest directions of its attention.",
    papers=("Yan et al. 2025 (Effort)",),
    network=lambda: TunedBlock(next_block()),
    view=KEPT,
    side=0,
    channels=TOKENS,
    loss=constrained,
    tensor=as_floats,
    reads="tokens",
)
