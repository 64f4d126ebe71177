"""Models have the shapes they are named after."""

import json
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoProcessor

from gprune_vllm.flops import LLAVA_NEXT_8B, ModelShape
from loadtest.benchmarks.engine import Question
from loadtest.benchmarks.shapes import SHAPES, config_of, write_checkpoint


def test_8b_is_llava_next_8b() -> None:
    assert ModelShape.of(config_of(SHAPES["8b"], 32)) == LLAVA_NEXT_8B


def test_depth_is_all_that_a_cut_changes() -> None:
    whole, cut = (json.loads(config_of(SHAPES["7b"], layers).to_json_string()) for layers in (32, 2))
    assert cut["text_config"].pop("num_hidden_layers") == 2
    assert whole["text_config"].pop("num_hidden_layers") == 32
    assert whole == cut


@pytest.mark.parametrize(("name", "visual"), [("8b", 576 + 36 * 48 + 36), ("7b", 576 + 36 * 48 + 36)])
def test_a_photo_has_as_many_tokens_as_in_the_published_models(name: str, visual: int) -> None:
    shape = SHAPES[name]
    assert shape.crop_size == 336
    assert shape.plan(shape.picture, 0.0).kept == visual


def test_a_checkpoint_is_read_by_transformers_and_counts_as_the_plan_does(tmp_path: Path) -> None:
    shape = SHAPES["tiny"]
    folder = write_checkpoint(tmp_path, shape, 2)
    question = Question(16, shape.picture, seed=1)
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=question.prompt()["multi_modal_data"]["image"], text="<image>", return_tensors="pt")
    visual = int((inputs["input_ids"] == AutoConfig.from_pretrained(folder).image_token_index).sum())
    assert visual == shape.plan(shape.picture, 0.0).kept


def test_no_question_is_like_another() -> None:
    questions = [Question(50, (40, 30), ratio=0.5, seed=seed).prompt() for seed in range(20)]
    assert len({tuple(question["prompt_token_ids"]) for question in questions}) == 20
    pictures = {question["multi_modal_data"]["image"].tobytes() for question in questions}
    assert len(pictures) == 20
    assert Question(50, (40, 30), seed=3).prompt()["multi_modal_data"]["image"].size == (40, 30)


def test_only_pruned_pictures_ask_for_a_ratio() -> None:
    assert Question(5, (4, 4), ratio=0.7).prompt()["mm_processor_kwargs"] == {"prune_ratio": 0.7}
    assert "mm_processor_kwargs" not in Question(5, (4, 4)).prompt()
    assert set(Question(5).prompt()) == {"prompt_token_ids"}
