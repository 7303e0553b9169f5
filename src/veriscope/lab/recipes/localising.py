"""What the recipes of localisers share: real pictures by folds of sources, dense export, and how such a training ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import Row, deal
from veriscope.lab.recipes.export import OPSET, shrink
from veriscope.lab.recipes.recipe import Named, Settings, card, entry, write_json


def real(rows: Sequence[Row]) -> list[Row]:
    """The real pictures among ``rows``.

    Raises:
        VeriscopeError: there is none.
    """
    found = [row for row in rows if row.label == "real"]
    if not found:
        raise VeriscopeError(
            "this recipe learns from real pictures, and the manifests hold none in the splits train and val"
        )
    return found


def folds_of_real(rows: Sequence[Row], folds: int) -> NDArray[np.int64]:
    """The fold of each row, by whole sources.

    Raises:
        VeriscopeError: there are fewer sources than folds.
    """
    sources = {row.source for row in rows}
    if len(sources) < folds:
        raise VeriscopeError(f"{folds} folds of whole sources need as many real sources, and there are {len(sources)}")
    return deal(rows, folds)


def export_dense(
    network: nn.Module, example: tuple[Tensor, ...], path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    """Write a network whose pictures may have any size: all but the channels of each input may vary afterwards.

    Args:
        network: a pure function of its inputs.
        example: ``(N, C, H, W)``, ``(N, H, W, C)`` for tokens, or ``(N, D)`` each.
        path: the ONNX file, whole or not there.
        inputs: their names.
        outputs: names of what it gives.
    """

    def varying(tensor: Tensor, name: str) -> dict[int, str]:
        if tensor.ndim != 4:
            return {0: f"{name}_n"}
        first = 2 if tensor.shape[1] <= 64 and name != "tokens" else 1
        return {0: "n", first: f"{name}_height", first + 1: f"{name}_width"}

    network = network.eval()
    with torch.no_grad():
        given = network(*example)
    given = given if isinstance(given, tuple) else (given,)
    tensors = [*zip(inputs, example, strict=True), *zip(outputs, given, strict=True)]
    partial = path.with_suffix(".partial.onnx")
    torch.onnx.export(
        network,
        example,
        str(partial),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes={name: varying(tensor, name) for name, tensor in tensors},
        opset_version=OPSET,
        dynamo=False,
    )
    shrink(partial)
    os.replace(partial, path)


def finish_localiser(
    made: Named,
    out: Path,
    settings: Settings,
    aside: dict[str, Any],
    *,
    data: str,
    trained_on: Sequence[Row],
    files: tuple[str, ...] = (),
    kind: str = "real pictures",
) -> dict[str, Any]:
    """Write the figures, the model card and the registry's entry beside the weights.

    Args:
        made: the recipe.
        out: folder that holds the weights.
        settings: what it was trained with.
        aside: figures on what was kept aside.
        data: what that was, in words.
        trained_on: the rows that the weights were fitted on.
        kind: what the rows are, for the card.
        files: the model's, the first being the one that is opened; ``NAME.onnx`` by default.
    """
    figures: dict[str, Any] = {
        "settings": asdict(settings),
        "pictures": {"real": len({row.key for row in trained_on})},
        "sources": {"real": sorted({row.source for row in trained_on})},
        "sources_kept_aside": aside,
    }
    write_json(out / f"{made.name}.figures.json", figures)
    training = (
        f"{figures['pictures']['real']} {kind} of {len(figures['sources']['real'])} sources; settings and sources are in "
        f"`{made.name}.figures.json`."
    )
    told = {name.replace("_", " "): value for name, value in aside.items()}
    text = card(made, training, "Figures on what was kept aside", f"{data[:1].upper()}{data[1:]}", told)
    (out / f"{made.name}.md").write_text(text, encoding="utf-8")
    registered = entry(made, out, settings, files or (f"{made.name}.onnx",))
    (out / f"{made.name}.model.toml").write_text(registered, encoding="utf-8")
    return figures
