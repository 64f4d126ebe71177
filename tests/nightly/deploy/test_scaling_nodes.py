"""One model spread over two nodes answers as on one. Here both nodes are this machine."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gprune_server.launch import LaunchedServer, free_port
from tests.support import photos
from tests.support.oracle import Oracle, Positions
from tests.support.questions import QUESTION, ask
from tests.support.servers import COMMON, GPRUNE_SERVE, Server, serve, server_environment

POSITIONS: dict[str, Positions] = {"tensor": "original", "pipeline": "contiguous"}
ARGUMENTS = {
    "tensor": ["--tensor-parallel-size", "2"],
    # vLLM's CPU runner prepares the second rank of a pipeline only while it compiles.
    "pipeline": ["--pipeline-parallel-size", "2", "--no-enforce-eager", "--prune-positions", "contiguous"],
}


@pytest.fixture(params=ARGUMENTS)
def parallelism(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def nodes(parallelism: str, checkpoint: Path, tmp_path: Path) -> Iterator[Server]:
    """Two nodes; only the first one listens to clients. docs/scaling.md shows the same two commands."""
    both = [*ARGUMENTS[parallelism], "--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    with (tmp_path / "second.log").open("wb") as log:
        second = subprocess.Popen(
            [*GPRUNE_SERVE, str(checkpoint), *COMMON, *both, "--node-rank", "1", "--headless"],
            stdout=log,
            stderr=log,
            env=server_environment(),
            start_new_session=True,
        )
    try:
        with serve(checkpoint, tmp_path / "first.log", *both, "--node-rank", "0") as first:
            yield first
    finally:
        LaunchedServer("", tmp_path / "second.log", second).stop()


def test_answers_agree_with_the_oracle(nodes: Server, oracle: Oracle, parallelism: str) -> None:
    image = photos.grace_hopper()
    for ratio in (0.0, 0.5, 0.9):
        answer = ask(nodes, [image], ratio, max_tokens=8)
        expected = oracle.generate(
            [image], oracle.chat(image, QUESTION), ratio, max_new_tokens=8, positions=POSITIONS[parallelism]
        )
        assert answer.token_ids == tuple(token for token, _ in expected)
        assert answer.logprobs == pytest.approx([logprob for _, logprob in expected], abs=1e-3)
