"""What all tests share: hypothesis, the checkpoint and its oracle, the servers, and which tests run together."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from evaluation.demo.checkpoint import write_checkpoint
from tests.support import pool, servers
from tests.support.collector import Collector
from tests.support.families.llava_next import LlavaNextOracle
from tests.support.grouping import group_of, place_of
from tests.support.oracle import Oracle
from tests.support.pool import ServerPool
from tests.support.servers import Server

# The same examples every time, and no clock.
SKIPPED = [HealthCheck.too_slow, HealthCheck.filter_too_much]
settings.register_profile("gprune", deadline=None, derandomize=True, suppress_health_check=SKIPPED)
settings.load_profile("gprune")
# The processes of pytest-xdist share the cores: threads of small tensors would only wait for one another.
torch.set_num_threads(1)

MOST_STARTS = 20
"""Servers that one run of `make test` may start. CONTRIBUTING.md names it."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: what they hold may differ by process (an archive's time), and names must not."""
    return argname if isinstance(val, bytes) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the nightly tests, and have tests of one server run in one process."""
    if item.nodeid.startswith("tests/nightly"):
        item.add_marker(pytest.mark.nightly)
    item.add_marker(pytest.mark.xdist_group(group_of(item)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have tests of one server run one after the other."""
    items.sort(key=place_of)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the main process, where there is one, which servers were started; fail a run that started too many."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["started"] = servers.STARTED
    elif len(servers.STARTED) > MOST_STARTS and session.config.option.markexpr == "not nightly":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Gather what a process of pytest-xdist started."""
    servers.STARTED.extend(getattr(node, "workeroutput", {}).get("started", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many servers were started."""
    terminalreporter.write_line(f"{len(servers.STARTED)} servers started")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA-NeXT checkpoint of a few megabytes with random float32 weights."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny", dtype="float32")


@pytest.fixture(scope="session")
def oracle(checkpoint: Path) -> Oracle:
    """The independent computation in Transformers, on the same checkpoint."""
    return LlavaNextOracle(checkpoint)


@pytest.fixture(scope="session")
def server_pool(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPool]:
    """The shared servers, by name."""
    shared = ServerPool(checkpoint, tmp_path_factory.mktemp("servers"))
    yield shared
    shared.close()


@pytest.fixture(scope="module")
def server(server_pool: ServerPool) -> Server:
    """`gprune-serve` with default settings and caches, in steps of 128 tokens. Requests may name any method."""
    return server_pool.get(pool.DEFAULT)


@pytest.fixture(scope="module")
def stock_server(server_pool: ServerPool) -> Server:
    """vLLM without the plugin, scheduled like `server`."""
    return server_pool.get(pool.STOCK)


@pytest.fixture(scope="module")
def demo_server(server_pool: ServerPool) -> Server:
    """The demo model as `gprune-demo`, with every method, the playground and a key."""
    return server_pool.get(pool.DEMO)


@pytest.fixture(scope="module")
def qwen_demo_server(server_pool: ServerPool) -> Server:
    """The Qwen3-VL demo model as `gprune-demo`, with every method it offers, the playground and a key."""
    return server_pool.get(pool.QWEN_DEMO)


@pytest.fixture(scope="module")
def guarded_server(server_pool: ServerPool) -> Server:
    """`vllm serve` with the plugin, limits from the environment, and room for two requests."""
    return server_pool.get(pool.GUARDED)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """A collector of traces."""
    with Collector.running() as started:
        yield started


@pytest.fixture(scope="module")
def limited_server(server_pool: ServerPool, collector: Collector) -> Server:
    """A server whose operator set a default ratio, a limit and methods, and has it traced."""
    return server_pool.get(pool.LIMITED, ("--otlp-traces-endpoint", collector.url))


@pytest.fixture
def limited_config(server_pool: ServerPool) -> Path:
    """The file that `limited_server` follows. Whoever changes it changes it back."""
    return server_pool.config


@pytest.fixture(scope="module")
def small_server(server_pool: ServerPool) -> Server:
    """A server that computes two requests at once, lets six more wait, and prunes more the more wait."""
    return server_pool.get(pool.SMALL)


@pytest.fixture
def doomed_server(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[Server]:
    """The server that the test's mark `ends` names, which the test may end. Such tests come last of its tests."""
    (name,) = request.node.get_closest_marker("ends").args
    taken = server_pool.take(name)
    yield taken
    taken.close()
