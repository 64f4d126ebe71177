"""Groups whose copies are selected each by itself, and large ones band by band."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gprune_vllm.adapter import pruning
from gprune_vllm.adapter.pruning import BAND, bands_of, select_groups
from gprune_vllm.methods.registry import needs_attention, select_tokens, selector_names
from gprune_vllm.plan import Group, PlannedImage, TokenPlan
from tests.unit.gprune_vllm.support import METHODS, seen_of

PLAN = TokenPlan((Group(3, 4, kept=5, copies=2), Group(2, 5, kept=4)), structural=3, span=37, units=3)


def test_copies_count() -> None:
    assert (PLAN.patches, PLAN.patches_kept, PLAN.input, PLAN.kept) == (34, 14, 37, 17)
    assert PlannedImage.of(PlannedImage(PLAN, 1, 7).row()) == PlannedImage(PLAN, 1, 7)


@METHODS
def test_each_copy_is_selected_by_itself(method: str) -> None:
    tiles, other = torch.randn(34, 8, generator=torch.Generator().manual_seed(0)).split([24, 10])
    seen = [seen_of(tiles), seen_of(other)]
    of_groups = {name: [each[name] for each in seen] for name in seen[0]}
    found = select_groups([tiles, other], PLAN, method, of_groups, seed=3)
    for copy in range(2):
        part = slice(12 * copy, 12 * (copy + 1))
        alone = select_tokens(
            tiles[part], 5, method, shape=(3, 4), seed=3, **{name: values[part] for name, values in seen[0].items()}
        )
        assert torch.equal(found[0].index[5 * copy : 5 * (copy + 1)], alone.index + 12 * copy)
        torch.testing.assert_close(found[0].features[5 * copy : 5 * (copy + 1)], alone.features)
    assert len(found[1].index) == 4


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Groups up to some twenty bands, of rows shorter and longer than a band."""
    rows, columns = draw(st.integers(1, 300)), draw(st.integers(1, 300) | st.integers(BAND - 1, BAND + 1))
    return Group(rows, columns, draw(st.integers(1, rows * columns)))


