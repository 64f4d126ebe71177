"""A collector of traces."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(ThreadingHTTPServer):
    """Takes traces over OTLP/HTTP on loopback and keeps their spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """A collector that takes traces for the time of a context."""
        with cls() as collector:
            Thread(target=collector.serve_forever, daemon=True).start()
            yield collector
            collector.shutdown()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def attributes(self, name: str) -> list[dict[str, Any]]:
        """Attributes of the spans of a name."""
        return [
            {
                item.key: item.value.string_value or item.value.double_value or item.value.int_value
                for item in span.attributes
            }
            for span in self.spans
            if span.name == name
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""
