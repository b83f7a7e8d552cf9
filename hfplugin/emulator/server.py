"""The emulator's HTTP server, on loopback."""

from __future__ import annotations

import threading
from types import TracebackType

from werkzeug.serving import WSGIRequestHandler, make_server

from hfplugin.emulator.front import Front

HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Connections that stay, and no line on stderr for each request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The journal has it."""


class Server:
    """Serves while the block runs."""

    def __init__(self, port: int = 0) -> None:
        self._server = make_server(HOST, port, Front(), threaded=True, request_handler=_Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
