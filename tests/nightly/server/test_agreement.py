"""With `--min-agreement`, a server whose default prunes badly notices within 200 requests, and another does not."""

from pathlib import Path

import pytest

from evaluation.demo import MODELS
from evaluation.sample import load_samples
from tests.support.questions import ask
from tests.support.servers import ONE_PROCESS, Server, serve

REQUESTS = 200
RATIO = 0.9
FLAGS = (
    *(*ONE_PROCESS, "--default-prune-ratio", str(RATIO)),
    *("--prune-shadow-fraction", "1", "--min-agreement", "0.9"),
)


def is_caught(server: Server) -> bool:
    """Whether the ratio falls before all requests are answered, which follow each other at once."""
    samples = [sample for sample in load_samples(REQUESTS) if sample.task == "reading"]
    for sample in samples[:REQUESTS]:
        ask(server, [sample.picture.image], question=sample.question, max_tokens=8, ignore_eos=False)
        if server.metrics()["gprune_agreement_prune_ratio"] < RATIO:
            return True
    return False


@pytest.mark.parametrize(("method", "caught"), [("random", True), ("gprune", False)])
def test_a_bad_method_is_caught_and_a_good_one_is_not(method: str, caught: bool, tmp_path: Path) -> None:
    with serve(MODELS / "llava", tmp_path / "server.log", *FLAGS, "--prune-method", method) as server:
        assert is_caught(server) == caught
        assert server.total("gprune_shadow_agreement_count") >= 30
