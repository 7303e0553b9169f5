"""Runs the application until it is told to stop, and then stops in order."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import webbrowser
from types import FrameType

import uvicorn

from veriscope.errors import VeriscopeError
from veriscope.server import logs
from veriscope.server.app import create_app
from veriscope.server.settings import Settings

CLOSING = 10  # seconds that open connections may take once the server stops


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.service.drain()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def serve(settings: Settings, *, browser: bool = True) -> int:
    """Serve until SIGTERM or Ctrl-C; gives the exit code.

    Raises:
        VeriscopeError: the address is taken, or the data folder or database cannot be used.
    """
    logs.to_standard_error()
    app = create_app(settings)
    try:
        listener = _listen(settings.host, settings.port)
    except VeriscopeError:
        app.state.service.database.close()
        raise
    port = listener.getsockname()[1]
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{name}:{port}"
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSING,
        proxy_headers=False,
        lifespan="on",
    )
    server = _Server(config)
    print(f"Veriscope is at {address} (data in {settings.data}); Ctrl-C stops it.", flush=True)
    if browser and sys.stdout.isatty():
        threading.Timer(0.5, lambda: webbrowser.open(address)).start()

    def stopped(_signal: int, _frame: FrameType | None) -> None:
        if not server.should_exit:  # uvicorn raises it once more when it has stopped: that is the end, not an error
            raise SystemExit(0)

    if threading.current_thread() is threading.main_thread():
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, stopped)
    with contextlib.closing(listener):
        server.run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
    except OSError as error:
        listener.close()
        raise VeriscopeError(f"{host}:{port}: cannot listen there ({error.strerror}); choose another --port") from error
    listener.listen(128)
    listener.setblocking(False)
    return listener
