"""From a trained network to the ONNX files that are bundled: weights in 8 bits, activations in full precision.

What the backbone brings never changes, so it is written to a file of its own beside the model: a retrained detector replaces
only the small file that holds its low-rank corrections and its head.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from veriscope.lab.networks.clip_vit import SIDE, TOKENS, WIDTH, Tower
from veriscope.lab.networks.depths import FIRST, Depths, LowRank

OPSET = 17
BITS = 8
BLOCK = 32  # weights that share one scale
FROZEN = "clip_vit_b16_blocks_6_to_8.weights"


class _Trunk(nn.Module):
    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = copy.deepcopy(tower)
        self.tower.blocks = self.tower.blocks[:FIRST]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.tower(pixels)[-1]


class _Logit(nn.Module):
    def __init__(self, network: Depths) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logit, _ = self.network(tokens)
        return logit


def export_trunk(tower: Tower, path: Path) -> None:
    """The frozen blocks as ``pixels (N, 3, 224, 224)`` to ``tokens (N, 197, 768)``."""
    _export(_Trunk(tower), torch.zeros(1, 3, SIDE, SIDE), "pixels", "tokens", path)


def export_depths(network: Depths, path: Path) -> None:
    """The adapted blocks and the head as ``tokens (N, 197, 768)`` to ``logit (N,)``; the frozen weights go beside it."""
    _export(_Logit(network), torch.zeros(1, TOKENS, WIDTH), "tokens", "logit", path, frozen=FROZEN)


def _export(module: nn.Module, example: torch.Tensor, source: str, result: str, path: Path, frozen: str = "") -> None:
    import onnx
    from onnx.external_data_helper import set_external_data, write_external_data_tensors
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    full = path.with_suffix(".full.onnx")
    torch.onnx.export(
        module.eval(),
        (example,),
        str(full),
        input_names=[source],
        output_names=[result],
        dynamic_axes={source: {0: "n"}, result: {0: "n"}},
        opset_version=OPSET,
        dynamo=False,
    )
    loaded = onnx.load(str(full))
    full.unlink()
    corrected = any(isinstance(layer, LowRank) for layer in module.modules())
    small = [node.name for node in loaded.graph.node if corrected and "/base/" not in node.name]
    config = DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, bits=BITS)
    quantiser = MatMulNBitsQuantizer(loaded, algo_config=config, nodes_to_exclude=small)
    quantiser.process()
    quantised = quantiser.model.model
    if frozen:
        names = {name for node in quantised.graph.node if node.op_type == "MatMulNBits" for name in node.input[1:]}
        (path.parent / frozen).unlink(missing_ok=True)
        for tensor in quantised.graph.initializer:
            if tensor.name in names:
                set_external_data(tensor, location=frozen)
        write_external_data_tensors(quantised, str(path.parent))
    onnx.save(quantised, str(path))
