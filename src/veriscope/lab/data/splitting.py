"""Deal pictures to train, val and test so that neither a group nor a test source is on both sides.

The test split holds whole sources, because a detector that has seen a source knows its cameras, sizes and compression; the val
split holds whole groups of the sources that are left. Sources that share a group are dealt together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import Row

SPLITS = ("train", "val", "test")


def split_rows(
    rows: Sequence[Row], shares: Sequence[float] = (0.7, 0.1, 0.2), seed: int = 0, say: Callable[[str], None] = print
) -> list[str]:
    """The split of each row: "train", "val" or "test".

    Args:
        rows: the pictures; their own ``split`` is not looked at.
        shares: of train, val and test, summing to 1. Whole sources and groups meet them only as nearly as they can.
        seed: of the order in which sources and groups are dealt.
        say: told of each label whose test pictures could not be of sources of their own, because it has too few.
    Raises:
        VeriscopeError: the shares are not three that sum to 1.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6 or not shares[0]:
        raise VeriscopeError(f"shares of train, val and test must sum to 1 and train cannot be nothing: {list(shares)}")
    generator = np.random.default_rng(seed)
    clusters = _joined([(row.source, row.group) for row in rows])
    held_out = _held_out(rows, clusters, shares[2], generator)
    splits = ["test" if cluster in held_out else "" for cluster in clusters]
    for label in sorted({row.label for row in rows}):
        if shares[2] and not any(split for row, split in zip(rows, splits, strict=True) if row.label == label):
            say(
                f"{label}: too few sources to keep one aside; its test pictures are other groups of the training's sources"
            )
            _deal_groups(rows, splits, {label}, ("train", "val", "test"), shares, generator)
    left = {row.label for row, split in zip(rows, splits, strict=True) if not split}
    _deal_groups(rows, splits, left, ("train", "val"), shares[:2], generator)
    return splits


def _joined(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """For each (source, group) the name of its cluster: the sources that are connected by common groups."""
    parent = {source: source for source, _ in pairs}

    def root(source: str) -> str:
        while parent[source] != source:
            source = parent[source]
        return source

    first: dict[str, str] = {}
    for source, group in pairs:
        one, other = sorted((root(first.setdefault(group, source)), root(source)))
        parent[other] = one
    return [root(source) for source, _ in pairs]


def _held_out(rows: Sequence[Row], clusters: Sequence[str], share: float, generator: np.random.Generator) -> set[str]:
    """Clusters of sources for the test split, as near to its share of each label as they come; each label keeps one."""
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for row, cluster in zip(rows, clusters, strict=True):
        sizes[cluster][row.label] += 1
    wanted = {label: share * count for label, count in Counter(row.label for row in rows).items()}
    left = Counter(label for size in sizes.values() for label in size)
    chosen: set[str] = set()
    for cluster in _shuffled(sizes, generator):
        size = sizes[cluster]
        gain = sum(abs(wanted[label]) - abs(wanted[label] - count) for label, count in size.items())
        if gain > 0 and all(left[label] > 1 for label in size):
            chosen.add(cluster)
            for label, count in size.items():
                wanted[label] -= count
                left[label] -= 1
    return chosen


def _deal_groups(
    rows: Sequence[Row],
    splits: list[str],
    labels: Iterable[str],
    names: Sequence[str],
    shares: Sequence[float],
    generator: np.random.Generator,
) -> None:
    """Deal the groups of undealt rows of ``labels`` source by source, each to the split that is furthest from its share."""
    members: dict[str, list[int]] = defaultdict(list)
    for place, (row, split) in enumerate(zip(rows, splits, strict=True)):
        if not split:
            members[row.group].append(place)
    wanted = set(labels)
    parts = np.array(shares, np.float64) / sum(shares)
    dealt: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(len(names)))
    for group in _shuffled(members, generator):
        places = members[group]
        if not {rows[place].label for place in places} & wanted:
            continue
        counts = Counter((rows[place].label, rows[place].source) for place in places)
        held = sum((dealt[kind] for kind in counts), np.zeros(len(names)))
        choice = int(np.argmax(parts * (held.sum() + len(places)) - held))
        for kind, count in counts.items():
            dealt[kind][choice] += count
        for place in places:
            splits[place] = names[choice]


def _shuffled(names: Iterable[Hashable], generator: np.random.Generator) -> list:
    ordered = sorted(names, key=str)
    return [ordered[place] for place in generator.permutation(len(ordered))]
