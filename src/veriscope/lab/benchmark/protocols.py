"""Which pictures a detector is trained on and which it is tested on: the field's protocols, as masks over samples.

A protocol is a list of *plans*, each one training and several tests. Within all of them a picture and its siblings are on one
side only, and the real pictures of a test come from sources that the training had none of, unless the test says "seen".

Papers: Wang et al. 2020 (CNNDetection: train on one generator, test on all); Song et al. 2023 (DeepFakeFace: the same with
perturbed tests); Ma et al. 2023 (Generated Graph Detection: the grid of seen and unseen data sets and generators).
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veriscope.lab.data.manifest import LABELS, Row, deal
from veriscope.lab.data.samples import Samples

FAMILIES = {  # what documented names of generators have in common
    "StyleGAN": r"stylegan",
    "other GANs": r"(?<!style)(?<!vq)\bgan\b|lightweight gan|singan|biggan|progan|cyclegan|pix2pix",
    "Stable Diffusion 1 and 2": r"\bsd ?[12]|\bsd\b|stable.?diffusion(?!.?(xl|3))|v1-5",
    "Stable Diffusion XL": r"sd_?xl|stable.?diffusion.?xl",
    "Stable Diffusion 3": r"\bsd ?3|stable.?diffusion.?3",
    "FLUX": r"\bflux",
    "latent diffusion of 2022": r"\bldm\b|latent-diffusion|glid-3",
    "CLIP-guided": r"\+clip|vqgan|guided|disco|majesty|simulacra",
    "DALL-E 2": r"dall-e-2|karlo|unclip",
    "DALL-E 3": r"dall-e-3",
    "DALL-E mini": r"dall-?e-?mini|min-?dall-?e",
    "GPT image": r"gpt-?(4o-)?image|gpt-4o",
    "Gemini and Imagen": r"gemini|nano-banana|imagen",
    "Midjourney": r"midjourney",
    "PixArt": r"pixart",
    "Kolors": r"kolors",
    "Kandinsky": r"kandinsky",
    "Qwen": r"qwen",
    "Hunyuan": r"hunyuan",
}
TESTED = 0  # the turn of a sample that is tested: a random crop, resize and save, the same for both classes
ASIDE = 3  # one group in so many is kept for tests where training and test share a source
EVERYTHING = "all of them"
SEEN, UNSEEN = "seen", "unseen"
GRID = tuple((real, made) for real in (SEEN, UNSEEN) for made in (SEEN, UNSEEN))  # (real source, generator)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Plan:
    """One training and its tests.

    Attributes:
        protocol: "matrix", "loso" or "grid".
        trained_on: in words.
        fitted: bool (N,), the samples to train on, all turns of a picture together.
        tests: what is tested, in words, to the samples ``bool (N,)`` of it.
    """

    protocol: str
    trained_on: str
    fitted: Mask
    tests: dict[str, Mask]

    @property
    def tested(self) -> Mask:
        """The samples of any test."""
        return np.any(list(self.tests.values()), axis=0)


def family(row: Row) -> str:
    """The family of a generated picture's generator: by its documented name; its source where that says none or several.

    >>> from pathlib import Path
    >>> family(Row(Path("a.png"), "generated", "hub", "1", "train", "SD 1.5"))
    'Stable Diffusion 1 and 2'
    >>> family(Row(Path("a.png"), "generated", "hub", "1", "train", "SD/SDXL/FLUX"))
    'hub'
    """
    found = [name for name, pattern in FAMILIES.items() if re.search(pattern, row.generator.lower())]
    return found[0] if len(found) == 1 else row.source


def largest_families(rows: Sequence[Row], most: int, least: int) -> list[str]:
    """The ``most`` families with the most pictures, those with fewer than ``least`` left out; the largest first."""
    counts = Counter(family(row) for row in {row.key: row for row in rows}.values() if row.label == "generated")
    kept = [(name, count) for name, count in counts.items() if count >= least]
    return [name for name, _ in sorted(kept, key=lambda item: (-item[1], item[0]))[:most]]


def matrix(samples: Samples, families: Sequence[str]) -> list[Plan]:
    """Train on each family of generators alone, and on all of them, against one half of the real sources; test on each.

    Every test uses the same pictures, whatever was trained on: a third of the family's groups, against the other half of the
    real sources.
    """
    of, aside, generated = _families(samples), _aside(samples), samples.labels == 1
    seen = ~generated & (_halves(samples, [row.source for row in samples.rows], "real") == 0)
    real = ~generated & ~seen & (samples.turns == TESTED)
    tests = {name: real | ((of == name) & aside & (samples.turns == TESTED)) for name in families}
    trained = {name: (of == name) & generated for name in families}
    trained[EVERYTHING] = np.any(list(trained.values()), axis=0)
    return [Plan("matrix", name, seen | (which & ~aside), tests) for name, which in trained.items()]


def leave_sources_out(samples: Samples, folds: int) -> list[Plan]:
    """Train without some sources and test on these: as many times as there are folds; 0 leaves each source out alone."""
    sources = samples.sources
    fold = deal(samples.rows, folds) if folds else np.unique(sources, return_inverse=True)[1]
    plans = []
    for number in np.unique(fold):
        out = fold == number
        left = sorted(set(sources[out].tolist()))
        name = left[0] if len(left) == 1 else f"fold {number + 1}: {len(left)} sources"
        plans.append(Plan("loso", f"all but {name}", ~out, {name: out & (samples.turns == TESTED)}))
    return plans


def grid(samples: Samples) -> list[Plan]:
    """Seen and unseen real sources against seen and unseen generators: four cells, dealt twice with the halves changed over.

    Where a side is "seen", its test pictures come from groups that training had none of.
    """
    of, aside, generated = _families(samples), _aside(samples), samples.labels == 1
    half = np.where(
        generated, _halves(samples, of.tolist(), "generated"), _halves(samples, samples.sources.tolist(), "real")
    )
    tested = samples.turns == TESTED
    plans = []
    for number in (0, 1):
        known = half == number
        side = {SEEN: known & aside & tested, UNSEEN: ~known & tested}
        tests = {
            f"{real} real, {made} generator": (side[real] & ~generated) | (side[made] & generated)
            for real, made in GRID
        }
        plans.append(Plan("grid", f"deal {number + 1}", known & ~aside, tests))
    return plans


def _families(samples: Samples) -> NDArray[np.str_]:
    return np.array([family(row) if row.label == "generated" else "" for row in samples.rows])


def _aside(samples: Samples) -> Mask:
    """One group in three, whatever else happens."""
    return np.array([zlib.crc32(f"aside {row.group}".encode()) % ASIDE == 0 for row in samples.rows])


def _halves(samples: Samples, names: Sequence[str], label: str) -> NDArray[np.int64]:
    """0 or 1 for each name of one class, so that both halves hold about as many samples; the other class's get 0."""
    counts = Counter(name for name, value in zip(names, samples.labels, strict=True) if value == LABELS[label])
    held, half = [0, 0], {}
    for name in sorted(counts, key=lambda name: (-counts[name], zlib.crc32(name.encode()), name)):
        half[name] = int(held[1] < held[0])
        held[half[name]] += counts[name]
    return np.array([half.get(name, 0) for name in names], np.int64)
