"""What the file says of itself: metadata, generator tags, content credentials, JPEG structure."""

from __future__ import annotations

from collections.abc import Callable

from veriscope.container.credentials import declared_credentials
from veriscope.container.dates import declared_dates
from veriscope.container.generators import declared_generator
from veriscope.container.jpeg import declared_jpeg
from veriscope.container.metadata import (
    declared_camera,
    declared_caption,
    declared_gps,
    declared_software,
    unread_blocks,
)
from veriscope.container.sources import declared_source_type, declared_vendor_tags
from veriscope.container.thumbnail import declared_thumbnail
from veriscope.container.wording import plain_line
from veriscope.evidence import Declaration
from veriscope.picture import Picture

__all__ = ["declarations"]

_READERS: tuple[tuple[str, Callable[[Picture], list[Declaration]]], ...] = (
    ("c2pa", declared_credentials),
    ("generator", declared_generator),
    ("digital_source_type", declared_source_type),
    ("vendor_tag", declared_vendor_tags),
    ("camera", declared_camera),
    ("software", declared_software),
    ("dates", declared_dates),
    ("thumbnail", declared_thumbnail),
    ("gps", declared_gps),
    ("caption", declared_caption),
    ("jpeg", declared_jpeg),
    ("file", unread_blocks),
)


def declarations(picture: Picture) -> list[Declaration]:
    """Everything the file declares, strongest first: content credentials, generator tags, labels, then metadata.

    A reader that fails becomes a declaration of its kind with the state "noted" that says why; the others go on.
    """
    found: list[Declaration] = []
    for kind, read in _READERS:
        try:
            found += read(picture)
        except Exception as error:  # hostile input: one damaged block must not hide the others
            reason = plain_line(f"{type(error).__name__}: {error}")[:200]
            said = f"What the file declares as {kind.replace('_', ' ')} could not be read ({reason})."
            found.append(Declaration(kind=kind, state="noted", says=said, details={"error": reason}))
    return found
