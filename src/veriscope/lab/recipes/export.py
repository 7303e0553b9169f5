"""From torch to the ONNX files that are bundled: weights in 8 bits, activations in full precision.

Each matrix is stored as int8 with one scale per output channel behind a DequantizeLinear, which ONNX Runtime folds away when
the session is opened (``models.open_session``). The file is a quarter of the size and the passes run at full speed; kernels
that keep weights in few bits took twice the time on an ordinary CPU.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.lab.networks.clip_vit import SIDE, Tower

OPSET = 17
BLOCKS = 8  # of the tower's twelve that the bundled backbone keeps
LEAST_STORED = 1 << 16  # numbers: smaller matrices stay in full precision
LEAST_STORED_FILTERS = 1 << 13  # numbers: as above, of a convolution


class Readings(nn.Module):
    """A tower that gives the class token and the mean patch token after each block, and the last block's tokens."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pixels ``(N, 3, 224, 224)`` to ``(N, blocks, 2, 768)`` and ``(N, 197, 768)``."""
        tokens = self.tower(pixels)
        return torch.stack([torch.stack([x[:, 0], x[:, 1:].mean(1)], 1) for x in tokens], 1), tokens[-1]


def export_backbone(tower: Tower, path: Path) -> None:
    """Write ``tower`` as ``pixels (N, 3, 224, 224)`` to ``readings (N, blocks, 2, 768)`` and ``tokens (N, 197, 768)``."""
    import onnx

    full = path.with_suffix(".full.onnx")
    names = ("pixels", "readings", "tokens")
    torch.onnx.export(
        Readings(tower).eval(),
        (torch.zeros(1, 3, SIDE, SIDE),),
        str(full),
        input_names=names[:1],
        output_names=names[1:],
        dynamic_axes={name: {0: "n"} for name in names},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(full))
    full.unlink()
    _store_in_8_bits(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def shrink(path: Path) -> None:
    """Store the large weights of an ONNX file in 8 bits; the file is whole before and after."""
    import onnx

    model = onnx.load(str(path))
    _store_in_8_bits(model)
    onnx.checker.check_model(model)
    partial = path.with_suffix(".partial.onnx")
    onnx.save(model, str(partial))
    os.replace(partial, path)


def export_network(
    network: nn.Module, example: tuple[Tensor, ...], path: Path, inputs: tuple[str, ...] = ("pixels",)
) -> None:
    """Write a trained network as ``inputs (N, ...)`` to ``score (N,)``; large matrices are stored in 8 bits.

    Args:
        network: in evaluation mode it gives one score a row.
        example: inputs of the shape it will see; the first dimension may vary afterwards.
        path: the ONNX file, whole or not there.
        inputs: their names.
    """
    full = path.with_suffix(".full.onnx")
    torch.onnx.export(
        network.eval(),
        example,
        str(full),
        input_names=list(inputs),
        output_names=["score"],
        dynamic_axes={name: {0: "n"} for name in (*inputs, "score")},
        opset_version=OPSET,
        dynamo=False,
    )
    shrink(full)
    os.replace(full, path)


def _store_in_8_bits(model: Any) -> None:
    """Replace large weights of matrix products and convolutions by int8 steps, in place."""
    from onnx import helper, numpy_helper

    graph = model.graph
    axis = {  # of the output channels
        node.input[1]: {"MatMul": 1, "Conv": 0}[node.op_type]
        for node in graph.node
        if node.op_type in ("MatMul", "Conv")
    }
    stored = []
    for tensor in [tensor for tensor in graph.initializer if tensor.name in axis]:
        values = numpy_helper.to_array(tensor)
        if values.size < (LEAST_STORED if values.ndim == 2 else LEAST_STORED_FILTERS):
            continue
        name, along = tensor.name, axis[tensor.name]
        steps, scale = in_8_bits(values if along else values.reshape(len(values), -1).T)
        graph.initializer.remove(tensor)
        steps = steps if along else np.ascontiguousarray(steps.T).reshape(values.shape)
        graph.initializer.append(numpy_helper.from_array(steps, f"{name}.steps"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        stored.append(helper.make_node("DequantizeLinear", [f"{name}.steps", f"{name}.scale"], [name], axis=along))
    nodes = [*stored, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def in_8_bits(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix ``float32 (in, out)`` as int8 steps and one scale a column, ``float32 (out,)``.

    Columns that already are whole multiples of a step, as those of an int8 export are, keep that step and lose nothing.
    """
    size = np.abs(matrix)
    widest = size.max(0) / 127
    smallest = np.where(size > 0, size, np.inf).min(0)
    multiples = matrix / smallest
    exact = (np.abs(multiples - np.rint(multiples)).max(0) < 0.02) & (np.abs(multiples).max(0) < 127.5)
    scale = np.where(exact, smallest, np.maximum(widest, 1e-12)).astype(np.float32)
    return np.clip(np.rint(matrix / scale), -127, 127).astype(np.int8), scale


def export_linear(weights: Tensor, offset: float, path: Path) -> None:
    """Write one linear score, ``features (N, D)`` to ``score (N,)``."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "weights"], ["product"]),
            helper.make_node("Add", ["product", "offset"], ["score"]),
        ],
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
        [
            numpy_helper.from_array(weights.numpy(), "weights"),
            numpy_helper.from_array(torch.tensor([offset]).numpy(), "offset"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
