"""What localisers with trained weights share: their version is that of the weights."""

from __future__ import annotations

from typing import Any

from veriscope import models
from veriscope.tampering.localisation import Localiser


class _WeightsVersion:
    def __get__(self, instance: Any, owner: type[Localiser]) -> str:
        entry = models.registry().get(owner.name)
        return entry.version if entry else "untrained"


class Trained(Localiser):
    """A localiser with a model of its own name in the registry; ``version`` is "untrained" where there are no weights."""

    version = _WeightsVersion()  # type: ignore[assignment] (read like the class variable that it stands for)
