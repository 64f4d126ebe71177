"""Evenly spaced places of a grid."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gprune_vllm.methods.grid import grid_places

sides = st.integers(1, 30)


@given(rows=sides, columns=sides, data=st.data())
def test_places_are_distinct_and_evenly_spaced(rows: int, columns: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, rows * columns))
    places = grid_places((rows, columns), keep).tolist()
    assert places == sorted(set(places))
    assert (len(places), places[0] >= 0, places[-1] < rows * columns) == (keep, True, True)
    lines = [[place % columns for place in places if place // columns == row] for row in range(rows)]
    lines = [line for line in lines if line]
    assert max(map(len, lines)) - min(map(len, lines)) <= 1
    for line in lines:
        gaps = [after - before for before, after in pairwise(line)]
        assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_a_quarter_of_a_square_is_every_other_row_and_column() -> None:
    assert grid_places((4, 4), 4).tolist() == [5, 7, 13, 15]


def test_one_token_is_the_middle_one() -> None:
    assert grid_places((5, 7), 1).tolist() == [2 * 7 + 3]
