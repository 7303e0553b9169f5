"""``python -m veriscope.cli``, the same as the command ``veriscope``."""

from veriscope.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
