"""What the descriptive metadata declares: camera, software, place, caption.

Question: what does the file say of its own making? Cameras, editors and agencies write it into EXIF, XMP and IPTC-IIM
as they work. It is absent from most pictures that passed through a platform, and anyone can write or copy it: a
declaration, never proof. Formats: CIPA DC-008 (EXIF 3.0), ISO 16684-1 (XMP), IPTC Photo Metadata Standard 2023.1.
"""

from __future__ import annotations

from typing import Any

from veriscope.container.fields import Fields, fields
from veriscope.container.wording import as_float, present, quoted
from veriscope.evidence import Declaration
from veriscope.picture import Picture

MAKE, MODEL, SOFTWARE, HOST, PROCESSING = 0x010F, 0x0110, 0x0131, 0x013C, 0x000B
DESCRIPTION, ARTIST, COPYRIGHT, USER_COMMENT, MAKER_NOTE = 0x010E, 0x013B, 0x8298, 0x9286, 0x927C
_LENS_MAKE, _LENS_MODEL = 0xA433, 0xA434
_EXPOSURE, _APERTURE, _ISO, _FOCAL = 0x829A, 0x829D, 0x8827, 0x920A
_XP_TITLE, _XP_COMMENT, _XP_AUTHOR = 0x9C9B, 0x9C9C, 0x9C9D


def declared_camera(picture: Picture) -> list[Declaration]:
    """Make, model, lens and exposure, and whether a maker note is present; nothing where the file names no camera."""
    read = fields(picture)
    make = read.exif_text(MAKE) or read.xmp_text("tiff:Make")
    model = read.exif_text(MODEL) or read.xmp_text("tiff:Model")
    if make.startswith("workflow:") or model.startswith("prompt:"):
        return []  # ComfyUI keeps its graph in these two tags of a WebP
    note = read.photo.get(MAKER_NOTE)
    lens = read.exif_text(_LENS_MODEL) or read.xmp_text("exifEX:LensModel", "aux:Lens")
    if not (make or model or lens):
        return []
    name = model if model.casefold().startswith(make.casefold()) and model else f"{make} {model}".strip()
    said = f"The file declares that it was taken with {quoted(name or lens)}"
    said += f" and the lens {quoted(lens)}" if lens and name else ""
    said += "; it carries the maker's own block of notes." if note else "; the maker's own block of notes is missing."
    return [
        Declaration(
            kind="camera",
            state="declared",
            says=said,
            details=present(
                make=make,
                model=model,
                lens_make=read.exif_text(_LENS_MAKE),
                lens_model=lens,
                exposure_seconds=as_float(read.photo.get(_EXPOSURE)),
                f_number=as_float(read.photo.get(_APERTURE)),
                iso=_whole(read.photo.get(_ISO)),
                focal_length_mm=as_float(read.photo.get(_FOCAL)),
            )
            | {"maker_note_bytes": len(note) if isinstance(note, bytes | str) else 0},
        )
    ]


def _whole(value: Any) -> int | None:
    number = as_float(value[0] if isinstance(value, tuple) and value else value)
    return None if number is None else int(number)


def declared_software(picture: Picture) -> list[Declaration]:
    """The programs that say they wrote or edited the file, with the editing history where one is kept."""
    read = fields(picture)
    texts = dict(read.texts)
    named = [
        read.exif_text(PROCESSING),
        read.exif_text(SOFTWARE),
        *read.xmp.get("xmp:CreatorTool", ()),
        *read.xmp.get("stEvt:softwareAgent", ()),
        read.iptc_text(65),
        texts.get("Software", ""),
        read.exif_text(HOST),
    ]
    programs = list(dict.fromkeys(name for name in named if name))
    history = _history(read)
    if not programs and not history:
        if not read.photoshop:
            return []
        said = "The file carries image resources as Adobe Photoshop writes them, and names no program."
        return [Declaration(kind="software", state="noted", says=said, details={"photoshop_resources": True})]
    said = f"The file declares that it was written by {_listed(programs)}" if programs else "The file declares edits"
    if history:
        said += f", with {len(history)} recorded step{'s' * (len(history) != 1)}"
    details = present(programs=programs, history=history) | {"photoshop_resources": read.photoshop}
    return [Declaration(kind="software", state="declared", says=said + ".", details=details)]


