"""A client of a Veriscope server, for programs. It needs nothing but this package.

>>> from veriscope.client import Client
>>> client = Client("http://127.0.0.1:8000")
>>> report = client.examine("photo.jpg")  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypedDict
from urllib.parse import quote, urlencode, urlsplit

from veriscope.errors import VeriscopeError
from veriscope.evidence import Report

TIMEOUT = 180.0  # seconds for an answer
CHUNK = 65_536  # bytes
PAGE = 200  # rows of a list that are asked for at once
LOOK = 0.5  # seconds between two looks at jobs that are waited for
TRIES = 4  # of a request that a busy or stopping server puts off

Source = str | Path | bytes | tuple[str, bytes]


class Job(TypedDict):
    """One job, as the server tells it."""

    id: str
    batch: str
    kind: str
    state: str
    stage: str
    position: int | None
    name: str
    sha256: str
    tries: int
    error: str
    code: str
    report: str | None
    result: dict[str, Any] | None
    created: float
    finished: float | None


class Match(TypedDict):
    """A known picture that the query is a copy of."""

    reference: str
    score: float
    level: int | None
    says: str
    details: dict[str, Any]


class Detected(TypedDict):
    """What was read of a watermark; ``message`` is None where there is none."""

    message: str | None
    p_value: float
    bits_corrected: int | None
    scheme: str | None


class Added(TypedDict):
    """What became of a picture that was added to the index."""

    added: list[str]
    known: list[dict[str, str]]
    pictures: int


class ReportRow(TypedDict):
    """A report in a list."""

    id: str
    name: str
    sha256: str
    headline: str
    answer: str
    created: float
    report: str


@dataclass(frozen=True)
class Result:
    """One picture of a batch: its report, or why there is none."""

    job: str
    name: str
    report: Report | None = None
    error: str = ""
    code: str = ""


class ClientError(VeriscopeError):
    """What the server refused, or that it cannot be reached.

    Attributes:
        status: HTTP status; 0 where there was no answer.
        code: the server's word for it, stable.
        problem: all that the server said.
    """

    def __init__(self, message: str, status: int = 0, code: str = "unreachable", problem: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.problem: dict[str, Any] = problem or {}


@dataclass
class Client:
    """A client of one server.

    Attributes:
        url: of the server, "http://127.0.0.1:8000" for one on this machine.
        token: sent as bearer token; empty where the server asks for none.
        timeout: seconds for an answer to begin, and for each piece of it.
    """

    url: str = "http://127.0.0.1:8000"
    token: str = field(default="", repr=False)
    timeout: float = TIMEOUT

    def examine(
        self,
        source: Source,
        *,
        quick: bool | None = None,
        declared_only: bool = False,
        detectors: Sequence[str] | None = None,
        key: str = "",
    ) -> Report:
        """Examine one picture and wait for its report.

        Args:
            source: a path, the bytes of a file, or a name with bytes.
            quick: leave out the methods that take long; the server's way if None.
            declared_only: read only what the file declares.
            detectors: the names of those to ask; by default the server's.
            key: an idempotency key; one of its own if empty, so that a repeat after a broken connection does nothing twice.
        Raises:
            ClientError: the server refused it, or cannot be reached.
        """
        options = _options(quick, declared_only, detectors)
        return Report.from_json(self._post("/api/v1/examine", [source], options, key=key))

    def submit(
        self,
        sources: Iterable[Source],
        *,
        quick: bool | None = None,
        declared_only: bool = False,
        detectors: Sequence[str] | None = None,
        key: str = "",
    ) -> str:
        """Queue many pictures; gives the batch, for ``jobs``, ``wait`` and ``stream``.

        Raises:
            ClientError: the server refused them all, or cannot be reached.
        """
        answer = self._post("/api/v1/jobs", list(sources), _options(quick, declared_only, detectors), key=key)
        return str(json.loads(answer)["batch"])

    def jobs(self, batch: str) -> list[Job]:
        """The jobs of a batch, in the order they were sent."""
        return list(reversed(list(self._list("/api/v1/jobs", "jobs", batch=batch))))

    def wait(self, batch: str, *, seconds: float = 3600.0) -> list[Job]:
        """The jobs of a batch when all are done or failed.

        Raises:
            ClientError: they are not after so many seconds; they go on.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.jobs(batch)
            if all(job["state"] in ("done", "failed") for job in found):
                return found
            if time.monotonic() > deadline:
                raise ClientError(
                    f"{self.url}: batch {batch} is not done after {seconds:g} s; it goes on", 0, "not_yet"
                )
            time.sleep(LOOK)

    def stream(self, batch: str) -> Iterator[Result]:
        """Each picture of a batch as soon as it is done, with its report or its error."""
        with self._answer("GET", f"/api/v1/results?{urlencode({'batch': batch})}") as answer:
            for line in answer:
                if not line.strip():
                    continue
                values = json.loads(line)
                report = Report.model_validate(values["report"]) if values.get("report") else None
                yield Result(values["job"], values["name"], report, values.get("error", ""), values.get("code", ""))

    def job(self, job_id: str) -> Job:
        """One job.

        Raises:
            ClientError: there is none.
        """
        found: Job = json.loads(self._get(f"/api/v1/jobs/{quote(job_id, safe='')}"))
        return found

    def delete(self, job_id: str) -> None:
        """Delete a job with its picture, its report and all their files.

        Raises:
            ClientError: there is none.
        """
        with self._answer("DELETE", f"/api/v1/jobs/{quote(job_id, safe='')}") as answer:
            answer.read()

    def report(self, report_id: str) -> Report:
        """One report; its id is its job's.

        Raises:
            ClientError: there is none.
        """
        return Report.from_json(self._get(f"/api/v1/reports/{quote(report_id, safe='')}"))

    def list_reports(self) -> Iterator[ReportRow]:
        """All reports, the newest first."""
        yield from self._list("/api/v1/reports", "reports")

    def search(self, source: Source, *, most: int = 10) -> list[Match]:
        """The known pictures that this one is a copy of, best first.

        Raises:
            ClientError: the server has no index, or cannot open the picture.
        """
        found: list[Match] = json.loads(self._post("/api/v1/index/search", [source], {"most": str(most)}))["matches"]
        return found

    def add(self, source: Source, *, reference: str = "") -> Added:
        """Make a picture known to the server's index, under its name or this reference.

        Raises:
            ClientError: the server has no index, or cannot open the picture.
        """
        found: Added = json.loads(self._post("/api/v1/index/add", [source], {"reference": reference}))
        return found

    def embed(self, source: Source, message: str, key: str, *, scheme: str = "") -> bytes:
        """The bytes of a copy that holds this message under this key.

        Raises:
            ClientError: the picture or message does not fit.
        """
        fields = {"message": message, "key": key, **({"scheme": scheme} if scheme else {})}
        return self._post("/api/v1/watermark/embed", [source], fields)

    def detect(self, source: Source, key: str) -> Detected:
        """The message that a picture holds under this key, with its p-value.

        Raises:
            ClientError: the server cannot open the picture.
        """
        found: Detected = json.loads(self._post("/api/v1/watermark/detect", [source], {"key": key}))
        return found

    def _list(self, path: str, name: str, **query: str) -> Iterator[Any]:
        cursor: str | None = ""
        while cursor is not None:
            page = json.loads(self._get(f"{path}?{urlencode({'limit': PAGE, 'cursor': cursor, **query})}"))
            yield from page[name]
            cursor = page["next"]

    def _get(self, path: str) -> bytes:
        with self._answer("GET", path) as answer:
            return answer.read()

    def _post(self, path: str, sources: Sequence[Source], fields: dict[str, str], *, key: str = "") -> bytes:
        key = key or secrets.token_urlsafe(16)
        for tries in range(1, TRIES + 1):
            body = _Form(sources, fields)
            try:
                with self._answer("POST", path, body, {"Idempotency-Key": key}) as answer:
                    return answer.read()
            except ClientError as error:
                if error.status not in (0, 409, 429, 503) or tries == TRIES:
                    raise
                time.sleep(min(30.0, float(error.problem.get("retry_after") or 2.0**tries / 2)))
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def _answer(
        self, method: str, path: str, body: _Form | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """A successful answer; closed with its connection afterwards."""
        sent = {"Accept": "application/json", **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent |= {"Content-Type": body.kind, "Content-Length": str(body.length)}
        connection = self._connection()
        try:
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before the end
                    connection.request(method, path, body=body, headers=sent)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise ClientError(f"{self.url}: no answer ({type(error).__name__}: {error})") from error
            if answer.status >= 300:
                raise _refused(self.url, answer)
            yield answer
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"{self.url!r}: not the address of a server; it looks like http://127.0.0.1:8000")
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self.timeout, context=context)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout)


