"""Do the dates that the file declares agree?

Trace: a camera writes the moment of capture, editors the moment of the last change, a GPS receiver the time of its fix.
Order and distance between them are fixed by how pictures are made; a hand that sets one rarely sets all. Fails on a
camera whose clock is wrong and on scans whose capture date was typed in. Values without a time zone are compared to
others with a tolerance of 26 h, the greatest difference between two clocks on Earth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from veriscope.container.fields import Fields, exif_text, fields
from veriscope.container.wording import as_float
from veriscope.evidence import Declaration
from veriscope.picture import Picture

ZONES = timedelta(hours=26)
SAME_CLOCK = timedelta(seconds=2)  # two stamps of one camera for one exposure

_STAMP = re.compile(
    r"(\d{4})[:\-.](\d\d)[:\-.](\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d))?(?:[.,]\d+)?\s*(Z|[+-]\d\d:?\d\d)?)?"
)


@dataclass(frozen=True)
class Moment:
    """A declared date; ``zoned`` when it names its time zone, ``whole_day`` when it names no hour."""

    at: datetime
    zoned: bool = False
    whole_day: bool = False

    def shown(self) -> str:
        """ISO 8601, as exact as it was declared."""
        if self.whole_day:
            return self.at.date().isoformat()
        return self.at.isoformat() if self.zoned else self.at.replace(tzinfo=None).isoformat(" ")


def parse_moment(text: str, offset: str = "") -> Moment | None:
    """The date in EXIF's, XMP's or IPTC's way of writing it, or None where there is none.

    >>> parse_moment("2021:05:06 07:08:09").shown()
    '2021-05-06 07:08:09'
    """
    found = _STAMP.match(text.strip())
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    zone = (found[7] or offset).strip()
    try:
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        if not 1826 <= year <= 9990:  # before the first photograph: an empty clock
            return None
        if not re.fullmatch(r"Z|[+-]\d\d:?\d\d", zone):
            return Moment(at, whole_day=found[4] is None)
        if zone != "Z":
            shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
            at = at.replace(tzinfo=timezone(-shift if zone[0] == "-" else shift))
    except (ValueError, OverflowError):
        return None
    return Moment(at, zoned=True)


def declared_moments(read: Fields) -> dict[str, Moment]:
    """Every date the file declares, by what it is the date of."""
    stamps = {
        "exif_original": (exif_text(read.photo.get(0x9003)), exif_text(read.photo.get(0x9011))),
        "exif_digitized": (exif_text(read.photo.get(0x9004)), exif_text(read.photo.get(0x9012))),
        "exif_modified": (exif_text(read.exif.get(0x0132)), exif_text(read.photo.get(0x9010))),
        "xmp_original": (read.xmp_text("photoshop:DateCreated", "exif:DateTimeOriginal"), ""),
        "xmp_created": (read.xmp_text("xmp:CreateDate"), ""),
        "xmp_modified": (read.xmp_text("xmp:ModifyDate"), ""),
        "gps": (_gps_stamp(read), "Z"),
        "iptc_created": (_iptc_stamp(read), ""),
    }
    parsed = {name: parse_moment(text, offset) for name, (text, offset) in stamps.items() if text}
    return {name: moment for name, moment in parsed.items() if moment}


def _gps_stamp(read: Fields) -> str:
    day, clock = exif_text(read.gps.get(29)), read.gps.get(7)
    if not day or not isinstance(clock, tuple) or len(clock) != 3:
        return day
    hour, minute, second = (as_float(part) for part in clock)
    if hour is None or minute is None or second is None:
        return day
    return f"{day} {int(hour):02d}:{int(minute):02d}:{int(second):02d}"


def _iptc_stamp(read: Fields) -> str:
    day, clock = read.iptc_text(55), read.iptc_text(60)
    if not re.fullmatch(r"\d{8}", day):
        return ""
    shown = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    if re.fullmatch(r"\d{6}([+-]\d{4})?", clock):
        shown += f" {clock[:2]}:{clock[2:4]}:{clock[4:6]}{clock[6:]}"
    return shown


def contradictions(moments: dict[str, Moment], now: datetime) -> list[str]:
    """What cannot be true of these dates together, each as a clause."""
    found = []
    original = moments.get("exif_original")
    names = {"exif_modified": "last changed", "exif_digitized": "digitised", "xmp_modified": "last changed (XMP)"}
    for key, word in names.items():
        if original and (other := moments.get(key)) and original.at - other.at > _tolerance(original, other):
            found.append(f"{word} {other.shown()}, before it was taken {original.shown()}")
    for key, word in (("xmp_original", "XMP"), ("iptc_created", "IPTC"), ("gps", "the GPS receiver")):
        if (
            original
            and (other := moments.get(key))
            and abs(other.at - original.at) > max(_tolerance(original, other), ZONES)
        ):
            found.append(f"taken {original.shown()} by EXIF but {other.shown()} by {word}")
    created, changed = moments.get("xmp_created"), moments.get("xmp_modified")
    if created and changed and created.at - changed.at > _tolerance(created, changed):
        found.append(f"changed {changed.shown()}, before it was created {created.shown()} (XMP)")
    latest = max(moments.values(), key=lambda moment: moment.at, default=None)
    if latest and latest.at - now > ZONES:
        found.append(f"dated {latest.shown()}, which lies in the future")
    return found


def _tolerance(one: Moment, other: Moment) -> timedelta:
    if one.whole_day or other.whole_day or one.zoned != other.zoned:
        return ZONES
    return SAME_CLOCK


def declared_dates(picture: Picture) -> list[Declaration]:
    """The dates the file declares, and whether they contradict each other."""
    moments = declared_moments(fields(picture))
    if not moments:
        return []
    details: dict[str, object] = {name: moment.shown() for name, moment in moments.items()}
    clashes = contradictions(moments, datetime.now(UTC))
    if clashes:
        said = f"The file's declared dates contradict each other: {'; '.join(clashes[:3])}."
        return [
            Declaration(kind="dates", state="contradiction", says=said, details=details | {"contradictions": clashes})
        ]
    taken = next((moments[k] for k in ("exif_original", "xmp_original", "iptc_created", "gps") if k in moments), None)
    changed = next((moments[k] for k in ("exif_modified", "xmp_modified") if k in moments), None)
    parts = [f"it was taken {taken.shown()}"] if taken else []
    parts += [f"it was last changed {changed.shown()}"] if changed and (not taken or changed.at != taken.at) else []
    said = " and that ".join(parts) or f"it dates from {next(iter(moments.values())).shown()}"
    return [Declaration(kind="dates", state="declared", says=f"The file declares that {said}.", details=details)]
