"""JSON values as no field expects them, and how bodies are put together: hypothesis strategies.

JSON text is written here, because no library writes what the wire may carry: numbers beyond any range, keys twice,
halves of surrogate pairs, nesting without end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Fields = Mapping[str, SearchStrategy[Any]]


@dataclass(frozen=True, slots=True)
class Raw:
    """A value that is written as it stands."""

    text: str


def write(value: object) -> str:
    """JSON text of a value. An object may be a tuple of pairs, and a key then occur twice."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return write(tuple(value.items()))
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(key)}:{write(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value)


NUMBERS = ("1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1e-400", "-0", "-1", "0", "1.5", "5.0", "1E2")
BOUNDARIES = (2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400)
NESTED = tuple(left * depth + right * depth for depth in (60, 500, 5000) for left, right in ("[]", ('{"a":', "}")))
TEXTS = ("", "\0", "\ud800", "<image>", "</s>", "{{", "x" * 3000)
WRONG: dict[str, object] = {
    "null": None,
    "truth": True,
    "negative": -1,
    "fraction": 1.5,
    "64 bits": Raw(str(2**64)),
    "NaN": Raw("NaN"),
    "text": "x",
    "no Unicode": "\ud800",
    "list": [{}],
    "object": {"a": 1},
    "nested": Raw(NESTED[-1]),
}
"""A value of each kind by its name. Hardly any field takes more than two of them."""
WRONG: dict[str, object] = {
    "null": None,
    "truth": True,
    "negative": -1,
    "fraction": 1.5,
    "64 bits": Raw(str(2**64)),
    "NaN": Raw("NaN"),
    "text": "x",
    "no Unicode": "\ud800",
    "list": [{}],
    "object": {"a": 1},
    "nested": Raw(NESTED[-1]),
}
"""A value of each kind by its name. Hardly any field takes more than two of them."""
texts = st.text(st.characters(), max_size=12) | st.sampled_from(TEXTS)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.sampled_from([Raw(str(number)) for number in (*NUMBERS, *BOUNDARIES)]),
)
odd: SearchStrategy[object] = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(texts, scalars, max_size=3),
    st.sampled_from([Raw(text) for text in NESTED]),
)


def objects(optional: Fields | None = None, /, **required: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def lists(items: SearchStrategy[Any], least: int = 0) -> SearchStrategy[list[Any]]:
    return st.lists(items, min_size=least, max_size=3)


def mostly(right: SearchStrategy[Any], *wrong: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """The right one nine times out of ten or so."""
    return st.sampled_from((*[right] * 9 * len(wrong), *wrong)).flatmap(lambda chosen: chosen)


def tagged(kind: str, /, **required: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return objects(type=st.just(kind), **required)
