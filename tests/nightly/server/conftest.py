"""A server whose memory can be judged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import API_KEY, Recipe, Server, serve

SMALL_CACHES = Recipe(
    (
        *("--max-num-batched-tokens", "128", "--max-num-seqs", "16", "--num-gpu-blocks-override", "128"),
        *("--mm-processor-cache-gb", "0.1", "--prune-methods", "all", "--enable-prompt-tokens-details"),
        *("--api-key", API_KEY),
    ),
    # On a CPU oneDNN keeps what it compiled for each of the last 1024 shapes: up to a gigabyte that is no leak.
    environment={"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32"},
)


@pytest.fixture(scope="session")
def small_caches_server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with caches so small that traffic fills them before memory is judged."""
    log = tmp_path_factory.mktemp("small-caches") / "server.log"
    with serve(checkpoint, log, recipe=SMALL_CACHES) as running:
        yield running
