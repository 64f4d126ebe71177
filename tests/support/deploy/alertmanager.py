"""A real Alertmanager for tests, on the shipped configuration, and a receiver of what it sends."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import httpx
import yaml

from gprune_server.launch import LaunchedServer, free_port
from tests.support.deploy.prometheus import SHIPPED, wait_until
from tests.support.tools import missing, require

TEMPLATE = Path("/usr/share/prometheus/alertmanager/default.tmpl")


class Receiver(ThreadingHTTPServer):
    """Takes alerts as a webhook on loopback, and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.alerts: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """A receiver for the time of a context."""
        with cls() as receiver:
            Thread(target=receiver.serve_forever, daemon=True).start()
            yield receiver
            receiver.shutdown()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/alerts"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.alerts += body["alerts"]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@contextmanager
def run_alertmanager(directory: Path, receiver: Receiver) -> Iterator[str]:
    """The address of an Alertmanager on the shipped file, with the receiver in its place and without waiting."""
    if not TEMPLATE.exists():
        missing(
            f"{TEMPLATE} is missing, without which Debian's Alertmanager does not start; scripts/tools.sh puts it there"
        )
    address = f"127.0.0.1:{free_port()}"
    configuration = yaml.safe_load((SHIPPED / "alertmanager.yml").read_text())
    (to_replace,) = configuration["receivers"]
    to_replace["webhook_configs"] = [{"url": receiver.url}]
    configuration["route"]["group_wait"] = "0s"
    file = directory / "alertmanager.yml"
    file.write_text(yaml.safe_dump(configuration))
    options = {"config.file": file, "storage.path": directory / "state", "web.listen-address": address}
    options["cluster.listen-address"] = ""
    command = [require("prometheus-alertmanager"), *(f"--{name}={value}" for name, value in options.items())]
    log = directory / "alertmanager.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    server = LaunchedServer(f"http://{address}", log, process)
    try:
        wait_until(lambda: _is_ready(server.url), f"Alertmanager does not start; its log is {log}")
        yield address
    finally:
        server.stop()


def _is_ready(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/-/ready", timeout=5).status_code == 200
    return False
