"""Uploads, streamed to disk as they come: no picture is ever whole in this process's memory, and none is decoded here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from veriscope.server.problems import ProblemError
from veriscope.server.storage import Storage

LONGEST_FIELD = 65_536  # bytes
MOST_FIELDS = 100
LONGEST_HEADER = 8_192  # bytes of one part's headers
LONGEST_NAME = 255  # characters, as the database holds it
OVERHEAD = 1_000_000  # bytes that boundaries, headers and fields may take beside the files
DRAINED = 8  # times the limit that is read and thrown away, so that a client hears why it was refused
UNNAMED = "picture"
EXTENDED_NAME = re.compile(rb"filename\*=utf-8'[^';]*'([!-:<-~]+)", re.IGNORECASE)


@dataclass
class Upload:
    """One file of a request, on disk.

    Attributes:
        name: as the user called it, without folders and control characters.
        path: where it lies; whoever keeps it moves it from there.
        bytes: its size.
        sha256: in hexadecimal.
    """

    name: str
    path: Path
    bytes: int = 0
    sha256: str = ""


@dataclass
class Received:
    """A request's body: its fields, and its files on disk."""

    fields: dict[str, str] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """The same for the same fields and files: what an idempotency key is compared by."""
        shown = [sorted(self.fields.items()), [(upload.name, upload.sha256) for upload in self.uploads]]
        return hashlib.sha256(json.dumps(shown).encode()).hexdigest()

    def discard(self) -> None:
        """Delete the files that nobody kept."""
        for upload in self.uploads:
            with contextlib.suppress(OSError):
                upload.path.unlink()


@dataclass(frozen=True)
class Allowed:
    """What one request may bring."""

    bytes: int
    files: int


def clean_name(name: str) -> str:
    """A file's name without folders and control characters.

    >>> clean_name("C:\\\\pictures\\\\cat.jpg"), clean_name("../../x\\n.png"), clean_name("")
    ('cat.jpg', 'x.png', 'picture')
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[:LONGEST_NAME] or UNNAMED


async def receive(request: Request, storage: Storage, allowed: Allowed) -> Received:
    """Read a body: a multipart form, a urlencoded one, or the bytes of one picture.

    Raises:
        ProblemError: it is too large (413), of another type (415), or not what it says it is (400).
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    length = request.headers.get("content-length", "")
    most = allowed.bytes * allowed.files + OVERHEAD
    received = Received()
    try:
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        if kind == b"multipart/form-data":
            boundary = options.get(b"boundary")
            if not boundary:
                raise _malformed("its Content-Type names no boundary")
            await _multipart(request, boundary, received, storage, allowed)
        elif kind == b"application/x-www-form-urlencoded":
            text = (await _whole(request, LONGEST_FIELD)).decode("utf-8", "replace")
            received.fields.update(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
        elif kind == b"application/json":
            received.fields.update(await _json_fields(request))
        elif kind.startswith(b"image/") or kind == b"application/octet-stream":
            await _raw(request, received, storage, allowed)
        else:
            raise ProblemError(
                415,
                "unsupported_media_type",
                "A body of this type is not understood",
                "Send multipart/form-data with the picture as a file, the picture itself as image/*, or JSON with a url.",
            )
    except ValueError as error:
        received.discard()
        raise _malformed(str(error)) from error
    except BaseException as error:
        received.discard()
        if isinstance(error, ProblemError) and error.status == 413:
            await _drain(request, most * DRAINED)
        if isinstance(error, OSError):
            raise _no_room(error) from error
        raise
    return received


async def _json_fields(request: Request) -> dict[str, str]:
    """The members of a JSON object as a form's fields: lists joined by commas, null left out."""
    try:
        values = json.loads(await _whole(request, LONGEST_FIELD))
    except (ValueError, RecursionError) as error:
        raise _malformed("the body is not JSON") from error
    if not isinstance(values, dict):
        raise _malformed("the body is not a JSON object")
    return {str(name): _as_field(value) for name, value in values.items() if value is not None}


def _as_field(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_as_field, value))
    return value if isinstance(value, str) else json.dumps(value)


async def _whole(request: Request, most: int) -> bytes:
    parts = bytearray()
    async for chunk in request.stream():
        parts += chunk
        if len(parts) > most:
            raise _too_large(most)
    return bytes(parts)


async def _raw(request: Request, received: Received, storage: Storage, allowed: Allowed) -> None:
    async with _file(request.query_params.get("name", ""), received, storage, allowed) as file:
        async for chunk in request.stream():
            file.write(chunk)