def _history(read: Fields) -> list[dict[str, str]]:
    columns = [read.xmp.get(f"stEvt:{name}", []) for name in ("action", "softwareAgent", "when")]
    if not columns[0] or any(len(column) not in (0, len(columns[0])) for column in columns):
        return [{"action": action} for action in columns[0]]
    names = [name for name, column in zip(("action", "program", "when"), columns, strict=True) if column]
    rows = zip(*(column for column in columns if column), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _listed(names: list[str], most: int = 3) -> str:
    shown = ", ".join(quoted(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def declared_gps(picture: Picture) -> list[Declaration]:
    """The place in decimal degrees, north and east positive."""
    gps = fields(picture).gps
    if 2 not in gps or 4 not in gps:
        return []
    latitude, longitude = _degrees(gps[2], gps.get(1), "S"), _degrees(gps[4], gps.get(3), "W")
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        said = "The file declares a place, but its coordinates are not a place on Earth."
        return [Declaration(kind="gps", state="noted", says=said)]
    if latitude == longitude == 0:
        said = "The file declares the place 0, 0, which programs write when they do not know the place."
        return [Declaration(kind="gps", state="noted", says=said, details={"latitude": 0.0, "longitude": 0.0})]
    altitude = as_float(gps.get(6))
    if altitude is not None and gps.get(5) in (1, b"\x01"):
        altitude = -altitude
    return [
        Declaration(
            kind="gps",
            state="declared",
            says=f"The file declares that it was taken at latitude {latitude:.5f}, longitude {longitude:.5f}.",
            details={"latitude": latitude, "longitude": longitude} | present(altitude_m=altitude),
        )
    ]


def _degrees(parts: Any, reference: Any, negative: str) -> float | None:
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3:
        return None
    values = [as_float(part) for part in parts]
    total = 0.0
    for value, unit in zip(values, (1.0, 60.0, 3600.0), strict=False):
        if value is None:
            return None
        total += value / unit
    letter = reference.decode("latin-1") if isinstance(reference, bytes) else str(reference or "")
    return round(-total if letter.strip("\x00 ").upper() == negative else total, 7)


def caption_fields(read: Fields) -> dict[str, str]:
    """Caption, title, author, credit, source and rights, from whichever block holds them first."""
    found = {
        "caption": read.xmp_text("dc:description") or read.iptc_text(120) or read.exif_text(DESCRIPTION),
        "title": read.xmp_text("dc:title") or read.iptc_text(5) or read.exif_text(_XP_TITLE),
        "headline": read.xmp_text("photoshop:Headline") or read.iptc_text(105),
        "author": read.xmp_text("dc:creator")
        or read.iptc_text(80)
        or read.exif_text(ARTIST)
        or read.exif_text(_XP_AUTHOR),
        "credit": read.xmp_text("photoshop:Credit") or read.iptc_text(110),
        "source": read.xmp_text("photoshop:Source") or read.iptc_text(115),
        "rights": read.xmp_text("dc:rights") or read.iptc_text(116) or read.exif_text(COPYRIGHT),
        "city": read.xmp_text("photoshop:City") or read.iptc_text(90),
        "country": read.xmp_text("photoshop:Country") or read.iptc_text(101),
        "instructions": read.xmp_text("photoshop:Instructions") or read.iptc_text(40),
        "comment": read.exif_text(_XP_COMMENT) or next((v for k, v in read.texts if k == "comment"), ""),
    }
    return {name: text for name, text in found.items() if text}


def declared_caption(picture: Picture) -> list[Declaration]:
    """The words that came with the file."""
    found = caption_fields(fields(picture))
    shown = [
        f"{name} {quoted(found[name])}"
        for name in ("caption", "headline", "title", "author", "credit")
        if name in found
    ]
    if not found:
        return []
    said = f"The file declares the {', the '.join(shown[:3])}." if shown else f"The file declares {', '.join(found)}."
    return [Declaration(kind="caption", state="declared", says=said, details=present(**found))]


def unread_blocks(picture: Picture) -> list[Declaration]:
    """A note for each metadata block that is damaged or over a limit."""
    return [Declaration(kind="file", state="noted", says=problem) for problem in fields(picture).problems]
