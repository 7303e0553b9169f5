"""Train the detector ``dire``: a small network on how far pictures are from their reconstruction by a diffusion model.

The maps are made once, by the same function as in use, and kept. The diffusion model is that of the registry, or a folder of
``veriscope lab train-generator diffusion`` that ``--generators NAME=FOLDER`` names; it is then written beside the detector.

Paper: Wang et al. 2023 (DIRE for Diffusion-Generated Image Detection).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from veriscope import models
from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import Row, spread
from veriscope.lab.data.samples import Samples, Shards, derived, prepare
from veriscope.lab.generators.diffusion import Diffusion
from veriscope.lab.generators.methods import methods
from veriscope.lab.networks.dire import OnErrors
from veriscope.lab.recipes.networks import NetworkRecipe
from veriscope.lab.recipes.recipe import Say, Settings, checked
from veriscope.lab.recipes.reconstruction import named
from veriscope.synthetic import diffusion
from veriscope.synthetic.diffusion import Generator


@dataclass(frozen=True)
class Mapped(Samples):
    """Samples and what the diffusion model makes of them.

    Attributes:
        maps: N arrays ``uint8 (128, 128, C)``.
    """

    maps: Shards

    def chosen(self, which: NDArray[Any]) -> Mapped:
        """The samples at the places, or under the mask, ``which``."""
        found = super().chosen(which)
        assert isinstance(found, Mapped)
        return replace(found, maps=self.maps.chosen(np.arange(len(self))[which]))


@dataclass(frozen=True)
class OnMaps(NetworkRecipe):
    """A network on maps that a diffusion model makes of pictures."""

    view: str = "maps"
    side: int = diffusion.SIDE

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """As every network's, on at most ``settings.most`` pictures of each class."""
        checked(rows, settings.folds)
        generator, weights = offered(settings, out)
        few = [
            row for label in (0, 1) for row in spread([row for row in rows if row.generated == label], settings.most)
        ]
        samples, _ = prepare(few, work / "samples", seed=settings.seed, say=say)
        seen = self.seen(samples, generator, weights, say)
        return self.learn(seen, work, out, replace(settings, generators=named(settings)), say)

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores of all samples by a network trained on those under ``fitted``."""
        return super().refit(self.seen(samples, *offered(settings, work), say), fitted, work, settings, say)

    def seen(self, samples: Samples, generator: Generator, weights: str, say: Say) -> Mapped:
        """The samples with all that the network looks at; arguments as of ``with_error_maps``."""
        return with_error_maps(samples, generator, weights, say)


def with_error_maps(samples: Samples, generator: Generator, weights: str, say: Say) -> Mapped:
    """The samples and their error maps, which are kept beside them.

    Args:
        samples: what to map.
        generator: the diffusion model.
        weights: changes with its weights.
        say: called with each line of progress.
    """

    def make(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return diffusion.error_maps(diffusion.middle(square[None]), generator)[0]

    maps = derived(samples, f"error-maps-{weights}", make, view="detail", say=say)
    return Mapped(samples.rows, samples.turns, samples.whole, samples.detail, maps)


def offered(settings: Settings, out: Path) -> tuple[Generator, str]:
    """The diffusion model that ``settings.generators`` names, written into ``out`` for use; the installed one otherwise.

    Returns:
        the model, and what changes with its weights.
    Raises:
        VeriscopeError: there is none, several are named, or one cannot be opened.
    """
    if not settings.generators:
        if diffusion.MODEL not in models.registry():
            raise VeriscopeError(
                f"no model {diffusion.MODEL} is installed: train one (veriscope lab train-generator diffusion) and name it "
                f"with --generators NAME=FOLDER"
            )
        hashes = "".join(models.model(diffusion.MODEL).files.values())
        return diffusion.installed(), hashlib.sha256(hashes.encode()).hexdigest()[:12]
    found = methods(settings.generators)
    if len(found) > 1 or not isinstance(found[0].model, Diffusion):
        raise VeriscopeError("--generators: this recipe runs one folder of veriscope lab train-generator diffusion")
    files = write_registered(found[0].model, found[0].weights, out)
    return diffusion.of_sessions(*(onnxruntime.InferenceSession(str(path)) for path in files)), found[0].weights


def write_registered(model: Diffusion, version: str, out: Path) -> list[Path]:
    """Write a diffusion model as the registry's ``small-diffusion``: three ONNX files and their entry, in ``out``.

    Args:
        model: the trained one.
        version: of its weights.
        out: with VERISCOPE_MODELS set to it, detectors find the model.
    Returns:
        the encoder, the denoiser and the decoder.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{diffusion.MODEL}.{part}.onnx" for part in diffusion.PARTS]
    with TemporaryDirectory(dir=out) as made:
        model.export(Path(made))
        for part, file in zip(diffusion.PARTS, files, strict=True):
            os.replace(Path(made) / f"{part}.onnx", file)
    listed = ", ".join(f'"{file.name}" = "{hashlib.sha256(file.read_bytes()).hexdigest()}"' for file in files)
    (out / f"{diffusion.MODEL}.model.toml").write_text(
        f"[{diffusion.MODEL}]\n"
        f'version = "{version}"\n'
        'licence = "Apache-2.0"\n'
        'source = "trained by this project: veriscope lab train-generator diffusion"\n'
        'about = "A small latent diffusion model, run to noise and back by the detectors of reconstruction."\n'
        'used_by = ["dire", "distildire"]\n'
        f"files = {{ {listed} }}\n",
        encoding="utf-8",
    )
    return files


RECIPE = OnMaps(
    name="dire",
    about="Is it generated? A small network on how far the picture is from its reconstruction by a diffusion model.",
    papers=("Wang et al. 2023 (DIRE)",),
    network=OnErrors,
)
