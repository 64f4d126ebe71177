"""FastV: it drops what it says, and answers as if the dropped tokens were hidden."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluation.failure import EvaluationError
from evaluation.fastv import FastV, choose
from evaluation.offline import OfflineModel
from tests.support.photos import china


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> OfflineModel:
    return OfflineModel(str(checkpoint))


def prompt_of(model: OfflineModel) -> tuple[Any, Tensor]:
    """A question, and which of its tokens are visual."""
    inputs = model.prompt(china(), "What is this?")
    return inputs, inputs["input_ids"][0] == model.config.image_token_id


def generate(model: OfflineModel, inputs: Any) -> list[int]:
    tokens: list[int] = model.model.generate(**inputs, max_new_tokens=6, do_sample=False)[0].tolist()
    return tokens


def test_tokens_with_most_attention_and_all_that_are_not_visual_stay() -> None:
    received = torch.tensor([0.0, 0.3, 0.1, 0.2, 0.4, 0.0])
    is_visual = torch.tensor([False, True, True, True, True, False])
    assert choose(received, is_visual, 0.5).tolist() == [0, 1, 4, 5]
    assert choose(received, is_visual, 0.75).tolist() == [0, 4, 5]


def test_seven_tenths_of_ten_tokens_leave_three() -> None:
    assert len(choose(torch.arange(10.0), torch.ones(10, dtype=torch.bool), 0.7)) == 3


@torch.inference_mode()
def test_without_pruning_the_answer_is_the_models_own(model: OfflineModel) -> None:
    inputs, is_visual = prompt_of(model)
    own = generate(model, inputs)
    with FastV(model.model, 0.0, layer=1).pruning(is_visual):
        assert generate(model, inputs) == own


@torch.inference_mode()
def test_dropping_tokens_is_hiding_them_from_the_later_layers(model: OfflineModel) -> None:
    inputs, is_visual = prompt_of(model)
    fastv = FastV(model.model, 0.7, layer=1)
    with fastv.pruning(is_visual):
        pruned = model.model(**inputs).logits[0, -1]
    dropped = torch.ones(len(is_visual), dtype=torch.bool)
    dropped[fastv.kept] = False
    assert int(dropped.sum()) == round(0.7 * int(is_visual.sum()))

    def hide(module: Any, arguments: Any, options: dict[str, Any]) -> Any:
        return arguments, {**options, "attention_mask": options["attention_mask"].masked_fill(dropped, -1e9)}

    hook = model.model.model.language_model.layers[1].register_forward_pre_hook(hide, with_kwargs=True)
    hidden = model.model(**inputs).logits[0, -1]
    hook.remove()
    torch.testing.assert_close(pruned, hidden, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_answered_tokens_see_what_the_prompt_left(model: OfflineModel) -> None:
    """Each further token is what a prompt that already has the earlier ones would give next."""
    inputs, is_visual = prompt_of(model)
    fastv = FastV(model.model, 0.5, layer=1)
    with fastv.pruning(is_visual):
        tokens = generate(model, inputs)
    dropped = torch.ones(len(tokens), dtype=torch.bool)
    dropped[fastv.kept] = False
    dropped[len(is_visual) :] = False

    def hide(module: Any, arguments: Any, options: dict[str, Any]) -> Any:
        mask = options["attention_mask"]
        return arguments, {**options, "attention_mask": mask.masked_fill(dropped[: mask.shape[-1]], -1e9)}

    hook = model.model.model.language_model.layers[1].register_forward_pre_hook(hide, with_kwargs=True)
    for end in range(len(is_visual), len(tokens)):
        ids = torch.tensor([tokens[:end]])
        longer = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        assert int(model.model(**longer).logits[0, -1].argmax()) == tokens[end]
    hook.remove()


def test_a_model_without_later_layers_is_refused(model: OfflineModel) -> None:
    with pytest.raises(EvaluationError, match="a model of 2 layers has none to prune after layer 2"):
        FastV(model.model, 0.5)
