"""Position offsets on their way from the vision tower to the rotary embedding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.adapter.positions import (
    PositionOffsets,
    append_offsets,
    request_positions,
    split_offsets,
)

DTYPES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
AXES = pytest.mark.parametrize("axes", [1, 3])
FAR = 10**6


def mrope_positions(*positions: int) -> Tensor:
    """Positions as vLLM hands them over: three equal rows, cut from a longer buffer."""
    return torch.tensor([*positions, -7]).repeat(3, 1)[:, : len(positions)]


def column(*offsets: int) -> Tensor:
    """Offsets of so many visual tokens that have one position each."""
    return torch.tensor(offsets, dtype=torch.int64).unsqueeze(1)


@DTYPES
@AXES
def test_every_offset_below_4096_survives(axes: int, dtype: torch.dtype) -> None:
    embeddings = torch.randn(4096, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    given_offsets = torch.stack([torch.arange(4096).roll(axis) for axis in range(axes)], dim=1)
    appended = append_offsets(embeddings, given_offsets)
    assert appended.dtype == dtype
    assert appended.shape == (4096, 3 + 2 * axes)
    rest, offsets = split_offsets(appended, 3, axes)
    assert torch.equal(rest, embeddings)
    assert torch.equal(offsets, given_offsets)


@DTYPES
@AXES
@given(values=st.lists(st.tuples(*[st.integers(0, 128 * 256 - 1)] * 3), max_size=20), data=st.data())
def test_offsets_survive_any_slicing(
    axes: int, dtype: torch.dtype, values: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    given_offsets = torch.tensor(values, dtype=torch.int64).view(-1, 3)[:, :axes]
    appended = append_offsets(torch.zeros(len(values), 2, dtype=dtype), given_offsets)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(values))] * 2)))
    _, offsets = split_offsets(appended[start:end], 2, axes)
    assert torch.equal(offsets, given_offsets[start:end])


@AXES
def test_embeddings_without_offsets_have_none(axes: int) -> None:
    embeddings = torch.ones(3, 4)
    rest, offsets = split_offsets(embeddings, 4, axes)
    assert rest is embeddings
    assert offsets.dtype == torch.int64
    assert offsets.tolist() == [[0] * axes] * 3


def test_a_prompt_without_images_is_not_moved() -> None:
    positions, delta = request_positions(4, [])
    assert positions.tolist() == [[0, 1, 2, 3]] * 3
    assert delta == 0


def test_text_after_an_image_is_moved_by_what_was_dropped() -> None:
    # Two tokens of text, an image of three that dropped ten, two of text.
    positions, delta = request_positions(7, [(5, 10)])
    assert positions.tolist() == [[0, 1, 2, 3, 4, 15, 16]] * 3
    assert delta == 10


def test_a_second_image_starts_where_the_first_one_ended_unpruned() -> None:
    positions, delta = request_positions(6, [(2, 10), (4, 100)])
    assert positions.tolist() == [[0, 1, 12, 13, 114, 115]] * 3
    assert delta == 110


def test_text_between_the_runs_of_a_video_is_moved_by_the_runs_before_it() -> None:
    # frame, frame (1 of 3 tokens stay), word, frame, word
    positions, delta = request_positions(5, [(1, 2), (3, 2)])
    assert positions[0].tolist() == [0, 3, 4, 7, 8]
    assert delta == 4


def test_an_unpruned_image_moves_nothing() -> None:
    assert request_positions(5, [(3, 0)])[0].tolist() == [[0, 1, 2, 3, 4]] * 3


def test_an_image_at_the_end_moves_only_the_answer() -> None:
    positions, delta = request_positions(3, [(3, 9)])
    assert positions.tolist() == [[0, 1, 2]] * 3
    assert delta == 9


@given(st.lists(st.tuples(st.integers(0, 4), st.sets(st.integers(0, 30), min_size=1)), max_size=4))
def test_offsets_and_prompt_positions_add_up_to_the_unpruned_ones(parts: list[tuple[int, set[int]]]) -> None:
    """Each part is some text and then an image of 31 tokens of which a set is kept."""
    unpruned, offsets, placeholders = [], [], []
    start = 0
    for text, kept in parts:
        unpruned += [*range(start, start + text), *(start + text + token for token in sorted(kept))]
        offsets += [0] * text + [token - index for index, token in enumerate(sorted(kept))]
        placeholders.append((len(unpruned), 31 - len(kept)))
        start += text + 31
    positions, delta = request_positions(len(unpruned), placeholders)
    assert (positions[0] + torch.tensor(offsets, dtype=torch.int64)).tolist() == unpruned
    assert len(unpruned) + delta == start


def test_offsets_go_to_the_visual_tokens_of_the_batch() -> None:
    offsets = PositionOffsets(8, FAR)
    offsets.write(column(5, 7), torch.tensor([False, True, False, True]))
    assert offsets.move(mrope_positions(10, 11, 12, 13)).tolist() == [10, 16, 12, 20]


def test_each_axis_has_its_own_offsets() -> None:
    offsets = PositionOffsets(8, FAR, axes=3)
    offsets.write(torch.tensor([[0, 1, 2], [0, 30, 40]]), torch.tensor([False, True, False, True]))
    expected = [[10, 11, 12, 13], [10, 12, 12, 43], [10, 13, 12, 53]]
    assert offsets.move(mrope_positions(10, 11, 12, 13)).tolist() == expected
    offsets.clear()
    assert offsets.move(mrope_positions(1, 2)).tolist() == [[1, 2]] * 3


def test_cleared_offsets_are_gone() -> None:
    offsets = PositionOffsets(4, FAR)
    offsets.write(column(5, 7), torch.tensor([True, True]))
    offsets.clear()
    assert offsets.move(mrope_positions(1, 2, 3, 4)).tolist() == [1, 2, 3, 4]


def test_a_short_batch_forgets_a_longer_one_before_it_even_in_its_padding() -> None:
    offsets = PositionOffsets(8, FAR)
    offsets.write(torch.full((8, 1), 100), torch.ones(8, dtype=torch.bool))
    offsets.write(column(1), torch.tensor([True, False, False]))
    padded = mrope_positions(0, 1, 2, 3, 4, 5, 6, 7)
    assert offsets.move(padded).tolist() == [1, 1, 2, 3, 4, 5, 6, 7]


@given(st.lists(st.none() | st.lists(st.booleans(), min_size=1, max_size=8), max_size=6))
def test_any_sequence_of_batches_leaves_only_the_last_ones_offsets(batches: list[list[bool] | None]) -> None:
    offsets = PositionOffsets(8, FAR)
    expected = [0] * 8
    for number, mask in enumerate(batches):
        if mask is None:
            offsets.clear()
        else:
            offsets.write(torch.full((sum(mask), 1), number + 1), torch.tensor(mask))
        expected = [(number + 1) * visual for visual in mask or []]
        expected += [0] * (8 - len(expected))
    assert offsets.move(torch.zeros(3, 8, dtype=torch.int64)).tolist() == expected


def test_no_position_goes_beyond_the_rotary_table() -> None:
    offsets = PositionOffsets(3, max_position=100)
    offsets.write(column(60), torch.tensor([True]))
    assert offsets.move(mrope_positions(50, 99, 300)).tolist() == [99, 99, 99]


@AXES
def test_positions_stay_at_one_address_and_their_source_unchanged(axes: int) -> None:
    offsets = PositionOffsets(8, FAR, axes)
    offsets.write(torch.full((1, axes), 5), torch.tensor([True]))
    source = mrope_positions(1, 2, 3)
    moved = [offsets.move(source), offsets.move(mrope_positions(*range(8))), offsets.move(mrope_positions(4))]
    assert len({positions.data_ptr() for positions in moved}) == 1
    assert len({positions.stride() for positions in moved}) == 1
    assert source.tolist() == [[1, 2, 3]] * 3


def test_offsets_stay_at_one_address() -> None:
    offsets = PositionOffsets(4, FAR)
    before = offsets._offsets.data_ptr()
    for mask in ([True, False], [True, True, True, True], [False]):
        offsets.write(torch.ones(sum(mask), 1, dtype=torch.int64), torch.tensor(mask))
    assert offsets._offsets.data_ptr() == before
