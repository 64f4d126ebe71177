"""A plugin of the pytest that runs vLLM's own tests: leads them to our classes and servers, and notes their outcomes.

pytest loads it by its bare name, with this folder on the path: `tests` is the name of vLLM's tests there.
"""

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import RunningServer
from substitutes import ours, substitute
from suite import Suite, matches

STAGE = Path(os.environ["CONFORMANCE_STAGE"])
OUTCOMES = STAGE / "outcomes.jsonl"
SCRIPT = json.loads((STAGE / "script.json").read_text())
RUNNING = RunningServer(SCRIPT["servers"], STAGE)
SUITES = {f"tests/{fields['path']}": Suite.of(fields) for fields in SCRIPT["suites"]}


def place(item: pytest.Item) -> tuple[Suite, str]:
    """The suite of a test, and its name there."""
    path, _, name = item.nodeid.partition("::")
    return SUITES[path], name


def stand_in(original: type) -> type:
    """A class for upstream's `RemoteOpenAIServer`."""

    class StandIn(original):  # type: ignore[misc, valid-type]
        """Changes against `tests.utils.RemoteOpenAIServer` of vLLM 0.32: starts nothing, but leads to the server of
        ours that is running for the test."""

        def __init__(self, model: str, vllm_serve_args: list[str], **options: Any) -> None:
            self.uds, self.host, self.port = None, "127.0.0.1", RUNNING.port
            self.show_hidden_metrics = any("show-hidden-metrics" in argument for argument in vllm_serve_args)

        def __exit__(self, *error: object) -> None:
            """The server is for others as well."""

        def get_async_client(self, **options: Any) -> Any:
            client = httpx.AsyncClient(transport=WithoutVisualTokens(), timeout=options.get("timeout", 600))
            return super().get_async_client(**options, http_client=client)

    return StandIn


class WithoutVisualTokens(httpx.AsyncHTTPTransport):
    """Takes the one field that is ours out of answers: some tests compare `usage` as a whole."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-type") != "application/json":
            return response
        body = json.loads(await response.aread())
        if isinstance(body, dict) and isinstance(body.get("usage"), dict):
            body["usage"].pop("visual_tokens", None)
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        return httpx.Response(response.status_code, headers=headers, json=body)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose and order the tests, and put ours in place of vLLM's."""
    from vllm.plugins import load_general_plugins

    from tests.utils import RemoteOpenAIServer

    load_general_plugins()
    ordered = sorted(filter(applies, items), key=lambda item: (RUNNING.rank(server_of(item)), not place(item)[0].first))
    config.hook.pytest_deselected(items=[item for item in items if item not in ordered])
    items[:] = ordered
    substitute(ours() | {RemoteOpenAIServer: stand_in(RemoteOpenAIServer)}, items)


def applies(item: pytest.Item) -> bool:
    """Whether a test is to be run, for all we know."""
    suite, name = place(item)
    reason = suite.reason(name)
    if not matches(name, suite.only):
        return False
    # A test that must fail takes no time where there is no server.
    if reason is not None and not (reason.run and (SCRIPT["thorough"] or not server_of(item))):
        note(item.nodeid, "left out")
        return False
    return True


def server_of(item: pytest.Item) -> str:
    suite, name = place(item)
    return suite.server_of(name)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    RUNNING.use(server_of(item))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the phase that decides: the call, or whatever went wrong before or after it."""
    if report.when == "call" or not report.passed:
        note(report.nodeid, report.outcome, report.duration, str(report.longrepr or "")[-2000:])


def note(test: str, result: str, seconds: float = 0, reason: str = "") -> None:
    line = {"test": test.removeprefix("tests/"), "result": result, "seconds": seconds, "reason": reason}
    with OUTCOMES.open("a") as output:
        output.write(json.dumps(line) + "\n")


def pytest_configure() -> None:
    """End as pytest does at Ctrl-C when told to. Start the first server, for which the tests without one wait not."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    RUNNING.begin(SCRIPT["first"])


def pytest_sessionfinish() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the server must not be left behind
    RUNNING.stop()
