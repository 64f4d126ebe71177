"""A real Prometheus for tests, on the shipped configuration."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from gprune_server.launch import LaunchedServer, free_port
from tests.support.tools import ROOT, require

SHIPPED = ROOT / "deploy/prometheus"
LIMIT = 60  # seconds
NAMESPACE = "gprune"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; a query it cannot evaluate raises."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30).json()
        if answer["status"] != "success":
            raise ValueError(f"{answer['error']}: {parameters}")
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression evaluates to now: a vector, or a scalar as a vector of one."""
        data = self.get("query", query=expression)
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else data["result"]

    def value(self, expression: str) -> float:
        """The value of an expression's only series."""
        (sample,) = self.query(expression)
        return float(sample["value"][1])

    def wait_for_scrapes(self, target: str, number: int = 2) -> None:
        """Return when `target` has been scraped `number` times from now on."""
        scrapes = f'sum(count_over_time(up{{instance="{target}"}}[1h])) or vector(0)'
        wanted = self.value(scrapes) + number
        wait_until(lambda: self.value(scrapes) >= wanted, f"{target} is not scraped")


@contextmanager
def run_prometheus(directory: Path, target: str, **changes: Any) -> Iterator[Prometheus]:
    """Prometheus on the shipped files, with `changes`, but scraping `target` as the server, and every second.

    The target is in a namespace, as those of a PodMonitor are.
    """
    address = f"127.0.0.1:{free_port()}"
    configuration = directory / "prometheus.yml"
    configuration.write_text(yaml.safe_dump({**_hastened(target), **changes}))
    options = {"config.file": configuration, "storage.tsdb.path": directory / "data", "web.listen-address": address}
    options["rules.alert.resend-delay"] = "1s"  # what it sends before it has found Alertmanager is lost
    command = [require("prometheus"), *(f"--{name}={value}" for name, value in options.items())]
    file = directory / "prometheus.log"
    with file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    server = LaunchedServer(f"http://{address}", file, process)
    try:
        wait_until(lambda: _is_ready(address), "Prometheus does not start; its log is in the temporary directory")
        yield Prometheus(server.url)
    finally:
        server.stop()


def _hastened(target: str) -> dict[str, Any]:
    text = (SHIPPED / "prometheus.yml").read_text().replace("server:8000", target)
    configuration: dict[str, Any] = yaml.safe_load(text)
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["scrape_configs"][0]["static_configs"][0]["labels"] = {"namespace": NAMESPACE}
    configuration["rule_files"] = [str(SHIPPED / pattern) for pattern in configuration["rule_files"]]
    return configuration


def _is_ready(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://{address}/-/ready", timeout=5).status_code == 200
    return False


def wait_until(condition: Callable[[], bool], failure: str) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(failure)
        time.sleep(0.2)
