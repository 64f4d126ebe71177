"""The kernels choose what the loops in torch choose, bit for bit. `test_kernels` runs this in Triton's interpreter."""

from itertools import product

import pytest
import torch
from torch import Tensor

from gprune_vllm.methods import divprune, kernels, suppression

CPU = torch.device("cpu")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def with_ties(values: Tensor) -> Tensor:
    """The same in steps of a tenth, so that many are equal."""
    return (10 * values).round() / 10


@pytest.mark.parametrize(("rows", "columns", "keep"), [(7, 9, 20), (1, 40, 39), (40, 1, 3), (6, 6, 1), (8, 8, 63)])
@pytest.mark.parametrize("groups", [(), (3,), (2, 2)])
def test_suppression(groups: tuple[int, ...], rows: int, columns: int, keep: int) -> None:
    window = suppression.neighbours((rows, columns), max(1, 8 // keep), CPU)
    for draw, first in product((with_ties, torch.clone), (0, keep // 2)):
        scores = draw(drawn(*groups, rows * columns))
        alike = draw(drawn(*groups, rows * columns, rows * columns, seed=1))
        early, late = (suppression.remaining_shares(alike, window, 0.5, exponent) for exponent in (8, 1))
        expected = suppression.suppress(scores, early, late, window, keep, first)
        assert torch.equal(kernels.suppress(scores, early, late, columns, keep, first), expected)


@pytest.mark.parametrize(("num_tokens", "keep"), [(50, 20), (33, 32), (64, 1)])
@pytest.mark.parametrize("groups", [(), (3,), (2, 2)])
def test_spreading(groups: tuple[int, ...], num_tokens: int, keep: int) -> None:
    for draw in (with_ties, torch.clone):
        distance = draw(drawn(*groups, num_tokens, num_tokens))
        distance.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
        first = distance.amin(dim=-1).argmax(dim=-1, keepdim=True)
        assert torch.equal(kernels.spread(distance, first, keep), divprune.spread(distance, first, keep))


def test_features_of_nan_leave_every_index_in_range() -> None:
    nothing = torch.full((2, 12), torch.nan)
    order = kernels.suppress(nothing, torch.ones(2, 12, 9), torch.ones(2, 12, 9), 4, 5, 2)
    assert order.min() >= 0
    assert order.max() < 12


def test_kernels_are_tried_in_a_small_case(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert kernels.work_on(CPU)
    kernels.work_on.cache_clear()
    monkeypatch.setattr(kernels, "suppress", lambda *arguments: torch.zeros(4))
    assert not kernels.work_on(CPU)
    assert "Triton's kernels fail on cpu" in caplog.text


def test_kernels_that_do_not_compile_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.work_on.cache_clear()
    monkeypatch.setattr(kernels, "_suppress", None)
    assert not kernels.work_on(CPU)
    kernels.work_on.cache_clear()
