"""Fetches a picture from a public address, where the server was started so.

A server that fetches what it is told can be made to read what only it can reach. So the name is resolved once, every address it
has must be public, and the connection goes to that very address; each redirect is checked the same way. No proxy, cookie or
credential of this machine is used.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import socket
import ssl
import time
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from veriscope.server.problems import ProblemError
from veriscope.server.storage import Storage
from veriscope.server.uploads import Upload, clean_name

REDIRECTS = 3
SECONDS = 20.0  # for one answer to begin, and for each piece of it
LONGEST = 60.0  # seconds for all of it
PORTS = {"http": 80, "https": 443}
CHUNK = 65_536  # bytes
AGENT = "Veriscope"


def fetch(url: str, storage: Storage, most: int) -> Upload:
    """Fetch a picture into a new file.

    Args:
        url: http or https, on the standard port, without credentials.
        storage: where the file goes.
        most: bytes that it may have.
    Raises:
        ProblemError: the address is not allowed (422), too large (413), or does not answer with a file (502).
    """
    deadline = time.monotonic() + LONGEST
    for _ in range(REDIRECTS + 1):
        parts = _checked(url)
        connection = _connect(parts, public_address(str(parts.hostname), PORTS[parts.scheme]))
        try:
            answer = _ask(connection, parts)
            if answer.status in (301, 302, 303, 307, 308) and answer.getheader("Location"):
                url = urljoin(url, str(answer.getheader("Location")))
                continue
            if answer.status != 200:
                raise _unreachable(f"it answered with status {answer.status}")
            return _stored(answer, clean_name(unquote(parts.path)), storage, most, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(f"it broke off ({type(error).__name__})") from error
        finally:
            connection.close()
    raise _unreachable(f"more than {REDIRECTS} redirects")


def public_address(host: str, port: int) -> str:
    """The address of a host, none of whose addresses is private.

    Raises:
        ProblemError: it has none (502), or one that is not public (422).
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _unreachable("its name cannot be resolved") from error
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    if not addresses or not all(is_public(address) for address in addresses):
        raise ProblemError(422, "address_not_public", "The address is not public", "Only public addresses are fetched.")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, also when it is an IPv4 address inside an IPv6 one.

    >>> [is_public(a) for a in ("93.184.216.34", "10.0.0.1", "127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "fe80::1%1")]
    [True, False, False, False, False, False]
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.scheme in PORTS and parts.hostname and parts.username is None and parts.password is None
    if not plain or port not in (None, PORTS[parts.scheme]) or not url.strip().isprintable():
        said = "It must be http or https on the standard port, and without credentials."
        raise ProblemError(422, "address_not_allowed", "The address is not allowed", said)
    return parts


def _connect(parts: SplitResult, address: str) -> http.client.HTTPConnection:
    """A connection to this very address, that speaks to the host of the URL."""
    host = str(parts.hostname)
    try:
        raw = socket.create_connection((address, PORTS[parts.scheme]), SECONDS)
        if parts.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
    except (OSError, ValueError) as error:
        raise _unreachable(f"no connection ({type(error).__name__})") from error
    connection = http.client.HTTPConnection(host, PORTS[parts.scheme], timeout=SECONDS)
    connection.sock = raw
    return connection


def _ask(connection: http.client.HTTPConnection, parts: SplitResult) -> http.client.HTTPResponse:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    path = "".join(letter if "!" <= letter <= "~" else "" for letter in path)
    headers = {"User-Agent": AGENT, "Accept": "image/*", "Accept-Encoding": "identity", "Connection": "close"}
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def _stored(answer: http.client.HTTPResponse, name: str, storage: Storage, most: int, deadline: float) -> Upload:
    length = answer.getheader("Content-Length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    upload = Upload(name, storage.receive())
    digest = hashlib.sha256()
    try:
        with upload.path.open("wb") as file:
            while data := answer.read(CHUNK):
                upload.bytes += len(data)
                if upload.bytes > most:
                    raise _too_large(most)
                if time.monotonic() > deadline:
                    raise _unreachable(f"it took longer than {LONGEST:g} s")
                digest.update(data)
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        upload.path.unlink(missing_ok=True)
        raise
    upload.sha256 = digest.hexdigest()
    return upload


def _too_large(most: int) -> ProblemError:
    return ProblemError(413, "too_large", "The file is too large", f"Over the limit of {most / 1e6:,g} MB.")


def _unreachable(why: str) -> ProblemError:
    return ProblemError(502, "not_fetched", "The address gives no picture", f"{why[:1].upper()}{why[1:]}.")
