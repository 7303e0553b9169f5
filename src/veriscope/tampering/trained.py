"""What localisers with trained weights share: their version is that of the weights."""

from __future__ import annotations

from veriscope import models
from veriscope.tampering.localisation import Localiser


class WeightsVersion:
    """A class variable that reads as the version of a model's installed weights; "untrained" where there are none.

    Args:
        model: its name in the registry; the localiser's own name by default.
    """

    def __init__(self, model: str = "") -> None:
        self.model = model

    def __get__(self, instance: object, owner: type[Localiser]) -> str:
        entry = models.registry().get(self.model or owner.name)
        return entry.version if entry else "untrained"


class Trained(Localiser):
    """A localiser with a model of its own name in the registry."""

    version = WeightsVersion()  # type: ignore[assignment]  # read like the class variable that it stands for
