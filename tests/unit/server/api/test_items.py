"""Items of an input are completed as the types of the `openai` package want them, and checked against one type each."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from vllm.entrypoints.openai.responses.protocol import ResponseInputOutputItem
from vllm.exceptions import VLLMValidationError

from gprune_server.api.items import Item, completed
from gprune_server.api.schema import PrunableResponsesRequest

IMAGE = {"type": "input_image", "image_url": "data:"}
TEXT = {"type": "input_text", "text": "Hi"}
OUTPUT = {"type": "output_text", "text": "Hi", "annotations": []}


def message(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"role": "user", "content": "Hi", "id": None}, {"type": "message", "role": "user", "content": "Hi"}),
        (message({"text": "Hi"}), message(TEXT)),
        (message({"type": "output_text", "text": "Hi"}), message(TEXT)),
        (message(IMAGE), message(IMAGE | {"detail": "auto"})),
        (message(IMAGE | {"detail": None}), message(IMAGE | {"detail": "auto"})),
        (message(IMAGE | {"detail": "low"}), message(IMAGE | {"detail": "low"})),
        (
            message({"type": "image_url", "image_url": {"url": "data:", "detail": "low"}}),
            message(IMAGE | {"detail": "low"}),
        ),
        (
            {"type": "function_call_output", "call_id": "a", "output": [IMAGE]},
            {"type": "function_call_output", "call_id": "a", "output": [IMAGE | {"detail": "auto"}]},
        ),
        ({"type": "function_call_output", "call_id": "a", "output": "Hi"},) * 2,
        ({"type": "reasoning", "id": None}, {"type": "reasoning", "summary": []}),
        ({"role": "assistant", "content": "Hi"}, {"type": "message", "role": "assistant", "content": "Hi"}),
        ({"role": "assistant", "content": None}, {"type": "message", "role": "assistant", "content": ""}),
        ({"type": "x"},) * 2,
        (1, 1),
        (None, None),
    ],
)
def test_items_are_completed(item: Any, expected: Any) -> None:
    assert completed(item) == expected


@pytest.mark.parametrize(
    "parts",
    [
        [OUTPUT],
        [{"type": "output_text", "text": "H", "annotations": None}, {"text": "i"}],
        [{"type": "refusal", "refusal": "Hi"}],
    ],
)
def test_an_assistants_message_is_one_text(parts: list[Any]) -> None:
    item = completed(message(*parts, role="assistant"))
    assert (item["content"], item["status"]) == ([OUTPUT], "completed")
    assert item["id"]
    assert completed(message(*parts, role="assistant") | {"id": "a", "status": "incomplete"}) == item | {
        "id": "a",
        "status": "incomplete",
    }


@pytest.mark.parametrize(
    "part",
    [{"type": "input_image", "file_id": "a"}, {"image_url": {"url": None}}, {"type": "input_image", "image_url": None}],
)
def test_images_without_data_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(VLLMValidationError) as raised:
        completed(message(part))
    assert raised.value.parameter == "input"


def test_null_stands_for_the_default() -> None:
    nulls = {"tools": None, "service_tier": None, "top_logprobs": None, "store": None}
    request = PrunableResponsesRequest.model_validate({"input": "Hi", **nulls})
    assert (request.tools, request.service_tier, request.store) == ([], "auto", True)


@pytest.mark.parametrize("item", [{}, {"type": "x"}, 1, {"role": "user"}, message({"type": "x"}), {"type": []}])
def test_errors_are_those_of_one_type(item: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        PrunableResponsesRequest.model_validate({"input": [item]})
    assert raised.value.error_count() < 30


def test_each_type_of_vllms_is_accepted() -> None:
    items = [
        message(TEXT),
        {"type": "item_reference", "id": "a"},
        {"type": "function_call", "call_id": "a", "name": "a", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "a"},
        {"type": "custom_tool_call", "call_id": "a", "name": "a", "input": "a"},
        {"type": "reasoning", "id": "a", "summary": []},
        {"type": "compaction", "encrypted_content": "a"},
        message(OUTPUT, role="assistant") | {"id": "a", "status": "completed"},
    ]
    ours, vllms = TypeAdapter(list[Item]), TypeAdapter(list[ResponseInputOutputItem])  # type: ignore[valid-type]
    assert [*map(type, ours.validate_python(items))] == [*map(type, vllms.validate_python(items))]
