"""Measure "is it generated?" as a user meets it: real files through the whole examination, as they are and saved again.

Every figure is of the shipped pipeline: the file is opened, the detectors speak, ``weigh`` decides. Results are appended to a
JSON-lines file, so a run that was stopped goes on. Beside the detector stand two cheats that know nothing of the picture's
content, for a set on which they do well proves little.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from veriscope import models
from veriscope.batch import open_json_lines, read_json_lines
from veriscope.errors import VeriscopeError
from veriscope.evidence import Evidence, Question
from veriscope.examination import hear
from veriscope.lab.benchmark.metrics import auc, bootstrap_interval, expected_calibration_error, rate_above
from veriscope.lab.data.manifest import Row, without_signature
from veriscope.lab.data.variants import REENCODINGS, SWEEP, VARIANTS
from veriscope.picture import open_picture
from veriscope.weighing import Panel, weigh

AS_IS = "as is"


def measure(
    rows: Sequence[Row], results: Path, *, flips: int, sweep: int, say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Examine every row as it is and after 75 % + JPEG 70; ``flips`` and ``sweep`` of them in more variants.

    Args:
        rows: the pictures.
        results: JSON lines; what it already holds of the installed weights is not done again.
        flips: how many pictures, spread over all, to save again in the six ways of the flip rate.
        sweep: how many pictures to measure at low quality and small size.
        say: called with each line of progress.
    Returns:
        one dictionary a picture and variant: key, label, source, variant, short_side, weights, and what each detector said.
    """
    weights = models.fingerprint()
    done = {
        (entry["key"], entry["variant"]): entry for entry in read_json_lines(results) if entry.get("weights") == weights
    }
    spread = sorted(rows, key=lambda row: zlib.crc32(row.key.encode()))
    jobs = [(row, variant) for variant in (AS_IS, "75 % + JPEG 70") for row in rows]
    jobs += [(row, variant) for variant in REENCODINGS for row in spread[:flips]]
    jobs += [(row, variant) for variant in SWEEP for row in spread[:sweep]]
    with open_json_lines(results) as out:
        for count, (row, variant) in enumerate(jobs, 1):
            if (row.key, variant) in done:
                continue
            try:
                entry = {**_examined(row, variant), "weights": weights}
            except VeriscopeError as error:
                say(f"left out: {error}")
                continue
            done[row.key, variant] = entry
            out.write(json.dumps(entry) + "\n")
            out.flush()
            if count % 100 == 0:
                say(f"{count} of {len(jobs)} ({variant})")
    return [done[row.key, variant] for row, variant in jobs if (row.key, variant) in done]


def _examined(row: Row, variant: str) -> dict[str, Any]:
    picture = open_picture(row.path)
    rgb = without_signature(picture.rgb, row)
    if variant != AS_IS:
        picture = open_picture(VARIANTS[variant](rgb), name=row.path.name)
    elif rgb.shape != picture.rgb.shape:  # the file as it is would show the generator's name
        picture = open_picture(VARIANTS["PNG"](rgb), name=row.path.name)
    heard = [evidence for evidence, _ in hear(picture) if evidence.question == Question.GENERATED and evidence.weighed]
    spoken = [(item.detector, item.version, item.score, item.reliability, item.reason) for item in heard]
    return {
        "key": row.key,
        "label": row.label,
        "source": row.source,
        "variant": variant,
        "short_side": min(picture.width, picture.height),
        "heard": spoken,
    }