class _Form:
    """A multipart form that is read from disk as it is sent."""

    def __init__(self, sources: Sequence[Source], fields: dict[str, str]) -> None:
        boundary = secrets.token_hex(16)
        self.kind = f"multipart/form-data; boundary={boundary}"
        self._parts: list[bytes | Path] = []
        for name, value in fields.items():
            self._parts.append(
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            )
        for source in sources:
            called, data = _opened(source)
            shown = called.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{shown}"\r\n'
            self._parts += [
                head.encode("utf-8", "replace") + b"Content-Type: application/octet-stream\r\n\r\n",
                data,
                b"\r\n",
            ]
        self._parts.append(f"--{boundary}--\r\n".encode())
        self.length = sum(os.path.getsize(part) if isinstance(part, Path) else len(part) for part in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            file: BinaryIO
            with part.open("rb") as file:
                while data := file.read(CHUNK):
                    yield data


def _opened(source: Source) -> tuple[str, bytes | Path]:
    if isinstance(source, tuple):
        return source
    if isinstance(source, bytes):
        return "picture", source
    path = Path(source)
    if not path.is_file():
        raise ClientError(f"{path}: no such file", 0, "no_such_file")
    return path.name, path


def _options(quick: bool | None, declared_only: bool, detectors: Sequence[str] | None) -> dict[str, str]:
    options = {} if quick is None else {"quick": str(quick).lower()}
    options |= {"declared_only": "true"} if declared_only else {}
    return options | ({"detectors": ",".join(detectors)} if detectors else {})


def _refused(url: str, answer: http.client.HTTPResponse) -> ClientError:
    try:
        problem = json.loads(answer.read(CHUNK))
        said = ". ".join(filter(None, (str(problem["title"]), str(problem.get("detail", "")))))
        code = str(problem["code"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        problem, said, code = {}, answer.reason, "not_veriscope"
    if wait := answer.getheader("Retry-After"):
        problem["retry_after"] = float(wait) if wait.isdigit() else None
    return ClientError(f"{url}: {said}", answer.status, code, problem)
