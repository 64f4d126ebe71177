"""Lines of a batch file pass their pruning fields on to the processor."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from vllm.entrypoints.launchers import run_batch

from gprune_vllm.adapter.config import PruningConfig
from tests.unit.gprune_vllm.support import SMALL


@pytest.fixture(autouse=True)
def configured(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that gprune prunes is configured in a process of the batch runner, which nothing outlives."""
    monkeypatch.setattr(run_batch, "ChatCompletionRequest", run_batch.ChatCompletionRequest)
    model: Any = SimpleNamespace(hf_config=SMALL.config(), multimodal_config=None)
    PruningConfig.of("LlavaNextForConditionalGeneration", None).verify_and_update_model_config(model)


def body(url: str = "/v1/chat/completions", **fields: Any) -> Any:
    """The body of a line, as vLLM reads it."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    line = {"custom_id": "1", "method": "POST", "url": url, "body": chat}
    return run_batch.BatchRequestInput.model_validate_json(json.dumps(line)).body


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({}, None),
        ({"prune_ratio": None}, None),
        ({"prune_ratio": 0}, {"prune_ratio": 0}),
        ({"prune_ratio": 7, "prune_method": "tome"}, {"prune_ratio": 7, "prune_method": "tome"}),
        ({"visual_token_budget": 5, "mm_processor_kwargs": {"x": 1}}, {"visual_token_budget": 5, "x": 1}),
        ({"prune_ratio": 0.7, "mm_processor_kwargs": {"prune_ratio": 0.2}}, {"prune_ratio": 0.7}),
    ],
)
def test_pruning_fields_are_processor_arguments(fields: dict[str, Any], arguments: dict[str, Any] | None) -> None:
    read = body(**fields)
    assert read.mm_processor_kwargs == arguments
    assert not read.model_extra


def test_other_fields_are_vllms_to_read() -> None:
    assert body(temperature=0.5).temperature == 0.5
    with pytest.raises(ValidationError):
        body(mm_processor_kwargs=5, prune_ratio=0.7)


def test_lines_of_other_endpoints_are_left_alone() -> None:
    assert body("/v1/embeddings", prune_ratio=0.7).model_extra == {"prune_ratio": 0.7}
