"""Loopback server of a picture, and of failures, for a media connector to fetch from."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Site(ThreadingHTTPServer):
    """Server that records the paths requested. A path names the method of `Handler` that responds."""

    daemon_threads = True

    def __init__(self, picture: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.picture = picture
        self.asked: list[str] = []
        self.done = threading.Event()

    def url(self, path: str, host: str = "localhost") -> str:
        return f"http://{host}:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        getattr(self, self.path.strip("/"))()

    def picture(self) -> None:
        self.answer(200, self.server.picture)

    def missing(self) -> None:
        self.answer(404, b"")

    def broken(self) -> None:
        self.answer(500, b"")

    def elsewhere(self) -> None:
        self.answer(302, b"", Location="/picture")

    def slow(self) -> None:
        self.server.done.wait(20)

    def endless(self) -> None:
        self.answer(200, b"")
        try:
            while not self.server.done.is_set():
                self.wfile.write(b"\x00" * 1_000_000)
        except OSError:
            pass

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
