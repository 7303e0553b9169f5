"""From a message and a key to the raw bits that a mark carries, and back.

64 bits of message and 8 of a keyed check go through a tail-biting convolutional code of rate 1/2 to 144; 48 more, the pilots,
are known from the key alone and give the p-value. The key orders all 192 and flips half of them, so that under another key, or
in a picture without a mark, each pilot matches like a fair coin whatever the picture shows.
Papers: Viterbi 1967 (decoding); Ma and Wolf 1986 (tail-biting codes).
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError

MESSAGE_BYTES = 8
CHECK_BITS = 8
INFORMATION = 8 * MESSAGE_BYTES + CHECK_BITS
CODED = 2 * INFORMATION
PILOTS = 48
RAW_BITS = PILOTS + CODED
MEMORY = 8  # bits of the encoder's state
GENERATORS = (0o561, 0o753)  # of the best code of rate 1/2 and memory 8 (Lin and Costello, table 12.1)
ROUNDS = 3  # times round the circle in decoding; the middle one is kept
LABEL = b"veriscope watermark 1"
SURE = 1e-6  # p-value under which there is a mark
NULL = (
    f"no mark under this key: each of {PILOTS} pilot bits, drawn from the key, is as the key wants it with probability 1/2, "
    "independently; corrected (Sidak) for the number of readings that were tried"
)


@dataclass(frozen=True, eq=False)
class Reading:
    """What raw bits say under a key.

    Attributes:
        bits: the likeliest payload, uint8 (64,) of 0 and 1, whether there is a mark or not.
        holds: whether the code's keyed check holds for it.
        matches: pilots that are as the key wants them, of ``PILOTS``.
        p_value: probability of so many matches without a mark under this key, corrected for what was tried.
        changed: raw bits that differ from the payload's.
        tries: readings that the p-value is corrected for.
    """

    bits: NDArray[np.uint8]
    holds: bool
    matches: int
    p_value: float
    changed: int
    tries: int = 1

    @property
    def found(self) -> bool:
        """Whether there is a mark under this key: the p-value is under ``SURE`` and the code's check holds."""
        return self.holds and self.p_value < SURE

    @property
    def message(self) -> str | None:
        """The text of the mark; None where there is no mark, or its payload is not text."""
        return _text(np.packbits(self.bits).tobytes()) if self.found else None

    @property
    def bits_corrected(self) -> int | None:
        """Raw bits that the code had to change; None where there is no mark."""
        return self.changed if self.found else None


def message_bytes(message: str) -> bytes:
    """The message in UTF-8, filled up to ``MESSAGE_BYTES`` with zeros.

    Raises:
        VeriscopeError: it is empty, too long, or holds a zero character.
    """
    data = message.encode("utf-8", "surrogatepass")
    if not data:
        raise VeriscopeError("the message is empty: give 1 to 8 bytes of text")
    if len(data) > MESSAGE_BYTES:
        raise VeriscopeError(
            f"the message is too long: {message!r} takes {len(data)} bytes in UTF-8, and a mark carries at most "
            f"{MESSAGE_BYTES} (64 bits); give a shorter one, such as a number that you look up"
        )
    if b"\0" in data:
        raise VeriscopeError("the message holds a zero character, which ends it: leave it out")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VeriscopeError("the message is not valid Unicode text") from error
    return data.ljust(MESSAGE_BYTES, b"\0")


def require_key(key: str) -> bytes:
    """The key in UTF-8.

    Raises:
        VeriscopeError: it is empty.
    """
    if not key:
        raise VeriscopeError("the key is empty: give a secret text; the same one reads the mark again")
    return key.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=64)
