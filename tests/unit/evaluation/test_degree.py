"""How densely G-Prune's graph joins tokens."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from evaluation.commands.degree import degrees
from evaluation.failure import EvaluationError
from evaluation.scored import scored_groups
from tests.support import photos
from tests.support.families.qwen_checkpoint import write_qwen


def test_a_token_is_joined_to_itself_and_to_those_like_it() -> None:
    """Two alike, one at 60 degrees to them, and one unlike all."""
    features = torch.tensor([[2.0, 0, 0], [1, 0, 0], [0.5, 0.75**0.5, 0], [0, 0, 1]])
    torch.testing.assert_close(degrees(features, [0.4, 0.6]), torch.tensor([[2.5, 2.5 / 4], [1.5, 1.5 / 4]]))


def test_llava_next_has_a_graph_for_the_base_crop_and_one_for_the_grid(checkpoint: Path) -> None:
    base, grid = scored_groups(str(checkpoint))(photos.generated(224, 112))
    assert base.shape == (64, 64)
    assert grid.shape == (128, 64)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl"])
def test_qwens_tokens_are_what_its_merger_reads(tmp_path: Path, name: str) -> None:
    folder = write_qwen(name, tmp_path / name)
    (units,) = scored_groups(str(folder))(photos.generated(224, 112))
    merger = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).model.visual.merger
    assert merger(units.reshape(-1, units.shape[-1] // 4)).shape == (len(units), 128)  # [patches, hidden_size]


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = write_qwen("qwen2_5_vl", tmp_path / "model")
    with pytest.raises(EvaluationError, match="qwen2_5_vl; graphs are measured of llava_next"):
        scored_groups(str(folder))
