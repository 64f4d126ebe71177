"""What all tests share: how hypothesis runs, the tiny checkpoint, the oracle on it, and one default server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from evaluation.demo.checkpoint import write_checkpoint
from tests.support.oracle import Oracle
from tests.support.servers import API_KEY, Server, serve

# The same examples every time, and no clock.
SKIPPED = [HealthCheck.too_slow, HealthCheck.filter_too_much]
settings.register_profile("gprune", deadline=None, derandomize=True, suppress_health_check=SKIPPED)
settings.load_profile("gprune")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA-NeXT checkpoint of a few megabytes with random float32 weights."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny", dtype="float32")


@pytest.fixture(scope="session")
def oracle(checkpoint: Path) -> Oracle:
    """The independent computation in Transformers, on the same checkpoint."""
    return Oracle(checkpoint)


@pytest.fixture(scope="session")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`gprune-serve` with default settings and caches, in steps of 128 tokens: prompts are prefilled in chunks.

    Requests may name any method.
    """
    log = tmp_path_factory.mktemp("server") / "server.log"
    with serve(
        checkpoint,
        log,
        *("--max-num-batched-tokens", "128", "--max-num-seqs", "16"),
        *("--api-key", API_KEY, "--enable-prompt-tokens-details", "--prune-methods", "all"),
    ) as running:
        yield running