def _keyed(key: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The order of the raw bits and which of them are flipped."""
    seed = hmac.new(key, LABEL, hashlib.sha256).digest()
    stream = hashlib.shake_256(seed).digest(9 * RAW_BITS)
    words = np.frombuffer(stream[: 8 * RAW_BITS], "<u8")
    flips = np.frombuffer(stream[8 * RAW_BITS :], np.uint8) & 1
    return np.argsort(words, kind="stable").astype(np.int64), flips.astype(np.uint8)


def _check(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, LABEL + b" check" + data, hashlib.sha256).digest()[: CHECK_BITS // 8]


def convolved(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Information bits ``(n,)`` to ``(2n,)`` coded ones, the end joined to the beginning."""
    coded = np.zeros((len(bits), 2), np.uint8)
    for delay in range(MEMORY + 1):
        late = np.roll(bits, delay)
        for output, generator in enumerate(GENERATORS):
            if generator >> (MEMORY - delay) & 1:
                coded[:, output] ^= late
    return coded.reshape(-1)


@lru_cache(maxsize=1)
def _trellis() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each state and the two that lead to it: the earlier state, and the signs of the coded pair, (states, 2, 2).

    A state is the last ``MEMORY`` bits, the newest highest.
    """
    states = np.arange(1 << MEMORY)
    earlier = np.stack([(states << 1 & (1 << MEMORY) - 1) | oldest for oldest in (0, 1)], 1)
    register = (states[:, None] >> (MEMORY - 1)) << MEMORY | earlier
    parity = np.array([bin(value).count("1") & 1 for value in range(1 << (MEMORY + 1))])
    outputs = np.stack([parity[register & generator] for generator in GENERATORS], -1)
    return earlier, 2.0 * outputs - 1


def decoded(odds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The likeliest information bits ``(n,)`` of the log odds ``(2n,)`` of coded ones."""
    earlier, signs = _trellis()
    count = len(odds) // 2
    pairs = np.tile(odds.reshape(count, 2), (ROUNDS, 1))
    branch = np.einsum("sbo,to->tsb", signs, pairs)
    score = np.zeros(1 << MEMORY)
    chosen = np.zeros((len(pairs), 1 << MEMORY), np.int64)
    for step in range(len(pairs)):
        reached = score[earlier] + branch[step]
        chosen[step] = reached[:, 1] > reached[:, 0]
        score = np.maximum(reached[:, 0], reached[:, 1])
    state = int(score.argmax())
    bits = np.zeros(len(pairs), np.uint8)
    for step in range(len(pairs) - 1, -1, -1):
        bits[step] = state >> (MEMORY - 1)
        state = int(earlier[state, chosen[step, state]])
    return bits[count : 2 * count]


def raw_bits(data: bytes, key: str) -> NDArray[np.uint8]:
    """The raw bits that carry 8 bytes under a key, uint8 (RAW_BITS,) of 0 and 1.

    >>> int(raw_bits(b"abcdefgh", "secret").size)
    192

    Raises:
        VeriscopeError: the key is empty.
    """
    secret = require_key(key)
    information = np.unpackbits(np.frombuffer(data + _check(secret, data), np.uint8))
    plain = np.concatenate([np.zeros(PILOTS, np.uint8), convolved(information)])
    order, flips = _keyed(secret)
    placed = np.empty(RAW_BITS, np.uint8)
    placed[order] = plain ^ flips
    return placed


def read(odds: NDArray[np.floating], key: str) -> Reading:
    """What the log odds ``(RAW_BITS,)`` of raw bits say under a key.

    >>> bits = raw_bits(b"abcdefgh", "secret")
    >>> read(2.0 * bits - 1, "secret").message
    'abcdefgh'

    Raises:
        VeriscopeError: the key is empty.
    """
    secret = require_key(key)
    order, flips = _keyed(secret)
    plain = np.asarray(odds, np.float64)[order] * (1 - 2.0 * flips)
    matches = int((plain[:PILOTS] < 0).sum())
    information = decoded(plain[PILOTS:])
    data = np.packbits(information).tobytes()
    words, check = data[:MESSAGE_BYTES], data[MESSAGE_BYTES:]
    changed = int((convolved(information) != (plain[PILOTS:] > 0)).sum()) + PILOTS - matches
    holds = hmac.compare_digest(check, _check(secret, words))
    return Reading(information[: 8 * MESSAGE_BYTES], holds, matches, binomial(matches), changed)


def best(readings: list[Reading], tries: int) -> Reading:
    """The most telling of the readings of one picture, its p-value corrected for how many there could have been.

    Args:
        readings: at least one, with the p-value of each alone.
        tries: readings that would have been made, had none told anything; stopping at the first that tells is no discount.
    """
    chosen = max(readings, key=lambda reading: (reading.matches, reading.holds))
    return replace(chosen, p_value=corrected_p(chosen.p_value, tries), tries=tries)


def _text(words: bytes) -> str | None:
    stripped = words.rstrip(b"\0")
    if not stripped or b"\0" in stripped:
        return None
    try:
        return stripped.decode("utf-8")
    except UnicodeDecodeError:
        return None


def binomial(matches: int, of: int = PILOTS) -> float:
    """The probability of at least ``matches`` heads in ``of`` throws of a fair coin.

    >>> binomial(48) == 2.0**-48
    True
    """
    return float(sum(math.comb(of, count) for count in range(max(0, matches), of + 1)) / 2**of)


def corrected_p(p_value: float, tries: int) -> float:
    """The probability that the best of ``tries`` independent tests has so small a p-value (Sidak).

    >>> round(corrected_p(0.5, 2), 6)
    0.75
    """
    return -math.expm1(tries * math.log1p(-p_value)) if p_value < 1 else 1.0
