"""Write the SHA-256 of every bundled weight file into models.toml, after a training or an export.

python scripts/pin_models.py
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

WEIGHTS = Path(__file__).parent.parent / "src/veriscope/weights"


def main() -> None:
    """Replace the hash behind each file's name that lies in the weights folder."""
    registry = WEIGHTS / "models.toml"
    text = registry.read_text(encoding="utf-8")
    for path in sorted(WEIGHTS.iterdir()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        text = re.sub(rf'("{re.escape(path.name)}" = )"[^"]*"', rf'\1"{digest}"', text)
    registry.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
