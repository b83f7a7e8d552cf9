"""A proxy in front of an AWS endpoint: it keeps what is asked, holds answers back and hangs up, as it is told."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Gate:
    """What passed through, and what is to happen to the next calls.

    `held` is set when an answer to `hold` is there and kept back until `release` is set; the next `hang_up` calls
    of an action end without an answer and never reach AWS.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.calls: list[dict[str, str]] = []
        self.hold = ""
        self.held = threading.Event()
        self.release = threading.Event()
        self.hang_up: list[str] = []

    def launches(self) -> list[dict[str, str]]:
        """The parameters of each RunInstances call."""
        return [call for call in self.calls if call["Action"] == "RunInstances"]

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        call = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.calls.append(call)
        if call["Action"] in self.hang_up:
            self.hang_up.remove(call["Action"])
            handler.close_connection = True
            return
        status, answer = self._ask(body, dict(handler.headers))
        if call["Action"] == self.hold:
            self.held.set()
            self.release.wait()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def _ask(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(self.target, body, headers)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@contextmanager
def gate_to(target: str, port: int = 0) -> Iterator[Gate]:
    """Stand before `target` while the block runs, on a free port unless one is given."""
    gate = Gate(target)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            gate.pass_on(self)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # whoever waited for the held answer was killed

    server = Server(("127.0.0.1", port), Handler)
    gate.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield gate
    finally:
        gate.release.set()
        server.shutdown()
        server.server_close()
