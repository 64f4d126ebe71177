"""Sends hostile requests to a server, and asks it a plain question before and after."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import photos
from tests.support.fuzzing.judging import assert_well_formed
from tests.support.fuzzing.requests import Case, cases, picture_cases
from tests.support.questions import Answer, ask, same
from tests.support.servers import API_KEY, Server

AT_ONCE = 4
HANG = 60  # seconds after which an answer is missing; no measure of speed
SALTS = map(str, itertools.count())


class Fuzzer:
    """Sends requests to a server. Use it as a context.

    Args:
        server: the server.
        fresh: whether to draw other requests each time.
    """

    def __init__(self, server: Server, fresh: bool = False) -> None:
        self._server, self._fresh = server, fresh
        self._client = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=HANG,
            limits=httpx.Limits(max_keepalive_connections=0),  # a 5xx closes its connection
        )
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.slowest = 0.0  # seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    @contextmanager
    def unharmed(self) -> Iterator[None]:
        """What is sent in this context must not change the answer to a plain question.

        Raises:
            AssertionError: it does.
        """
        before = self._probe()
        yield
        assert same(self._probe(), before)

    def send(self, sent: Iterable[Case]) -> None:
        """Send requests, several at once, and judge the answers.

        Raises:
            AssertionError: one is a 5xx or malformed.
        """
        self.answers(sent)

    def answers(self, sent: Iterable[Case]) -> list[tuple[Case, httpx.Response]]:
        """Send requests, judge the answers, and return both.

        Raises:
            AssertionError: one is a 5xx or malformed.
        """
        sent = list(sent)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answered = list(zip(sent, pool.map(self._post, sent), strict=True))
            for case, answer in answered:
                self.statuses[case.path, answer.status_code] += 1
                self.slowest = max(self.slowest, answer.elapsed.total_seconds())
                try:
                    assert_well_formed(case.path, answer)
                except AssertionError as error:
                    raise AssertionError(f"{error} for {str(case)[:2000]}") from error
        return answered

    def send_requests(self, count: int) -> None:
        """Send requests of all kinds."""
        burst = st.lists(cases(), min_size=AT_ONCE, max_size=AT_ONCE)
        self._draw(burst, count // AT_ONCE, self.send)

    def send_pictures(self, count: int) -> None:
        """Send pictures that are damaged or none."""
        self._draw(picture_cases(), count, lambda case: self.send([case]))

    def _draw(self, strategy: st.SearchStrategy[Any], count: int, test: Callable[[Any], None]) -> None:
        settings(max_examples=count, derandomize=not self._fresh, database=None)(given(strategy)(test))()

    def _post(self, case: Case) -> httpx.Response:
        return self._client.post(case.path, content=case.body, headers={"Content-Type": case.content_type})

    def _probe(self) -> Answer:
        """The answer to a plain question, computed anew."""
        return ask(self._server, [photos.china()], 0.7, cache_salt=next(SALTS))


def samples(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Examples of a strategy, the same ones each time."""
    found: list[Any] = []
    chosen = settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @chosen
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found
