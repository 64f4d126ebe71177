"""A model's own text for images is found wherever a client writes it, whatever the family calls it."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import Gemma3Config, LlavaConfig, LlavaNextConfig, Qwen2_5_VLConfig, Qwen2VLConfig
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.inputs import PlaceholderRange

from gprune_server.guard.placeholders import Placeholders

IMAGE, START, END, VIDEO = 7, 8, 9, 10


class Vocabulary(dict[str, int]):
    """A tokenizer of these tokens."""

    def __len__(self) -> int:
        return max(self.values()) + 1

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [token for each in ids for token, number in self.items() if number == each]

    def get_vocab(self) -> dict[str, int]:
        return dict(self)


QWEN = Vocabulary({"<|image_pad|>": IMAGE, "<|vision_start|>": START, "<|vision_end|>": END, "<|video_pad|>": VIDEO})
QWEN_IDS = {
    "image_token_id": IMAGE,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
    "video_token_id": VIDEO,
    "bos_token_id": 1,
}


class Model:
    """vLLM's class of a model that takes images only."""

    @staticmethod
    def get_placeholder_str(modality: str, number: int) -> str | None:
        if modality != "image":
            raise ValueError(modality)
        return None


def placeholders(config: Any, vocabulary: Vocabulary, model: Any = Model, **attributes: str) -> Placeholders:
    return Placeholders.of(config, SimpleNamespace(**attributes), vocabulary, model)


@pytest.mark.parametrize("config", [LlavaConfig(image_token_id=IMAGE), LlavaNextConfig(image_token_id=IMAGE)])
def test_llava_has_one(config: Any) -> None:
    found = placeholders(config, Vocabulary({"<image>": IMAGE, "<s>": 1}), image_token="<image>", chat_template="x")
    assert found == Placeholders(frozenset({"<image>"}), frozenset({IMAGE}), frozenset({IMAGE}))


@pytest.mark.parametrize("kind", [Qwen2VLConfig, Qwen2_5_VLConfig])
def test_qwen_has_borders_too(kind: Any) -> None:
    found = placeholders(kind(**QWEN_IDS), Vocabulary({**QWEN, "<s>": 1}))
    assert found.texts == QWEN.keys()
    assert found.ids == {IMAGE, START, END, VIDEO}
    assert found.items == {IMAGE, VIDEO}


def test_gemma_calls_them_otherwise() -> None:
    config = Gemma3Config(image_token_id=IMAGE, boi_token_index=START, eoi_token_index=END)
    vocabulary = Vocabulary({"<image_soft_token>": IMAGE, "<start_of_image>": START, "<end_of_image>": END})
    assert placeholders(config, vocabulary).texts == vocabulary.keys()


def test_a_processor_may_know_more_than_the_config() -> None:
    config = SimpleNamespace(to_dict=lambda: {"image_token_id": IMAGE, "image_token_index": -200})
    vocabulary = Vocabulary({"<IMG_CONTEXT>": IMAGE, "<img>": START, "</img>": END})
    found = placeholders(config, vocabulary, start_image_token="<img>", end_image_token="</img>", image_token="<pic>")
    assert found.texts == {"<IMG_CONTEXT>", "<img>", "</img>", "<pic>"}
    assert found.ids == {IMAGE, START, END}


def test_vllm_may_write_what_neither_names() -> None:
    config = SimpleNamespace(to_dict=dict)
    model = SimpleNamespace(get_placeholder_str=lambda modality, number: f"<{modality}>")
    assert placeholders(config, Vocabulary(a=1), model).texts == {"<image>", "<video>", "<audio>"}


LLAVA = Placeholders(frozenset({"<image>"}), frozenset({IMAGE}), frozenset({IMAGE}))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": [{"role": "user", "content": "a <image> b"}]}, "messages"),
        ({"messages": [{"role": "system", "content": [{"type": "text", "text": "<image>"}]}]}, "messages"),
        ({"messages": [{"role": "user", "name": "<image>", "content": "a"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "<image>", "tool_call_id": "a"}]}, "messages"),
        ({"messages": [{"role": "<image>", "content": "a"}]}, "messages"),
        ({"tools": [{"type": "function", "function": {"name": "a", "description": "<image>"}}]}, "tools"),
        ({"tools": [{"function": {"parameters": {"properties": {"<image>": {}}}}}]}, "tools"),
        ({"chat_template_kwargs": {"system": "<image>"}}, "chat_template_kwargs"),
        ({"documents": [{"text": "<image>"}]}, "documents"),
        ({"input": [{"type": "function_call_output", "output": "<image>"}]}, "input"),
        ({"instructions": "<image>"}, "instructions"),
        ({"system": [{"type": "text", "text": "<image>"}]}, "system"),
        ({"prompt": ["a", "<image>"]}, "prompt"),
        ({"prompt": [1, IMAGE]}, "prompt"),
        ({"prompt": [[1], [IMAGE]]}, "prompt"),
    ],
)
def test_text_that_stands_for_an_image_is_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(VLLMValidationError, match="stands for an image") as raised:
        LLAVA.check_body(body)
    assert raised.value.parameter == field


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "image <img> < image > <Image>"}], "seed": IMAGE},
        {"prompt": [1, 2], "stop_token_ids": [IMAGE]},
        {"prompt": "7"},
    ],
)
def test_other_text_passes(body: dict[str, Any]) -> None:
    LLAVA.check_body(body)


def test_placeholders_that_a_template_joins_are_refused() -> None:
    prompt = {"prompt_token_ids": [1, IMAGE, IMAGE, 2, IMAGE]}
    prompt["mm_placeholders"] = {"image": [PlaceholderRange(offset=1, length=2)]}  # type: ignore[assignment]
    with pytest.raises(VLLMValidationError) as raised:
        LLAVA.check_prompt(prompt, "messages")
    assert raised.value.parameter == "messages"
    prompt["prompt_token_ids"].pop()
    LLAVA.check_prompt(prompt, "messages")
    LLAVA.check_prompt({"prompt_embeds": 1}, "prompt")
