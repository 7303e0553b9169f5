"""From a secret key to bits and to sources of chance: HMAC-SHA256, so that no part of what it gives tells of another part."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError

LEAST_KEY = 8  # characters


def checked(key: str) -> str:
    """A key that is long enough to be one.

    Raises:
        VeriscopeError: it is not.
    """
    if len(key) < LEAST_KEY:
        raise VeriscopeError(
            f"--key must have at least {LEAST_KEY} characters; take a long random one and keep it secret"
        )
    return key


def stream(key: str, purpose: str, count: int) -> bytes:
    """``count`` bytes for a purpose.

    >>> stream("a secret", "x", 40)[:20] == stream("a secret", "x", 20)
    True
    """
    blocks = range(-(-count // 32))
    made = (hmac.digest(key.encode(), f"{purpose}#{block}".encode(), hashlib.sha256) for block in blocks)
    return b"".join(made)[:count]


def bits(key: str, purpose: str, count: int) -> NDArray[np.uint8]:
    """``count`` bits for a purpose, ``uint8 (count,)`` of 0 and 1."""
    return np.unpackbits(np.frombuffer(stream(key, purpose, -(-count // 8)), np.uint8))[:count]


def generator(key: str, purpose: str) -> np.random.Generator:
    """A source of chance for a purpose, started from 256 bits."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(stream(key, purpose, 32), "big")))


def signature_bits(signature: str, key: str, count: int) -> NDArray[np.uint8]:
    """The bits that a signature puts into pictures, ``uint8 (count,)``; without the key they look like fair coins.

    Args:
        signature: exactly ``count`` digits 0 and 1, which the owner of the key can read again, or any other text, which can be
            compared but not read.
        key: the secret.
        count: how many bits the extractor reads.
    Raises:
        VeriscopeError: the signature is empty, or bits of another number.
    """
    if not signature:
        raise VeriscopeError("--signature is empty; name a text, or its bits as digits 0 and 1")
    if set(signature) <= {"0", "1"}:
        if len(signature) != count:
            raise VeriscopeError(f"--signature has {len(signature)} bits; this extractor reads {count}, or give a text")
        plain = np.frombuffer(signature.encode(), np.uint8) - ord("0")
        return np.asarray(plain ^ bits(key, "signature", count), np.uint8)
    return bits(key, f"signature {signature}", count)


def plain_bits(read: NDArray[np.uint8], key: str) -> str:
    """The digits of a signature given as bits, from those that were read.

    >>> plain_bits(signature_bits("0110", "a secret", 4), "a secret")
    '0110'
    """
    return "".join(str(bit) for bit in read ^ bits(key, "signature", len(read)))
