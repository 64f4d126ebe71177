"""Results as they may come, made up, and a server that answers what a test tells it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from threading import Thread
from typing import Any

import numpy as np

from loadtest.gates import Result


def result(
    ttfts: Sequence[float], ratio: float | None = 0.7, seconds: float = 4.0, arrival: str = "concurrency-2", **own: Any
) -> Result:
    """A cell whose requests had these times to first token, and two more tokens 0.1 times as long after each other."""
    gaps = [[0.1 * ttft] * 2 for ttft in ttfts]
    latencies = [ttft + sum(each) for ttft, each in zip(ttfts, gaps, strict=True)]
    shown = {"ttft": ttfts, "tpot": [gap[0] for gap in gaps], "itl": [*chain.from_iterable(gaps)], "e2el": latencies}
    figures = {
        f"{name}_{metric}_ms": 1000 * float(np.percentile(values, percent))
        for metric, values in shown.items()
        for name, percent in (("median", 50), ("p99", 99))
    }
    count = len(ttfts)
    return {
        "model_id": "tiny",
        "prune_ratio": ratio,
        "prune_ratios": [ratio] * count,
        "arrival": arrival,
        "visual_tokens_input": 80.0,
        "visual_tokens_kept": 24.0,
        "objectives_ms": {},
        "num_prompts": count,
        "completed": count,
        "failed": 0,
        "failures": {},
        "duration": seconds,
        "request_throughput": count / seconds,
        "request_goodput": None,
        "goodput_share": None,
        "ttfts": [*ttfts],
        "itls": gaps,
        "latencies": latencies,
        "errors": [""] * count,
        "input_lens": [100] * count,
        "output_lens": [3] * count,
        "start_times": [float(n) for n in range(count)],
        **figures,
        **own,
    }


TOKEN = {"choices": [{"delta": {"content": "a"}, "finish_reason": None}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
BROKEN = {"error": {"message": "the engine died", "code": 500}}


@dataclass
class Fake:
    """A server without a model.

    Attributes:
        chunks: of each streamed answer.
        kept: the share of visual tokens that `/metrics` tells stayed; None for a server without such metrics.
        status: of answers.
        bodies: of the requests, warm-ups among them.
    """

    url: str = ""
    chunks: Sequence[Any] = (TOKEN, USAGE)
    kept: float | None = 0.25
    status: int = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def metrics(self) -> str:
        count = len(self.bodies)
        if self.kept is None:
            return "other_total 1.0\n"
        return (
            f'gprune_visual_tokens_total{{stage="input"}} {100 * count}\n'
            f'gprune_visual_tokens_total{{stage="kept"}} {100 * self.kept * count}\n'
            f'gprune_requests_total{{method="gprune",source="request"}} {count}\n'
        )


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    """Serve what a fake says, on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            models = json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
            self.answer(fake.metrics() if self.path == "/metrics" else models, 200)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.bodies.append(body)
            if fake.status != 200:
                self.answer(json.dumps({"error": {"message": "no room"}}), fake.status)
            elif body.get("stream"):
                lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in fake.chunks]
                self.answer("".join(lines) + "data: [DONE]\n\n", 200)
            else:
                self.answer(json.dumps({"id": "1", "object": "chat.completion", "choices": []}), 200)

        def answer(self, text: str, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        yield fake
        server.shutdown()
        thread.join()
