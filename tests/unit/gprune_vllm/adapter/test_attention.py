"""What the tower attends to, watched on a tower of one layer; real towers are held against Transformers end to end."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gprune_vllm.adapter import attention
from gprune_vllm.adapter.attention import TowerAttention
from tests.unit.gprune_vllm.stub_model import HEADS, Attention, Tower, attention_of

CROPS, SIDE, PATCH = 3, 28, 7
CLASS_TOKEN = pytest.mark.parametrize("class_token", [True, False], ids=["class token", "no class token"])


def pixels() -> Tensor:
    return torch.randn(CROPS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@CLASS_TOKEN
@torch.inference_mode()
def test_attention_and_keys_are_means_over_heads(class_token: bool) -> None:
    torch.manual_seed(0)
    tower = Tower(PATCH, class_token)
    watch = TowerAttention(tower, class_token)
    with watch.watching():
        tower(pixels())
    seen, expected = watch.take(), attention_of(tower, pixels())
    torch.testing.assert_close(seen["attention"], expected["attention"].squeeze(-1))
    torch.testing.assert_close(seen["keys"], expected["keys"])
    assert (seen["attention"].sum(dim=-1) < 1.001).all()
    assert class_token or torch.allclose(seen["attention"].sum(dim=-1), torch.ones(CROPS))


def test_half_precision_is_read_in_float32() -> None:
    tower = Tower(PATCH, True).bfloat16()
    watch = TowerAttention(tower, True)
    with watch.watching():
        tower(pixels().bfloat16())
    assert {values.dtype for values in watch.take().values()} == {torch.float32}


class Shard(nn.Module):
    """One rank's share of a tower: one of its heads."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = Attention(num_heads=1)
        layer = SimpleNamespace(self_attn=SimpleNamespace(attn=self.attn, tp_size=HEADS))
        self.vision_model = SimpleNamespace(encoder=SimpleNamespace(layers=[layer]))


@pytest.fixture
def reduced(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What each rank brings to the sum of all."""
    brought: list[Tensor] = []

    def all_reduce(values: Tensor) -> Tensor:
        brought.append(values)
        return values

    monkeypatch.setattr(attention, "tensor_model_parallel_all_reduce", all_reduce)
    return brought


@CLASS_TOKEN
def test_ranks_that_share_the_heads_add_up_to_the_whole(class_token: bool, reduced: list[Tensor]) -> None:
    states: Any = torch.randn(3, CROPS, 17, 12, generator=torch.Generator().manual_seed(2))
    whole = Tower(PATCH, class_token)
    watch = TowerAttention(whole, class_token)
    with watch.watching():
        whole.attention.attn(*states)
    expected = watch.take()
    for head in states.chunk(HEADS, dim=-1):
        rank = Shard()
        watch = TowerAttention(rank, class_token)
        with watch.watching():
            rank.attn(*head)
        watch.take()
    total = torch.stack(reduced).sum(dim=0) / HEADS
    total = total[:, 1:] if class_token else total
    torch.testing.assert_close(total[..., 0], expected["attention"])
    torch.testing.assert_close(total[..., 1:], expected["keys"])


def test_what_is_not_watched_is_not_held() -> None:
    tower = Tower(PATCH, True)
    watch = TowerAttention(tower, True)
    tower(pixels())
    assert watch._watched is None
