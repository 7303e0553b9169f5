"""Bundle what ``veriscope lab train`` and ``ensemble`` wrote: copy weights and calibrations, and enter them in the registry.

python scripts/bundle_models.py depths closeup generated --models lab-models

Without names it only writes the SHA-256 of every bundled file into models.toml again, after an export.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "src/veriscope/weights"
CARDS = ROOT / "docs/models"
SUFFIXES = (".onnx", ".panel.json", ".figures.json")
TABLE = re.compile(r"^\[([\w.-]+)\]\n.*?(?=^\[|\Z)", re.MULTILINE | re.DOTALL)


def bundle(name: str, models: Path) -> str | None:
    """Copy the files of one training, and those of a model that it brought along; the registry's entry, if it has one.

    An ensemble has a calibration and no entry.
    """
    card, entry = models / f"{name}.md", models / f"{name}.model.toml"
    copied = {path.name for path in models.glob(f"{name}.*") if path.name.endswith(SUFFIXES)}
    if entry.exists():
        copied.update(tomllib.loads(entry.read_text(encoding="utf-8"))[name]["files"])
    if not copied:
        raise SystemExit(f"{models}: nothing of {name} is here; train it first")
    for file in sorted(copied):
        shutil.copyfile(models / file, WEIGHTS / file)
    if card.exists():
        shutil.copyfile(card, CARDS / card.name)
    return entry.read_text(encoding="utf-8") if entry.exists() else None


def entered(registry: str, name: str, entry: str) -> str:
    """The registry's text with the table of a model replaced by ``entry``, or with it at the end.

    >>> entered("# head\\n\\n[a]\\nversion = 1\\n\\n[b]\\nversion = 1\\n", "a", "[a]\\nversion = 2\\n")
    '# head\\n\\n[a]\\nversion = 2\\n\\n[b]\\nversion = 1\\n'
    """
    for table in TABLE.finditer(registry):
        if table[1] == name:
            return registry[: table.start()] + entry.rstrip() + "\n\n" + registry[table.end() :]
    return f"{registry.rstrip()}\n\n{entry.rstrip()}\n"


def pinned(registry: str) -> str:
    """The registry's text with the SHA-256 of every file that lies in the weights folder."""
    for path in sorted(WEIGHTS.iterdir()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        registry = re.sub(rf'("{re.escape(path.name)}" = )"[^"]*"', rf'\1"{digest}"', registry)
    return registry


def main() -> None:
    """Copy and enter what the command line names, then pin every hash."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME")
    options.add_argument("--models", type=Path, default=Path("lab-models"), metavar="DIR")
    given = options.parse_args()
    path = WEIGHTS / "models.toml"
    registry = path.read_text(encoding="utf-8")
    for name in given.names:
        entry = bundle(name, given.models)
        if entry:
            registry = entered(registry, name, entry)
    path.write_text(pinned(registry).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
