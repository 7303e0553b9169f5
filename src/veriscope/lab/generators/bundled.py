"""The bundled small diffusion model as a torch model again, from its three ONNX files: nothing needs training first.

The detectors run it in ONNX Runtime; the laboratory needs its gradients. Names of parameters survive the export but for
those of group norms and of the latents' scale, which are recognised by their place. It fails, and says so, on files of
another network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope import models
from veriscope.errors import ModelError
from veriscope.lab.generators.diffusion import Diffusion
from veriscope.lab.generators.small import Shape, SmallAutoencoder
from veriscope.lab.networks.denoiser import Denoiser
from veriscope.synthetic.diffusion import MODEL, PARTS

PREFIX = "whole.autoencoder."  # of the autoencoder's parameters in its two files
UPSAMPLER = "nearest"  # of the bundled autoencoder


def bundled_diffusion(*, device: str = "cpu") -> Diffusion:
    """The model ``small-diffusion`` of the registry, frozen and in evaluation mode.

    Raises:
        ModelError: it is missing or damaged, or its files are not those of such a model.
    """
    models.verify(MODEL)
    entry = models.model(MODEL)
    folder = entry.path.parent
    found = {part: _tensors(folder / next(name for name in entry.files if part in name)) for part in PARTS}
    try:
        autoencoder = _autoencoder(found["encoder"].named, found["decoder"].named)
        mean, spread = (found["encoder"].constant(kind) for kind in ("Sub", "Div"))
        channels = autoencoder.latent
        model = Diffusion(
            autoencoder, _denoiser(found["denoiser"], channels), mean.reshape(channels), spread.reshape(channels)
        )
    except (LookupError, RuntimeError, ValueError) as error:
        raise ModelError(f"model {MODEL}: its ONNX files are not those of a small diffusion model ({error})") from error
    return model.to(device).eval().requires_grad_(False)


class _File:
    """The parameters of one ONNX file."""

    def __init__(self, named: dict[str, Tensor], unnamed: list[tuple[str, Tensor]]) -> None:
        self.named = named
        self.unnamed = unnamed  # the kind of node that uses each, in the order of the nodes

    def constant(self, kind: str) -> Tensor:
        return next(value for used_by, value in self.unnamed if used_by == kind)


def _tensors(path: Path) -> _File:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    arrays: dict[str, NDArray[Any]] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    named: dict[str, Tensor] = {}
    for name, array in arrays.items():
        if name.endswith(".steps"):  # 8-bit steps and one scale a channel
            scale = arrays[name.removesuffix(".steps") + ".scale"].reshape(-1, *[1] * (array.ndim - 1))
            named[name.removesuffix(".steps")] = torch.from_numpy(array.astype(np.float32) * scale)
        elif not name.startswith("onnx::") and f"{name.removesuffix('.scale')}.steps" not in arrays:
            named[name] = torch.from_numpy(array.copy())
    unnamed = [
        (node.op_type, torch.from_numpy(arrays[given].copy()))
        for node in graph.node
        for given in node.input
        if re.fullmatch(r"onnx::(Mul|Add|Sub|Div)_\d+", given) and given in arrays
    ]
    return _File(named, unnamed)


def _autoencoder(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> SmallAutoencoder:
    state = {name.removeprefix(PREFIX): value for name, value in {**encoder, **decoder}.items()}
    latent = state["decoder.0.weight"].shape[1]
    halvings = sum(value.ndim == 4 and value.shape[-1] == 4 for value in state.values())
    model = SmallAutoencoder(Shape(UPSAMPLER, 2**halvings, latent))
    model.load_state_dict(state)
    return model


def _denoiser(file: _File, channels: int) -> Denoiser:
    model = Denoiser(channels)
    norms: list[str] = []
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.GroupNorm)}
    hooks = [module.register_forward_hook(lambda one, *_: norms.append(names[one])) for module in names]
    model(torch.zeros(1, channels, 4, 4), torch.zeros(1))  # tells the order in which the norms are used
    for hook in hooks:
        hook.remove()
    scales = [value.flatten() for kind, value in file.unnamed if kind == "Mul"]
    shifts = [value.flatten() for kind, value in file.unnamed if kind == "Add"]
    state = dict(file.named)
    for name, scale, shift in zip(norms, scales, shifts, strict=True):
        state |= {f"{name}.weight": scale, f"{name}.bias": shift}
    model.load_state_dict(state)
    return model