class _File:
    """An upload as it is written."""

    def __init__(self, upload: Upload, most: int) -> None:
        self.upload = upload
        self._most = most
        self._digest = hashlib.sha256()
        self._out: BinaryIO = upload.path.open("wb")

    def write(self, data: bytes) -> None:
        self.upload.bytes += len(data)
        if self.upload.bytes > self._most:
            raise _too_large(self._most, self.upload.name)
        self._digest.update(data)
        self._out.write(data)

    def close(self, *, whole: bool) -> None:
        if whole:
            self._out.flush()
            os.fsync(self._out.fileno())
            self.upload.sha256 = self._digest.hexdigest()
        self._out.close()


@contextlib.asynccontextmanager
async def _file(name: str, received: Received, storage: Storage, allowed: Allowed) -> AsyncIterator[_File]:
    file = _begin(name, received, storage, allowed)
    whole = False
    try:
        yield file
        whole = True
    finally:
        file.close(whole=whole)


def _begin(name: str, received: Received, storage: Storage, allowed: Allowed) -> _File:
    if len(received.uploads) >= allowed.files:
        raise ProblemError(
            413, "too_many_files", "Too many files in one request", f"At most {allowed.files}; send the others apart."
        )
    upload = Upload(clean_name(name), storage.receive())
    received.uploads.append(upload)
    return _File(upload, allowed.bytes)


class _Parts:
    """What the multipart parser calls as it reads."""

    def __init__(self, received: Received, storage: Storage, allowed: Allowed) -> None:
        self.received, self.storage, self.allowed = received, storage, allowed
        self.file: _File | None = None
        self.ended = False
        self._header = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._size = 0
        self._field: tuple[str, bytearray] | None = None

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self.begin,
            "on_header_field": self.header_field,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_part_data": self.data,
            "on_part_end": self.end,
            "on_end": self.finish,
        }

    def begin(self) -> None:
        self._headers, self._header, self._value, self._size = {}, b"", b"", 0

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._count(end - start)

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count(end - start)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > LONGEST_HEADER:
            raise _malformed("the headers of one part are too long")

    def header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def headers_finished(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if called := EXTENDED_NAME.search(disposition):  # RFC 5987: no browser sends it, some programs do
            self.file = _begin(unquote(called[1].decode("ascii")), self.received, self.storage, self.allowed)
        elif b"filename" in options:
            called_so = options[b"filename"].decode("utf-8", "replace")
            self.file = _begin(called_so, self.received, self.storage, self.allowed)
        else:
            if len(self.received.fields) >= MOST_FIELDS:
                raise _malformed(f"more than {MOST_FIELDS} fields")
            self._field = name, bytearray()

    def data(self, data: bytes, start: int, end: int) -> None:
        if self.file is not None:
            self.file.write(data[start:end])
        elif self._field is not None:
            self._field[1].extend(data[start:end])
            if len(self._field[1]) > LONGEST_FIELD:
                raise _too_large(LONGEST_FIELD, self._field[0])

    def end(self) -> None:
        if self.file is not None:
            self.file.close(whole=True)
            if not self.file.upload.bytes and self.file.upload.name == UNNAMED:  # a file field that was left empty
                self.received.uploads.remove(self.file.upload)
                self.file.upload.path.unlink(missing_ok=True)
            self.file = None
        elif self._field is not None:
            name, value = self._field
            self.received.fields[name] = value.decode("utf-8", "replace")
            self._field = None

    def finish(self) -> None:
        self.ended = True


async def _multipart(request: Request, boundary: bytes, received: Received, storage: Storage, allowed: Allowed) -> None:
    parts = _Parts(received, storage, allowed)
    read = 0
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        async for chunk in request.stream():
            read += len(chunk)
            if read > allowed.bytes * allowed.files + OVERHEAD:
                raise _too_large(allowed.bytes * allowed.files)
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise _malformed(f"the form cannot be read ({error})") from error
    finally:
        if parts.file is not None:
            parts.file.close(whole=False)
    if not parts.ended:
        raise _malformed("the form ends early")


async def _drain(request: Request, most: int) -> None:
    with contextlib.suppress(Exception):
        async for chunk in request.stream():
            most -= len(chunk)
            if most < 0:
                return


def _too_large(most: int, name: str = "") -> ProblemError:
    said = f"{name}: o" if name else "O"
    return ProblemError(413, "too_large", "The upload is too large", f"{said}ver the limit of {most / 1e6:,g} MB.")


def _malformed(why: str) -> ProblemError:
    return ProblemError(400, "malformed_body", "The body cannot be read", f"{why[:1].upper()}{why[1:]}.")


def _no_room(error: OSError) -> ProblemError:
    return ProblemError(507, "no_room", "The upload cannot be stored", f"{error.strerror or error}.", retry_after=60)
