"""The image tower of CLIP ViT-B/16, read at every depth.

A frozen vision-language backbone separates generated from real pictures better than a network trained from scratch on
few generators, and its middle blocks do so better than its last one, which keeps meaning and drops texture.

Papers: Radford et al. 2021 (CLIP); Koutlis & Papadopoulos 2024 (RINE, intermediate blocks).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 768
HEADS = 12
BLOCKS = 12
PATCH = 16
SIDE = 224  # pixels: the input is SIDE x SIDE
TOKENS = 1 + (SIDE // PATCH) ** 2


class Block(nn.Module):
    """One pre-norm transformer block with CLIP's quick GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(N, TOKENS, WIDTH)`` in, tokens of the same shape out."""
        count, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(count, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(count, length, width))
        hidden = self.up(self.norm2(x))
        return x + self.down(hidden * torch.sigmoid(1.702 * hidden))


class Tower(nn.Module):
    """CLIP's image tower cut after ``depth`` blocks."""

    def __init__(self, depth: int = BLOCKS) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(WIDTH))
        self.positions = nn.Parameter(torch.zeros(TOKENS, WIDTH))
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.norm = nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))

    def embed(self, pixels: Tensor) -> Tensor:
        """Normalised pixels ``(N, 3, 224, 224)`` to the first tokens ``(N, 197, 768)``."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2)
        first = self.class_token.expand(pixels.shape[0], 1, WIDTH)
        return self.norm(torch.cat([first, patches], 1) + self.positions)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels ``(N, 3, 224, 224)`` to the tokens after each block, each ``(N, 197, 768)``."""
        x = self.embed(pixels)
        tokens = []
        for block in self.blocks:
            x = block(x)
            tokens.append(x)
        return tokens


def load_from_quantised(path: str | Path, depth: int = BLOCKS) -> Tower:
    """The tower with full-precision weights recovered from an int8 ONNX export of it.

    The export stores each matrix as int8 with one scale per output channel; scale x (value - zero point) is exact.

    Args:
        path: an ONNX file of CLIP ViT-B/16's image tower made by dynamic quantisation.
        depth: how many blocks to keep.
    Raises:
        KeyError: the file is not such an export.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    matrices: dict[str, np.ndarray] = {}
    for node in graph.node:
        if node.op_type == "MatMulInteger" and node.input[1].endswith("_quantized"):
            base = node.input[1].removesuffix("_quantized")
            zero = arrays[base + "_zero_point"].astype(np.float32)
            scale = arrays[base + "_scale"].astype(np.float32)
            matrices[node.name] = (arrays[node.input[1]].astype(np.float32) - zero) * scale

    def matrix(name: str) -> Tensor:
        (key,) = [key for key in matrices if key.startswith(f"/vision_model/encoder/{name}/MatMul")]
        return torch.from_numpy(matrices[key].T.copy())

    def array(name: str) -> Tensor:
        return torch.from_numpy(arrays["vision_model." + name].astype(np.float32))

    tower = Tower(depth)
    state = {
        "class_token": array("embeddings.class_embedding").reshape(WIDTH),
        "positions": array("embeddings.position_embedding.weight"),
        "patches.weight": array("embeddings.patch_embedding.weight"),
        "norm.weight": array("pre_layrnorm.weight"),
        "norm.bias": array("pre_layrnorm.bias"),
    }
    for index in range(depth):
        there, here = f"encoder.layers.{index}", f"blocks.{index}"
        attention = f"layers.{index}/self_attn"
        state[f"{here}.qkv.weight"] = torch.cat([matrix(f"{attention}/{part}_proj") for part in "qkv"])
        state[f"{here}.qkv.bias"] = torch.cat([array(f"{there}.self_attn.{part}_proj.bias") for part in "qkv"])
        state[f"{here}.out.weight"] = matrix(f"{attention}/out_proj")
        state[f"{here}.out.bias"] = array(f"{there}.self_attn.out_proj.bias")
        state[f"{here}.up.weight"] = matrix(f"layers.{index}/mlp/fc1")
        state[f"{here}.up.bias"] = array(f"{there}.mlp.fc1.bias")
        state[f"{here}.down.weight"] = matrix(f"layers.{index}/mlp/fc2")
        state[f"{here}.down.bias"] = array(f"{there}.mlp.fc2.bias")
        for ours, theirs in (("norm1", "layer_norm1"), ("norm2", "layer_norm2")):
            for part in ("weight", "bias"):
                state[f"{here}.{ours}.{part}"] = array(f"{there}.{theirs}.{part}")
    tower.load_state_dict(state)
    return tower.eval()
