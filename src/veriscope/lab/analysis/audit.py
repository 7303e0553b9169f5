"""The audit of a detector: which channels its answer rests on, and what colour is worth to it.

Both classes go through one random history first, so that neither format nor size stands in for the trace. Channels are ranked
on generated pictures of the training's splits and silenced on the tested ones. Colour is taken away as luma in three channels;
a detector that never saw grey pictures also loses by their strangeness, which the real pictures' scores show. Whether a channel
sees colour is Mood's median test on its largest activation in generated pictures, colour against grey, at 5 % as in the paper:
by chance alone one channel in twenty would pass.

Paper: Chandrasegaran et al. 2022 (Discovering Transferable Forensic Features for CNN-generated Images Detection).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_test
from torch import Tensor

from veriscope.errors import VeriscopeError
from veriscope.lab.analysis import channels
from veriscope.lab.analysis.channels import Channel, Layer
from veriscope.lab.analysis.occlusion import Scores
from veriscope.lab.analysis.trained import Trained
from veriscope.lab.benchmark.metrics import auc, bootstrap_interval, rate_above
from veriscope.lab.data.checking import TRAINED
from veriscope.lab.data.manifest import LABELS, Row, spread
from veriscope.lab.data.samples import histories
from veriscope.picture import Picture

RATE = 0.05  # of real pictures that pass the threshold of the detector as it is
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)  # of all channels, silenced together
DRAWS = 3  # random choices of channels, whose figures are averaged
SIGNIFICANT = 0.05  # of the median test, as in the paper
LISTED = 20  # channels in the report
Floats = NDArray[np.float64]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Shown:
    """Pictures and their pixels, ``uint8 (H, W, 3)`` RGB, after one history each."""

    rows: list[Row]
    pixels: list[NDArray[np.uint8]]

    @property
    def generated(self) -> NDArray[np.bool_]:
        """(N,) which are."""
        return np.array([row.generated for row in self.rows], bool)


def shown(rows: Sequence[Row], most: int, seed: int, say: Say) -> Shown:
    """At most ``most`` pictures of each class, from all sources alike; those that cannot be opened are left out.

    Args:
        rows: the pictures.
        most: of each class.
        seed: of the histories.
        say: called with a line for each picture that is left out.
    """
    found = Shown([], [])
    for row in (row for label in LABELS for row in spread([row for row in rows if row.label == label], most)):
        try:
            found.pixels.append(histories(row, seed)[0])
        except VeriscopeError as error:
            say(f"left out: {error}")
            continue
        found.rows.append(row)
    return found


def greyscale(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB without its colour: Rec. 601 luma in three channels."""
    return np.repeat(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)[:, :, None], 3, axis=2)


def audit_network(made: Trained, rows: Sequence[Row], split: str, *, most: int, seed: int, say: Say) -> dict[str, Any]:
    """The audit of a trained network: ``channels`` and ``colour``.

    Args:
        made: the network.
        rows: pictures of all splits.
        split: the one to measure on.
        most: pictures of each class.
        seed: of histories and random channels.
        say: called with each line of progress.
    Raises:
        VeriscopeError: the split lacks a class, or the network's channels cannot be looked at.
    """
    tested = _tested(rows, split, most, seed, say)
    learned = [row for row in rows if row.generated and row.split in TRAINED and row.split != split]
    ranking = shown(learned, most, seed, say) if learned else tested
    say(f"{len(tested.rows)} pictures; channels are ranked on {int(ranking.generated.sum())} generated ones")
    colour, grey = _inputs(made, tested.pixels), _inputs(made, [greyscale(rgb) for rgb in tested.pixels])
    looked = channels.layers(made.network, colour)
    ranked_on = _inputs(made, [rgb for rgb, one in zip(ranking.pixels, ranking.generated, strict=True) if one])
    worth = channels.relevance(made.network, looked, ranked_on)
    order = channels.ranked(worth)
    before, without = channels.scores(made.network, colour), channels.scores(made.network, grey)
    rest = _ablation(made, looked, order, colour, before, tested.generated, seed, say)
    seen = channels.strongest(made.network, looked, colour[tested.generated])
    unseen = channels.strongest(made.network, looked, grey[tested.generated])
    chances = [_chances(here, there) for here, there in zip(seen, unseen, strict=True)]
    first = order[: max(1, round(SHARES[1] * len(order)))]
    listed = [_told(channel, looked, worth, seen, unseen, chances) for channel in order[:LISTED]]
    return {
        "channels": {
            "layers": [{"layer": layer.name, "channels": layer.channels} for layer in looked],
            "ranked_on": {"pictures": len(ranked_on), "split": "train and val" if learned else split},
            "ranked": listed,
            "silenced": rest,
            "changed_by_colour": {
                "of_the_first": _share_changed(first, chances),
                "first": len(first),
                "of_all": _share_changed(order, chances),
            },
        },
        **_colour(tested, before, without, split, seed),
    }


