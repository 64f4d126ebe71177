"""Other language models and vision towers of LLaVA-NeXT are pruned as the oracle prunes them."""

from collections.abc import Iterator
from typing import Literal, get_args

import pytest

from evaluation.demo.checkpoint import write_checkpoint
from tests.support import photos
from tests.support.oracle import Oracle
from tests.support.oracle_methods import Method
from tests.support.questions import QUESTION, ask
from tests.support.servers import Server, serve

VARIANTS: list[tuple[Literal["mistral", "qwen2"], Literal["clip", "siglip"]]] = [
    ("mistral", "siglip"),
    ("qwen2", "clip"),
]


@pytest.fixture(scope="module", params=VARIANTS, ids=" ".join)
def variant(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Oracle]]:
    language_model, tower = request.param
    folder = tmp_path_factory.mktemp("variant")
    checkpoint = write_checkpoint(folder / "tiny", language_model=language_model, tower=tower, dtype="float32")
    # Compiled, where the other servers of the suite run eagerly.
    with serve(checkpoint, folder / "server.log", "--no-enforce-eager", "--prune-methods", "all") as running:
        yield running, Oracle(checkpoint)


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.9])
def test_variant_agrees_with_the_oracle(variant: tuple[Server, Oracle], ratio: float, method: Method) -> None:
    server, oracle = variant
    for images in ([photos.flower()], [photos.grace_hopper(), photos.generated(100, 300)]):
        answer = ask(server, images, ratio, prune_method=method)
        expected = oracle.generate(images, oracle.chat(*images, QUESTION), ratio, method=method)
        assert answer.token_ids[: len(expected)] == tuple(token for token, _ in expected)
        assert answer.logprobs[: len(expected)] == pytest.approx([logprob for _, logprob in expected], abs=1e-3)
