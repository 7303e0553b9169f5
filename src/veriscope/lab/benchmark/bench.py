"""``veriscope lab bench``: run protocols over a manifest, keep all that was found, and publish it after each protocol.

Everything slow is kept in the folder of work as it comes: answers of detectors, scores of trainings, costs. A second run over
the same folder does only what is missing; another selection of pictures, detectors or protocols uses what there is.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from veriscope import models, plugins
from veriscope.errors import VeriscopeError
from veriscope.evidence import Question
from veriscope.lab.benchmark import areas, figures, leaderboard, measuring, protocols, refitting
from veriscope.lab.benchmark.cheats import KINDS, PREFIX, CheatRecipe, fit_cheats
from veriscope.lab.benchmark.cost import Cost, cost
from veriscope.lab.benchmark.figures import ENSEMBLE
from veriscope.lab.benchmark.measuring import Entry, Results
from veriscope.lab.benchmark.perturbations import AS_IS, QUICK, SWEEPS
from veriscope.lab.data.manifest import Row, read_manifests, spread
from veriscope.lab.data.samples import Samples, prepare
from veriscope.lab.data.variants import REENCODINGS
from veriscope.lab.recipes.heads import HeadRecipe
from veriscope.lab.recipes.recipe import RECIPES, Refittable, Settings, recipe, write_json

SHARED = "75 % + JPEG 70"
PROTOCOLS = ("installed", "sweeps", "matrix", "loso", "grid", "dff", "area", "latency")
TRAINING = ("train", "val")
HEADS = "heads"
ALL = "all"


@dataclass(frozen=True)
class Order:
    """What a run is asked for.

    Attributes:
        data: manifests.
        work, out: the folder of what is kept to resume, and that of the results.
        split: whose pictures the installed detectors are asked about.
        detectors: names, or "all": those installed here; "veriscope" is the shipped ensemble.
        protocols: of ``PROTOCOLS``.
        refit: names of recipes to train again; "heads" for those fitted on kept readings in seconds, "all" for all.
        pictures: the most that installed detectors are asked about; half of each class.
        per_source: the most of one source, in tests and in trainings.
        swept: pictures that go through the sweeps.
        swept_by: names of the detectors asked in the sweeps, of those that are asked at all; "all" for each.
        variants: the sweeps' perturbations.
        costed: pictures of the latency protocol.
        families: the most families of generators in the matrix.
        least: pictures that a family needs.
        folds: of leave-sources-out; 0 leaves each source out alone.
        settings: of the trainings, the minutes a training among them.
        command: that prints these figures again.
    """

    data: tuple[Path, ...]
    work: Path
    out: Path
    split: str = "test"
    detectors: tuple[str, ...] = (ALL,)
    protocols: tuple[str, ...] = PROTOCOLS
    refit: tuple[str, ...] = (HEADS,)
    pictures: int = 1000
    per_source: int = 60
    swept: int = 120
    swept_by: tuple[str, ...] = (ALL,)
    variants: tuple[str, ...] = SWEEPS
    costed: int = 12
    families: int = 8
    least: int = 20
    folds: int = 6
    settings: Settings = field(default_factory=Settings)
    command: str = ""


def quick(order: Order) -> Order:
    """The same on so few pictures that it ends in about five minutes on two cores; its figures are a trial, not a result."""
    return replace(
        order,
        pictures=min(order.pictures, 60),
        per_source=min(order.per_source, 8),
        swept=min(order.swept, 20),
        variants=QUICK,
        costed=min(order.costed, 4),
        families=min(order.families, 4),
        least=min(order.least, 8),
        folds=min(order.folds, 3) or 3,
    )


class Bench:
    """One run. Its protocols fill ``tables``, which ``publish`` writes."""

    def __init__(self, order: Order, say: Callable[[str], None] = print) -> None:
        """Read the manifests and find the detectors.

        Raises:
            VeriscopeError: a manifest, a protocol or a detector's name is wrong, or the split has no pictures.
        """
        self.order, self.say = order, say
        unknown = sorted(set(order.protocols) - set(PROTOCOLS))
        if unknown:
            raise VeriscopeError(f"no protocol is called {', '.join(unknown)}; there are: {', '.join(PROTOCOLS)}")
        self.rows = read_manifests(order.data)
        of_split = [row for row in self.rows if row.split == order.split]
        self.tested = _both(of_split, order.pictures, order.per_source)
        if not self.tested:
            named = ", ".join(map(str, order.data))
            raise VeriscopeError(f"{named}: no real or generated picture is in split {order.split!r}")
        self.folder = order.work / "bench"
        self.results = Results(self.folder / "answers.jsonl")
        self.detectors = self._detectors()
        self.tables: dict[str, Any] = {"about": self._about(), "unavailable": self._unavailable(), "left_out": []}
        self.entries: list[Entry] = []

    def run(self) -> dict[str, Any]:
        """Do every protocol in order, publish after each, and return the tables."""
        steps = {
            "installed": self.installed,
            "sweeps": self.sweeps,
            "area": self.area,
            "latency": self.latency,
            "matrix": self.matrix,
            "grid": self.grid,
            "loso": self.loso,
            "dff": self.dff,
        }
        for name, step in steps.items():
            if name in self.order.protocols:
                self.say(f"protocol {name}")
                step()
                self.publish()
        return self.tables

    def publish(self) -> None:
        """Write what there is: Parquet, JSON and the page, each whole or not at all."""
        out = self.order.out
        out.mkdir(parents=True, exist_ok=True)
        if self.entries:
            leaderboard.write_parquet(out / "answers.parquet", answer_rows(self.entries, self.rows))
        for name in ("cells", "costs", "areas", "robustness", "sources", "installed"):
            if self.tables.get(name):
                leaderboard.write_parquet(out / f"{name}.parquet", self.tables[name])
        write_json(out / "leaderboard.json", self.tables)
        leaderboard.save(self.tables, out / "leaderboard.html")

    def installed(self) -> None:
        """Every detector on every picture, as it is and after 75 % + JPEG 70."""
        self._ask([(row, (AS_IS, SHARED)) for row in self.tested], self.detectors)

    def sweeps(self) -> None:
        """Some of the pictures after each perturbation, and what the detectors of ``swept_by`` make of them."""
        some = _both(self.tested, self.order.swept, self.order.swept)
        variants = tuple(dict.fromkeys((AS_IS, *self.order.variants, *REENCODINGS)))
        self._ask([(row, variants) for row in some], self._sweepers)

    def _ask(self, jobs: Sequence[tuple[Row, Sequence[str]]], whom: Sequence[plugins.Detector]) -> None:
        entries, left_out = measuring.measure(jobs, [*whom, *self._cheats], self.results, say=self.say)
        seen = {(entry.key, entry.variant): entry for entry in self.entries}
        for entry in entries:
            measuring.join(seen, entry)
        self.entries = list(seen.values())
        self.tables["left_out"] = sorted({*self.tables["left_out"], *left_out})
        ensemble = [detector.name for detector in measuring.shipped()] if self._wanted(ENSEMBLE) else []
        found = {where: one for where, one in figures.series(self.entries, ensemble).items() if self._wanted(where[0])}
        lines = figures.table(found, AS_IS)
        known = [line for line in lines if line["kind"] == "cheat"]
        for line in lines:
            line["remark"] = figures.remark(line, known)
        readable = {name: one for (name, variant), one in found.items() if variant == AS_IS and one.two_classes}
        self.tables |= {
            "installed": lines,
            "shared": figures.table(found, SHARED),
            "roc": {name: figures.roc(one) for name, one in readable.items()},
            "reliability": {
                name: figures.reliability(one) for name, one in readable.items() if not name.startswith(PREFIX)
            },
            "robustness": figures.robustness(found),
            "flips": figures.flips(found),
            "sources": figures.sources(found),
        }

    def area(self) -> None:
        """Recall of edited pictures at the 5 % point of the real ones, by edited area and method."""
        everything = areas.edited_rows(self.order.data, None)
        rows = [row for row in everything if row.split not in TRAINING]
        rows = spread(_few(rows, self.order.per_source), self.order.pictures)
        if not rows:
            self.say("area: no edited picture outside the training splits")
            self.tables["areas"] = []
            return
        real = [row for row in self.tested if row.label == "real"]
        jobs = [(row, (AS_IS,)) for row in [*rows, *real]]
        entries, left_out = measuring.measure(jobs, [*self.detectors, *self._cheats], self.results, say=self.say)
        self.tables["left_out"] = sorted({*self.tables["left_out"], *left_out})
        ensemble = [detector.name for detector in measuring.shipped()] if self._wanted(ENSEMBLE) else []
        of_edited: dict[str, dict[str, float]] = {}
        of_real: dict[str, list[float]] = {}
        for entry in entries:
            for name, score in figures.scores_of(entry, ensemble).items():
                if not self._wanted(name):
                    continue
                if entry.label == "real":
                    of_real.setdefault(name, []).append(score)
                else:
                    of_edited.setdefault(name, {})[entry.key] = score
        found = areas.recalls(rows, of_edited, of_real)
        self.tables["areas"] = [asdict(item) for item in found]
        self.tables["areas_of"] = {"edited": len(rows), "real": len(real)}

    def latency(self) -> None:
        """Seconds and memory a picture, each detector alone in a process of its own; and the shipped ones together."""
        paths = [row.path for row in _both(self.tested, self.order.costed, self.order.costed)]
        asked = {detector.name: [detector.name] for detector in self.detectors if self._wanted(detector.name)}
        if self._wanted(ENSEMBLE):
            asked[ENSEMBLE] = [detector.name for detector in measuring.shipped()]
        path = self.folder / "costs.json"
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        found = []
        marks = {detector.name: measuring.mark_of(detector) for detector in [*self.detectors, *measuring.shipped()]}
        for name, members in asked.items():
            key = " ".join([name, *(marks[member] for member in members), str(_digest(paths))])
            if key not in held:
                taken = cost(members, paths, name)
                self.say(f"latency: {name}: {taken.reason or f'{taken.seconds:.2f} s a picture'}")
                held[key] = asdict(taken)
                if not taken.reason:
                    write_json(path, held)
            found.append(asdict(Cost(**held[key])))
        self.tables["costs"] = found

    def matrix(self) -> None:
        """Train on one family of generators, test on each."""
        self._cells("matrix", protocols.matrix(self.samples, self._families))

    def grid(self) -> None:
        """Seen and unseen real sources against seen and unseen generators."""
        self._cells("grid", protocols.grid(self.samples))

    def dff(self) -> None:
        """Train on one family, test on the others blurred, at low quality and compressed."""
        plans = protocols.matrix(self.samples, self._families)
        if not plans:
            return
        tested = {self.samples.rows[place].key for place in plans[0].tested.nonzero()[0]}
        rows = list({row.key: row for row in self.samples.rows if row.key in tested}.values())
        degraded = refitting.degraded_samples(rows, self.folder / "degraded", self.say)
        self._cells("dff", plans, degraded)

    def loso(self) -> None:
        """Train without some sources, test on these."""
        plans = protocols.leave_sources_out(self.samples, self.order.folds)
        self.tables["loso"] = []
        for made in self._refitted:
            self.tables["loso"].append(refitting.left_out(self._refits, made, plans))
            self.publish()

    def _cells(self, protocol: str, plans: Sequence[protocols.Plan], degraded: Samples | None = None) -> None:
        others = [cell for cell in self.tables.get("cells", []) if cell["protocol"] != protocol]
        found: list[dict[str, Any]] = []
        for made in self._refitted:
            found += [asdict(cell) for cell in refitting.cells(self._refits, made, plans, degraded)]
            self.tables["cells"] = [*others, *found]
            self.publish()

    @cached_property
    def samples(self) -> Samples:
        """The training split's pictures after their histories, at most ``per_source`` of each source."""
        rows = _few([row for row in self.rows if row.split in TRAINING], self.order.per_source)
        if {row.label for row in rows} != {"real", "generated"}:
            raise VeriscopeError(
                "the protocols that train need real and generated pictures in the splits train or val; "
                "leave out "
                + ", ".join(name for name in ("matrix", "loso", "grid", "dff") if name in self.order.protocols)
            )
        samples, _ = prepare(rows, self.order.work / "samples", seed=self.order.settings.seed, say=self.say)
        self.tables["about"]["trained"] = _counted(rows)
        return samples

    @cached_property
    def _families(self) -> list[str]:
        found = protocols.largest_families(self.samples.rows, self.order.families, self.order.least)
        if len(found) < 2:
            self.say("matrix: fewer than two families of generators have enough pictures")
        return found

    @cached_property
    def _refits(self) -> refitting.Refits:
        return refitting.Refits(self.samples, self.folder / "trainings", self.order.settings, self.say)

    @cached_property
    def _refitted(self) -> list[refitting.Refit]:
        chosen: list[refitting.Refit] = []
        names = list(RECIPES) if set(self.order.refit) & {HEADS, ALL} else list(self.order.refit)
        for name in names:
            try:
                made = recipe(name)
            except VeriscopeError:
                raise
            except Exception as error:
                self.say(f"recipe {name} cannot be loaded: {error}")
                self.tables.setdefault("broken", {})[name] = f"{type(error).__name__}: {error}"
                continue
            if not isinstance(made, Refittable):
                if name in self.order.refit:
                    raise VeriscopeError(f"recipe {name} does not answer whether a picture was generated")
            elif ALL in self.order.refit or HEADS not in self.order.refit or isinstance(made, HeadRecipe):
                chosen.append(made)
        return [*chosen, *(CheatRecipe(kind) for kind in KINDS)]

    @cached_property
    def _cheats(self) -> list[Any]:
        return list(fit_cheats([row for row in self.rows if row.split in TRAINING]))

    def _wanted(self, name: str) -> bool:
        """Whether tables show it; the ensemble's members may have been asked for its sake only."""
        return ALL in self.order.detectors or name in self.order.detectors or name.startswith(PREFIX)

    def _detectors(self) -> list[plugins.Detector]:
        if ALL in self.order.detectors:
            return measuring.installed()
        found = {name: plugins.named([name])[0] for name in self.order.detectors if name != ENSEMBLE}
        if ENSEMBLE in self.order.detectors:
            found |= {detector.name: detector for detector in measuring.shipped()}
        return list(found.values())

    @property
    def _sweepers(self) -> list[plugins.Detector]:
        """Raises VeriscopeError where one of ``swept_by`` is not asked at all."""
        names = set(self.order.swept_by)
        if ALL in names:
            return self.detectors
        if ENSEMBLE in names:
            names = names - {ENSEMBLE} | {detector.name for detector in measuring.shipped()}
        unknown = sorted(names - {detector.name for detector in self.detectors})
        if unknown:
            raise VeriscopeError(f"--swept-by: {', '.join(unknown)} is not among the detectors that are asked")
        return [detector for detector in self.detectors if detector.name in names]

    def _unavailable(self) -> dict[str, str]:
        asked = {detector.name for detector in self.detectors}
        found = {}
        for detector in plugins.detectors():
            if isinstance(detector, plugins.Broken):
                found[detector.name] = f"could not be loaded: {detector.error}"
            elif detector.question == Question.GENERATED and detector.name not in asked:
                untrained = detector.version == measuring.UNTRAINED
                found[detector.name] = (
                    "has no weights here; veriscope lab train makes them" if untrained else "not asked for"
                )
        return found

    def _about(self) -> dict[str, Any]:
        return {
            "data": [path.name if len(path.parts) < 2 else "/".join(path.parts[-2:]) for path in self.order.data],
            "split": self.order.split,
            "command": self.order.command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "veriscope": installed_version("veriscope"),
            "weights": models.fingerprint(),
            "pictures": _counted(self.tested),
            "order": {
                name: value
                for name, value in asdict(self.order).items()
                if name not in ("data", "work", "out", "settings", "command")
            },
            "minutes": self.order.settings.minutes,
            "seed": self.order.settings.seed,
        }


