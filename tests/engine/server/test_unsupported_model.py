"""A model that the plugin does not prune is served as without it, and requests to prune are refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from gprune_vllm.families import MODELS
from tests.support import photos
from tests.support.families.unsupported import write_gemma3
from tests.support.questions import QUESTION, messages
from tests.support.servers import MODEL, ONE_PROCESS, Server, serve


@pytest.fixture(scope="module")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    checkpoint = write_gemma3(tmp_path_factory.mktemp("gemma3") / "tiny")
    with serve(checkpoint, checkpoint.with_suffix(".log"), *ONE_PROCESS) as server:
        yield server


def test_it_answers(gemma3: Server) -> None:
    body = {"model": MODEL, "messages": messages([], QUESTION), "max_tokens": 4}
    answer = gemma3.post("/v1/chat/completions", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize(
    "asked", [{"prune_ratio": 0.5}, {"prune_ratio": 0}, {"visual_token_budget": 2}, {"prune_method": "gprune"}]
)
def test_requests_to_prune_are_refused_by_the_names_of_what_is_supported(gemma3: Server, asked: dict[str, Any]) -> None:
    body = {"model": MODEL, "messages": messages([photos.china()], QUESTION), **asked}
    answer = gemma3.post("/v1/chat/completions", body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert [error["param"]] == [*asked]
    assert all(architecture in error["message"] for architecture in MODELS)
