"""Text of unknown origin made fit for a sentence or for JSON."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

STRING_LIMIT = 4000  # characters of one value in the details
QUOTE_LIMIT = 120  # characters of one value within a sentence
ITEM_LIMIT = 100  # entries of one list or object in the details
DEPTH_LIMIT = 5


def quoted(text: object, limit: int = QUOTE_LIMIT) -> str:
    """``text`` on one line without control or direction marks, shortened to ``limit``, in double quotes.

    >>> quoted("a\\nb")
    '"a b"'
    """
    line = plain_line(str(text)[: limit * 8])
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return '"' + line.replace('"', "'") + '"'


def plain_line(text: str) -> str:
    """``text`` with every run of white space as one space and without control, format or surrogate characters."""
    kept = (c if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "" for c in text)
    return " ".join("".join(kept).split())


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON types: strings and lists capped, bytes decoded, numbers finite."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else str(value) if abs(value) < 2**256 else None
    if isinstance(value, str):
        return value[:STRING_LIMIT].replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bytes):
        return plain(value[:STRING_LIMIT].decode("utf-8", "replace"))
    if isinstance(value, dict | list | tuple) and depth >= DEPTH_LIMIT:
        return None
    if isinstance(value, dict):
        return {str(plain(str(k)[:200])): plain(v, depth + 1) for k, v in list(value.items())[:ITEM_LIMIT]}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value[:ITEM_LIMIT]]
    number = as_float(value)
    return plain(str(value)) if number is None else number


def as_float(value: Any) -> float | None:
    """``value`` (a number, or a rational as EXIF stores it) as a finite float, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def present(**values: Any) -> dict[str, Any]:
    """The entries of ``values`` that hold something, as JSON types."""
    return {key: plain(value) for key, value in values.items() if value not in (None, "", [], {}, ())}
