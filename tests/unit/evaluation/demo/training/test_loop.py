"""The training loop: stopped and resumed it ends where it would have ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText

from evaluation.demo import DEMO_MODEL
from evaluation.demo.training.families import FAMILIES
from evaluation.demo.training.loop import Batch, begin_with, schedule, train
from evaluation.demo.training.worlds import Everyday

PROBE = "encoder.layers.0.self_attn.q_proj.weight"


def batches(steps: range) -> Iterator[Batch]:
    for step in steps:
        yield {"inputs": torch.randn(8, 4, generator=torch.Generator().manual_seed(step))}


def run(folder: Path, until: int, stop: int | None = None) -> Tensor:
    """Weights after training `until` a step, interrupted after `stop`."""
    torch.manual_seed(0)
    model = nn.Linear(4, 4)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, float]]:
        return (model(batch["inputs"]) - batch["inputs"]).square().mean(), {"figure": 1.0}

    def interrupted(steps: range) -> Iterator[Batch]:
        for step, batch in zip(steps, batches(steps), strict=True):
            if step == stop:
                raise KeyboardInterrupt
            yield batch

    train(model, learning_rate=1e-2, steps=until, batches=interrupted, loss=loss, checkpoint=folder / "model.pt")
    return model.weight.detach().clone()


def test_resumed_training_ends_where_it_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole", 40)
    monkeypatch.setattr("evaluation.demo.training.loop.SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", 40, stop=17)
    assert torch.equal(run(tmp_path / "parts", 40), whole)
    assert (tmp_path / "parts" / "model.log").read_text().startswith("step 0 loss ")


def test_learning_rate_rises_stays_and_falls() -> None:
    rates = [schedule(step, 5000) for step in range(5000)]
    peak = rates.index(1.0)
    assert rates[:peak] == sorted(rates[:peak])
    assert set(rates[peak : 5000 * 7 // 10]) == {1.0}
    assert rates[-1] == pytest.approx(0.01)


def test_a_model_of_another_world_keeps_what_its_tokens_share() -> None:
    family = FAMILIES["llava"](Everyday.texts)
    model = family.build_model()
    begin_with(nn.ModuleDict({"model": model}), DEMO_MODEL, family.tokenizer)
    served = AutoModelForImageTextToText.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    known = Tokenizer.from_file(str(DEMO_MODEL / "tokenizer.json"))
    for token in (" sign", "</s>"):
        number, before = (each.encode(token, add_special_tokens=False).ids[0] for each in (family.tokenizer, known))
        embedding, earlier = (each.get_input_embeddings().weight for each in (model, served))
        assert torch.equal(embedding[number], earlier[before])
    assert torch.equal(model.model.vision_tower.state_dict()[PROBE], served.model.vision_tower.state_dict()[PROBE])
