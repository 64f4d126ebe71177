"""Models have the shapes they are named after, and prompts are like no others."""

from pathlib import Path

import pytest
from transformers import AutoConfig, AutoProcessor

from evaluation.demo.checkpoint import write_checkpoint
from evaluation.flops import LLAVA_NEXT_8B, ModelShape
from loadtest.benchmarks.engine import Question
from loadtest.benchmarks.shapes import SHAPES, resized, write_model


def test_8b_is_llava_next_8b(tmp_path: Path) -> None:
    tiny = AutoConfig.from_pretrained(write_checkpoint(tmp_path))
    assert ModelShape.of(resized(tiny, SHAPES["8b"], 32)) == LLAVA_NEXT_8B


def test_depth_is_all_that_a_cut_changes(tmp_path: Path) -> None:
    tiny = AutoConfig.from_pretrained(write_checkpoint(tmp_path))
    whole, cut = (resized(tiny, SHAPES["7b"], layers).to_diff_dict() for layers in (32, 2))
    assert cut["text_config"].pop("num_hidden_layers") == 2
    whole["text_config"].pop("num_hidden_layers", None)
    assert whole == cut


@pytest.mark.parametrize("name", ["8b", "7b"])
def test_a_photo_has_as_many_tokens_as_in_the_published_models(name: str) -> None:
    assert SHAPES[name].crop == 336
    assert SHAPES[name].plan(0.0).kept == 576 + 36 * 48 + 36


def test_a_model_is_read_by_transformers_and_counts_as_the_plan_does(tmp_path: Path) -> None:
    shape = SHAPES["tiny"]
    folder = write_model(tmp_path, shape, 2)
    picture = Question(16, shape.picture, seed=1).prompt(1, 3)["multi_modal_data"]["image"]
    inputs = AutoProcessor.from_pretrained(folder)(images=picture, text="<image>", return_tensors="pt")
    visual = int((inputs["input_ids"] == AutoConfig.from_pretrained(folder).image_token_index).sum())
    assert visual == shape.plan(0.0).kept


def test_no_question_is_like_another() -> None:
    questions = [Question(50, (40, 30), ratio=0.5, seed=seed).prompt(1, 3) for seed in range(20)]
    assert len({tuple(question["prompt_token_ids"]) for question in questions}) == 20
    assert len({question["multi_modal_data"]["image"].tobytes() for question in questions}) == 20
    assert questions[0]["prompt_token_ids"][:2] == [1, 3]
    assert questions[0]["multi_modal_data"]["image"].size == (40, 30)


def test_only_pruned_pictures_ask_for_a_ratio() -> None:
    assert Question(5, (4, 4), ratio=0.7).prompt(1, 3)["mm_processor_kwargs"] == {"prune_ratio": 0.7}
    assert "mm_processor_kwargs" not in Question(5, (4, 4)).prompt(1, 3)
    assert set(Question(5).prompt(1, 3)) == {"prompt_token_ids"}