def weighed(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of ``measure`` with the fused ``score`` and the verdict that the installed calibration gives it."""
    heard = [
        Evidence(name, version, Question.GENERATED, score, 0.0, reliability, "", reason)
        for name, version, score, reliability, reason in entry["heard"]
    ]
    verdict = weigh(Question.GENERATED, heard, models.panels())
    fused = _panel().fused({f"{item.detector}@{item.version}": item.score for item in heard})
    return {**entry, "score": fused, **verdict.model_dump(exclude={"says"})}


def _panel() -> Panel:
    return max(
        (panel for panel in models.panels() if panel.question == Question.GENERATED),
        key=lambda panel: len(panel.members),
    )


def summary(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of ``measure``: per variant AUC with its interval, rates at the operating points, abstention; flips.

    A *flip* of the operating point is a picture that is above the 5 % threshold in one re-encoding and below it in another;
    a *flip* of the verdict is one that reads "yes" in one and "no" in another.
    """
    by_variant: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        by_variant[entry["variant"]].append(weighed(entry))
    panel = _panel()
    figures: dict[str, Any] = {}
    for variant, group in by_variant.items():
        y = np.array([entry["label"] == "generated" for entry in group])
        if y.all() or not y.any():
            continue
        x = np.array([entry["score"] for entry in group])
        states = np.array([entry["state"] for entry in group])
        at_one = np.array([entry["fpr"] == 0.01 for entry in group])
        low, high = bootstrap_interval(x, y)
        figures[variant] = {
            "pictures": len(group),
            "auc": auc(x, y),
            "auc_interval": [low, high],
            "threshold_5": {
                "tpr": rate_above(x[y], panel.threshold(0.05)),
                "fpr": rate_above(x[~y], panel.threshold(0.05)),
            },
            "yes": {"generated": float((states[y] == "yes").mean()), "real": float((states[~y] == "yes").mean())},
            "yes_at_1": {"generated": float(at_one[y].mean()), "real": float(at_one[~y].mean())},
            "no": {"generated": float((states[y] == "no").mean()), "real": float((states[~y] == "no").mean())},
            "cannot_tell": float((states == "cannot tell").mean()),
            "ece": expected_calibration_error([entry["log10_lr"] for entry in group], y),
        }
    return {
        "variants": figures,
        "flips": _flips(by_variant, panel.threshold(0.05)),
        "sources": _sources(by_variant[AS_IS]),
    }


def _flips(by_variant: dict[str, list[dict[str, Any]]], threshold: float) -> dict[str, Any] | None:
    seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for variant in REENCODINGS:
        for entry in by_variant.get(variant, []):
            seen[entry["key"]].append(entry)
    whole = [group for group in seen.values() if len(group) == len(REENCODINGS)]
    if not whole:
        return None
    crossing = [len({entry["score"] > threshold for entry in group}) > 1 for group in whole]
    verdict = [{"yes", "no"} <= {entry["state"] for entry in group} for group in whole]
    any_change = [len({entry["state"] for entry in group}) > 1 for group in whole]
    return {
        "pictures": len(whole),
        "threshold_5": float(np.mean(crossing)),
        "yes_and_no": float(np.mean(verdict)),
        "any_change_of_state": float(np.mean(any_change)),
    }


def _sources(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        groups[entry["source"]].append(entry)
    return {
        source: {
            "label": group[0]["label"],
            "pictures": len(group),
            **{
                state: float(np.mean([entry["state"] == state for entry in group]))
                for state in ("yes", "cannot tell", "no")
            },
        }
        for source, group in sorted(groups.items(), key=lambda item: (item[1][0]["label"], item[0]))
    }


def cheats(rows: Sequence[Row], training: Sequence[Row]) -> dict[str, float]:
    """AUC on ``rows`` of two cheats fitted on ``training``: the file's format and metadata; its size and JPEG quality."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    labels = np.array([row.generated for row in rows])
    result = {}
    for name, features in (("metadata only", _metadata), ("size and JPEG quality only", _size_and_quality)):
        model = HistGradientBoostingClassifier(random_state=0, max_iter=100)
        model.fit(np.array([features(row) for row in training]), [row.generated for row in training])
        result[name] = auc(model.decision_function(np.array([features(row) for row in rows])), labels)
    return result


def _metadata(row: Row) -> list[float]:
    with Image.open(row.path) as picture:
        keys = set(picture.info)
        formats = [picture.format == kind for kind in ("JPEG", "PNG", "WEBP")]
        named = [key in keys for key in ("exif", "icc_profile", "jfif", "adobe", "dpi", "xmp", "parameters", "comment")]
        return [*map(float, formats), *map(float, named), float(len(picture.getexif()))]


def _size_and_quality(row: Row) -> list[float]:
    with Image.open(row.path) as picture:
        width, height = picture.size
        table = np.array(next(iter((getattr(picture, "quantization", None) or {0: [0] * 64}).values())))
        return [width, height, width / height, row.path.stat().st_size / (width * height), float(table.mean())]
