"""What a user marked in a picture, read from JSON: lines, shadows and totems. A mistake is an error that names the entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from veriscope.errors import VeriscopeError

MOST_BYTES = 1_000_000  # of a file of marks
MOST_ENTRIES = 500  # of one list in it
FARTHEST = 1e7  # pixels: a mark farther out is a slip

Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=FARTHEST, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]
Segment = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
Place = tuple[Coordinate, Coordinate, Coordinate]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class Marks(BaseModel):
    """A file of marks: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Group(Marks):
    """Segments that are parallel in the scene; ``like`` names a group that they should be parallel to."""

    name: Name
    segments: Annotated[list[Segment], Field(min_length=1, max_length=MOST_ENTRIES)]
    direction: Literal["horizontal", "vertical", "other"] = "other"
    like: str | None = None


class Upright(Marks):
    """An upright object on the ground, by its foot and its head."""

    name: Name
    foot: Point
    head: Point


class Lines(Marks):
    """Marked lines; ``square`` names pairs or a triple of groups at right angles in the scene."""

    click_pixels: Positive = 1.5
    groups: Annotated[list[Group], Field(max_length=MOST_ENTRIES)] = []
    square: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=3)]], Field(max_length=20)] = []
    horizon: tuple[Point, Point] | None = None
    heights: Annotated[list[Upright], Field(max_length=MOST_ENTRIES)] = []
    height_spread: Annotated[float, Field(gt=0, le=1)] = 0.05

    @model_validator(mode="after")
    def _fits(self) -> Lines:
        names = [group.name for group in self.groups]
        if not names and not self.heights:
            raise ValueError("it marks nothing: give 'groups', 'heights' or both")
        if double := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two groups are called '{double}'")
        bases = {group.name for group in self.groups if group.like is None}
        for at, group in enumerate(self.groups):
            where = f"groups[{at}] ('{group.name}')"
            if group.like is None and len(group.segments) < 2:
                raise ValueError(f"{where} needs at least two segments to meet in a point")
            if group.like is not None and group.like not in bases:
                raise ValueError(f"{where} is to be like '{group.like}', which is no group of its own")
            for number, (x, y, right, down) in enumerate(group.segments):
                if abs(x - right) + abs(y - down) < 1:
                    raise ValueError(f"{where}: segments[{number}] has no length")
        for at, pair in enumerate(self.square):
            if unknown := next((name for name in pair if name not in bases), None):
                raise ValueError(f"square[{at}] names '{unknown}', which is no group of its own")
            if len(set(pair)) < len(pair):
                raise ValueError(f"square[{at}] names a group twice")
        if self.heights and len(self.heights) < 2:
            raise ValueError("heights needs at least two objects to compare")
        return self


class Shadow(Marks):
    """A ``shadow`` with its ``object`` or with what it lies ``between``, or a shaded edge ``at`` with its ``lit`` side."""

    name: Name
    shadow: Point | None = None
    object: Point | None = None
    between: tuple[Point, Point] | None = None
    at: Point | None = None
    lit: Point | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Shadow:
        given = {key for key in ("shadow", "object", "between", "at", "lit") if getattr(self, key) is not None}
        if given not in ({"shadow", "object"}, {"shadow", "between"}, {"at", "lit"}):
            raise ValueError("give 'shadow' with 'object', 'shadow' with 'between', or 'at' with 'lit'")
        if self.at is not None and self.at == self.lit:
            raise ValueError("'at' and 'lit' are the same point")
        return self


class Pairs(Marks):
    """Marked shadows."""

    click_pixels: Positive = 3.0
    shadows: Annotated[list[Shadow], Field(min_length=2, max_length=24)]


class CameraMark(Marks):
    """A camera by its focal length in pixels and the pixel it looks at; the picture's middle by default."""

    focal: Positive
    centre: Point | None = None


class BallMark(Marks):
    """A glass ball."""

    centre: Place
    radius: Positive
    index: float = 1.52


class BoxMark(Marks):
    """A box by two corners."""

    low: Place
    high: Place


class Totem(Marks):
    """Glass balls in a room; ``far_wall`` gives the distances between which it is estimated, ``refine`` moves balls to fit."""

    camera: CameraMark
    balls: Annotated[list[BallMark], Field(min_length=1, max_length=20)]
    room: BoxMark
    boxes: Annotated[list[BoxMark], Field(max_length=100)] = []
    far_wall: tuple[Positive, Positive] | None = None
    refine: bool = False


T = TypeVar("T", bound=Marks)


def read(path: Path, kind: type[T]) -> T:
    """The marks in a file.

    Raises:
        VeriscopeError: it cannot be read, is no JSON or holds a mistake; the message names the file and the entry.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise VeriscopeError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise VeriscopeError(f"{path}: over {MOST_BYTES / 1e6:g} MB, too much for marks")
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise VeriscopeError(f"{path}: no JSON ({error})") from error
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise VeriscopeError(f"{path}: {_entry(found, first['loc'])}{_wording(first['msg'])}") from error


def _entry(found: Any, where: tuple[int | str, ...]) -> str:
    """Where in the file, as ``groups[1].segments[0] ('the table'): ``; the name is the innermost entry's."""
    path, name = "", ""
    for step in where:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(found, dict) and isinstance(found.get("name"), str):
            name = f" ('{found['name'][:40]}')"
    return f"{path}{name}: " if path else ""


def _wording(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should be", "it should be")
