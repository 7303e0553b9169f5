"""From torch to the ONNX files that are bundled: weights in 8 bits, activations in full precision."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from veriscope.lab.networks.clip_vit import SIDE, Tower

OPSET = 17
BITS = 8
BLOCK = 32  # weights that share one scale


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
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

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
    config = DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, bits=BITS)
    quantiser = MatMulNBitsQuantizer(onnx.load(str(full)), algo_config=config)
    quantiser.process()
    onnx.save(quantiser.model.model, str(path))
    full.unlink()


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