@given(groups())
def test_bands_divide_the_rows_and_what_stays(group: Group) -> None:
    bands = bands_of(group)
    assert [first for first, _, _ in bands] == [
        sum(size for _, size, _ in bands[:place]) for place in range(len(bands))
    ]
    assert sum(size for _, size, _ in bands) == group.tokens
    assert sum(kept for _, _, kept in bands) == group.kept
    for _, size, kept in bands:
        assert size % group.columns == 0
        assert 0 <= kept <= size
    for place, (first, size, _) in enumerate(bands):
        so_far = sum(kept for _, _, kept in bands[: place + 1])
        assert abs(so_far - group.kept * (first + size) / group.tokens) <= 0.5  # in proportion, to the nearest token
    rows = [size // group.columns for _, size, _ in bands]
    assert max(rows) - min(rows) <= 1
    assert all(row >= 1 for row in rows)


@given(groups())
def test_bands_are_few_and_hold_little(group: Group) -> None:
    bands = bands_of(group)
    fewest = min(group.rows, -(-group.tokens // BAND))
    assert len(bands) == fewest
    assert max(size for _, size, _ in bands) <= max(BAND, group.columns) + group.columns


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_a_group_of_at_most_a_band_is_one(rows: int) -> None:
    assert bands_of(Group(rows, BAND // rows, kept=5)) == [(0, BAND // rows * rows, 5)]


def test_an_empty_group_is_one_empty_band() -> None:
    assert bands_of(Group(0, 5, kept=0)) == bands_of(Group(5, 0, kept=0)) == [(0, 0, 0)]


def test_an_empty_group_keeps_nothing() -> None:
    plan = TokenPlan((Group(2, 3, kept=4), Group(0, 5, kept=0)), structural=0, span=6, units=1)
    found = select_groups([torch.randn(6, 4), torch.randn(0, 4)], plan, "gprune", {})
    assert [len(each.index) for each in found] == [4, 0]


LARGE = TokenPlan((Group(9, 5, kept=17, copies=3),), structural=0, span=135, units=1)
WITHOUT_ATTENTION = [name for name in selector_names() if not needs_attention(name)]
SMALL_BAND = 16
"""Tokens: three rows of `LARGE`."""


@pytest.fixture
def features() -> Tensor:
    return torch.randn(LARGE.patches, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", WITHOUT_ATTENTION)
def test_each_band_is_selected_by_itself(method: str, features: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BAND", SMALL_BAND)
    (group,) = LARGE.groups
    bands = bands_of(group)
    assert [size for _, size, _ in bands] == [15, 15, 15]
    (found,) = select_groups([features], LARGE, method, {}, seed=5)
    expected = [
        select_tokens(features[first : first + size], kept, method, shape=(3, 5), seed=5).index + first
        for copy in range(group.copies)
        for first, size, kept in ((copy * group.tokens + first, size, kept) for first, size, kept in bands)
    ]
    assert found.index.tolist() == torch.cat(expected).tolist()
    assert found.features.shape == (LARGE.patches_kept, 8)
    assert len(found.index.unique()) == LARGE.patches_kept


class Largest(TorchDispatchMode):
    """The most numbers in one tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.numbers = max(self.numbers, result.untyped_storage().nbytes() // result.element_size())
        return result


@pytest.mark.parametrize("method", WITHOUT_ATTENTION)
def test_memory_does_not_grow_with_the_square_of_a_large_image(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BAND", 64)
    monkeypatch.setattr(pruning, "PAIRS", 64**2)
    features = torch.randn(1024, 8, generator=torch.Generator().manual_seed(0))
    plan = TokenPlan((Group(32, 32, kept=307),), structural=0, span=1024, units=1)
    with Largest() as largest:
        select_groups([features], plan, method, {}, seed=5)
    assert largest.numbers <= 2 * features.numel()  # 16 bands of 64 tokens; all at once, they would be 1,048,576 pairs


@pytest.mark.parametrize("method", WITHOUT_ATTENTION)
@pytest.mark.parametrize("kept", [1, 2, 44, 45])
def test_bands_may_keep_nothing_and_everything(
    method: str, kept: int, features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BAND", SMALL_BAND)
    plan = TokenPlan((Group(9, 5, kept, copies=3),), structural=0, span=135, units=1)
    (found,) = select_groups([features], plan, method, {}, seed=5)
    assert found.index.view(3, kept).diff(dim=1).gt(0).all()
    assert (found.index.view(3, kept) // 45).tolist() == [[copy] * kept for copy in range(3)]
    assert found.features.shape == (3 * kept, 8)


def test_attention_is_divided_into_bands_with_its_tokens(features: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BAND", SMALL_BAND)
    (group,) = LARGE.groups
    seen = {name: [values] for name, values in seen_of(features).items()}
    (found,) = select_groups([features], LARGE, "visionzip", seen)
    first, size, kept = bands_of(group)[1]
    of_band = {name: values[0][first : first + size] for name, values in seen.items()}
    expected = select_tokens(features[first : first + size], kept, "visionzip", **of_band)
    begin = bands_of(group)[0][2]
    assert torch.equal(found.index[begin : begin + kept], expected.index + first)
    torch.testing.assert_close(found.features[begin : begin + kept], expected.features)


@METHODS
@pytest.mark.parametrize("at_once", [1, 2])
def test_copies_are_selected_alike_in_parts_and_at_once(
    method: str, at_once: int, features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {name: [values] for name, values in seen_of(features).items()}
    (together,) = select_groups([features], LARGE, method, seen, seed=3)
    calls = []

    def counted(tokens: Tensor, *given: Any, **options: Any) -> Any:
        calls.append(len(tokens))
        return select_tokens(tokens, *given, **options)

    monkeypatch.setattr(pruning, "select_tokens", counted)
    monkeypatch.setattr(pruning, "PAIRS", at_once * LARGE.groups[0].tokens ** 2)
    (parts,) = select_groups([features], LARGE, method, seen, seed=3)
    assert calls == ([1, 1, 1] if at_once == 1 else [2, 1])
    assert torch.equal(parts.index, together.index)
    torch.testing.assert_close(parts.features, together.features)
