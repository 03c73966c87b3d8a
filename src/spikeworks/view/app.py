"""The viewer: a page for one recording, served to this machine alone, to whoever knows its address."""

from __future__ import annotations

import secrets
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .answers import ANSWERS, EXPORTS, Answer, Dropped, as_json
from .ask import Ask
from .scene import Scene

HERE = "127.0.0.1"
FILES = {
    "": ("camera.html", "text/html; charset=utf-8"),
    "camera.css": ("camera.css", "text/css; charset=utf-8"),
    "camera.js": ("camera.js", "text/javascript; charset=utf-8"),
    "plots.js": ("plots.js", "text/javascript; charset=utf-8"),
}
"""The page: what is asked for → the file beside this one, and its type."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""With every answer: nothing comes from anywhere else, and no other page reads this one."""


class Viewer:
    """A server of the page for a scene; a context manager that has stopped all of its threads when it is left.

    It listens on the loopback address. Every request must carry the token that :attr:`address` has, and the name of
    this host, so that pages from elsewhere can neither guess it nor reach it by a name of their own.

    :param scene: what is shown. :param port: to listen on; 0: any that is free.
    :raises ValueError: for a port that is taken or out of range.
    """

    def __init__(self, scene: Scene, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        if not 0 <= port < 1 << 16:
            raise ValueError(f"Viewer got port={port}, expected 0 to 65535; 0 takes any that is free.")
        try:
            self._server = _Server((HERE, port), self.token, scene)
        except OSError as error:
            raise ValueError(f"port {port} cannot be had ({error.strerror}); leave it out to take any.") from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="viewer")

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HERE}:{self.port}/{self.token}/"

    def __enter__(self) -> Viewer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def wait(self) -> None:
        """Until the process is interrupted."""
        while self._thread.is_alive():
            self._thread.join(0.5)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for them
    request_queue_size = 32

    def __init__(self, place: tuple[str, int], token: str, scene: Scene) -> None:
        super().__init__(place, _Handler)
        self.token, self.scene = token, scene
        self.names = {f"{name}:{self.server_address[1]}" for name in (HERE, "localhost")}
        self.closing = threading.Event()
        self.work = threading.Lock()
        self._open: set[socket.socket] = set()
        self._turns: OrderedDict[str, int] = OrderedDict()

    def turn(self, page: str, number: int) -> Callable[[], bool]:
        """Note what a page asks for; the function says whether it has asked for something newer since."""
        self._turns[page] = max(number, self._turns.pop(page, 0))
        while len(self._turns) > 64:
            self._turns.popitem(last=False)
        return lambda: self.closing.is_set() or self._turns.get(page, number) > number

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End what is under way: connections that wait for another request would wait for ever."""
        self.closing.set()
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error; others are shown as a thread's are."""
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError):
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "spikeworks", ""
    disable_nagle_algorithm = True
    timeout = 600

    def do_GET(self) -> None:
        self._respond(ANSWERS)

    def do_POST(self) -> None:
        self._respond(EXPORTS)

    def _respond(self, known: dict[str, Callable[..., Answer]]) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what follows would be read as another request
            return self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request has no body here.")
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in self.server.names or (
            origin is not None and origin.removeprefix("http://") not in self.server.names
        ):
            return self.send_error(HTTPStatus.FORBIDDEN, "the request is for another host, or from another page.")
        try:
            parts = urlsplit(self.path)
        except ValueError:
            return self.send_error(HTTPStatus.BAD_REQUEST, "the address cannot be read.")
        token, _, name = parts.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return self.send_error(
                HTTPStatus.FORBIDDEN, "the address lacks the token; open the one that spikeworks view printed."
            )
        if self.command == "GET" and name in FILES:
            file, kind = FILES[name]
            return self._send(Answer(Path(__file__).with_name(file).read_bytes(), kind))
        if name not in known:
            return self.send_error(HTTPStatus.NOT_FOUND, f"{name[:40]!r} is nothing to {self.command} here.")
        try:
            ask = Ask.of(parts.query)
            page, number = ask.words.get("page", "")[:32], ask.whole("turn", 0, 1 << 53, 0)
            ask.taken.add("page")
            stale = self.server.turn(page, number) if page else self.server.closing.is_set
            return self._send(known[name](self.server.scene, ask, stale, self.server.work))
        except Dropped:
            return self._send(Answer(b"", ""), HTTPStatus.NO_CONTENT)  # no error, which browsers would log
        except ValueError as error:
            return self.send_error(HTTPStatus.BAD_REQUEST, str(error))
        except ModuleNotFoundError as error:
            return self.send_error(HTTPStatus.NOT_IMPLEMENTED, f"this needs {error.name}, which is not installed.")
        except ConnectionError:
            raise
        except Exception as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, f"something is wrong here: {error!r}")
            raise

    def _send(self, answer: Answer, status: int = 200) -> None:
        lines = {**HEADERS, **answer.headers}
        if status != HTTPStatus.NO_CONTENT:
            lines |= {"Content-Type": answer.kind, "Content-Length": str(len(answer.body))}
        if self.close_connection:
            lines["Connection"] = "close"
        self.send_response(status)
        for name, value in lines.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """An error as the page shows it: one sentence."""
        self._send(as_json({"error": message or HTTPStatus(code).phrase}), int(code))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the address."""
