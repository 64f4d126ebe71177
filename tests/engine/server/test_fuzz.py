"""Whatever is sent, the server answers in time and without a 5xx, and answers a plain question afterwards as before.

The long form: `FUZZ_CASES=10000 FUZZ_REPORT=fuzz.json python -m pytest tests/end_to_end/test_fuzz.py`. It draws other
cases each time.
"""

import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import photos
from tests.support.fuzzing.requests import Case, cases, picture_cases
from tests.support.questions import Answer, ask
from tests.support.servers import API_KEY, Server

CASES = int(os.environ.get("FUZZ_CASES", "600"))
LONG = "FUZZ_CASES" in os.environ
AT_ONCE = 4
TIME_LIMIT = 60  # seconds, for each answer
ANTHROPIC = "/v1/messages"
SALTS = map(str, itertools.count())


@dataclass
class Tally:
    """What was answered."""

    started: float = field(default_factory=time.monotonic)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    slowest: float = 0.0

    def add(self, case: Case, answer: httpx.Response) -> None:
        self.statuses.setdefault(case.path, Counter())[answer.status_code] += 1
        self.slowest = max(self.slowest, answer.elapsed.total_seconds())

    def report(self) -> str:
        return json.dumps(
            {
                "cases": sum(counter.total() for counter in self.statuses.values()),
                "seconds": round(time.monotonic() - self.started),
                "slowest_seconds": round(self.slowest, 2),
                "statuses": {path: dict(sorted(counter.items())) for path, counter in sorted(self.statuses.items())},
            }
        )


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Counts the module's answers. The long form tells them."""
    counted = Tally()
    yield counted
    if LONG:
        request.config.get_terminal_writer().line(f"\n{counted.report()}")
    if "FUZZ_REPORT" in os.environ:
        Path(os.environ["FUZZ_REPORT"]).write_text(counted.report() + "\n")


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    """A connection each, as a 5xx closes its own."""
    limits = httpx.Limits(max_keepalive_connections=0)
    headers = {"Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=TIME_LIMIT, limits=limits) as opened:
        yield opened


def probe(server: Server) -> Answer:
    """The answer to a plain question, computed anew."""
    return ask(server, [photos.china()], 0.7, cache_salt=next(SALTS))


def run(examples: int, strategy: st.SearchStrategy[Any], test: Callable[[Any], None]) -> None:
    """Run a test on examples of a strategy, the same ones each time but in the long form."""
    chosen = settings(max_examples=max(1, examples), derandomize=not LONG, database=None)
    chosen(given(strategy)(test))()


def check(case: Case, answer: httpx.Response, tally: Tally) -> None:
    """An answer is no 5xx, and an error has the shape that clients read."""
    tally.add(case, answer)
    for status, event in events(answer):
        error = event.get("error")
        if status == 200 and not error:
            continue
        assert isinstance(error, dict), f"{answer.text[:300]!r} for {case}"
        if case.path == ANTHROPIC and "type" in event:
            assert set(error) == {"message", "type"}
            assert status < 500, f"{answer.text[:300]!r} for {case}"
        else:
            assert set(error) == {"message", "type", "param", "code"}
            assert error["code"] < 500, f"{answer.text[:300]!r} for {case}"
            assert error["code"] == status or status == 200


def events(answer: httpx.Response) -> list[tuple[int, dict[str, Any]]]:
    """Status and body of an answer, and of each event of a stream."""
    if not answer.headers["Content-Type"].startswith("text/event-stream"):
        return [(answer.status_code, answer.json())]
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [(answer.status_code, json.loads(line)) for line in lines]


def test_no_request_harms_the_server(server: Server, client: httpx.Client, tally: Tally) -> None:
    before = probe(server)

    def post(case: Case) -> httpx.Response:
        return client.post(case.path, content=case.body, headers={"Content-Type": case.content_type})

    with ThreadPoolExecutor(AT_ONCE) as pool:

        def at_once(burst: list[Case]) -> None:
            for case, answer in zip(burst, pool.map(post, burst), strict=True):
                check(case, answer, tally)

        run(CASES * 4 // 5 // AT_ONCE, st.lists(cases(), min_size=AT_ONCE, max_size=AT_ONCE), at_once)
    assert probe(server) == before


def test_no_picture_harms_the_server(server: Server, client: httpx.Client, tally: Tally) -> None:
    before = probe(server)

    def post(case: Case) -> None:
        answer = client.post(case.path, content=case.body, headers={"Content-Type": case.content_type})
        assert answer.status_code in (200, 400), answer.text[:500]
        check(case, answer, tally)

    run(CASES // 5, picture_cases(), post)
    assert probe(server) == before