def answer_rows(entries: Sequence[Entry], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One flat row a picture, version and detector."""
    known = {row.key: row for row in rows}
    return [
        {
            "key": entry.key,
            "label": entry.label,
            "source": entry.source,
            "generator": known[entry.key].generator if entry.key in known else "",
            "variant": entry.variant,
            "short_side": entry.short_side,
            **asdict(answer),
        }
        for entry in entries
        for answer in entry.answers.values()
    ]


def _both(rows: Sequence[Row], most: int, per_source: int) -> list[Row]:
    """At most ``most`` pictures, half of each class where there are enough, taken from the sources in turn."""
    kept = _few(rows, per_source)
    real, generated = ([row for row in kept if row.label == label] for label in ("real", "generated"))
    share = max(most // 2, most - len(generated)), max(most - most // 2, most - len(real))
    return [*spread(real, share[0]), *spread(generated, share[1])]


def _few(rows: Sequence[Row], per_source: int) -> list[Row]:
    """At most ``per_source`` pictures of each source and label."""
    found: list[Row] = []
    for label in sorted({row.label for row in rows}):
        sources = sorted({row.source for row in rows if row.label == label})
        for source in sources:
            found += spread([row for row in rows if row.source == source and row.label == label], per_source)
    return found


def _counted(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    return {
        label: {
            "pictures": len({row.key for row in rows if row.label == label}),
            "sources": len({row.source for row in rows if row.label == label}),
        }
        for label in ("real", "generated")
    }


def _digest(paths: Sequence[Path]) -> int:
    return zlib.crc32("\n".join(path.name for path in paths).encode())
