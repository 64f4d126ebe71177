"""vLLM's request spans carry what pruning did."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support import photos
from tests.support.questions import ask
from tests.support.servers import serve


class Collector(ThreadingHTTPServer):
    """Takes traces over OTLP/HTTP on loopback and keeps their spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        self.spans: list[Any] = []

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


class CollectorHandler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_request_span_tells_ratio_and_visual_tokens(collector: Collector, checkpoint: Path, tmp_path: Path) -> None:
    environment = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    log = tmp_path / "server.log"
    arguments = ("--otlp-traces-endpoint", collector.url, "--prune-access-log")
    with serve(checkpoint, log, *arguments, environment=environment) as server:
        ask(server, [photos.china()], 0.7, max_tokens=2)
        ask(server, [], max_tokens=2)
    pruned, text = collector.attributes("llm_request")  # the server exports what is left when it stops
    assert (pruned["gprune.prune_ratio"], pruned["gprune.method"]) == (0.7, "gprune")
    assert (pruned["gprune.visual_tokens.input"], pruned["gprune.visual_tokens.kept"]) == (234, 77)
    assert not [name for name in text if name.startswith("gprune")]
    assert log.read_text().count('"event": "gprune_request"') == 1