def audit_detector(
    detector: Scores, rows: Sequence[Row], split: str, *, most: int, seed: int, say: Say
) -> dict[str, Any]:
    """What colour is worth to any detector with a score; arguments as of ``audit_network``."""
    tested = _tested(rows, split, most, seed, say)
    before, without = np.zeros(len(tested.rows)), np.zeros(len(tested.rows))
    for at, rgb in enumerate(tested.pixels):
        before[at], without[at] = (
            detector.score(Picture(name=tested.rows[at].path.name, data=b"", format="PNG", rgb=pixels))
            for pixels in (rgb, greyscale(rgb))
        )
        if at % 20 == 19:
            say(f"{at + 1} of {len(tested.rows)} pictures, each in colour and in grey")
    return _colour(tested, before, without, split, seed)


def _tested(rows: Sequence[Row], split: str, most: int, seed: int, say: Say) -> Shown:
    found = shown([row for row in rows if row.split == split], most, seed, say)
    missing = [label for label, value in LABELS.items() if value not in found.generated]
    if missing:
        there = sorted({row.split for row in rows})
        raise VeriscopeError(
            f"split {split!r} has no readable {' and no '.join(missing)} picture; the manifest's splits are: {', '.join(there)}"
        )
    return found


def _inputs(made: Trained, pixels: Sequence[NDArray[np.uint8]]) -> Tensor:
    return made.inputs(np.concatenate([made.squares(rgb, 1) for rgb in pixels]))


def _ablation(
    made: Trained,
    looked: Sequence[Layer],
    order: Sequence[Channel],
    inputs: Tensor,
    before: Floats,
    generated: NDArray[np.bool_],
    seed: int,
    say: Say,
) -> list[dict[str, Any]]:
    threshold = float(np.quantile(before[~generated], 1 - RATE))
    generator = np.random.default_rng(seed)

    def figures(choices: Sequence[Sequence[Channel]]) -> dict[str, float]:
        found = [channels.scores(made.network, inputs, looked, chosen) for chosen in choices]
        means = {
            "auc": np.mean([auc(scores, generated) for scores in found]),
            "tpr": np.mean([rate_above(scores[generated], threshold) for scores in found]),
            "fpr": np.mean([rate_above(scores[~generated], threshold) for scores in found]),
        }
        return {name: round(float(value), 4) for name, value in means.items()}

    rows: list[dict[str, Any]] = [{"silenced": "none", "channels": 0, **figures([()])}]
    for count in sorted({max(1, round(share * len(order))) for share in SHARES}):
        say(f"silencing {count} of {len(order)} channels")
        drawn = [[order[at] for at in generator.permutation(len(order))[:count]] for _ in range(DRAWS)]
        for which, choices in (("first", [order[:count]]), ("random", drawn), ("last", [order[-count:]])):
            rows.append({"silenced": which, "channels": count, **figures(choices)})
    return rows


def _chances(colour: Floats, grey: Floats) -> Floats:
    """The p-value (C,) of each channel's median test, ``colour`` and ``grey`` being (N, C)."""
    return np.array([_chance(here, there) for here, there in zip(colour.T, grey.T, strict=True)])


def _chance(colour: Floats, grey: Floats) -> float:
    both = np.r_[colour, grey]
    if not (both > np.median(both)).any():  # a channel that is silent in most pictures says nothing
        return 1.0
    return float(median_test(colour, grey).pvalue)


def _share_changed(chosen: Sequence[Channel], chances: Sequence[Floats]) -> float:
    return round(float(np.mean([chances[one.layer][one.number] < SIGNIFICANT for one in chosen])), 4)


def _told(
    channel: Channel,
    looked: Sequence[Layer],
    worth: Sequence[Floats],
    seen: Sequence[Floats],
    unseen: Sequence[Floats],
    chances: Sequence[Floats],
) -> dict[str, Any]:
    layer, number = channel.layer, channel.number
    return {
        "layer": looked[layer].name,
        "channel": number,
        "relevance": round(float(worth[layer][number]), 5),
        "median_in_colour": round(float(np.median(seen[layer][:, number])), 4),
        "median_in_grey": round(float(np.median(unseen[layer][:, number])), 4),
        "p": float(f"{chances[layer][number]:.3g}"),
    }


def _colour(tested: Shown, before: Floats, without: Floats, split: str, seed: int) -> dict[str, Any]:
    generated, sources = tested.generated, [row.source for row in tested.rows]
    threshold = float(np.quantile(before[~generated], 1 - RATE))
    rows = []
    for name, scores in (("colour", before), ("grey", without)):
        low, high = bootstrap_interval(scores, generated, sources=sources, seed=seed)
        rows.append(
            {
                "pictures": name,
                "auc": round(auc(scores, generated), 4),
                "interval": None if np.isnan(low) else [round(low, 4), round(high, 4)],
                "tpr": round(rate_above(scores[generated], threshold), 4),
                "fpr": round(rate_above(scores[~generated], threshold), 4),
                "median_generated": round(float(np.median(scores[generated])), 4),
                "median_real": round(float(np.median(scores[~generated])), 4),
            }
        )
    return {
        "split": split,
        "counts": {label: int((generated == value).sum()) for label, value in LABELS.items()},
        "threshold": round(threshold, 4),
        "colour": rows,
        "scores": {
            f"{label}_{name}": np.round(scores[generated == value], 3).tolist()
            for label, value in LABELS.items()
            for name, scores in (("colour", before), ("grey", without))
        },
    }
