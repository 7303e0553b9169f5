"""What watermarks answered, one JSON line a picture, scheme, payload length and attack, kept so that a run can go on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from veriscope.batch import read_json_lines
from veriscope.errors import VeriscopeError


@dataclass(frozen=True)
class Answer:
    """What was read off one picture.

    Attributes:
        scheme: its name.
        mark: changes with the scheme's weights or version and with the pictures' preparation.
        bits: of the payload.
        key: of the picture.
        attack: what was done to it after marking; "unmarked" where it was not marked at all.
        matched: bits that were read as they were written, or as they would have been.
        p_value: of the test for these bits, binomial.
        own_p: the scheme's own p-value, for a reader who was not told the bits; None where it has none.
        psnr: dB, of the attacked to the marked picture where the shape is the same; of the marked to the original for "none".
        ssim: of the marked picture to the original, for "none".
        seconds: of reading; of marking as well for "none".
        failed: why marking or reading broke, if it did.
    """

    scheme: str
    mark: str
    bits: int
    key: str
    attack: str
    matched: int
    p_value: float
    own_p: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    seconds: float = 0.0
    failed: str = ""

    @property
    def of(self) -> tuple[str, str, int, str, str]:
        """What it answers."""
        return (self.scheme, self.mark, self.bits, self.key, self.attack)


class Answers:
    """The answers of all runs over one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: dict[tuple[str, str, int, str, str], Answer] = {}
        for line in read_json_lines(path):
            try:
                answer = Answer(**line)
            except TypeError:
                continue  # a line of an older version
            self._held[answer.of] = answer

    def holds(self, of: tuple[str, str, int, str, str]) -> bool:
        """Whether it is answered already."""
        return of in self._held

    def add(self, answer: Answer, out: Any) -> None:
        """Keep an answer, in the file first.

        Raises:
            VeriscopeError: it cannot be written; what was complete is kept.
        """
        try:
            out.write(json.dumps(asdict(answer)) + "\n")
            out.flush()
        except OSError as error:
            raise VeriscopeError(
                f"{self.path}: cannot be written: {error.strerror}; what was complete is kept"
            ) from error
        self._held[answer.of] = answer

    def of(self, asked: Iterable[tuple[str, str, int, str, str]]) -> list[Answer]:
        """The answers that there are to what is asked."""
        return [self._held[one] for one in asked if one in self._held]
